"""The figures: each tells the truth, names nothing of a call, and is missing where it cannot be known."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

import figures
from router import formats
from router.about import version
from router.alarms import Alarms
from router.app import Router, running
from router.config import load
from router.errors import Unreadable
from router.store.effort import Spread
from router.testing import ManualClock
from support import EXAMPLE, NOON, until, until_awaited

FILE = """
sources: {sipgate: {}}
server: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
sinks: {one: {kind: file, root: one}, two: {kind: file, root: two}}
always: [one, two]
"""

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
async def router(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Router]:
    (tmp_path / "routes.yaml").write_text(FILE, encoding="utf-8")
    async with running(load(tmp_path / "routes.yaml", {}), clock=clock) as made:
        yield made


async def text(router: Router) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"http://{router.admin}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()


async def scraped(router: Router) -> Samples:
    families = text_string_to_metric_families(await text(router))
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def of(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


async def test_they_tell_what_waits_since_when_and_where(router: Router, clock: ManualClock) -> None:
    await router.lanes["one"].gate.pause()
    await router.inbox.accept("sipgate", EXAMPLE.read_bytes())
    clock.advance(90)
    samples = await scraped(router)
    assert of(samples, "aftercall_events_accepted_total", source="sipgate", format="sipgate") == 1
    assert of(samples, "aftercall_backlog", sink="one") == 1
    assert of(samples, "aftercall_oldest_pending_seconds", sink="one") == 90
    assert of(samples, "aftercall_lane_state", sink="one", state="paused") == 1
    assert of(samples, "aftercall_lane_state", sink="one", state="open") == 0
    assert of(samples, "aftercall_lane_state", sink="two", state="open") == 1
    (line,) = (await router.store.deliveries(sink="one")).items
    await router.store.end(line.id, reason="x", now=clock.now())
    samples = await scraped(router)
    assert of(samples, "aftercall_dead_letters", sink="one") == 0, "nobody has to be told of what was ended"
    assert of(samples, "aftercall_deliveries", state="dead") == 1
    assert of(samples, "aftercall_oldest_pending_seconds", sink="one") == 0


@pytest.mark.case("RTY-03")
async def test_rty_03_a_clock_that_is_set_makes_nothing_older(router: Router, clock: ManualClock) -> None:
    await router.lanes["one"].gate.pause()
    await router.lanes["two"].gate.pause()
    await router.inbox.accept("sipgate", EXAMPLE.read_bytes())
    clock.advance(90)
    clock.set(timedelta(days=1))
    await router.housekeeping.look()
    samples = await scraped(router)
    assert of(samples, "aftercall_oldest_pending_seconds", sink="one") == 90
    await router.lanes["two"].gate.resume()
    await until(lambda: router.lanes["two"].idle and not router.lanes["two"].row.unproven)
    assert of(await scraped(router), "aftercall_delivered_seconds_sum", sink="two") == 90
    clock.set(-timedelta(days=2))
    await router.housekeeping.look()
    clock.advance(1)
    assert 0 <= of(await scraped(router), "aftercall_oldest_pending_seconds", sink="one") <= 91


async def test_what_is_read_again_out_of_quarantine_is_counted_as_an_event(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> None:
        message = "an older aftercall could not read it"
        raise Unreadable(message)

    with monkeypatch.context() as older:
        older.setattr(formats, "find", unreadable)
        await router.inbox.accept("sipgate", EXAMPLE.read_bytes())
    (kept,) = (await router.store.quarantined()).items
    name = "aftercall_events_accepted_total"
    assert not [one for one, _ in await scraped(router) if one == name]
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"http://{router.admin}/api/v1/quarantine/{kept.id}/replay") as answer,
    ):
        assert (await answer.json())["revision"] == 1
    assert of(await scraped(router), name, source="sipgate", format="sipgate") == 1


async def test_a_look_for_alarms_that_fails_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(Alarms, "look", fail)
    (tmp_path / "routes.yaml").write_text(FILE, encoding="utf-8")
    async with running(load(tmp_path / "routes.yaml", {}), clock=ManualClock(NOON)) as router:

        async def counted() -> bool:
            return of(await scraped(router), "aftercall_alarms_failed_total") >= 1

        await until_awaited(counted)


async def test_what_is_counted_by_a_source_or_a_sink_is_0_as_soon_as_there_is_one(
    router: Router, tmp_path: Path
) -> None:
    """Also after a reload: what first appears as 1 has not increased, to Prometheus."""
    changed = FILE.replace("sipgate: {}", "sipgate: {}, new: {}").replace(
        "sinks: {", "sinks: {three: {kind: file, root: x}, "
    )
    (tmp_path / "routes.yaml").write_text(changed, encoding="utf-8")
    await router.inbox.accept("sipgate", b"{")
    await router.reload.reload()
    samples = await scraped(router)
    assert of(samples, "aftercall_received_total", source="sipgate", result="quarantined") == 1, "and no less by it"
    for source in ("sipgate", "new"):
        assert of(samples, "aftercall_received_total", source=source, result="duplicate") == 0
    for sink in ("one", "three"):
        assert of(samples, "aftercall_attempts_total", sink=sink, outcome="refused") == 0
        assert of(samples, "aftercall_loop_blocked_total", sink=sink) == 0
    assert of(samples, "aftercall_loop_blocked_total", sink="") == 0
    assert of(samples, "aftercall_requests_refused_total", status="503") == 0
    assert of(samples, "aftercall_admin_refused_total", status="401") == 0
    assert of(samples, "aftercall_alarms_failed_total") == 0


async def test_they_tell_of_the_store_and_of_what_runs(router: Router) -> None:
    await router.inbox.accept("sipgate", EXAMPLE.read_bytes())
    samples = await scraped(router)
    assert of(samples, "aftercall_ready") == 1
    assert of(samples, "aftercall_store_bytes", file="database") == router.config.database.stat().st_size
    assert of(samples, "aftercall_store_bytes", file="log") > 0
    assert 0 < of(samples, "aftercall_disk_bytes", space="free") <= of(samples, "aftercall_disk_bytes", space="total")
    commits = of(samples, "aftercall_store_commit_seconds_count")
    assert 0 < commits <= router.store.effort.commits
    assert of(samples, "aftercall_store_commit_writes_bucket", le="+Inf") == commits
    assert of(samples, "aftercall_build_info", version=version(), python=platform.python_version()) == 1


async def test_no_label_comes_from_a_call_and_each_is_declared(router: Router) -> None:
    await router.inbox.accept("sipgate", EXAMPLE.read_bytes())
    shown = await text(router)
    for word in ("Sales", "+49", "call_example", "Angebot"):
        assert word not in shown
    declared = figures.series()
    for name, labels in await scraped(router):
        if not name.endswith("_created"):
            assert {label for label, _ in labels} == declared[name], name


async def test_deliveries_for_a_sink_that_is_gone_are_shown_as_orphaned(tmp_path: Path, router: Router) -> None:
    await router.lanes["one"].gate.pause()
    await router.inbox.accept("sipgate", EXAMPLE.read_bytes())
    with closing(sqlite3.connect(router.config.database)) as other:
        other.execute("UPDATE deliveries SET sink = 'gone' WHERE sink = 'one'")
        other.execute("UPDATE delivery_totals SET sink = 'gone' WHERE sink = 'one'")
        other.commit()
    samples = await scraped(router)
    assert of(samples, "aftercall_lane_state", sink="gone", state="orphaned") == 1
    assert of(samples, "aftercall_backlog", sink="gone") == 1
    assert of(samples, "aftercall_backlog", sink="one") == 0


async def test_a_store_in_trouble_is_not_ready_and_what_it_would_say_is_missing(
    router: Router, clock: ManualClock
) -> None:
    await scraped(router)
    await router.store.close()
    clock.advance(5)
    samples = await scraped(router)
    assert of(samples, "aftercall_ready") == 0
    assert not [
        name for name, _ in samples if name in ("aftercall_events", "aftercall_backlog", "aftercall_lane_state")
    ]
    assert of(samples, "aftercall_store_commit_seconds_count") > 0


def test_a_spread_counts_each_value_at_its_bound_and_above() -> None:
    spread = Spread((1.0, 5.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        spread.add(value)
    assert spread.cumulated() == [(1.0, 2), (5.0, 3), (float("inf"), 4)]
    assert spread.total == 10.0
