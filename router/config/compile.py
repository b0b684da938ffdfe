"""From the grammar to conditions and a routing table. Everything that can be wrong with a rule is found here."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, time
from typing import TYPE_CHECKING

from router.config import times
from router.config.grammar import (
    ChannelId,
    NeverSetting,
    RouteSetting,
    TextSetting,
    TimeSetting,
    When,
)
from router.config.suggest import did_you_mean
from router.errors import Discreet
from router.event import Direction, NumberKind
from router.facts import TextField
from router.formats import parts as parsing
from router.hours import Hours
from router.keywords import Keyword, Match, keyword
from router.matching import (
    All,
    AnyOf,
    ChannelIs,
    Condition,
    DirectionIs,
    Has,
    Not,
    NumberIs,
    Party,
    SourceIs,
    TextHas,
    TimeIs,
)
from router.routing import Never, Route, RoutingTable
from router.text import name_glob, name_key

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

#: A place in the file: keys and positions from the top.
Path = tuple[str | int, ...]

#: What people write between digits, and the zero that is only dialled inside the country.
_IN_NUMBERS = re.compile(r"\(0\)|[\s()/.\-\u2010-\u2015]")
_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}\*")

_NO_TIME = '`from` and `until` are the same time; for the whole day write {from: "00:00", until: "24:00"}'

#: A warning about a keyword, without a word of it.
_ODD = "is an odd keyword: it has `*`, `?`, a comma or something else in it that has no meaning with this `match`"


class Compiler:
    """Compiles one file's rules. Problems and warnings are collected as (path, message or error), never raised.

    A path takes every list as written out, and plain keywords as standing under `any`.
    """

    def __init__(
        self, *, words: Mapping[str, TextSetting], sinks: Sequence[str], sources: Sequence[str], zone: ZoneInfo
    ) -> None:
        self.problems: list[tuple[Path, str | ValueError]] = []
        self.warnings: list[tuple[Path, str | ValueError]] = []
        #: Of all rules, to know which channels they name.
        self._channels: list[ChannelIs] = []
        self._words = words
        self._sinks = sinks
        self._sources = sources
        self._zone = zone
        self._unknown_channel: bool | None = False

    def table(
        self,
        *,
        routes: Iterable[RouteSetting],
        never: Iterable[NeverSetting],
        always: Sequence[str],
        otherwise: Sequence[str],
        digest: str,
    ) -> RoutingTable:
        """The routing table of a file."""
        for name, setting in self._words.items():
            self._text(TextField.TEXT, setting, ("words", name))
        made = RoutingTable(
            tuple(self._route(route, ("routes", at)) for at, route in enumerate(routes)),
            self._known_sinks(always, ("always",)),
            tuple(self._never(rule, ("never", at)) for at, rule in enumerate(never)),
            self._known_sinks(otherwise, ("otherwise",)),
            digest,
        )
        for key, names in (("routes", [r.name for r in made.routes]), ("never", [n.name for n in made.never])):
            above = set[str]()
            for at, name in enumerate(names):
                if name in above:
                    message = f"there is a rule {name!r} above; give one of the two another name"
                    error = Discreet(message, instead="a rule above has this name; give one of the two another")
                    self.problems.append(((key, at, "name"), error))
                above.add(name)
        return made

    def alarms(self, to: Sequence[str], carrying: Mapping[str, bool]) -> None:
        """Who is told alarms has to be there, and to be of a kind that can carry them."""
        self._known_sinks(to, ("alarms", "to"))
        for at, name in enumerate(to):
            if not carrying.get(name, True):
                able = ", ".join(sink for sink, can in carrying.items() if can) or "none"
                message = f"{name!r} is of a kind that cannot carry alarms; those that can are: {able}"
                instead = f"is of a kind that cannot carry alarms; those that can are: {able}"
                self.problems.append((("alarms", "to", at), Discreet(message, instead=instead)))

    def watched(self, names: Iterable[str]) -> None:
        """A channel that no rule names may be a misspelled one, or a misspelled source; it would be silent for ever."""
        for name in names:
            if name not in self._sources and not any(named.may_be(name) for named in self._channels):
                message = (
                    f"{name!r} is no source, and no rule names such a channel {did_you_mean(name, self._sources, 'sources')}; "
                    "as a channel it is watched once a call has come (`aftercall channels`)"
                )
                self.warnings.append((("alarms", "silent_after", name), message))

    def hours(self, wanted: TimeSetting, path: Path) -> Hours:
        """Working hours."""
        made = self._time(wanted, path)
        return Hours(self._zone, made.days, made.begins, made.until, made.is_holiday)

    def _route(self, route: RouteSetting, path: Path) -> Route:
        return Route(
            route.name,
            self._when(route.when, (*path, "when")),
            self._known_sinks(route.to, (*path, "to")),
            self._unless(route.unless, path),
            route.stop,
        )

    def _never(self, rule: NeverSetting, path: Path) -> Never:
        covered = None if "all" in rule.to else frozenset(self._known_sinks(rule.to, (*path, "to")))
        self._unknown_channel = None
        try:
            return Never(rule.name, self._when(rule.when, (*path, "when")), covered, self._unless(rule.unless, path))
        finally:
            self._unknown_channel = False

    def _known_sinks(self, names: Sequence[str], path: Path) -> tuple[str, ...]:
        for at, name in enumerate(names):
            if name not in self._sinks:
                # A URL that stands where a name belongs is a secret more often than not.
                shown = "(this is a URL, and no name)" if "://" in name else repr(name)
                known = did_you_mean(name, self._sinks)
                error = Discreet(f"unknown sink {shown} {known}", instead=f"is no sink {did_you_mean('', self._sinks)}")
                self.problems.append(((*path, at), error))
        return tuple(dict.fromkeys(names))

    def _unless(self, when: When | None, path: Path) -> Condition | None:
        return None if when is None else self._when(when, (*path, "unless"))

    def _when(self, when: When | None, path: Path) -> All:
        """All keys of one group of conditions."""
        return All() if when is None else All(tuple(self._conditions(when, path)))

    def _conditions(self, when: When, path: Path) -> Iterator[Condition]:
        if when.any is not None:
            yield AnyOf(tuple(self._when(part, (*path, "any", at)) for at, part in enumerate(when.any)))
        if when.all is not None:
            yield All(tuple(self._when(part, (*path, "all", at)) for at, part in enumerate(when.all)))
        if when.not_ is not None:
            yield Not(self._when(when.not_, (*path, "not")))
        if when.channel is not None:
            yield self._channel(when.channel, (*path, "channel"))
        if when.direction is not None:
            yield DirectionIs(frozenset(map(Direction, when.direction)))
        if when.source is not None:
            yield self._source(when.source, (*path, "source"))
        for party in Party:
            if (numbers := getattr(when, party.value)) is not None:
                yield self._number(party, numbers, (*path, party.value))
        if when.duration is not None:
            with self._at((*path, "duration")):
                yield times.duration(when.duration)
        if when.time is not None:
            yield self._time(when.time, (*path, "time"))
        if when.has is not None:
            yield Has(when.has)
        for where in TextField:
            if (text := getattr(when, where.value)) is not None:
                yield from self._text_or_words(where, text, (*path, where.value))

    def _channel(self, wanted: Sequence[str | ChannelId], path: Path) -> ChannelIs:
        names = [entry for entry in wanted if isinstance(entry, str)]
        ids = [id_ for entry in wanted if isinstance(entry, ChannelId) for id_ in entry.id]
        for at, entry in enumerate(wanted):
            if isinstance(entry, str) and not name_key(entry):
                self.problems.append(
                    ((*path, at), Discreet("this name is empty; write a channel's name, or `*` for any"))
                )
            elif isinstance(entry, ChannelId) and not all(map(str.strip, entry.id)):
                self.problems.append(
                    ((*path, at, "id"), Discreet("this id is empty; `aftercall channels` prints them"))
                )
        globs = [name for name in names if set("*?") & set(name)]
        made = ChannelIs(
            ", ".join([*names, *(f"id {id_}" for id_ in ids)]),
            frozenset(name_key(name) for name in names if name not in globs),
            tuple(name_glob(name) for name in globs if name_key(name)),
            frozenset(ids),
            self._unknown_channel,
        )
        self._channels.append(made)
        return made

    def _source(self, names: Sequence[str], path: Path) -> SourceIs:
        for at, name in enumerate(names):
            if name not in self._sources:
                known = did_you_mean(name, self._sources)
                instead = f"is no source {did_you_mean('', self._sources)}"
                self.problems.append(((*path, at), Discreet(f"unknown source {name!r} {known}", instead=instead)))
        return SourceIs(frozenset(names))

    def _number(self, party: Party, wanted: Sequence[str], path: Path) -> NumberIs:
        exact, prefixes, kinds = set[str](), list[str](), set[NumberKind]()
        for at, entry in enumerate(wanted):
            bare = _IN_NUMBERS.sub("", entry).casefold()
            if bare in (NumberKind.ANONYMOUS, NumberKind.INTERNAL):
                kinds.add(NumberKind(bare))
            elif _PREFIX.fullmatch(bare):
                prefixes.append(bare[:-1])
            elif bare.startswith("+") and (e164 := parsing.party(bare).e164):
                exact.add(e164)
            else:
                message = (
                    "is no number; write it with its country like +4930123456 or +4930*, or one of anonymous, internal"
                )
                self.problems.append(((*path, at), Discreet(f"{entry!r} {message}", instead=message)))
        return NumberIs(party, ", ".join(wanted), frozenset(exact), tuple(prefixes), frozenset(kinds))

    def _time(self, wanted: TimeSetting, path: Path) -> TimeIs:
        days = set[int]()
        begins: time | None = None
        until: time | None = None
        calendars: list[Container[date]] = []
        for at, entry in enumerate(wanted.days or ()):
            with self._at((*path, "days", at)):
                days.update(times.days(entry))
        for at, entry in enumerate(wanted.holidays or ()):
            with self._at((*path, "holidays", at)):
                calendars.append(times.holidays(entry))
        if wanted.from_ is not None:
            with self._at((*path, "from")):
                begins = times.clock(wanted.from_)
                if begins is None:
                    message = '"24:00" is the end of a day; write "00:00"'
                    raise Discreet(message)
        if wanted.until is not None:
            with self._at((*path, "until")):
                until = times.clock(wanted.until)
        if until is not None and until == begins:
            self.problems.append((path, _NO_TIME))
        if until == time.min and wanted.from_ is None:
            self.problems.append(
                ((*path, "until"), Discreet('no time is before 00:00; write "24:00", or leave it out'))
            )
        given = wanted.model_dump(by_alias=True, exclude_none=True)
        asked = ", ".join(
            f"{key} {' '.join(value) if isinstance(value, tuple) else value}" for key, value in given.items()
        )
        if not given:
            self.problems.append((path, "is empty; write days, from, until or holidays"))
        return TimeIs(
            asked,
            lambda moment: moment.astimezone(self._zone),
            frozenset(days) if wanted.days else frozenset(range(7)),
            begins or time.min,
            until,
            (lambda day: any(day in calendar for calendar in calendars)) if calendars else None,
        )

    def _text_or_words(self, where: TextField, wanted: TextSetting | Sequence[str], path: Path) -> Iterator[Condition]:
        """A mapping is one condition; a list is any of its keywords and `$names`."""
        if isinstance(wanted, TextSetting):
            yield self._text(where, wanted, path)
            return
        parts: list[Condition] = []
        plain: dict[int, str] = {}
        for at, entry in enumerate(wanted):
            if entry.startswith("$$") or not entry.startswith("$"):
                plain[at] = entry
            elif (name := entry[1:]) in self._words:
                parts.append(self._text(where, self._words[name], None))
            else:
                known = did_you_mean(name, list(self._words))
                message = f"unknown words {entry!r} {known}; for the keyword {entry!r} write {'$' + entry!r}"
                instead = f"is no name of words {did_you_mean('', list(self._words))}; write $$ for a keyword with a $"
                self.problems.append(((*path, at), Discreet(message, instead=instead)))
        if plain:
            made = self._text(where, TextSetting(any=tuple(plain.values())), path, list(plain))
            parts.insert(0, made)
        if parts:
            yield parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _text(
        self, where: TextField, wanted: TextSetting, path: Path | None, places: Sequence[int] | None = None
    ) -> TextHas:
        """`path` None: the words' own place was looked at already. `places`: where in the file's list each of `any` is."""
        if wanted.any is None and wanted.all is None and wanted.none is None and path is not None:
            self.problems.append((path, "has no keywords; write any, all or none"))
        exceptions = self._exceptions(wanted, path)

        def compiled(key: str, words: Sequence[str] | None) -> tuple[Keyword, ...]:
            found = []
            for at, word in zip(places or range(len(words or ())), words or (), strict=False):
                here = None if path is None else (*path, key, at)
                with self._at(here):
                    made = keyword(_unescaped(word), Match(wanted.match), wanted.fold, exceptions)
                    found.append(made)
                    for doubt in filter(None, (made.warning, _comma(word))):
                        if here is not None:
                            self.warnings.append((here, Discreet(doubt, instead=_ODD)))
            return tuple(found)

        return TextHas(
            where, wanted.fold, compiled("any", wanted.any), compiled("all", wanted.all), compiled("none", wanted.none)
        )

    def _exceptions(self, wanted: TextSetting, path: Path | None) -> tuple[str, ...]:
        """Those that can be used: asked here once, and not for every keyword."""
        good = []
        for at, exception in enumerate(wanted.except_ or ()):
            before = len(self.problems)
            with self._at(None if path is None else (*path, "except", at)):
                keyword("any", Match(wanted.match), wanted.fold, [exception])
                good.append(exception)
            if len(self.problems) > before and Match(wanted.match) in (Match.SUBSTRING, Match.REGEX):
                break  # it is not about this one
        return tuple(good)

    @contextmanager
    def _at(self, path: Path | None) -> Iterator[None]:
        """A ValueError in here is a problem at `path` (None: one that is known already)."""
        try:
            yield
        except ValueError as error:
            if path is not None:
                self.problems.append((path, error))


def _comma(word: str) -> str | None:
    """What one would rather have written, where one keyword looks like several."""
    return f"one keyword with a comma in it; several are a list: [{word}]" if ", " in word else None


def _unescaped(word: str) -> str:
    """The keyword of an entry: `$$x` is `$x`; `$x` would be the name of words, which only a plain list can have."""
    if word.startswith("$$"):
        return word[1:]
    if word.startswith("$"):
        message = (
            f"{word!r} cannot stand here: names of words go into a plain list, like `text: [{word}, price]`; "
            f"for the keyword {word!r} write {'$' + word!r}"
        )
        instead = "begins with $, and names of words go into a plain list; write $$ for the keyword"
        raise Discreet(message, instead=instead)
    return word
