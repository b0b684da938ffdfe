"""The chores: claims that ran out, and what was kept long enough."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from router.app import Router, running
from router.config import load
from router.store.values import POISON_AFTER, Accepted
from router.testing import ManualClock
from support import NOON, body, until_awaited

FILE = """
sources: {s: {}}
server: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
keep: {events: 30d, quarantine: 10d, seen: 100d}
sinks: {archive: {kind: file, root: archive}}
always: archive
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
async def router(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Router]:
    file = tmp_path / "routes.yaml"
    file.write_text(FILE, encoding="utf-8")
    async with running(load(file, {}), clock=clock) as made:
        yield made


async def accepted(router: Router, call_id: str = "c") -> Accepted:
    receipt = await router.inbox.accept("s", body(call_id))
    assert isinstance(receipt, Accepted)
    return receipt


@pytest.mark.case("DED-04")
async def test_a_purge_runs_by_itself_and_a_call_that_comes_again_is_still_known(
    router: Router, clock: ManualClock
) -> None:
    receipt = await accepted(router)
    await router.inbox.accept("s", b"{")

    async def delivered() -> bool:
        return (await router.store.summary()).deliveries["delivered"] == 1

    await until_awaited(delivered)
    clock.advance(timedelta(days=11))

    async def quarantine_gone() -> bool:
        return (await router.store.summary()).quarantined == 0

    await until_awaited(quarantine_gone)
    assert (await router.store.summary()).events == 1
    clock.advance(timedelta(days=20))

    async def gone() -> bool:
        clock.advance(timedelta(minutes=1))  # the next look
        return (await router.store.summary()).events == 0

    await until_awaited(gone)
    summary = await router.store.summary()
    assert (summary.received, summary.purged) == (2, 2)
    again = await router.inbox.accept("s", body("c"))
    assert again.event_id == receipt.event_id  # type: ignore[union-attr]
    assert (await router.store.summary()).duplicates == 1


async def test_what_is_still_owed_is_not_purged(router: Router, clock: ManualClock) -> None:
    await router.lanes["archive"].gate.pause()
    await accepted(router)
    clock.advance(timedelta(days=31))
    assert not await router.housekeeping.purge()
    assert (await router.store.summary()).events == 1


@pytest.mark.case("PLG-06")
async def test_a_claim_that_ran_out_is_due_again_and_after_five_losses_dead_as_poison(
    router: Router, clock: ManualClock
) -> None:
    await router.lanes["archive"].gate.pause()
    await accepted(router)
    with structlog.testing.capture_logs() as logs:
        for _ in range(POISON_AFTER):
            now = clock.now()
            claims = await router.store.claim("archive", limit=1, now=now, until=now + timedelta(seconds=50))
            assert len(claims.claims) == 1
            clock.advance(51)
            await router.housekeeping.retake()
    (line,) = (await router.store.deliveries()).items
    assert (line.state, line.lost, line.retries) == ("dead", POISON_AFTER, 0)
    assert line.reason is not None
    assert "poison" in line.reason
    assert [entry["event"] for entry in logs].count("claims.lost") == POISON_AFTER
    assert [entry["event"] for entry in logs].count("delivery.dead") == 1
