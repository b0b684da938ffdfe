"""What a store was asked and what it answered, and what there must therefore be.

It stands between the steps of the disk, so that at any cut it is known what had to be there: what was answered before.
What was only asked may be there or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from router.delivery import LaneRow
from router.store.values import Claim, Settlement


@dataclass(frozen=True, slots=True)
class Fact:
    """Something was asked of the store, or (`answered`) is known to be so."""

    what: str
    key: str = ""
    value: object = None
    answered: bool = True


@dataclass
class Known:
    """What there must be, after these facts."""

    asked: int = 0
    answered: int = 0
    #: Bodies by event, and the event by call.
    bodies: dict[str, bytes] = field(default_factory=dict)
    calls: dict[str, str] = field(default_factory=dict)
    old: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    may_go: bool = False
    claimed: dict[str, int] = field(default_factory=dict)
    settled: list[tuple[Claim, Settlement]] = field(default_factory=list)
    replayed: dict[str, str] = field(default_factory=dict)
    asked_to_replay: set[str] = field(default_factory=set)
    unread: dict[str, bytes] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    #: What a lane may be set to: what was answered last, and what was asked after that.
    lanes: dict[str, list[LaneRow | None]] = field(default_factory=dict)

    def learn(self, fact: Fact) -> None:
        match fact:
            case Fact("received", answered=False):
                self.asked += 1
            case Fact("received"):
                self.answered += 1
            case Fact("stored", key, (str() as call_id, bytes() as body, bool() as old)):
                self.bodies[key] = body
                self.calls[call_id] = key
                if old:
                    self.old.add(key)
            case Fact("quarantined", key, bytes() as body):
                self.unread[key] = body
            case Fact("read again", key, answered=False):
                self.left.add(key)
            case Fact("claimed", key, int() as attempt):
                self.claimed[key] = attempt
            case Fact("settled", _, (Claim() as claim, Settlement() as how)):
                self.settled.append((claim, how))
            case Fact("replay", key, answered=False):
                self.asked_to_replay.add(key)
            case Fact("replay", key, str() as new):
                self.replayed[key] = new
            case Fact("lane", key, LaneRow() as row, answered=False):
                self.lanes.setdefault(key, [None]).append(row)
            case Fact("lane", key, LaneRow() as row):
                del self.lanes[key][: self.lanes[key].index(row)]
            case Fact("purge", answered=False):
                self.may_go = True
            case Fact("purge", _, frozenset() as old):
                self.gone |= old
            case _:
                raise AssertionError(fact)


def known(facts: Iterable[object]) -> Known:
    """What there must be, after these."""
    learned = Known()
    for fact in facts:
        assert isinstance(fact, Fact)
        learned.learn(fact)
    return learned
