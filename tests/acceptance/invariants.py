"""What must be so whenever a router has come to rest, whatever happened to it. Pure: a story in, what is wrong with it out.

A story is told by three who know nothing of each other: who posted the calls (the ledger), who got them (the arrivals),
and the store (its sums, its events and its deliveries, as the admin API shows them).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from oracle import AGAIN, Ledger

#: Of a delivery whose router was lost too often; see `router.store.values.POISON_AFTER`.
POISON = "poison"
#: Of one whose far side will never take it.
REFUSED = (r"no attempt left after 5; last: \S+ answered 404",)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What one of the far sides got: under which key, which call, and the digest of the bytes."""

    sink: str
    key: str
    call: str
    digest: str


@dataclass
class Story:
    """What happened."""

    ledger: Ledger
    arrived: Sequence[Arrival]
    #: Of `GET summary`.
    summary: Mapping[str, Any]
    #: Lines of `GET events` and `GET deliveries`, all of them; `call_id` and `revision` are what tells which was posted.
    events: Sequence[Mapping[str, Any]]
    deliveries: Sequence[Mapping[str, Any]]
    #: The digests of the bodies in quarantine, by id.
    quarantined: Mapping[str, str] = field(default_factory=dict)
    #: (sink, call) of what a far side said that it will never take.
    refused: AbstractSet[tuple[str, str]] = frozenset()
    #: Patterns of how the reason of a delivery may begin that died.
    deaths: tuple[str, ...] = ()
    #: By (sink, call).
    _arrivals: dict[tuple[str, str], list[Arrival]] = field(init=False)
    _lines: dict[tuple[str, str], list[Mapping[str, Any]]] = field(init=False)
    #: By event.
    _calls: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self._arrivals, self._lines = defaultdict(list), defaultdict(list)
        self._calls = {event["id"]: told(event) for event in self.events}
        for arrival in self.arrived:
            self._arrivals[arrival.sink, arrival.call].append(arrival)
        for line in self.deliveries:
            self._lines[line["sink"], self.call(line)].append(line)

    def call(self, line: Mapping[str, Any]) -> str:
        """Which call a delivery is of."""
        return self._calls.get(line["event_id"], str(line["event_id"]))

    def arrivals(self, sink: str, call: str) -> list[Arrival]:
        """Of this call at this sink."""
        return self._arrivals.get((sink, call), [])

    def lines(self, sink: str, call: str) -> list[Mapping[str, Any]]:
        """What the store has of this call for this sink."""
        return self._lines.get((sink, call), [])

    def dead(self) -> Counter[str]:
        """How many deliveries died, by sink."""
        return Counter(line["sink"] for line in self.deliveries if line["state"] == "dead")


def told(event: Mapping[str, Any]) -> str:
    """The name under which an event was posted."""
    revision: int = event["revision"]
    return str(event["call_id"]) + AGAIN * (revision - 1)


def violations(story: Story) -> list[str]:
    """Everything that is not as it must be; empty where all is well."""
    checks = (lost, invented, repeated, one_event, one_key, other_bytes, untrue, unread, refusals, deaths, at_rest)
    return [f"{check.__name__}: {found}" for check in checks for found in check(story)] + [
        f"sums: {found}" for found in sums(story.summary, story)
    ]


def lost(story: Story) -> Iterator[str]:
    """What was acknowledged arrived at every sink that it is owed to, or is a dead letter there, by name.

    A call is stored with everything that it is owed, or not at all, whether or not anybody was answered.
    """
    for call in {entry.call for entry in story.ledger.answered}:
        for sink in story.ledger.posted[call].owed:
            dead = any(line["state"] == "dead" for line in story.lines(sink, call))
            if not story.arrivals(sink, call) and not dead:
                yield f"{call} was acknowledged, and is neither at {sink} nor dead there"
    for call in {told(event) for event in story.events} & story.ledger.posted.keys():
        for sink in story.ledger.posted[call].owed:
            if not story.lines(sink, call):
                yield f"{call} is stored, and owed to {sink} by no delivery"


def invented(story: Story) -> Iterator[str]:
    """What arrived was posted, and is owed to who got it; and so is what the store has."""
    for sink, call in {*story._arrivals, *story._lines}:
        posted = story.ledger.posted.get(call)
        if posted is None:
            yield f"{call} at {sink} was never posted"
        elif sink not in posted.owed:
            yield f"{call} is not owed to {sink}"


def repeated(story: Story) -> Iterator[str]:
    """A call has one event, whoever sent it how often, and one delivery for each sink."""
    events = Counter(told(event) for event in story.events)
    yield from (f"{call} has {count} events" for call, count in events.items() if count > 1)
    for (sink, call), lines in story._lines.items():
        if len(lines) > 1:
            yield f"{call} has {len(lines)} deliveries to {sink}"


