"""The store's contract, over every engine: each sentence of `router.store.base` is a test here."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from router.delivery import Again, Dead, DeliveryState, Done, LaneRow, LaneState
from router.errors import Conflict, QuarantineFull, StoreError, Unknown
from router.event import (
    ActionItem,
    Call,
    Channel,
    Direction,
    Number,
    NumberKind,
    Participant,
    Segment,
    SmallTalk,
    SmartAnswer,
    Speaker,
    Trust,
)
from router.failpoints import VARIABLE, arm
from router.store.asked import Asked
from router.store.base import Store
from router.store.lines import AttemptLine, RouterLine, Wanted
from router.store.values import (
    LOOK_AGAIN,
    POISON_AFTER,
    PROBED_AGAIN,
    SUSPECT_AFTER,
    Accepted,
    Card,
    Claim,
    Claims,
    Duplicate,
    Owed,
    Purged,
    Quarantined,
    Retaken,
    RoutedAs,
)
from store_engines import (
    DAY,
    KINDS,
    NOW,
    Engine,
    accepted,
    arrival,
    at,
    claim_one,
    dead_one,
    engines,
    every,
    purge,
    quarantine,
    set_lane,
    settlement,
)
from support import until_awaited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from router.delivery import Delivery
    from router.store.lines import DeliveryLine


@pytest.fixture(scope="session", params=KINDS)
def new_engine(request: pytest.FixtureRequest) -> Callable[[Path], AbstractContextManager[Engine]]:
    return engines(request.param, request)


@pytest.fixture
def engine(new_engine: Callable[[Path], AbstractContextManager[Engine]], tmp_path: Path) -> Iterator[Engine]:
    with new_engine(tmp_path) as made:
        yield made


@pytest.fixture
async def store(engine: Engine) -> AsyncIterator[Store]:
    async with engine.open() as opened:
        yield opened


async def line_of(store: Store, delivery_id: str) -> DeliveryLine:
    found = await store.delivery(delivery_id)
    assert found is not None
    return found[0]


async def attempts_of(store: Store, delivery_id: str) -> tuple[AttemptLine, ...]:
    found = await store.delivery(delivery_id)
    assert found is not None
    return found[1]


async def only_delivery(store: Store, **filters: Any) -> DeliveryLine:
    (line,) = (await store.deliveries(**filters)).items
    return line


# --- every write ---


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The signals that failpoints would have sent; nothing is armed afterwards."""
    sent: list[int] = []
    monkeypatch.setattr("router.failpoints._LAST_WORDS", 0.0)
    monkeypatch.setattr("os.kill", lambda _, number: sent.append(number))
    yield sent
    arm({})


async def test_only_before_the_commit_of_a_call_is_the_point_before_a_commit(store: Store, killed: list[int]) -> None:
    """Not before that of what asks or settles: a router would be killed where there is no call to be lost."""
    arm({VARIABLE: "before_commit:3:kill"})
    await store.check()
    await accepted(store, arrival(owed=("screen",)))
    await store.settle(await claim_one(store, "screen"), settlement(Done()))
    await store.purge(events=None, quarantine=at(-DAY), seen=None)
    await quarantine(store, b"unread")
    assert killed == []
    await accepted(store, arrival("two"))
    assert killed == [signal.SIGKILL]


async def test_what_was_answered_is_there_after_a_restart(engine: Engine) -> None:
    async with engine.open() as store:
        event = await accepted(store, arrival(owed=("screen",)))
        kept = await quarantine(store)
        await store.set_lane(LaneRow("screen", LaneState.PAUSED), now=NOW)
    async with engine.open() as store:
        assert (await store.event(event.event_id)) is not None
        assert [line.id for line in (await store.quarantined()).items] == [kept]
        assert (await store.lanes())["screen"].state is LaneState.PAUSED
        assert (await only_delivery(store)).state is DeliveryState.PENDING


