"""The invariants: silent about a story in which all is well, and heard about each violation that is planted in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from invariants import Arrival, Story, violations
from oracle import Answered, Kept, Ledger, Posted, Refused

SINKS = ("web", "mail")


def story(plant: Callable[[dict[str, Any]], object] = lambda _: None, *deaths: str) -> Story:
    """Three calls to two sinks: one told twice and sent again, one that died at `mail`, one that nobody was answered."""
    ledger = Ledger()
    for call in ("a", "b", "c"):
        ledger.add(Posted(call, f"bytes of {call}", SINKS))
    ledger.add(Posted("noise", "bytes of noise", ()))
    ledger.add(Kept("noise", "kept-noise"))
    for call, again in (("a", False), ("b", False), ("a", True)):
        ledger.add(Answered(call, f"event-{call}", again))
    ledger.add(Refused("c", 503))
    told: dict[str, Any] = {
        "ledger": ledger,
        "arrived": [
            Arrival(sink, f"{sink}-{call}", call, f"bytes of {call}")
            for sink, call in (("web", "a"), ("web", "a"), ("web", "b"), ("web", "c"), ("mail", "a"), ("mail", "c"))
        ],
        "summary": {
            "received": 5, "events": 3, "duplicates": 1, "quarantined": 1, "purged": 0,
            "routed": 3, "unmatched": 0, "unrouted": 0,
            "deliveries": {"created": 6, "pending": 0, "claimed": 0, "delivered": 5, "dead": 1, "replayed": 0, "erased": 0, "purged": 0},
        },
        "events": [{"id": f"event-{call}", "call_id": call, "revision": 1} for call in "abc"],
        "deliveries": [
            {"id": f"{sink}-{call}", "event_id": f"event-{call}", "sink": sink, "reason": None, "state": "delivered"}
            for call in "abc" for sink in SINKS
        ],
        "quarantined": {"kept-noise": "bytes of noise"},
        "refused": {("web", "d")},
        "deaths": deaths or ("poison",),
    }  # fmt: skip
    line(told, "mail-b").update(state="dead", reason="poison: lost too often")
    plant(told)
    return Story(**told)


def line(told: dict[str, Any], key: str) -> dict[str, Any]:
    """Of the deliveries."""
    found: dict[str, Any] = next(line for line in told["deliveries"] if line["id"] == key)
    return found


def without(told: dict[str, Any], sink: str, call: str) -> None:
    """It never came there."""
    told["arrived"] = [one for one in told["arrived"] if (one.sink, one.call) != (sink, call)]


def changed(told: dict[str, Any], at: int, **changes: str) -> None:
    """One arrival, otherwise."""
    told["arrived"][at] = replace(told["arrived"][at], **changes)


def sum_changed(name: str, by: int) -> Callable[[dict[str, Any]], None]:
    """A sum, or one of deliveries, otherwise."""

    def plant(told: dict[str, Any]) -> None:
        sums = (
            told["summary"]["deliveries"]
            if name in told["summary"]["deliveries"] and name != "purged"
            else told["summary"]
        )
        sums[name] += by

    return plant


def test_a_story_in_which_all_is_well_has_no_violation() -> None:
    told = story()
    assert violations(told) == []
    assert told.dead() == {"mail": 1}


@pytest.mark.parametrize(
    ("plant", "heard"),
    [
        pytest.param(lambda told: without(told, "mail", "a"), "lost: a was acknowledged", id="acknowledged, and not there"),
        pytest.param(lambda told: line(told, "mail-b").update(state="delivered"), "lost: b was", id="and not dead either"),
        pytest.param(lambda told: line(told, "mail-b").update(sink="web"), "lost: b was", id="dead elsewhere only"),
        pytest.param(lambda told: told["deliveries"].remove(line(told, "mail-c")), "lost: c is stored, and owed to mail", id="half a commit"),
        pytest.param(lambda told: changed(told, 2, call="x"), "invented: x at web was never posted", id="never posted"),
        pytest.param(lambda told: changed(told, 2, sink="else"), "invented: b is not owed to else", id="not owed"),
        pytest.param(lambda told: told["events"].append({"id": "more", "call_id": "a", "revision": 1}), "repeated: a has 2 events", id="two events"),
        pytest.param(
            lambda told: told["deliveries"].append({**line(told, "web-a"), "id": "more"}), "repeated: a has 2 deliveries to web",
            id="owed twice",
        ),
        pytest.param(lambda told: told["ledger"].add(Answered("a", "more", True)), "one_event: a was answered as more", id="other event"),
        pytest.param(lambda told: told["ledger"].add(Answered("c", "event-x", False)), "stored as event-c", id="event of another"),
        pytest.param(lambda told: told["ledger"].add(Answered("a", "event-a", False)), "as new 2 times", id="new twice"),
        pytest.param(lambda told: told["ledger"].add(Refused("a", 400)), "one_event: a was answered 400", id="refused"),
        pytest.param(lambda told: changed(told, 1, key="other"), "one_key: a came to web as ['other', 'web-a']", id="two keys"),
        pytest.param(lambda told: changed(told, 4, key="other"), "one_key: a came to mail as ['other']", id="key of nothing"),
        pytest.param(lambda told: changed(told, 2, key="web-a"), "one_key: web-a is the key of", id="one key for two calls"),
        pytest.param(lambda told: changed(told, 5, digest="bytes of a"), "other_bytes: c came to mail", id="other bytes"),
        pytest.param(lambda told: without(told, "mail", "c"), "untrue: c is delivered to mail", id="delivered, and not there"),
        pytest.param(lambda told: told["quarantined"].clear(), "unread: noise was acknowledged", id="unreadable and lost"),
        pytest.param(lambda told: told["quarantined"].update({"kept-noise": "x"}), "unread: noise was ack", id="unreadable, other bytes"),
        pytest.param(lambda told: told["quarantined"].update(x="bytes of a"), "unread: x is in quarantine", id="readable in quarantine"),
        pytest.param(lambda told: told["quarantined"].update(x="bytes of noise"), "unread: noise is in", id="unreadable twice"),
        pytest.param(lambda told: told.update(refused={("web", "a")}), "refusals: a was refused by web", id="refused, and delivered"),
        pytest.param(
            lambda told: line(told, "mail-b").update(reason="no attempt left after 5; last: x answered 404"), "deaths: mail-b to mail died", id="died as if refused"
        ),
        pytest.param(lambda told: told["events"][1].update(revision=2), "one_event: b was answered", id="other revision"),
        pytest.param(lambda told: line(told, "mail-b").update(reason="gave up"), "deaths: mail-b to mail died: gave up", id="other death"),
        pytest.param(lambda told: line(told, "mail-b").update(reason=None), "deaths: mail-b to mail died", id="death without a reason"),
        pytest.param(lambda told: told.update(deaths=()), "deaths: mail-b to mail died", id="nobody may die"),
        pytest.param(lambda told: line(told, "web-c").update(state="pending"), "at_rest: web-c to web is pending", id="still owed"),
        *(
            pytest.param(sum_changed(name, by), "sums: ", id=f"{name} {by:+}")
            for name in (
                "received", "events", "duplicates", "quarantined", "purged", "routed", "unmatched", "unrouted", "created",
                "pending", "claimed", "delivered", "dead", "replayed", "erased",
            )
            for by in (1, -1)
        ),
        pytest.param(lambda told: told["summary"].update(received=4, duplicates=0), "sums: duplicates is 0", id="a repeat not counted"),
        pytest.param(lambda told: told["summary"].update(received=6, events=4, routed=4), "sums: events is 4", id="an event not listed"),
        pytest.param(
            lambda told: told["summary"]["deliveries"].update(delivered=4, dead=2), "sums: delivered is 4", id="another state listed"
        ),
        pytest.param(
            lambda told: told["summary"].update(unmatched=-1, routed=4), "sums: unmatched is below zero", id="below zero"
        ),
    ],
)  # fmt: skip
def test_a_planted_violation_is_heard(plant: Callable[[dict[str, Any]], object], heard: str) -> None:
    assert any(heard in found for found in violations(story(plant))), violations(story(plant))