def one_event(story: Story) -> Iterator[str]:
    """Every answer to a call names the event that the store has of it; at most one of them says that it is new."""
    stored = {told(event): event["id"] for event in story.events}
    new = Counter(entry.call for entry in story.ledger.answered if not entry.duplicate)
    for entry in story.ledger.answered:
        if stored.get(entry.call) != entry.event:
            yield f"{entry.call} was answered as {entry.event}, and is stored as {stored.get(entry.call)}"
    yield from (f"{call} was answered as new {count} times" for call, count in new.items() if count > 1)
    for refused in story.ledger.refused:
        if refused.status != 503:
            yield f"{refused.call} was answered {refused.status}"


def one_key(story: Story) -> Iterator[str]:
    """All attempts of a delivery have one key, that of the store; and no key has two deliveries."""
    owners: dict[str, tuple[str, str]] = {}
    for (sink, call), arrivals in story._arrivals.items():
        keys = {arrival.key for arrival in arrivals}
        stored = {line["id"] for line in story.lines(sink, call)}
        if keys != stored:
            yield f"{call} came to {sink} as {sorted(keys)}, and is stored as {sorted(stored)}"
        for key in keys:
            if owners.setdefault(key, (sink, call)) != (sink, call):
                yield f"{key} is the key of {owners[key]} and of {(sink, call)}"


def other_bytes(story: Story) -> Iterator[str]:
    """The bytes that arrived are those that were posted."""
    for arrival in story.arrived:
        posted = story.ledger.posted.get(arrival.call)
        if posted is not None and arrival.digest != posted.digest:
            yield f"{arrival.call} came to {arrival.sink} with other bytes"


def untrue(story: Story) -> Iterator[str]:
    """What the store says to be delivered is there."""
    for (sink, call), lines in story._lines.items():
        if any(line["state"] == "delivered" for line in lines) and not story.arrivals(sink, call):
            yield f"{call} is delivered to {sink} by the store, and never came there"


def unread(story: Story) -> Iterator[str]:
    """What nobody could read is kept as it was posted, once, and named by every answer to it; and nothing else is kept."""
    posted = {one.digest: call for call, one in story.ledger.posted.items() if not one.owed}
    for id_, digest in story.quarantined.items():
        if digest not in posted:
            yield f"{id_} is in quarantine, and was never posted as what nobody can read"
    for digest, count in Counter(story.quarantined.values()).items():
        if count > 1:
            yield f"{posted.get(digest)} is in quarantine {count} times"
    for entry in story.ledger.kept:
        if story.quarantined.get(entry.quarantined) != story.ledger.posted[entry.call].digest:
            yield f"{entry.call} was acknowledged as {entry.quarantined}, and is not there in quarantine"


def refusals(story: Story) -> Iterator[str]:
    """What a far side will never take is a dead letter: it counts as dead, and not as delivered."""
    for sink, call in story.refused:
        for line in story.lines(sink, call):
            if line["state"] != "dead":
                yield f"{call} was refused by {sink}, and is {line['state']}"


def deaths(story: Story) -> Iterator[str]:
    """What died had a reason that was to be expected."""
    for line in story.deliveries:
        expected = (*story.deaths, *REFUSED) if (line["sink"], story.call(line)) in story.refused else story.deaths
        if line["state"] == "dead" and not any(re.match(reason, line["reason"] or "") for reason in expected):
            yield f"{line['id']} to {line['sink']} died: {line['reason']}"


def at_rest(story: Story) -> Iterator[str]:
    """Nothing is owed any more."""
    for line in story.deliveries:
        if line["state"] not in ("delivered", "dead"):
            yield f"{line['id']} to {line['sink']} is {line['state']}"


def sums(summary: Mapping[str, Any], story: Story | None = None) -> Iterator[str]:
    """The store adds up, by itself and (with a story of which nothing was purged) with what it shows."""
    states = dict(summary["deliveries"])
    created = states.pop("created")
    terms = ("events", "duplicates", "quarantined", "purged")
    if summary["received"] != sum(summary[term] for term in terms):
        yield f"received is {summary['received']}, and not {' + '.join(terms)}"
    kinds = ("routed", "unmatched", "unrouted")
    if summary["events"] != sum(summary[kind] for kind in kinds):
        yield f"events is {summary['events']}, and not {' + '.join(kinds)}"
    if created != sum(states.values()):
        yield f"{created} deliveries were created, and {sum(states.values())} are there"
    counts = [(name, count) for name, count in summary.items() if name != "deliveries"]
    yield from (f"{name} is below zero" for name, count in (*counts, *states.items()) if count < 0)
    if story is None:
        return
    if summary["events"] != len(story.events):
        yield f"events is {summary['events']}, and {len(story.events)} are listed"
    if summary["quarantined"] != len(story.quarantined):
        yield f"quarantined is {summary['quarantined']}, and {len(story.quarantined)} are listed"
    listed = Counter(line["state"] for line in story.deliveries)
    for state, count in states.items():
        if count != listed[state]:
            yield f"{state} is {count}, and {listed[state]} are listed"
    if summary["duplicates"] < sum(entry.duplicate for entry in story.ledger.answered):
        yield f"duplicates is {summary['duplicates']}, and more were answered as such"
