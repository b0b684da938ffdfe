"""What the admin API answers, where that is not a value of the store itself: for its OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from router.event import Event
from router.store.lines import AttemptLine, DeliveryLine, RouterLine
from router.store.values import RoutedAs


class Error(TypedDict):
    """What is wrong."""

    code: str
    message: str


class Refused(TypedDict):
    """The answer to what cannot be done."""

    error: Error


class EventShown(TypedDict):
    """One event, what was decided about it, and its deliveries."""

    event: Event
    routed: RoutedAs
    routes: tuple[str, ...]
    rules: str
    duplicates: int
    duplicate_at: datetime | None
    deliveries: tuple[DeliveryLine, ...]
    body: NotRequired[str]
    encoding: NotRequired[Literal["utf-8", "base64"]]


class DeliveryShown(TypedDict):
    """One delivery with its attempts."""

    delivery: DeliveryLine
    attempts: tuple[AttemptLine, ...]


class BodyShown(TypedDict):
    """One quarantined body: its outline, and itself only where that was asked for."""

    id: str
    source: str
    reason: str
    size: int
    received_at: datetime
    times: int
    last_at: datetime
    ended: str | None
    content_type: str | None
    outline: dict[str, Any]
    body: NotRequired[str]
    encoding: NotRequired[Literal["utf-8", "base64"]]


class Replayed(TypedDict):
    """The new delivery, and the one that it repeats."""

    delivery: str
    replay_of: str


class Ended(TypedDict):
    """A delivery about which nothing more is to be done."""

    delivery: str
    state: Literal["dead"]


class EndedBody(TypedDict):
    """A body about which nothing is to be done, and why."""

    quarantined: str
    ended: str


class ReadAgain(TypedDict):
    """What a body became: an event, a duplicate of one, or what it was."""

    event: NotRequired[str]
    revision: NotRequired[int]
    deliveries: NotRequired[int]
    duplicate: NotRequired[bool]
    quarantined: NotRequired[str]
    reason: NotRequired[str]


class Routed(TypedDict):
    """How an event is routed now, and the sinks that it is owed to besides."""

    event: str
    routed: RoutedAs
    routes: tuple[str, ...]
    sinks: tuple[str, ...]


class Other(TypedDict):
    """A format that could have read a body, too."""

    name: str
    why: str


class Reading(TypedDict):
    """As what a body was read, why, and what was odd."""

    name: str
    why: str
    also: list[Other]
    remarks: list[str]
    unread: list[str]


class RouteExplained(TypedDict):
    """One route, and whether it fires."""

    name: str
    matched: bool
    fired: bool
    conditions: list[dict[str, Any]]
    to: list[str]


class NeverExplained(TypedDict):
    """One `never` rule, and whether it holds the call back."""

    name: str
    matched: bool
    conditions: list[dict[str, Any]]
    to: list[str] | Literal["all"]


class Explained(TypedDict):
    """Why a call goes where it goes."""

    event: Event
    format: Reading
    routes: list[RouteExplained]
    always: list[str]
    never: list[NeverExplained]
    otherwise: list[str]
    sinks: list[str]


class Routers(TypedDict):
    """The routers of one store, and what of them does not fit together."""

    items: tuple[RouterLine, ...]
    remarks: tuple[str, ...]


class Ready(TypedDict):
    """Whether a call could be stored now, and what is wrong; not all of that is a reason not to take calls."""

    ready: bool
    trouble: list[str]
    #: Calls are taken in, and nothing is sent (`serve --hold`).
    holding: bool
    #: The routers of the same store, as they were a few seconds ago.
    routers: tuple[RouterLine, ...]
