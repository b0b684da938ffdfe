"""The grammar of rules as routes.yaml writes it: typed, described, not yet compiled (see `compile`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from router.config.problems import EmptyKeys
from router.errors import Discreet
from router.scalars import Duration, OneOrSeveral
from router.sink import Setting
from router.text import Fold

Words = Annotated[tuple[str, ...], Field(min_length=1), OneOrSeveral()]
"""One text or several."""


def _must_not_be_empty(schema: dict[str, Any]) -> None:
    """What `_empty_is_a_mistake` says, for editors."""
    for key in schema.get("properties", {}).values():
        key.pop("default", None)
        if "anyOf" in key:
            key["anyOf"] = [allowed for allowed in key["anyOf"] if allowed != {"type": "null"}]


class RuleSetting(Setting):
    """Base of all that rules are made of."""

    model_config = ConfigDict(json_schema_extra=_must_not_be_empty)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_a_mistake(cls, data: Any) -> Any:
        """Elsewhere an empty key is left out. In a rule that would silently mean more calls than were meant."""
        if data is None:
            message = "is empty; write it, or remove it"
            raise Discreet(message)
        if isinstance(data, dict) and (empty := [key for key, value in data.items() if value is None]):
            raise EmptyKeys(empty)
        return data


class TextSetting(RuleSetting):
    """Keywords, and how they are matched."""

    any: Words | None = None
    """At least one of these keywords."""
    all: Words | None = None
    """Every one of these keywords."""
    none: Words | None = None
    """Not one of these keywords."""
    match: Literal["word", "prefix", "substring", "glob", "regex"] = "word"
    """How: a whole `word`, the `prefix` of one, a `substring`, a `glob` over one word (`*kündig*`), or a `regex` (RE2)."""
    except_: Annotated[Words | None, Field(alias="except")] = None
    """Globs over one word; a word that fits one of them does not count (`*ankündig*`)."""
    fold: Fold = Fold.GERMAN
    """What is the same: `german` (case, ä=ae, ß=ss, accents), `basic` (case), or `exact`."""


def _shape(value: Any) -> str:
    """A mapping, or one or several texts: decided before the branches are tried, so that one error comes out."""
    return "mapping" if isinstance(value, dict | Setting) else "words"


TextCondition = Annotated[
    Annotated[TextSetting, Tag("mapping")] | Annotated[Words, Tag("words")], Discriminator(_shape)
]
"""A keyword, a list (any of them), `$name` from `words`, or a mapping."""


NamedWords = Annotated[
    TextSetting,
    BeforeValidator(
        lambda value: value if isinstance(value, dict) else {"any": value}, json_schema_input_type=TextCondition
    ),
]
"""As a text condition, without `$name`."""


class ChannelId(RuleSetting):
    """A channel by its id, which stays when the channel is renamed."""

    id: Words
    """The id, as `aftercall channels` prints it."""


_ChannelEntry = Annotated[Annotated[ChannelId, Tag("mapping")] | Annotated[str, Tag("words")], Discriminator(_shape)]
ChannelCondition = Annotated[tuple[_ChannelEntry, ...], Field(min_length=1), OneOrSeveral()]
"""A channel's name, also with `*` and `?`, `{id: …}`, or a list of these."""


class DurationRange(RuleSetting):
    """A range of durations, both ends included."""

    min: Duration | None = None
    """At least."""
    max: Duration | None = None
    """At most."""


DurationCondition = Annotated[
    Annotated[DurationRange, Tag("mapping")] | Annotated[str, Tag("words")], Discriminator(_shape)
]
"""`{min: 5m, max: 1h}`, or a comparison."""


class TimeSetting(RuleSetting):
    """When the call began, in the file's time zone."""

    days: Words | None = None
    """Days of the week: `mon-fri`, `sat`, or a list (German short names are understood, too)."""
    from_: Annotated[str | None, Field(alias="from")] = None
    """From this time of day, like "08:00"."""
    until: str | None = None
    """Until this time of day (excluded). Earlier than `from`: over midnight, counted to the day it began."""
    holidays: Words | None = None
    """Not on the public holidays of this country or state: codes like `DE-NW`, `AT`, `CH-ZH`."""


Direction = Literal["inbound", "outbound", "unknown"]
HasPart = Literal[
    "headline", "summary", "note", "transcript", "action_items", "smart_answers", "small_talk", "participants"
]


class When(RuleSetting):
    """Conditions. All keys must hold; a list of values means any of them."""

    any: Annotated[tuple[When, ...] | None, Field(min_length=1)] = None
    """At least one of these groups of conditions holds."""
    all: Annotated[tuple[When, ...] | None, Field(min_length=1)] = None
    """Every one of these groups of conditions holds."""
    not_: Annotated[When | None, Field(alias="not")] = None
    """This group of conditions does not hold."""
    channel: ChannelCondition | None = None
    """The channel's name (case does not count; `*` and `?` are globs), or `{id: …}`."""
    direction: Annotated[tuple[Direction, ...], Field(min_length=1), OneOrSeveral()] | None = None
    """`inbound` or `outbound`."""
    source: Words | None = None
    """The source it came in at."""
    caller: Words | None = None
    """The caller's number: `+4930123456`, `+4930*`, `anonymous` or `internal`."""
    callee: Words | None = None
    """The called number, written as `caller`."""
    number: Words | None = None
    """Either number, written as `caller`."""
    duration: DurationCondition | None = None
    """`{min: 5m, max: 1h}` (both included), or a comparison like ">= 5m"."""
    time: TimeSetting | None = None
    """When the call began."""
    has: Annotated[tuple[HasPart, ...], Field(min_length=1), OneOrSeveral()] | None = None
    """The call has at least one of these parts."""
    summary: TextCondition | None = None
    """Keywords in the summary."""
    headline: TextCondition | None = None
    """Keywords in the headline."""
    note: TextCondition | None = None
    """Keywords in the note."""
    transcript: TextCondition | None = None
    """Keywords in what was said."""
    action_items: TextCondition | None = None
    """Keywords in the action items."""
    smart_answers: TextCondition | None = None
    """Keywords in the smart answers, questions included."""
    small_talk: TextCondition | None = None
    """Keywords in the small talk."""
    text: TextCondition | None = None
    """Keywords in any text but the small talk."""

    @model_validator(mode="after")
    def _not_empty(self) -> When:
        if not self.model_fields_set:
            message = "is empty; write its conditions, or leave it out if every call is meant"
            raise Discreet(message)
        return self


class _Rule(RuleSetting):
    """What every rule has."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """A name, used once: it stands in logs, lists and messages."""
    when: When | None = None
    """The conditions; left out: every call."""
    unless: When | None = None
    """Conditions under which the rule does not count."""


class RouteSetting(_Rule):
    """One rule."""

    to: Words
    """The sinks that get the call."""
    stop: bool = False
    """After this route fired, later ones are not looked at."""


class NeverSetting(_Rule):
    """One rule that beats all others. A call without a channel counts as matching one that names a channel."""

    to: Words
    """The sinks that never get such a call, or `all`."""
