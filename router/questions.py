"""What the admin API can be asked: the parameters of its lists, and the bodies of what changes something.

A name that is not here is refused: a misspelled filter would mean everything.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from router.delivery import DeliveryState
from router.event import Direction
from router.store.lines import Wanted
from router.store.values import RoutedAs

#: Lines of a page at most.
MOST: Final = 500

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


def _said(text: str) -> str:
    if not text.strip():
        message = "say why"
        raise ValueError(message)
    return text


def _written(given: object) -> object:
    """A number would be taken for the seconds since 1970: `since=2` is no mistake that may mean everything."""
    if not isinstance(given, str) or not _TIME.match(given):
        message = "write a time with its zone, like 2026-03-10T08:00:00Z"
        raise ValueError(message)
    return given


def _number(given: object) -> object:
    """In JSON, neither `true` nor a text is a number."""
    if isinstance(given, bool | str):
        message = "write a number"
        raise ValueError(message)  # noqa: TRY004 - what pydantic takes for an answer
    return given


#: Filters whose values may be a person's: the log says that they were set, and not to what.
_OF_A_CALL: Final = frozenset({"channel", "reason"})

#: Characters of a text: what is longer is no name, and no reason that anybody reads.
_LONGEST: Final = 1000
Text = Annotated[str, Field(max_length=_LONGEST)]
#: What `next` is: an id, in which some characters may be damaged.
Key = Annotated[str, Field(pattern=r"^.{8}-.{4}-.{4}-.{4}-.{12}$")]

Time = Annotated[AwareDatetime, BeforeValidator(_written)]


class Question(BaseModel):
    """Nothing is asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Paged(Question):
    """A page of a list."""

    after: Key | None = Field(None, description="Where the page before ended: its `next`.")
    limit: int = Field(50, ge=1, le=MOST, description="Lines of the page, at most.")


class OfTimes(Question):
    """Which lines, by source and time."""

    since: Time | None = Field(None, description="Received (deliveries: accepted) then or later.")
    until: Time | None = Field(None, description="Received (deliveries: accepted) before then.")
    source: Text | None = Field(None, description="Came in at this source.")

    def wanted(self) -> Wanted:
        """For the store."""
        names = Wanted.__dataclass_fields__.keys() & type(self).model_fields.keys()
        given = {name: getattr(self, name) for name in names}
        return Wanted(**given)

    def noted(self) -> dict[str, Any]:
        """The filters that are set, for the log: values only of those that come from no call."""
        given: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return {name: True if name in _OF_A_CALL else value for name, value in given.items()}


class OfCalls(OfTimes):
    """Which lines, by the call."""

    channel: Text | None = Field(None, description="The channel's id, or its name.")
    direction: Direction | None = Field(None, description="Which way the call went.")
    route: Text | None = Field(None, description="This route fired.")
    sink: Text | None = Field(None, description="Is or was owed to this sink.")


class OfEvents(OfCalls):
    """Which events."""

    routed: RoutedAs | None = Field(None, description="What routing made of it.")


class OfDeliveries(OfCalls):
    """Which deliveries."""

    reason: Text | None = Field(None, description="Its reason holds this, in small letters or capitals.")


class OfDeadLetters(OfDeliveries):
    """Which dead letters."""

    ended: bool | None = Field(None, description="An operator has ended it; false: nobody has.")


class OfBodies(OfTimes):
    """Which quarantined bodies."""

    ended: bool | None = Field(None, description="An operator has ended it; false: nobody has.")


class EventsAsked(OfEvents, Paged):
    """A page of events."""


class DeliveriesAsked(OfDeadLetters, Paged):
    """A page of deliveries."""

    state: DeliveryState | None = Field(None, description="Is in this state.")
    event: Text | None = Field(None, description="Of the event with this id.")


class BodiesAsked(OfBodies, Paged):
    """A page of quarantined bodies."""


class Looking(Question):
    """One event, or one quarantined body."""

    full: bool = Field(
        default=False, description="With all that was said, and the body as it came; the log says who saw it."
    )


class Explaining(Question):
    """How to explain a call."""

    source: Text | None = Field(None, description="As if it came in here; left out: the first source.")


class Replay(Question):
    """A dead letter, owed again."""

    sink: Text | None = Field(None, description="To this sink instead of the old one.")


class End(Question):
    """A delivery or a body, about which nothing more is to be done."""

    reason: Annotated[Text, AfterValidator(_said)] = Field(
        description="Why; shown with it.", json_schema_extra={"pattern": r"\S"}
    )


class ToMany(Paged):
    """To a page of what fits; ask again with `next` for the others."""

    limit: Annotated[int, BeforeValidator(_number)] = Field(50, ge=1, le=MOST, description="As many of them, at most.")
    dry_run: bool = Field(default=False, strict=True, description="Only count.")
    all: bool = Field(default=False, strict=True, description="All of them, where `where` says nothing else.")

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        """Nothing at all does not mean everything: a script whose filter came out empty would not have meant that."""
        if not (self.all or getattr(self, "orphaned", False) or self._where().noted()):
            message = 'say which: by a filter in "where", or "all": true'
            raise ValueError(message)
        return self

    def _where(self) -> OfTimes:
        where: OfTimes = getattr(self, "where")  # noqa: B009 - each of these has one, of a type of its own
        return where

    def noted(self) -> dict[str, Any]:
        """What the log's line about it has: which, and what else was asked for. A reason is not logged."""
        named = {name: getattr(self, name, None) or None for name in ("all", "sink", "ended", "orphaned", "dry_run")}
        return {"where": self._where().noted(), **named}


class ReplayMany(ToMany):
    """Dead letters, owed again."""

    where: OfDeliveries = Field(description="Which dead letters; {} goes with `all`.")
    sink: Text | None = Field(None, description="To this sink instead of the old ones.")
    ended: bool = Field(default=False, strict=True, description="Those that were ended, instead of the others.")


class EndMany(ToMany, End):
    """Pending deliveries or dead letters, about which nothing more is to be done."""

    where: OfDeliveries = Field(description="Which deliveries; {} goes with `all` or `orphaned`.")
    dead: bool = Field(default=False, strict=True, description="Dead letters instead of pending deliveries.")
    orphaned: bool = Field(default=False, strict=True, description="Only those whose sink is configured no longer.")


class RouteMany(ToMany):
    """Events, routed again."""

    where: OfEvents = Field(description="Which events; {} goes with `all`.")


class EndBodies(ToMany, End):
    """Quarantined bodies, about which nothing is to be done."""

    where: OfTimes = Field(description="Which bodies; {} goes with `all`.")


class ReadMany(ToMany):
    """Quarantined bodies, read again."""

    where: OfTimes = Field(description="Which bodies that nobody has ended; {} goes with `all`.")