async def test_the_write_of_a_cancelled_caller_is_done_all_the_same(engine: Engine) -> None:
    async with engine.open() as store:
        task = asyncio.create_task(store.accept(arrival()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await accepted(store, arrival("call-2"))

        async def both_are_there() -> bool:  # an engine may write both at the same time
            return (await store.summary()).events == 2

        await until_awaited(both_are_there)


async def test_a_write_that_fails_by_its_own_fault_does_not_fail_its_neighbours(store: Store) -> None:
    dead = await dead_one(store, "dead")
    await store.end(dead, reason="once", now=NOW)
    answers = await asyncio.gather(
        store.accept(arrival("before")),
        store.end("no such delivery", reason="mistake", now=NOW),
        store.end(dead, reason="mistake", now=NOW),
        store.accept(arrival("after")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [Accepted, Unknown, Conflict, Accepted]
    assert (await store.summary()).events == 3


async def test_a_text_that_is_no_unicode_fails_alone(store: Store) -> None:
    broken = arrival("broken", "half a smile: \ud83d")
    odd_id = replace(arrival(), call=Call(call_id="\udc00"))
    odd_type = replace(arrival(), content_type="\udc00")
    odd_sink = arrival(owed=("\udc00",))
    answers = await asyncio.gather(
        *(store.accept(one) for one in (broken, odd_id, odd_type, odd_sink, arrival("good"))), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [StoreError] * 4 + [Accepted]
    assert not any("\\u" in repr(answer) for answer in answers)
    assert (await store.summary()).received == 1


async def test_times_are_aware_and_kept_to_the_microsecond(store: Store) -> None:
    when = arrival().received_at + timedelta(microseconds=1)
    event = await accepted(store, replace(arrival(), received_at=when))
    stored = await store.event(event.event_id)
    assert stored is not None
    assert stored.event.received_at == when
    assert stored.event.received_at.utcoffset() == timedelta(0)


async def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(TypeError):
        await store.accept(replace(arrival(), received_at=NOW.replace(tzinfo=None)))
    assert (await store.summary()).received == 0


# --- accept ---


async def test_an_event_comes_back_as_it_was_accepted(store: Store) -> None:
    call = Call(
        call_id="völlig/egal ✓",
        direction=Direction.OUTBOUND,
        caller=Number("+4930123", "+4930123", NumberKind.E164),
        callee=Number("anonymous", None, NumberKind.ANONYMOUS),
        started_at=at(-100.5),
        ended_at=at(0),
        duration=100.5,
        channel=Channel("c-9", "Empfang"),
        headline="Rückfrage",
        summary="",
        note="a\x00b\n\u202e",
        transcript=(Segment(Speaker.CALLER, 0.1, 2.5, "Hallo"), Segment(Speaker.OTHER, None, None, "…")),
        action_items=(ActionItem("1", "call back"), ActionItem(None, "write")),
        smart_answers=(SmartAnswer("s", "Price?", None),),
        small_talk=(SmallTalk(None, "weather", None, pinned=True),),
        participants=(Participant("p", "Eva"), Participant(None, None)),
        trust=Trust.VERIFIED,
    )
    body = b'{"summary": "x", "huge": 123456789012345678901234567890}'
    event = await accepted(store, replace(arrival(), call=call, body=body, content_type=None, routes=("a", "b ü")))
    stored = await store.event(event.event_id)
    assert stored is not None
    assert {name: getattr(stored.event, name) for name in Call.__dataclass_fields__} == {
        name: getattr(call, name) for name in Call.__dataclass_fields__
    }
    assert (stored.event.id, stored.event.sequence, stored.event.revision) == (event.event_id, event.sequence, 1)
    assert (stored.event.source, stored.event.format, stored.event.received_at) == ("sipgate", "sipgate", NOW)
    assert stored.event.raw == {"summary": "x", "huge": 123456789012345678901234567890}
    assert (stored.body, stored.content_type) == (body, None)
    assert (stored.routed, stored.routes, stored.rules) == (RoutedAs.ROUTED, ("a", "b ü"), "rules-1")
    assert (stored.duplicates, stored.duplicate_at) == (0, None)


async def test_a_body_that_cannot_be_parsed_again_keeps_its_event_without_raw(store: Store) -> None:
    event = await accepted(store, replace(arrival(), body=b"\xff{"))
    stored = await store.event(event.event_id)
    assert stored is not None
    assert (stored.event.raw, stored.body) == (None, b"\xff{")


async def test_what_is_owed_is_pending_and_due_at_once(store: Store) -> None:
    event = await accepted(store, arrival(owed=("screen", "archive")))
    assert (event.deliveries, event.claims) == (2, ())
    lines = (await store.deliveries(event_id=event.event_id)).items
    assert {line.sink for line in lines} == {"screen", "archive"}
    for line in lines:
        assert (line.state, line.attempt, line.retries, line.lost) == (DeliveryState.PENDING, 0, 0, 0)
        assert (line.accepted_at, line.due, line.claimed_until) == (NOW, NOW, None)


async def test_what_is_owed_later_is_due_then(store: Store) -> None:
    await accepted(store, arrival(owed=(Owed("screen", due=at(5)),)))
    assert await store.claim("screen", limit=1, now=at(4.9), until=at(60)) == Claims((), at(5))
    assert (await claim_one(store, when=5)).accepted_at == NOW


async def test_a_delivery_can_be_born_claimed(store: Store) -> None:
    arriving = arrival(owed=(Owed("screen", claim_until=at(60)), Owed("archive")))
    event = await accepted(store, arriving)
    (claim,) = event.claims
    assert (claim.until, claim.accepted_at, claim.retries) == (at(60), NOW, 0)
    assert (claim.delivery.sink, claim.delivery.attempt, claim.delivery.replay_of) == ("screen", 1, None)
    assert (claim.delivery.body, claim.delivery.content_type) == (arriving.body, arriving.content_type)
    assert claim.delivery.routes == ("to sales",)
    stored = await store.event(event.event_id)
    assert stored is not None
    assert claim.delivery.event == stored.event
    line = await line_of(store, claim.delivery.id)
    assert (line.state, line.attempt, line.claimed_until) == (DeliveryState.CLAIMED, 1, at(60))
    assert await store.claim("screen", limit=9, now=at(10), until=at(70)) == Claims((), None)
    assert await store.settle(claim, settlement(Done()))


async def test_the_same_content_of_the_same_call_is_a_duplicate(store: Store) -> None:
    first = await accepted(store, arrival(owed=("screen",)))
    again = arrival(owed=("screen", "archive"), when=7)
    assert await store.accept(again) == Duplicate(first.event_id)
    assert await store.accept(replace(again, received_at=at(9))) == Duplicate(first.event_id)
    stored = await store.event(first.event_id)
    assert stored is not None
    assert (stored.duplicates, stored.duplicate_at) == (2, at(9))
    summary = await store.summary()
    assert (summary.events, summary.duplicates, summary.deliveries["created"]) == (1, 2, 1)


async def test_a_hundred_duplicates_at_once_are_one_event(store: Store) -> None:
    answers = await asyncio.gather(*(store.accept(arrival(owed=("screen",))) for _ in range(100)))
    (event,) = [answer for answer in answers if isinstance(answer, Accepted)]
    assert {answer.event_id for answer in answers} == {event.event_id}
    summary = await store.summary()
    assert (summary.events, summary.duplicates, summary.deliveries["created"]) == (1, 99, 1)


@pytest.mark.case("DED-01", "DUR-16")
async def test_a_duplicate_is_known_after_a_restart(engine: Engine) -> None:
    async with engine.open() as store:
        first = await accepted(store, arrival())
    async with engine.open() as store:
        assert await store.accept(arrival()) == Duplicate(first.event_id)


async def test_new_content_of_a_call_is_its_next_revision(store: Store) -> None:
    events = [await accepted(store, arrival(text=text)) for text in ("one", "two", "three")]
    assert [event.revision for event in events] == [1, 2, 3]
    assert len({event.event_id for event in events}) == 3


async def test_the_content_of_any_earlier_revision_is_a_duplicate_of_that(store: Store) -> None:
    first = await accepted(store, arrival(text="one"))
    second = await accepted(store, arrival(text="two"))
    assert await store.accept(arrival(text="one")) == Duplicate(first.event_id)
    assert await store.accept(arrival(text="two")) == Duplicate(second.event_id)
    assert (await accepted(store, arrival(text="three"))).revision == 3


async def test_the_same_content_of_two_calls_is_two_events(store: Store) -> None:
    assert [(await accepted(store, arrival(call_id))).revision for call_id in ("call-1", "call-2")] == [1, 1]


async def test_the_same_call_of_two_sources_is_two_events(store: Store) -> None:
    revisions = [(await accepted(store, arrival(source=source))).revision for source in ("berlin", "bonn")]
    assert revisions == [1, 1]


@pytest.mark.case("DED-03")
async def test_a_call_without_an_id_is_known_by_its_content(store: Store) -> None:
    first = await accepted(store, arrival(None, "one"))
    other = await accepted(store, arrival(None, "two"))
    assert (first.revision, other.revision) == (1, 1)
    assert await store.accept(arrival(None, "one")) == Duplicate(first.event_id)


async def test_an_id_that_looks_like_a_digest_is_an_id(store: Store) -> None:
    nameless = arrival(None, "one")
    await accepted(store, nameless)
    assert (await accepted(store, arrival(nameless.digest.hex(), "one"))).revision == 1


async def test_sequence_counts_up_and_never_repeats(store: Store) -> None:
    events = [await accepted(store, arrival(f"call-{n}")) for n in range(3)]
    first, second, third = (event.sequence for event in events)
    assert first < second < third
    await purge(store, DAY)
    assert (await accepted(store, arrival("call-9"))).sequence > third


async def test_once_leaves_out_a_sink_that_an_earlier_revision_was_owed_to(store: Store) -> None:
    await accepted(store, arrival(text="one", owed=("boss",)))
    await accepted(store, arrival(text="two", owed=(Owed("boss", once=True), Owed("sales", once=True), Owed("file"))))
    third = await accepted(
        store, arrival(text="three", owed=(Owed("boss", once=True), Owed("sales", once=True), Owed("file")))
    )
    assert third.deliveries == 1
    assert Counter(line.sink for line in (await store.deliveries()).items) == {"boss": 1, "sales": 1, "file": 2}


async def test_once_looks_at_the_same_call_only(store: Store) -> None:
    owed = (Owed("boss", once=True),)
    await accepted(store, arrival("call-1", owed=owed))
    await accepted(store, arrival("call-2", owed=owed))
    await accepted(store, arrival("call-1", source="bonn", owed=owed))
    assert (await store.summary()).deliveries["created"] == 3


async def test_once_does_not_claim_what_it_leaves_out(store: Store) -> None:
    await accepted(store, arrival(text="one", owed=("boss",)))
    owed = (Owed("boss", at(60), once=True), Owed("file", at(60)))
    second = await accepted(store, arrival(text="two", owed=owed))
    assert [claim.delivery.sink for claim in second.claims] == ["file"]


# --- quarantine ---


async def test_an_unreadable_body_is_kept_once_and_counted(store: Store) -> None:
    kept = await quarantine(store, b"\x00{", when=1)
    other = await quarantine(store, b"{", when=2)
    assert await quarantine(store, b"\x00{", when=5) == kept
    found = {line.id: line for line in (await store.quarantined()).items}
    assert found.keys() == {kept, other}
    line = found[kept]
    assert (line.source, line.reason, line.size) == ("sipgate", "not JSON", 2)
    assert (line.received_at, line.times, line.last_at) == (at(1), 2, at(5))
    assert found[other].times == 1
    summary = await store.summary()
    assert (summary.quarantined, summary.duplicates, summary.received) == (2, 1, 3)


async def test_quarantine_says_whether_it_had_the_body(store: Store) -> None:
    keep = partial(
        store.quarantine, source="a", body=b"{", digest=b"d" * 32, content_type="text/plain", reason="r", now=NOW
    )
    first, second = await keep(), await keep()
    assert (first.duplicate, second) == (False, Quarantined(first.id, duplicate=True))


async def test_the_same_unreadable_body_of_two_sources_is_kept_twice(store: Store) -> None:
    assert await quarantine(store, source="berlin") != await quarantine(store, source="bonn")


@pytest.mark.case("JSON-12")
async def test_no_source_has_more_in_quarantine_than_its_room(store: Store) -> None:
    keep = partial(quarantine, store, room=3 * 1024 + 30)
    kept = [await keep(f"body number {number}".encode(), when=number) for number in range(2)]
    with pytest.raises(QuarantineFull):
        await keep(b"x" * 2000)
    assert await keep(b"body number 1", room=1) == kept[1], "what is there already takes no more room"
    await keep(b"y")
    with pytest.raises(QuarantineFull):
        await keep(b"z")
    assert len((await store.quarantined()).items) == 3
    assert await store.quarantine_sizes() == {"sipgate": 3 * 1024 + 27}
    await keep(b"z", source="other")
    assert await store.purge(events=None, quarantine=at(0.5), seen=None) == Purged(quarantined=3)
    await keep(b"z")
    summary = await store.summary()
    assert (summary.quarantined, summary.duplicates) == (2, 1), "what did not fit was counted nowhere"


async def test_a_quarantined_body_can_be_had_byte_for_byte(store: Store) -> None:
    kept = await store.quarantine(
        source="a", body=b"\xff{\x00", digest=b"d" * 32, content_type="text/plain", reason="r", now=NOW
    )
    found = await store.quarantined_body(kept.id)
    assert found is not None
    assert (found.body, found.content_type) == (b"\xff{\x00", "text/plain")
    assert [found.line] == list((await store.quarantined()).items)
    assert await store.quarantined_body("no-such-body") is None


# --- claim ---


async def test_a_claim_takes_what_is_due_earliest_first(store: Store) -> None:
    for name, due in (("c", 30), ("a", 10), ("later", 99), ("b", 20)):
        await accepted(store, arrival(name, owed=(Owed("screen", due=at(due)), Owed("archive", due=at(due)))))
    found = await store.claim("screen", limit=10, now=at(30), until=at(90))
    assert [claim.delivery.event.call_id for claim in found.claims] == ["a", "b", "c"]
    assert {claim.until for claim in found.claims} == {at(90)}
    assert {claim.delivery.sink for claim in found.claims} == {"screen"}
    assert found.next_due == at(99)


async def test_a_claim_takes_no_more_than_its_limit(store: Store) -> None:
    for n in range(5):
        await accepted(store, arrival(f"call-{n}", owed=("screen",), when=n))
    found = await store.claim("screen", limit=2, now=at(10), until=at(60))
    assert [claim.delivery.event.call_id for claim in found.claims] == ["call-0", "call-1"]
    assert found.next_due == at(2)
    assert await store.claim("screen", limit=0, now=at(10), until=at(60)) == Claims((), at(2))


async def test_a_claim_carries_all_that_the_sink_is_given(store: Store) -> None:
    arriving = arrival(owed=("screen",))
    event = await accepted(store, arriving)
    claim = await claim_one(store, when=1)
    stored = await store.event(event.event_id)
    assert stored is not None
    assert claim.delivery.event == stored.event
    assert (claim.delivery.body, claim.delivery.content_type) == (arriving.body, "application/json")
    assert (claim.delivery.routes, claim.delivery.attempt) == (("to sales",), 1)
    assert (claim.accepted_at, claim.retries) == (NOW, 0)


async def revision(
    store: Store, text: str, remote_id: str | None = None, *, sink: str = "screen", **call: Any
) -> Delivery:
    """One revision of a call, delivered with this remote id; as the sink was given it."""
    await accepted(store, arrival(text=text, owed=(sink,), **call))
    claim = await claim_one(store, sink)
    await store.settle(claim, settlement(Done(remote_id)))
    return claim.delivery


async def test_a_revision_follows_what_the_first_one_became(store: Store) -> None:
    """Also the third: what answers the second would otherwise begin a thread of its own."""
    found = [await revision(store, text, f"msg-{text}") for text in ("one", "two", "three")]
    assert [each.follows for each in found] == [None, "msg-one", "msg-one"]


async def test_a_revision_follows_the_first_that_left_a_trace(store: Store) -> None:
    await accepted(store, arrival(text="owed to nobody"))
    await revision(store, "no remote id")
    await accepted(store, arrival(text="dead", owed=("screen",)))
    await store.settle(await claim_one(store), settlement(Dead("gone")))
    await revision(store, "first", "msg-1")
    assert (await revision(store, "next", "msg-2")).follows == "msg-1"


async def test_a_revision_follows_nothing_of_another_sink_call_or_source(store: Store) -> None:
    others: list[dict[str, Any]] = [{"sink": "mail"}, {"call_id": "call-2"}, {"source": "bonn"}, {"call_id": None}]
    for n, other in enumerate(others):
        await revision(store, f"one-{n}", f"msg-{n}", **other)
        assert (await revision(store, f"two-{n}")).follows is None


async def test_a_repeated_attempt_and_a_replay_follow_the_same(store: Store) -> None:
    await revision(store, "one", "msg-1")
    await accepted(store, arrival(text="two", owed=("screen",)))
    for decision in (Again(at(0), "busy"), Dead("no")):
        claim = await claim_one(store)
        assert claim.delivery.follows == "msg-1"
        await store.settle(claim, settlement(decision))
    await store.replay(claim.delivery.id, now=at(1))
    assert (await claim_one(store, when=1)).delivery.follows == "msg-1"


async def test_a_revision_that_is_born_claimed_follows_too(store: Store) -> None:
    await revision(store, "one", "msg-1")
    await revision(store, "two", "msg-2")
    answer = await accepted(store, arrival(text="three", owed=tuple(Owed(sink, at(60)) for sink in ("screen", "mail"))))
    assert [claim.delivery.follows for claim in answer.claims] == ["msg-1", None]


async def test_a_revision_is_superseded_once_a_later_one_was_delivered(store: Store) -> None:
    """While that is only owed, or dead, it is not; and the later one never is."""
    for text in ("one", "two", "three"):
        await accepted(store, arrival(text=text, owed=("screen",)))
    claims = (await store.claim("screen", limit=3, now=at(0), until=at(60))).claims
    one, two, three = sorted(claims, key=lambda claim: claim.delivery.event.revision)
    assert [each.delivery.superseded for each in (one, two, three)] == [False] * 3
    await store.settle(one, settlement(Done("msg-1")))
    await store.settle(three, settlement(Dead("no")))
    await store.settle(two, settlement(Again(at(1), "busy")))
    again = await claim_one(store, when=1)
    assert (again.delivery.event.revision, again.delivery.superseded) == (2, False)
    await store.settle(again, settlement(Again(at(2), "busy")))
    await store.replay(three.delivery.id, now=at(1))
    replayed = await claim_one(store, when=1)
    assert (replayed.delivery.event.revision, replayed.delivery.superseded) == (3, False)
    await store.settle(replayed, settlement(Done()))
    last = await claim_one(store, when=2)
    assert (last.delivery.event.revision, last.delivery.superseded) == (2, True)
    assert last.delivery.follows == "msg-1"


async def test_a_revision_is_superseded_by_nothing_of_another_sink_call_or_source(store: Store) -> None:
    await accepted(store, arrival(text="one", owed=("screen",)))
    others: list[dict[str, Any]] = [{"sink": "mail"}, {"call_id": "call-2"}, {"source": "bonn"}, {"call_id": None}]
    held = await claim_one(store)
    for n, other in enumerate(others):
        await revision(store, f"one-{n}", **other)
        await revision(store, f"two-{n}", **other)
    await store.settle(held, settlement(Again(at(1), "busy")))
    assert not (await claim_one(store, when=1)).delivery.superseded


async def test_a_revision_that_is_born_claimed_is_the_last(store: Store) -> None:
    await revision(store, "one", "msg-1")
    await revision(store, "two", "msg-2")
    answer = await accepted(store, arrival(text="three", owed=(Owed("screen", at(60)),)))
    assert [claim.delivery.superseded for claim in answer.claims] == [False]


async def test_what_was_purged_is_followed_no_more(store: Store) -> None:
    await revision(store, "one", "msg-1")
    await store.purge(events=at(100), quarantine=None, seen=None, limit=500)
    again = await revision(store, "two")
    assert (again.event.revision, again.follows) == (2, None)


async def test_a_claim_raises_the_attempt_by_one(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    for attempt in (1, 2, 3):
        claim = await claim_one(store, when=attempt)
        assert claim.delivery.attempt == attempt
        assert (await line_of(store, claim.delivery.id)).attempt == attempt
        await store.settle(claim, settlement(Again(at(attempt), "busy"), when=attempt))


async def test_no_delivery_is_claimed_twice(store: Store) -> None:
    for n in range(20):
        await accepted(store, arrival(f"call-{n}", owed=("screen",)))
    found = await asyncio.gather(*(store.claim("screen", limit=3, now=at(1), until=at(60)) for _ in range(20)))
    ids = [claim.delivery.id for one in found for claim in one.claims]
    assert (len(ids), len(set(ids))) == (20, 20)


async def test_what_is_held_is_due_for_a_probe_only(store: Store) -> None:
    await accepted(store, arrival("held", owed=("screen",)))
    await accepted(store, arrival("later", owed=(Owed("screen", due=at(500)),)))
    claim = await claim_one(store)
    await store.settle(claim, settlement(Again(at(900), "connection refused", held=True)))
    assert await store.claim("screen", limit=5, now=at(2), until=at(60)) == Claims((), at(500))
    found = await store.claim("screen", limit=5, now=at(2), until=at(60), probe=True)
    assert [(one.delivery.event.call_id, one.delivery.attempt) for one in found.claims] == [("held", 2)]
    assert found.next_due == at(500)


async def test_what_is_held_is_due_at_its_time_like_any_other(store: Store) -> None:
    """A settlement that comes after its lane has opened may still say `held`: it must not wait for ever."""
    await accepted(store, arrival(owed=("screen",)))
    await store.settle(await claim_one(store), settlement(Again(at(900), "connection refused", held=True)))
    assert (await claim_one(store, when=900)).delivery.attempt == 2


async def test_a_claim_that_nobody_was_answered_for_is_given_back_by_the_next_one_and_not_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as the answer to a commit is lost: no sink was given it, so that cannot be its fault."""
    await accepted(store, arrival("kept", owed=("screen",), when=-1))
    await accepted(store, arrival("given back", owed=("screen",)))
    kept = await claim_one(store, when=0.5, until=61)
    assert isinstance(store, Asked)
    put = store._put

    async def unanswered(function: Any, **given: Any) -> Any:
        answer = await put(function, **given)
        if "claiming" in given:
            raise StoreError
        return answer

    with monkeypatch.context() as cut:
        cut.setattr(store, "_put", unanswered)
        for n in range(1, POISON_AFTER + 2):
            with pytest.raises(StoreError):
                await store.claim("screen", limit=1, now=at(n), until=at(n + 60))
    claim = await claim_one(store, when=20)
    assert (claim.delivery.event.call_id, claim.delivery.attempt) == ("given back", POISON_AFTER + 2)
    line = await line_of(store, claim.delivery.id)
    assert (line.state, line.lost) == (DeliveryState.CLAIMED, 0)
    assert [one.outcome for one in await attempts_of(store, line.id)] == ["released"] * (POISON_AFTER + 1)
    assert await store.settle(kept, settlement(Done())), "what was answered stays as it is"


# --- settle ---


async def test_a_delivery_that_is_done_is_delivered(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store)
    assert await store.settle(
        claim, settlement(Done("msg-1"), when=2, recipient="mail.example.com", parts=("summary", "note"))
    )
    found = await store.delivery(claim.delivery.id)
    assert found is not None
    line, attempts = found
    assert (line.state, line.settled_at, line.remote_id) == (DeliveryState.DELIVERED, at(2), "msg-1")
    assert (line.recipient, line.parts, line.reason) == ("mail.example.com", ("summary", "note"), None)
    assert line.claimed_until is None
    assert attempts == (AttemptLine(1, at(1), at(2), "delivered", None),)


async def test_a_delivery_to_be_repeated_is_pending_until_then(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store)
    assert await store.settle(
        claim, settlement(Again(at(30), "503"), recipient="hooks.example.com", parts=("summary",))
    )
    line = await line_of(store, claim.delivery.id)
    assert (line.state, line.due, line.retries, line.reason) == (DeliveryState.PENDING, at(30), 1, "503")
    assert (line.settled_at, line.claimed_until) == (None, None)
    assert (line.recipient, line.parts) == ("hooks.example.com", ("summary",))
    assert await store.claim("screen", limit=1, now=at(29), until=at(60)) == Claims((), at(30))
    second = await claim_one(store, when=30)
    assert (second.retries, second.delivery.id) == (1, claim.delivery.id)
    assert await store.settle(second, settlement(Dead("410 Gone"), when=31))
    line = await line_of(store, claim.delivery.id)
    assert (line.state, line.reason, line.settled_at) == (DeliveryState.DEAD, "410 Gone", at(31))
    assert (line.recipient, line.parts) == ("hooks.example.com", ("summary",))
    assert [(one.attempt, one.outcome, one.reason) for one in await attempts_of(store, line.id)] == [
        (1, "retry", "503"),
        (2, "refused", "410 Gone"),
    ]


async def test_an_attempt_that_spends_nothing_leaves_the_schedule_alone(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store)
    await store.settle(claim, settlement(Again(at(2), "down", spent=False)))
    line = await line_of(store, claim.delivery.id)
    assert (line.retries, line.attempt) == (0, 1)


async def test_a_repeated_settle_is_too_late(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store)
    assert await store.settle(claim, settlement(Done("first")))
    before = await store.delivery(claim.delivery.id)
    for decision in (Done("second"), Again(at(9), "again"), Dead("dead")):
        assert not await store.settle(claim, settlement(decision, when=5))
    assert await store.delivery(claim.delivery.id) == before


async def test_a_late_settle_is_refused_and_changes_nothing(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    lost = await claim_one(store, until=60)
    await store.retake(now=at(61))
    too_late = [settlement(decision, when=62) for decision in (Done("late"), Again(at(70), "late"), Dead("late"))]
    pending = await store.delivery(lost.delivery.id)
    assert [await store.settle(lost, one) for one in too_late] == [False] * 3
    assert await store.delivery(lost.delivery.id) == pending
    current = await claim_one(store, when=63)
    claimed = await store.delivery(lost.delivery.id)
    assert [await store.settle(lost, one) for one in too_late] == [False] * 3
    assert not await store.release(lost, now=at(64))
    assert await store.delivery(lost.delivery.id) == claimed
    assert await store.settle(current, settlement(Done(), when=65))


async def test_a_claim_that_ran_out_but_was_not_retaken_can_still_be_settled(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store, until=60)
    assert await store.settle(claim, settlement(Done(), when=1000))


# --- release ---


async def test_a_released_claim_is_due_at_once_and_costs_nothing(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store)
    assert await store.release(claim, now=at(7))
    found = await store.delivery(claim.delivery.id)
    assert found is not None
    line, attempts = found
    assert (line.state, line.due, line.retries, line.lost) == (DeliveryState.PENDING, at(7), 0, 0)
    assert line.claimed_until is None
    assert [(one.attempt, one.ended_at, one.outcome) for one in attempts] == [(1, at(7), "released")]
    assert (await claim_one(store, when=7)).delivery.attempt == 2


async def test_a_late_release_is_refused(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store)
    assert await store.settle(claim, settlement(Done()))
    before = await store.delivery(claim.delivery.id)
    assert not await store.release(claim, now=at(7))
    assert await store.delivery(claim.delivery.id) == before


async def test_a_probe_that_is_released_is_not_held_for_ever(store: Store) -> None:
    """It was held, its lane opened while it was claimed, and then it is given back."""
    await accepted(store, arrival(owed=("screen",)))
    await store.settle(await claim_one(store), settlement(Again(at(900), "down", held=True)))
    (probe,) = (await store.claim("screen", limit=1, now=at(2), until=at(60), probe=True)).claims
    await store.set_lane(LaneRow("screen"), now=at(3))
    await store.release(probe, now=at(4))
    assert (await claim_one(store, when=4)).delivery.attempt == 3


# --- who is there ---


async def test_a_router_that_beats_is_there_and_keeps_house_where_nobody_does(store: Store) -> None:
    assert list(await store.routers()) == []
    await store.beat(Card("1.0", "rules-1", 1.5), now=at(0))
    (first,) = await store.routers()
    assert store.keeps_house
    assert (first.name, first.version, first.rules, first.ahead) == ("router", "1.0", "rules-1", 1.5)
    assert first.alive
    assert first.here
    assert first.keeps_house
    assert first.started_at <= first.seen_at
    await store.beat(Card("1.0", "rules-2"), now=at(5))
    (second,) = await store.routers()
    assert (second.rules, second.ahead, second.started_at) == ("rules-2", 0.0, first.started_at)
    assert second.seen_at > first.seen_at


async def test_a_router_that_starts_again_is_there_once_and_since_then(engine: Engine) -> None:
    lines: list[RouterLine] = []
    for when in (0, 60):
        async with engine.open() as store:
            await store.beat(Card("1.0", "rules"), now=at(when))
            lines += await store.routers()
    assert [line.name for line in lines] == ["router", "router"]
    assert lines[0].started_at < lines[1].started_at


async def test_a_probe_and_its_lane_are_written_together_or_not_at_all(store: Store) -> None:
    down = LaneRow("screen", LaneState.PROBING, at(9), 2, "refused", NOW)
    again = settlement(Again(at(1), "refused", held=True))
    await accepted(store, arrival(owed=("screen",)))
    late = await claim_one(store, until=60)
    await store.retake(now=at(60))
    probe = await claim_one(store, when=60)
    assert await store.settle_probe(late, again, down) == (False, None)
    assert await store.lanes() == {}
    stands = replace(down, version=1)
    assert await store.settle_probe(probe, again, down) == (True, stands)
    assert await store.lanes() == {"screen": stands}
    line = await line_of(store, probe.delivery.id)
    assert (line.state, line.reason, line.due) == (DeliveryState.PENDING, "refused", at(1))


async def test_a_probe_is_settled_also_where_its_lane_was_set_since(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    probe = await claim_one(store, until=60)
    paused = await store.set_lane(LaneRow("screen", LaneState.PAUSED), now=NOW)
    down = LaneRow("screen", LaneState.PROBING, at(9), 1, "refused", NOW)
    assert await store.settle_probe(probe, settlement(Again(at(1), "refused")), down) == (True, None)
    assert (await store.lanes())["screen"] == paused
    assert (await line_of(store, probe.delivery.id)).state is DeliveryState.PENDING


# --- retake ---


async def test_a_claim_that_ran_out_is_due_again_at_once(store: Store) -> None:
    await accepted(store, arrival("short", owed=("screen",)))
    await accepted(store, arrival("long", owed=("archive",)))
    short = await claim_one(store, "screen", until=60)
    await claim_one(store, "archive", until=61)
    assert await store.retake(now=at(59.999)) == Retaken()
    assert await store.retake(now=at(60)) == Retaken(frozenset({"screen"}), 1, ())
    found = await store.delivery(short.delivery.id)
    assert found is not None
    line, attempts = found
    assert (line.state, line.due, line.retries, line.lost) == (DeliveryState.PENDING, at(60), 0, 1)
    assert [(one.attempt, one.ended_at, one.outcome) for one in attempts] == [(1, at(60), "lost")]
    assert (await claim_one(store, "screen", when=60)).delivery.attempt == 2
    assert (await only_delivery(store, sink="archive")).state is DeliveryState.CLAIMED


async def test_what_an_earlier_run_left_behind_is_retaken_at_the_start(engine: Engine) -> None:
    async with engine.open() as store:
        await accepted(store, arrival("one", owed=(Owed("screen", at(900)),)))
        await accepted(store, arrival("two", owed=("archive",)))
        await claim_one(store, "archive", until=900)
    async with engine.open() as store:
        assert await store.retake(now=at(1)) == Retaken()
        assert await store.retake(now=at(1), left_behind=True) == Retaken(frozenset({"screen", "archive"}), 2, ())
        assert (await store.summary()).deliveries["pending"] == 2


@pytest.mark.case("RTY-09")
async def test_rty_09_an_attempt_whose_router_was_killed_is_written_down_with_an_outcome_that_nobody_knows(
    engine: Engine,
) -> None:
    """And the next one says that it is not the first: the far side may have the call."""
    async with engine.open() as store:
        await accepted(store, arrival(owed=("screen",)))
        killed = await claim_one(store, when=1)
        again = engine.left_by_a_crash()
    async with again.open() as store:
        await store.retake(now=at(2), left_behind=True)
        (attempt,) = await attempts_of(store, killed.delivery.id)
        assert (attempt.attempt, attempt.outcome, attempt.started_at, attempt.ended_at) == (1, "lost", at(1), at(2))
        claim = await claim_one(store, when=3)
        assert (claim.delivery.id, claim.delivery.attempt) == (killed.delivery.id, 2)
        assert await store.settle(claim, settlement(Done(), when=4))
        assert [one.outcome for one in await attempts_of(store, killed.delivery.id)] == ["lost", "delivered"]


async def test_a_delivery_that_is_lost_too_often_is_dead_as_poison(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    for n in range(1, POISON_AFTER):
        claim = await claim_one(store, when=n * 100, until=60)
        assert await store.retake(now=at(n * 100 + 60)) == Retaken(frozenset({"screen"}), 1, ())
    claim = await claim_one(store, when=900)
    delivery_id = claim.delivery.id
    assert await store.retake(now=at(960)) == Retaken(frozenset(), 1, (("screen", delivery_id),))
    line = await line_of(store, delivery_id)
    assert (line.state, line.lost, line.settled_at) == (DeliveryState.DEAD, POISON_AFTER, at(960))
    assert line.reason == "poison: the router was lost during this delivery 5 times"
    assert [one.outcome for one in await attempts_of(store, delivery_id)] == ["lost"] * POISON_AFTER
    assert not await store.settle(claim, settlement(Done(), when=961))


async def lost_twice(store: Store, *calls: str, sinks: tuple[str, ...] = ("screen",)) -> None:
    """These calls, owed to each of these sinks, all claimed and lost twice; due at 3."""
    for n, call in enumerate(calls):
        await accepted(store, arrival(call, owed=sinks, when=n / 100))
    for n in range(1, SUSPECT_AFTER + 1):
        for sink in sinks:
            found = await store.claim(sink, limit=99, now=at(n), until=at(n + 1))
            assert len(found.claims) == len(calls)
        await store.retake(now=at(n + 1))


async def test_what_was_lost_twice_is_claimed_only_while_no_other_such_is_whatever_its_sink(store: Store) -> None:
    await lost_twice(store, "a", "b", sinks=("screen", "archive"))
    await accepted(store, arrival("new", owed=("screen", "archive"), when=5))

    async def claimed(sink: str, when: float) -> tuple[list[str | None], float]:
        found = await store.claim(sink, limit=9, now=at(when), until=at(900))
        claims.extend(found.claims)
        assert found.next_due is not None
        return [claim.delivery.event.call_id for claim in found.claims], (found.next_due - at(when)).total_seconds()

    claims: list[Claim] = []
    assert await claimed("screen", 10) == (["a", "new"], 0.2), "one of two; the other is looked for soon"
    assert await claimed("screen", 11) == ([], 0.2)
    assert await claimed("archive", 11) == (["new"], 0.2)
    assert {claim.delivery.attempt for claim in claims} == {1, SUSPECT_AFTER + 1}
    assert await store.settle(claims[0], settlement(Again(at(50), "busy"), when=12))
    assert await claimed("archive", 12) == (["a"], 0.2)
    assert await claimed("screen", 13) == ([], 0.2)
    assert await store.settle(claims[-1], settlement(Done(), when=14))
    assert await claimed("screen", 14) == (["b"], 36), "and after it the one that is tried again"
    assert claims[-1].delivery.attempt == SUSPECT_AFTER + 1, "what was not claimed did not count"


async def test_a_probe_too_claims_a_suspect_only_alone(store: Store) -> None:
    await lost_twice(store, "a", sinks=("screen", "archive"))
    assert len((await store.claim("screen", limit=1, now=at(5), until=at(9), probe=True)).claims) == 1
    assert await store.claim("archive", limit=1, now=at(5), until=at(9), probe=True) == Claims((), at(5.2))


@pytest.mark.case("PLG-06")
async def test_what_ends_the_router_each_time_becomes_poison_alone(store: Store) -> None:
    """Both sinks claim what they can; where the bad one is among it the router is lost, and so is everything claimed."""
    for n in range(12):
        await accepted(store, arrival("bad" if n == 5 else f"call-{n}", owed=("screen", "archive"), when=0))
    poison: list[tuple[str, str]] = []
    for now in range(1, 100):
        found = [await store.claim(sink, limit=4, now=at(now), until=at(now + 60)) for sink in ("archive", "screen")]
        claims = [claim for one in found for claim in one.claims]
        if any((claim.delivery.sink, claim.delivery.event.call_id) == ("screen", "bad") for claim in claims):
            poison.extend((await store.retake(now=at(now), left_behind=True)).poison)
        else:
            for claim in claims:
                assert await store.settle(claim, settlement(Done(), when=now))
    assert [sink for sink, _ in poison] == ["screen"]
    lines = await every(lambda after: store.deliveries(after=after))
    assert sorted(line.lost for line in lines)[-2:] == [SUSPECT_AFTER, POISON_AFTER]
    assert [line.state for line in lines].count(DeliveryState.DELIVERED) == 23


async def test_attempts_that_ended_are_not_counted_as_lost(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    for n in range(POISON_AFTER + 2):
        await store.settle(await claim_one(store, when=n), settlement(Again(at(n), "busy"), when=n))
        await store.release(await claim_one(store, when=n), now=at(n))
    assert (await only_delivery(store)).state is DeliveryState.PENDING
    assert (await only_delivery(store)).lost == 0


# --- lanes ---


async def test_a_lane_is_remembered_as_it_was_set(store: Store) -> None:
    assert await store.lanes() == {}
    screen = LaneRow("screen", LaneState.PROBING, at(2), 3, "connection refused", at(-5))
    screen_1 = await store.set_lane(screen, now=NOW)
    assert screen_1 == replace(screen, version=1)
    archive = await store.set_lane(LaneRow("archive", LaneState.DISABLED, reason="410 Gone", since=NOW), now=NOW)
    assert await store.lanes() == {"screen": screen_1, "archive": archive}
    assert await store.set_lane(LaneRow("screen", version=1), now=NOW) == LaneRow("screen", version=2)
    assert await store.lanes() == {"screen": LaneRow("screen", version=2), "archive": archive}


@pytest.mark.parametrize("version", [0, 1, 3])
async def test_what_was_decided_about_another_version_of_a_lane_changes_nothing(store: Store, version: int) -> None:
    await accepted(store, arrival(owed=("screen",)))
    await store.settle(await claim_one(store), settlement(Again(at(900), "down", held=True)))
    await store.set_lane(LaneRow("screen", LaneState.PROBING), now=NOW)
    paused = await store.set_lane(LaneRow("screen", LaneState.PAUSED, version=1), now=NOW)
    assert await store.set_lane(LaneRow("screen", version=version), now=NOW) is None
    assert await store.lanes() == {"screen": paused}
    assert (await only_delivery(store)).due == at(900)


async def test_a_lane_that_was_never_set_has_no_later_version(store: Store) -> None:
    assert await store.set_lane(LaneRow("screen", version=1), now=NOW) is None
    assert await store.lanes() == {}


async def test_of_those_who_set_a_lane_at_once_one_does(store: Store) -> None:
    rows = [LaneRow("screen", LaneState.PAUSED, reason=str(n)) for n in range(5)]
    answers = await asyncio.gather(*(store.set_lane(row, now=NOW) for row in rows))
    (done,) = [row for row in answers if row is not None]
    assert await store.lanes() == {"screen": done}


async def test_nothing_is_claimed_for_a_lane_that_another_router_has_set(store: Store) -> None:
    """Neither by one who never heard of it, nor by one who knows an older version."""
    await accepted(store, arrival(owed=("screen",)))
    known = LaneRow("screen")
    for state in (LaneState.PAUSED, LaneState.OPEN):
        newest = await store.set_lane(replace(known, state=state), now=NOW)
        assert newest is not None
        answer = await store.claim("screen", limit=1, now=at(1), until=at(60), lane=known)
        assert answer == Claims((), None, lane=newest)
        known = newest
    assert len((await store.claim("screen", limit=1, now=at(1), until=at(60), lane=known)).claims) == 1


@pytest.mark.parametrize("state", [LaneState.PROBING, LaneState.PAUSED, LaneState.DISABLED])
async def test_nothing_is_born_claimed_for_a_lane_that_is_not_open(store: Store, state: LaneState) -> None:
    await store.set_lane(LaneRow("screen", state), now=NOW)
    await store.set_lane(LaneRow("archive"), now=NOW)
    owed = [Owed(sink, at(60)) for sink in ("screen", "archive", "file")]
    first = await accepted(store, arrival("first", owed=tuple(owed)))
    assert [claim.delivery.sink for claim in first.claims] == ["archive", "file"]
    line = await only_delivery(store, sink="screen")
    assert (line.state, line.attempt, line.due, line.claimed_until) == (DeliveryState.PENDING, 0, NOW, None)
    await set_lane(store, LaneRow("screen"), now=at(1))
    second = await accepted(store, arrival("second", owed=tuple(owed)))
    assert len(second.claims) == 3


async def test_only_one_router_probes_at_a_time(store: Store) -> None:
    for n in range(3):
        await accepted(store, arrival(f"call-{n}", owed=("screen",)))
    await accepted(store, arrival("other", owed=("archive",)))
    lane = await store.set_lane(LaneRow("screen", LaneState.PROBING), now=NOW)
    await claim_one(store, "archive")
    probing = [store.claim("screen", limit=1, now=at(1), until=at(60), probe=True, lane=lane) for _ in range(5)]
    answers = await asyncio.gather(*probing)
    (claim,) = [claim for answer in answers for claim in answer.claims]
    others = [answer for answer in answers if not answer.claims]
    assert {answer.next_due for answer in others} <= {at(1) + PROBED_AGAIN, at(1) + LOOK_AGAIN}
    again = await store.claim("screen", limit=1, now=at(1), until=at(60), probe=True, lane=lane)
    assert again == Claims((), at(1) + PROBED_AGAIN)
    await store.release(claim, now=at(2))
    assert len((await store.claim("screen", limit=1, now=at(2), until=at(60), probe=True, lane=lane)).claims) == 1


async def test_a_rate_holds_for_all_who_claim(store: Store) -> None:
    for n in range(5):
        await accepted(store, arrival(f"call-{n}", owed=("screen",)))
    await accepted(store, arrival("later", owed=(Owed("screen", due=at(500)),)))

    async def claimed(when: float, limit: int = 3) -> tuple[int, datetime | None]:
        second = timedelta(seconds=1)
        asking = [store.claim("screen", limit=limit, now=at(when), until=at(60), interval=second) for _ in range(3)]
        answers = await asyncio.gather(*asking)
        last = await store.claim("screen", limit=limit, now=at(when), until=at(60), interval=second)
        return sum(len(answer.claims) for answer in (*answers, last)), last.next_due

    assert await claimed(1) == (1, at(2))
    assert await claimed(1.999) == (0, at(2))
    assert await claimed(2) == (1, at(3))
    assert await claimed(100) == (1, at(101)), "nothing is saved up"
    assert len((await store.claim("screen", limit=3, now=at(100), until=at(160))).claims) == 2, (
        "who has no rate does not ask"
    )
    assert await claimed(102) == (0, at(500)), "what claims nothing spends nothing"
    assert await store.lanes() == {}, "that it was given something does not set a lane"


async def test_a_fast_rate_lets_several_go_at_once(store: Store) -> None:
    for n in range(30):
        await accepted(store, arrival(f"call-{n}", owed=("screen",)))
    interval = timedelta(milliseconds=10)
    found = await store.claim("screen", limit=25, now=at(1), until=at(60), interval=interval)
    assert (len(found.claims), found.next_due) == (10, at(1.1))
    found = await store.claim("screen", limit=4, now=at(1.1), until=at(60), interval=interval)
    assert (len(found.claims), found.next_due) == (4, at(1.14))


async def test_a_rate_does_not_wait_for_a_clock_that_was_set_back(store: Store) -> None:
    for n in range(3):
        await accepted(store, arrival(f"call-{n}", owed=("screen",)))
    interval = timedelta(seconds=10)
    assert len((await store.claim("screen", limit=1, now=at(DAY), until=at(2 * DAY), interval=interval)).claims) == 1
    assert len((await store.claim("screen", limit=1, now=at(1), until=at(60), interval=interval)).claims) == 1
    assert await store.claim("screen", limit=1, now=at(2), until=at(60), interval=interval) == Claims((), at(11))
    assert len((await store.claim("screen", limit=1, now=at(11), until=at(70), interval=interval)).claims) == 1


async def test_what_is_due_can_be_asked_of_many_sinks(store: Store) -> None:
    await accepted(store, arrival("one", owed=("screen", Owed("archive", due=at(5)), Owed("claimed", at(60)))))
    sinks = ["screen", "archive", "claimed", "nothing", "odd \" ' name"]
    assert await store.due(sinks, now=at(4)) == {"screen"}
    assert await store.due(sinks, now=at(5)) == {"screen", "archive"}
    assert await store.due(["archive"], now=at(5)) == {"archive"}
    assert await store.due([], now=at(5)) == frozenset()


async def test_a_lane_that_opens_makes_due_what_it_held(store: Store) -> None:
    for sink in ("screen", "archive"):
        await accepted(store, arrival(sink, owed=(sink,)))
        claim = await claim_one(store, sink)
        await store.settle(claim, settlement(Again(at(900), "down", held=True)))
    await accepted(store, arrival("waits", owed=(Owed("screen", due=at(500)),)))
    for state in (LaneState.PROBING, LaneState.PAUSED, LaneState.DISABLED):
        await set_lane(store, LaneRow("screen", state), now=at(3))
        assert (await store.claim("screen", limit=9, now=at(4), until=at(60))).claims == ()
    await set_lane(store, LaneRow("screen", LaneState.OPEN), now=at(5))
    found = await store.claim("screen", limit=9, now=at(5), until=at(60))
    assert [claim.delivery.event.call_id for claim in found.claims] == ["screen"]
    assert found.next_due == at(500)
    assert (await store.claim("archive", limit=9, now=at(5), until=at(60))).claims == ()


# --- replay, end ---


@pytest.mark.case("RPL-04")
async def test_a_replay_is_a_new_delivery_that_names_the_old_one(store: Store) -> None:
    old = await dead_one(store)
    new = await store.replay(old, now=at(100))
    assert new != old
    before, after = await line_of(store, old), await line_of(store, new)
    assert (before.state, before.reason) == (DeliveryState.REPLAYED, "no such mailbox")
    assert (after.state, after.sink, after.event_id) == (DeliveryState.PENDING, before.sink, before.event_id)
    assert (after.replay_of, after.accepted_at, after.due) == (old, at(100), at(100))
    assert (after.attempt, after.retries, after.lost, after.reason) == (0, 0, 0, None)
    claim = await claim_one(store, when=100)
    assert (claim.delivery.id, claim.delivery.replay_of, claim.delivery.attempt) == (new, old, 1)
    assert claim.accepted_at == at(100)


async def test_a_replay_can_go_to_another_sink(store: Store) -> None:
    old = await dead_one(store, sink="screen")
    new = await store.replay(old, sink="archive", now=at(1))
    assert (await line_of(store, new)).sink == "archive"
    assert (await line_of(store, old)).sink == "screen"


@pytest.mark.case("RPL-04")
async def test_only_a_dead_delivery_can_be_replayed(store: Store) -> None:
    old = await dead_one(store)
    new = await store.replay(old, now=at(1))
    with pytest.raises(Conflict, match="replayed"):
        await store.replay(old, now=at(2))
    with pytest.raises(Conflict, match="pending"):
        await store.replay(new, now=at(2))
    claim = await claim_one(store, when=2)
    with pytest.raises(Conflict, match="claimed"):
        await store.replay(new, now=at(2))
    await store.settle(claim, settlement(Done(), when=3))
    with pytest.raises(Conflict, match="delivered"):
        await store.replay(new, now=at(4))
    with pytest.raises(Unknown):
        await store.replay("no such delivery", now=at(4))
    assert (await store.summary()).deliveries["created"] == 2


async def test_two_replays_at_once_are_one(store: Store) -> None:
    old = await dead_one(store)
    answers = await asyncio.gather(*(store.replay(old, now=at(1)) for _ in range(5)), return_exceptions=True)
    assert Counter(type(answer) for answer in answers) == {str: 1, Conflict: 4}


async def test_a_pending_delivery_can_be_ended(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    delivery_id = (await only_delivery(store)).id
    await store.end(delivery_id, reason="ended by an operator", now=at(9))
    line = await line_of(store, delivery_id)
    assert (line.state, line.reason, line.settled_at) == (DeliveryState.DEAD, "ended by an operator", at(9))
    assert await store.claim("screen", limit=1, now=at(9), until=at(60), probe=True) == Claims((), None)
    assert await store.replay(delivery_id, now=at(10))


async def test_a_dead_delivery_that_is_ended_is_counted_as_such_and_keeps_its_time_and_reason(store: Store) -> None:
    dead, other = await dead_one(store, "one"), await dead_one(store, "two")
    await store.end(dead, reason="wrong number", now=at(9))
    line = await line_of(store, dead)
    assert (line.state, line.ended, line.settled_at) == (DeliveryState.DEAD, True, at(1))
    assert line.reason == "wrong number (before: no such mailbox)"
    assert await store.backlog() == {"screen": {"dead": 2, "ended": 1}}
    assert [one.id for one in (await store.deliveries(wanted=Wanted(ended=True))).items] == [dead]
    assert [one.id for one in (await store.deliveries(wanted=Wanted(ended=False))).items] == [other]
    with pytest.raises(Conflict, match="ended already"):
        await store.end(dead, reason="again", now=at(10))
    await store.replay(dead, now=at(11))
    assert await store.backlog() == {"screen": {"dead": 1, "pending": 1, "replayed": 1}}
    with pytest.raises(Conflict):
        await store.end(dead, reason="again", now=at(12))


async def test_a_quarantined_body_that_is_ended_stays_and_is_counted_no_more(store: Store) -> None:
    kept, other = await quarantine(store, b"{"), await quarantine(store, b"[")
    assert await store.unread() == 2
    await store.end_quarantined(kept, reason="a scanner")
    assert await store.unread() == 1
    assert (await store.summary()).quarantined == 2
    found = await store.quarantined(wanted=Wanted(ended=False))
    assert [line.id for line in found.items] == [other]
    with pytest.raises(Conflict, match="ended already"):
        await store.end_quarantined(kept, reason="again")
    with pytest.raises(Conflict, match="no longer"):
        await store.end_quarantined("no such body", reason="x")
    assert await quarantine(store, b"{") == kept
    assert await store.unread() == 1, "the same again is no news"
    await store.read_again(kept, arrival())
    assert await store.unread() == 1


async def test_only_a_pending_or_dead_delivery_can_be_ended(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store)
    with pytest.raises(Conflict, match="claimed"):
        await store.end(claim.delivery.id, reason="x", now=NOW)
    await store.settle(claim, settlement(Done()))
    with pytest.raises(Conflict, match="delivered"):
        await store.end(claim.delivery.id, reason="x", now=NOW)
    with pytest.raises(Unknown):
        await store.end("no such delivery", reason="x", now=NOW)


# --- reading again, routing again ---


async def test_a_body_that_is_read_again_becomes_an_event_with_its_repeats(store: Store) -> None:
    kept = await quarantine(store, b"{", when=0)
    assert await quarantine(store, b"{", when=5) == kept
    made = await store.read_again(kept, replace(arrival(owed=("screen",)), accepted_at=at(100)))
    assert isinstance(made, Accepted)
    assert (await store.quarantined()).items == ()
    summary = await store.summary()
    assert (summary.received, summary.events, summary.duplicates, summary.quarantined) == (2, 1, 1, 0)
    stored = await store.event(made.event_id)
    assert stored is not None
    assert (stored.event.received_at, stored.duplicates, stored.duplicate_at) == (NOW, 1, at(5))
    (line,) = (await store.deliveries()).items
    assert (line.state, line.accepted_at, line.due) == (DeliveryState.PENDING, at(100), at(100))
    assert (await claim_one(store, when=100)).accepted_at == at(100)


async def test_a_body_is_read_again_once_whoever_asks(store: Store) -> None:
    kept = await quarantine(store)
    answers = await asyncio.gather(
        *(store.read_again(kept, arrival(f"call-{n}")) for n in range(3)), return_exceptions=True
    )
    assert sorted(type(answer).__name__ for answer in answers) == ["Accepted", "Conflict", "Conflict"]
    assert (await store.summary()).received == 1
    with pytest.raises(Conflict, match="in quarantine no longer"):
        await store.keep_unread(kept, reason="x")


async def test_a_body_that_says_what_is_known_already_is_a_duplicate_when_it_is_read_again(store: Store) -> None:
    first = await accepted(store, arrival())
    kept = await quarantine(store)
    assert await store.read_again(kept, arrival(when=9)) == Duplicate(first.event_id)
    summary = await store.summary()
    assert (summary.received, summary.events, summary.duplicates, summary.quarantined) == (2, 1, 1, 0)


async def test_what_is_still_unreadable_has_the_reason_of_today(store: Store) -> None:
    kept = await quarantine(store)
    await store.keep_unread(kept, reason="no known format")
    (line,) = (await store.quarantined()).items
    assert (line.reason, line.times) == ("no known format", 1)
    assert (await store.summary()).received == 1


async def test_an_event_that_was_not_routed_is_owed_when_it_is_routed_again(store: Store) -> None:
    event = await accepted(store, arrival(routed=RoutedAs.UNROUTED))
    routing = partial(store.route_again, event.event_id, rules="rules-2", now=at(9))
    again = await routing(routes=["all"], owed=[Owed("screen"), Owed("mail", due=at(20))])
    assert (again.routed, again.routes, again.sinks) == (RoutedAs.ROUTED, ("all",), ("screen", "mail"))
    summary = await store.summary()
    assert (summary.routed, summary.unrouted, summary.deliveries["pending"]) == (1, 0, 2)
    stored = await store.event(event.event_id)
    assert stored is not None
    assert (stored.routes, stored.rules) == (("all",), "rules-2")
    claim = await claim_one(store, when=9)
    assert (claim.delivery.routes, claim.accepted_at) == (("all",), at(9))
    assert [line.due for line in (await store.deliveries(sink="mail")).items] == [at(20)]


async def test_routing_again_never_owes_a_sink_twice(store: Store) -> None:
    event = await accepted(store, arrival(owed=("screen", "mail")))
    await store.settle(await claim_one(store), settlement(Dead("no")))
    await store.replay((await store.deliveries(sink="screen")).items[0].id, sink="crm", now=at(2))
    owed = [Owed("screen"), Owed("mail"), Owed("crm"), Owed("archive")]
    routing = partial(store.route_again, event.event_id, routes=["new"], rules="r", owed=owed, now=at(9))
    answers = await asyncio.gather(*(routing() for _ in range(3)))
    assert sorted(again.sinks for again in answers) == [(), (), ("archive",)]
    assert answers[0].routes == ("to sales", "new")
    again = await store.route_again(event.event_id, routes=(), rules="r", owed=(), now=at(9))
    assert again.routed is RoutedAs.ROUTED, "a route fired for it once"


async def test_an_event_that_no_route_takes_is_unmatched_when_it_is_routed_again(store: Store) -> None:
    event = await accepted(store, arrival(routed=RoutedAs.UNROUTED))
    again = await store.route_again(event.event_id, routes=(), rules="r", owed=[Owed("screen")], now=at(9))
    assert (again.routed, again.sinks) == (RoutedAs.UNMATCHED, ("screen",))
    with pytest.raises(Unknown):
        await store.route_again("no such event", routes=(), rules="r", owed=(), now=at(9))


async def test_routing_again_owes_a_call_once_where_another_revision_was(store: Store) -> None:
    first = await accepted(store, arrival(text="one", routed=RoutedAs.UNROUTED))
    await accepted(store, arrival(text="two", owed=("screen", "archive")))
    owed = [Owed("screen", once=True), Owed("archive")]
    again = await store.route_again(first.event_id, routes=["all"], rules="r", owed=owed, now=at(9))
    assert again.sinks == ("archive",)


# --- purge ---


async def test_an_old_event_goes_with_its_deliveries_and_attempts(store: Store) -> None:
    dead = await dead_one(store, "old")
    young = await accepted(store, arrival("young", when=DAY))
    purged = await store.purge(events=at(DAY), quarantine=None, seen=None)
    assert purged == Purged(events=1, deliveries=1)
    assert await store.delivery(dead) is None
    assert [line.id for line in (await store.events()).items] == [young.event_id]
    assert not await store.purge(events=at(DAY), quarantine=None, seen=None)
    summary = await store.summary()
    assert (summary.received, summary.events, summary.purged) == (2, 1, 1)
    assert summary.deliveries == {
        "created": 1, "pending": 0, "claimed": 0, "delivered": 0, "dead": 0, "replayed": 0, "erased": 0, "purged": 1,
    }  # fmt: skip


async def test_an_event_stays_while_one_of_its_deliveries_is_owed(store: Store) -> None:
    await accepted(store, arrival("pending", owed=("screen", "archive")))
    await store.settle(await claim_one(store, "screen"), settlement(Done()))
    await accepted(store, arrival("claimed", owed=("mail",)))
    claim = await claim_one(store, "mail")
    assert not await store.purge(events=at(DAY), quarantine=at(DAY), seen=None)
    await store.settle(claim, settlement(Dead("no")))
    assert await store.purge(events=at(DAY), quarantine=None, seen=None) == Purged(events=1, deliveries=1)
    await store.settle(await claim_one(store, "archive"), settlement(Done()))
    assert await store.purge(events=at(DAY), quarantine=None, seen=None) == Purged(events=1, deliveries=2)


async def test_an_event_that_was_passed_goes_when_it_owes_nothing_any_more(store: Store) -> None:
    await accepted(store, arrival("owing", owed=("screen",)))
    for n in range(3):
        await accepted(store, arrival(f"call-{n}", owed=(), when=n + 1))
    assert await store.purge(events=at(DAY), quarantine=None, seen=None, limit=1) == Purged(events=1)
    await store.settle(await claim_one(store, "screen"), settlement(Done()))
    assert await purge(store, DAY, limit=1)
    assert ((await store.events()).items, (await store.summary()).purged) == ((), 4)


async def test_a_purge_goes_on_behind_what_it_removed_last_and_does_not_pass_the_same_for_every_portion(
    store: Store,
) -> None:
    await accepted(store, arrival("owing", owed=("screen",)))
    for n in range(3):
        await accepted(store, arrival(f"call-{n}", owed=("mail",), when=n + 1))
        await store.settle(await claim_one(store, "mail", when=n + 1), settlement(Done(), when=n + 1))
    await accepted(store, arrival("owing-too", owed=("screen",), when=9))
    removed: list[str | None] = []
    for n in range(4):
        before = {line.call_id for line in (await store.events()).items}
        assert await store.purge(events=at(DAY), quarantine=None, seen=None, limit=1) == Purged(events=1, deliveries=1)
        removed += before - {line.call_id for line in (await store.events()).items}
        if n == 0:
            await store.settle(await claim_one(store, "screen", when=10), settlement(Done(), when=11))
    assert removed == ["call-0", "call-1", "call-2", "owing"]
    assert not await store.purge(events=at(DAY), quarantine=None, seen=None, limit=1)


async def test_a_duplicate_is_known_after_its_event_is_purged(store: Store) -> None:
    first = await accepted(store, arrival(text="one"))
    assert await store.purge(events=at(DAY), quarantine=None, seen=None)
    assert await store.accept(arrival(text="one", when=DAY)) == Duplicate(first.event_id)
    assert (await accepted(store, arrival(text="two", when=DAY))).revision == 2
    summary = await store.summary()
    assert (summary.received, summary.events, summary.duplicates, summary.purged) == (3, 1, 1, 1)


async def test_what_was_seen_is_forgotten_after_its_own_time(store: Store) -> None:
    await accepted(store, arrival("call-1"))
    second = await accepted(store, arrival("call-2"))
    assert await store.accept(arrival("call-2", when=DAY)) == Duplicate(second.event_id)
    assert await store.purge(events=at(DAY), quarantine=None, seen=None) == Purged(events=2)
    assert await store.purge(events=None, quarantine=None, seen=at(DAY)) == Purged(seen=1)
    assert (await accepted(store, arrival("call-1", when=DAY))).revision == 1
    assert isinstance(await store.accept(arrival("call-2", when=DAY)), Duplicate)


async def test_a_quarantined_body_goes_after_its_own_time(store: Store) -> None:
    await quarantine(store, b"old")
    await quarantine(store, b"young", when=DAY)
    await accepted(store, arrival("old"))
    assert await store.purge(events=None, quarantine=at(DAY), seen=None) == Purged(quarantined=1)
    assert [line.size for line in (await store.quarantined()).items] == [5]
    summary = await store.summary()
    assert (summary.received, summary.events, summary.quarantined, summary.purged) == (3, 1, 1, 1)


async def test_what_no_time_is_given_for_stays(store: Store) -> None:
    await accepted(store, arrival())
    await quarantine(store)
    assert not await store.purge(events=None, quarantine=None, seen=None)
    assert (await store.summary()).received == 2


async def test_a_purge_takes_no_more_than_its_limit_of_each(store: Store) -> None:
    for n in range(5):
        await dead_one(store, f"call-{n}", when=n)
        await quarantine(store, str(n).encode(), when=n)
    purged = await store.purge(events=at(DAY), quarantine=at(DAY), seen=at(DAY), limit=2)
    assert purged == Purged(events=2, deliveries=2, quarantined=2, seen=2)
    assert [line.call_id for line in (await store.events()).items] == ["call-4", "call-3", "call-2"]
    assert not await store.purge(events=at(DAY), quarantine=at(DAY), seen=at(DAY), limit=-1)
    assert await purge(store, DAY, limit=2) == 12
    assert (await store.summary()).purged == 10


async def test_large_events_go_a_few_at_a_time(store: Store) -> None:
    for n in range(3):
        await accepted(store, replace(arrival(f"call-{n}"), body=bytes(10 * 2**20)))
    first = await store.purge(events=at(DAY), quarantine=None, seen=None)
    assert 1 <= first.events < 3
    assert await purge(store, DAY) == 3 - first.events + 3
    assert (await store.summary()).events == 0


# --- looking ---


async def test_an_empty_store_has_every_sum(store: Store) -> None:
    summary = await store.summary()
    assert (summary.received, summary.events, summary.duplicates, summary.quarantined, summary.purged) == (0,) * 5
    assert (summary.routed, summary.unmatched, summary.unrouted) == (0, 0, 0)
    assert summary.deliveries == dict.fromkeys(["created", *DeliveryState, "purged"], 0)
    assert await store.backlog() == {}


async def test_events_are_counted_by_what_routing_made_of_them(store: Store) -> None:
    for n, routed in enumerate([RoutedAs.ROUTED] * 3 + [RoutedAs.UNMATCHED] * 2 + [RoutedAs.UNROUTED]):
        event = await accepted(store, arrival(f"call-{n}", routed=routed))
        stored = await store.event(event.event_id)
        assert stored is not None
        assert stored.routed is routed
    summary = await store.summary()
    assert (summary.events, summary.routed, summary.unmatched, summary.unrouted) == (6, 3, 2, 1)


async def test_the_backlog_is_by_sink_and_state(store: Store) -> None:
    await accepted(store, arrival("one", owed=("screen", "archive")))
    await accepted(store, arrival("two", owed=("screen", Owed("mail", at(60)))))
    await store.settle(await claim_one(store, "archive"), settlement(Done()))
    assert await store.backlog() == {"screen": {"pending": 2}, "archive": {"delivered": 1}, "mail": {"claimed": 1}}


async def test_the_oldest_is_the_first_accepted_of_what_is_still_owed(store: Store) -> None:
    await accepted(store, arrival("delivered", when=1, owed=("archive",)))
    await store.settle(await claim_one(store, "archive", when=1), settlement(Done()))
    await accepted(store, arrival("newer", when=9, owed=("screen", "archive")))
    await accepted(store, arrival("older", when=5, owed=("screen", Owed("mail", at(60)))))
    assert await store.oldest() == {"screen": at(5), "archive": at(9), "mail": at(5)}


async def test_the_room_that_it_takes_is_known_or_said_to_be_unknown(store: Store) -> None:
    room = await store.room()
    assert room is None or (room.database > 0 and 0 < room.free <= room.disk)


async def test_the_backlog_forgets_a_sink_without_deliveries(store: Store) -> None:
    await dead_one(store)
    await purge(store, DAY)
    assert await store.backlog() == {}


async def test_there_is_nothing_under_an_unknown_id(store: Store) -> None:
    assert await store.event("no such event") is None
    assert await store.delivery("no such delivery") is None
    assert (await store.deliveries(event_id="no such event")).items == ()


async def test_events_come_newest_first_page_by_page(store: Store) -> None:
    for n in range(7):
        await accepted(store, arrival(f"call-{n}", when=n, owed=("screen",)))
    first = await store.events(limit=3)
    assert [line.call_id for line in first.items] == ["call-6", "call-5", "call-4"]
    assert first.next == first.items[-1].id
    await accepted(store, arrival("call-7", when=7))
    lines = await every(lambda after: store.events(after=after, limit=3))
    assert [line.call_id for line in lines] == [f"call-{n}" for n in range(7, -1, -1)]
    line = lines[-1]
    assert (line.source, line.format, line.received_at, line.revision) == ("sipgate", "sipgate", NOW, 1)
    assert (line.direction, line.channel_id, line.channel_name) == ("inbound", "17", "Sales Hotline")
    assert (line.routed, line.routes) == (RoutedAs.ROUTED, ("to sales",))


async def test_a_page_that_ends_the_list_has_no_next(store: Store) -> None:
    for n in range(4):
        await accepted(store, arrival(f"call-{n}", when=n))
    assert (await store.events(limit=4)).next is None
    second = await store.events(limit=2, after=(await store.events(limit=2)).next)
    assert (len(second.items), second.next) == (2, None)


async def test_a_page_has_one_line_at_least_and_500_at_most(store: Store) -> None:
    await asyncio.gather(*(store.accept(arrival(f"call-{n}")) for n in range(502)))
    assert len((await store.events(limit=0)).items) == 1
    assert len((await store.events(limit=-3)).items) == 1
    assert len((await store.events(limit=9_999)).items) == 500


async def test_deliveries_come_newest_first_by_any_filter(store: Store) -> None:
    events = [await accepted(store, arrival(f"call-{n}", when=n, owed=("screen", "archive"))) for n in range(6)]
    for _ in range(3):
        await store.settle(await claim_one(store, "screen", when=9), settlement(Done(), when=10))
    await store.settle(await claim_one(store, "archive", when=9), settlement(Dead("no"), when=10))
    found = await every(lambda after: store.deliveries(after=after, limit=5))
    assert [line.id for line in found] == sorted((line.id for line in found), reverse=True)
    for state in (None, *DeliveryState):
        for sink in (None, "screen", "archive", "nobody"):
            for event_id in (None, events[0].event_id, "no such event"):
                wanted = [
                    line
                    for line in found
                    if state in (None, line.state) and sink in (None, line.sink) and event_id in (None, line.event_id)
                ]
                page = partial(store.deliveries, state=state, sink=sink, event_id=event_id, limit=2)
                assert await every(lambda after, page=page: page(after=after)) == wanted  # type: ignore[misc]


async def test_quarantined_bodies_come_newest_first_page_by_page(store: Store) -> None:
    ids = [await quarantine(store, str(n).encode(), when=n) for n in range(5)]
    found = await every(lambda after: store.quarantined(after=after, limit=2))
    assert [line.id for line in found] == ids[::-1]


async def test_a_list_has_what_is_wanted_of_it_and_every_page_of_it(store: Store) -> None:
    channels = [Channel("17", "Sales Hotline"), Channel("4", "Büro"), Channel(None, None)]
    for n in range(9):
        one = arrival(f"call-{n}", when=n, owed=("screen",) if n % 2 else ("mail",), channel=channels[n % 3])
        one = replace(one, source="bonn" if n > 6 else "sipgate", routes=("a",) if n < 4 else ("b", "c"))
        await accepted(store, replace(one, call=replace(one.call, direction=list(Direction)[n % 2])))

    async def numbers(wanted: Wanted) -> tuple[list[int], list[int]]:
        lines = await every(lambda after: store.events(wanted=wanted, after=after, limit=2))
        owed = await every(lambda after: store.deliveries(wanted=wanted, after=after, limit=2))
        times = ([line.received_at for line in lines], [line.accepted_at for line in owed])
        return tuple([int((time - NOW).total_seconds()) for time in of] for of in times)  # type: ignore[return-value]

    questions: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"since": at(3)}, [8, 7, 6, 5, 4, 3]),
        ({"until": at(3)}, [2, 1, 0]),
        ({"since": at(2), "until": at(4)}, [3, 2]),
        ({"since": at(4), "until": at(2)}, []),
        ({"source": "bonn"}, [8, 7]),
        ({"channel": "17"}, [6, 3, 0]),
        ({"channel": "sales hotline"}, [6, 3, 0]),
        ({"channel": "Bu\u0308ro"}, [7, 4, 1]),
        ({"channel": "Sales"}, []),
        ({"direction": "outbound"}, [7, 5, 3, 1]),
        ({"route": "c"}, [8, 7, 6, 5, 4]),
        ({"sink": "screen"}, [7, 5, 3, 1]),
        ({"sink": "screen", "route": "a", "since": at(2)}, [3]),
    ]
    for wanted, expected in questions:
        assert await numbers(Wanted(**wanted)) == (expected, expected), wanted


async def test_deliveries_are_found_by_what_their_reason_holds(store: Store) -> None:
    dead = await dead_one(store, "call-1")
    await accepted(store, arrival("call-2", owed=("screen",)))
    for words, expected in (("MAILBOX", [dead]), ("100 %", []), ("%", []), ("", [dead])):
        assert [line.id for line in (await store.deliveries(wanted=Wanted(reason=words))).items] == expected


async def test_events_are_found_by_what_routing_made_of_them(store: Store) -> None:
    for n, routed in enumerate([*RoutedAs, *RoutedAs]):
        await accepted(store, arrival(f"call-{n}", when=n, routed=routed, owed=("screen",) if n < 3 else ()))
    for n, routed in enumerate(RoutedAs):
        lines = await every(lambda after, routed=routed: store.events(routed=routed, after=after, limit=1))  # type: ignore[misc]
        assert [line.call_id for line in lines] == [f"call-{n + 3}", f"call-{n}"]
        found = await store.events(routed=routed, wanted=Wanted(sink="screen"))
        assert [line.call_id for line in found.items] == [f"call-{n}"]


async def test_quarantined_bodies_are_found_by_time_and_source(store: Store) -> None:
    ids = [await quarantine(store, str(n).encode(), when=n, source="bonn" if n == 3 else "sipgate") for n in range(5)]
    for wanted, expected in (
        (Wanted(since=at(3)), [ids[4], ids[3]]),
        (Wanted(until=at(1)), [ids[0]]),
        (Wanted(source="bonn"), [ids[3]]),
        (Wanted(source="bonn", channel="17"), [ids[3]]),
    ):
        assert [line.id for line in (await store.quarantined(wanted=wanted)).items] == expected


async def test_channels_come_with_their_newest_name_and_call(store: Store) -> None:
    assert list(await store.channels()) == []
    await accepted(store, arrival("1", channel=Channel("17", "Sales"), when=1))
    await accepted(store, arrival("2", channel=Channel("17", "Verkauf"), when=2))
    await accepted(store, arrival("3", channel=Channel("17", None), when=3))
    await accepted(store, arrival("4", channel=Channel(None, "Sales"), when=4))
    await accepted(store, arrival("5", channel=Channel(None, None), when=5))
    await accepted(store, arrival("6", channel=Channel("17", "Sales"), source="bonn", when=6))
    await accepted(store, arrival("4", "new", channel=Channel(None, "Sales"), when=7))  # another revision: no new call
    assert isinstance(await store.accept(arrival("4", "new", channel=Channel(None, "Sales"), when=8)), Duplicate)
    assert [(line.source, line.id, line.name, line.calls, line.last_at) for line in await store.channels()] == [
        ("sipgate", None, "Sales", 1, at(7)),
        ("bonn", "17", "Sales", 1, at(6)),
        ("sipgate", "17", "Verkauf", 3, at(3)),
    ]


# --- what routers keep of themselves ---


async def test_a_memo_is_what_was_kept_last_under_its_name_and_no_part_of_the_sums(store: Store) -> None:
    before = await store.summary()
    assert await store.memo("alarms") is None
    await store.keep_memo("alarms", b"\x00one")
    await store.keep_memo("other", b"")
    assert (await store.memo("alarms"), await store.memo("other")) == (b"\x00one", b"")
    await store.keep_memo("alarms", b"two")
    assert (await store.memo("alarms"), await store.memo("other")) == (b"two", b"")
    assert await store.summary() == before


async def test_a_clock_that_was_set_moves_what_waits_once_however_often_it_is_told(store: Store) -> None:
    """Where nobody is answered whether it was written, it is told again; what is kept of it is written with it."""
    await accepted(store, arrival(owed=(Owed("screen", due=at(100)),)))
    was = None
    for before, now in ((0, 1000), (1000, 3000)):
        told = {"before": at(before), "now": at(now)}
        content = b"set to %d" % now
        for moves in (True, False):
            assert await store.clock_was_set(**told, memo="clock", was=was, content=content) is moves
        assert await store.memo("clock") == content
        was = content
    (line,) = (await store.deliveries()).items
    assert line.due == at(3100)


async def test_a_claim_that_ran_out_before_the_clock_was_set_back_is_over(store: Store) -> None:
    """And one that was made since then lasts as long as it would have, however late what waits is moved."""
    day = 86_400
    await accepted(store, arrival("old", owed=("screen",), when=day - 100))
    await accepted(store, arrival("new", owed=("file",)))
    await claim_one(store, when=day - 100)
    new = await claim_one(store, "file", when=5)
    assert await store.clock_was_set(before=at(day + 20), now=at(20), memo="clock", was=None, content=b"back")
    assert (await store.retake(now=at(20))).sinks == {"screen"}
    assert await store.retake(now=at(64)) == Retaken()
    assert await store.settle(new, settlement(Done()))


async def test_a_release_is_of_ones_own_claim_only(engine: Engine) -> None:
    """Where nothing came of a claim, another router's is known by the same number."""
    async with AsyncExitStack() as stack:
        mine = await stack.enter_async_context(engine.open("mine"))
        if mine.is_alone:
            return
        other = await stack.enter_async_context(engine.open("other"))
        await accepted(mine, arrival(owed=("screen",)))
        claim = await claim_one(other, until=60)
        assert not await mine.release(claim, now=at(1))
        assert await other.release(claim, now=at(1))


async def test_a_claim_that_is_not_there_yet_is_given_back_when_it_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit may take longer than who waited for it; and where it cannot be given back, others are claimed."""
    await accepted(store, arrival("one", owed=("screen",)))
    assert isinstance(store, Asked)
    put = store._put

    async def unseen(function: Any, **given: Any) -> Any:
        if "claims" in given:  # giving back
            return [False for _ in given["claims"]]
        return await unanswered(function, **given)

    async def unanswered(function: Any, **given: Any) -> Any:
        answer = await put(function, **given)
        if "claiming" in given and not unanswerable:
            raise StoreError
        return answer

    async def broken(function: Any, **given: Any) -> Any:
        if "claims" in given:
            raise StoreError
        return await put(function, **given)

    unanswerable = False
    with monkeypatch.context() as cut:
        cut.setattr(store, "_put", unanswered)
        with pytest.raises(StoreError):
            await store.claim("screen", limit=1, now=at(1), until=at(61))
        unanswerable = True
        await accepted(store, arrival("two", owed=("screen",)))
        for way in (unseen, broken):
            cut.setattr(store, "_put", way)
            found = await store.claim("screen", limit=9, now=at(2), until=at(62))
            assert {claim.delivery.event.call_id for claim in found.claims} == ({"two"} if way is unseen else set())
    found = await store.claim("screen", limit=9, now=at(3), until=at(63))
    assert [(claim.delivery.event.call_id, claim.delivery.attempt) for claim in found.claims] == [("one", 2)]


async def test_what_ran_out_by_an_earlier_clock_alone_is_taken_back(store: Store) -> None:
    await accepted(store, arrival(owed=("screen",)))
    claim = await claim_one(store, until=60)
    assert await store.retake(now=at(3600), over=at(59)) == Retaken()
    assert (await store.retake(now=at(3600), over=at(60))).lost == 1
    line = await line_of(store, claim.delivery.id)
    assert line.due == at(3600)


async def test_a_memo_outlives_a_crash(engine: Engine) -> None:
    async with engine.open() as store:
        await store.keep_memo("alarms", b"one")
        after = engine.left_by_a_crash()
    async with after.open() as again:
        assert await again.memo("alarms") == b"one"


# --- check, close ---


async def test_a_check_commits_and_changes_nothing(store: Store) -> None:
    await accepted(store, arrival())
    before, commits = await store.summary(), store.effort.commits
    await store.check()
    assert await store.summary() == before
    assert store.effort.commits > commits


async def test_closing_finishes_the_writes_that_wait(engine: Engine) -> None:
    async with engine.open() as store:
        tasks = [asyncio.create_task(store.accept(arrival(f"call-{n}"))) for n in range(50)]
        await asyncio.sleep(0)
        await store.close()
        assert {type(answer) for answer in await asyncio.gather(*tasks)} == {Accepted}
    async with engine.open() as store:
        assert (await store.summary()).events == 50


async def test_a_closed_store_refuses_everything(engine: Engine) -> None:
    async with engine.open() as store:
        await store.close()
        await store.close()
        for call in (
            store.accept(arrival()),
            store.claim("screen", limit=1, now=NOW, until=NOW),
            store.summary(),
            store.events(),
            store.check(),
        ):
            with pytest.raises(StoreError, match="closed"):
                await call


async def test_effort_counts_writes(store: Store) -> None:
    await asyncio.gather(*(store.accept(arrival(f"call-{n}")) for n in range(20)))
    effort = store.effort
    assert effort.writes == 20
    assert 1 <= effort.commits <= 20
    assert 1 <= effort.largest_batch <= 20
    assert effort.commit_seconds.total > 0
    assert sum(effort.commit_seconds.counts) == effort.commits
    assert effort.commit_writes.total == 20


async def test_a_source_was_heard_when_anything_of_it_came(store: Store) -> None:
    assert await store.heard("sipgate") is None
    await store.accept(arrival("a", when=1.0))
    await store.accept(arrival("b", when=2.0, text="other", source="busy"))
    assert await store.heard("sipgate") == at(1.0)
    await store.accept(arrival("a", when=3.0))  # a duplicate
    assert await store.heard("sipgate") == at(3.0)
    await quarantine(store, when=4.0)
    await store.accept(arrival("c", when=5.0, text="more", source="busy"))
    assert await store.heard("sipgate") == at(4.0)
    assert await store.heard("busy") == at(5.0)
