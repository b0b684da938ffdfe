"""What operators put right through the admin API: read, routed, sent once more or given up, one or many."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import structlog

from router import formats
from router.app import Router
from router.delivery import Dead
from router.errors import Unreadable
from router.inbox import understand
from router.routing import RoutingTable
from store_engines import at, settlement
from support import body, until_awaited
from test_admin import API, FILE, TOKEN, Administered, admin, administered, dead_letter, get, post

__all__ = ["admin"]  # the fixture

UNREADABLE = b'{"gespraech": {"id": "1"}, "summary": "x"}'


async def quarantined(router: Router, content: bytes = UNREADABLE) -> str:
    receipt = await router.inbox.accept("sipgate", content)
    return str(receipt.quarantine_id)  # type: ignore[union-attr]


async def unrouted(router: Router, monkeypatch: pytest.MonkeyPatch, call_id: str = "call-1", **changes: Any) -> str:
    """The id of an event that routing failed for."""

    def fails(*_: object) -> None:
        message = "a bug in a rule"
        raise RuntimeError(message)

    with monkeypatch.context() as patch:
        patch.setattr(RoutingTable, "route", fails)
        receipt = await router.inbox.accept("sipgate", body(call_id, **changes))
    return str(receipt.event_id)  # type: ignore[union-attr]


async def settled(client: Any, event_id: str) -> dict[str, str]:
    """The states of an event's deliveries by sink, once nothing is pending or claimed."""

    async def done() -> bool:
        items = (await get(client, f"{API}/deliveries?event={event_id}"))["items"]
        return all(line["state"] not in ("pending", "claimed") for line in items)

    await until_awaited(done)
    items = (await get(client, f"{API}/deliveries?event={event_id}"))["items"]
    return {line["sink"]: line["state"] for line in items}


# --- quarantine ---


async def test_a_body_is_read_again_by_todays_trust_and_stays_with_todays_reason(tmp_path: Path) -> None:
    async with administered(tmp_path) as (router, client):
        kept = await quarantined(router)
        assert "no known format" in (await post(client, f"{API}/quarantine/{kept}/replay"))["reason"]
        summary = await get(client, f"{API}/summary")
        assert (summary["received"], summary["quarantined"], summary["events"]) == (1, 1, 0)
    aliased = FILE.replace("{sipgate: {", "{sipgate: {aliases: {summary: [gist]}, ")
    async with administered(tmp_path, aliased) as (_, client):
        answer = await post(client, f"{API}/quarantine/{kept}/replay")
        assert answer["quarantined"] == kept
        (line,) = (await get(client, f"{API}/quarantine"))["items"]
        assert (line["reason"], line["times"]) == (answer["reason"], 1)


async def test_a_body_that_can_be_read_today_goes_to_whom_it_is_owed(
    admin: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    router, client = admin

    def unreadable(*_: object) -> None:
        message = "an older aftercall could not read it"
        raise Unreadable(message)

    with monkeypatch.context() as patch:
        patch.setattr(formats, "find", unreadable)
        kept = await quarantined(router, body("call-9", summary="x"))
        assert await quarantined(router, body("call-9", summary="x")) == kept
    received = (await get(client, f"{API}/quarantine"))["items"][0]["received_at"]
    with structlog.testing.capture_logs() as logs:
        answer = await post(client, f"{API}/quarantine/{kept}/replay")
    assert (answer["revision"], answer["deliveries"]) == (1, 1)
    assert await settled(client, answer["event"]) == {"archive": "delivered"}
    summary = await get(client, f"{API}/summary")
    assert (summary["received"], summary["events"], summary["duplicates"], summary["quarantined"]) == (2, 1, 1, 0)
    shown = await get(client, f"{API}/events/{answer['event']}")
    assert (shown["event"]["received_at"], shown["duplicates"]) == (received, 1)
    (acted,) = [entry for entry in logs if entry["event"] == "admin.acted"]
    assert (acted["action"], acted["event_id"]) == ("read_again", answer["event"])
    assert kept in acted["path"]
    await post(client, f"{API}/quarantine/{kept}/replay", status=404)
    again = await router.inbox.accept("sipgate", body("call-9", summary="x"))
    assert again.event_id == answer["event"], "the same call is known"  # type: ignore[union-attr]


async def test_of_two_who_read_a_body_again_at_once_one_gets_a_conflict(
    admin: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    router, client = admin
    kept = await quarantined(router)
    monkeypatch.setattr("router.repairs.understand", lambda *_: _readable())
    answers = await asyncio.gather(*(client.post(f"{API}/quarantine/{kept}/replay") for _ in range(2)))
    assert sorted(answer.status for answer in answers) in ([200, 409], [200, 404])
    assert (await get(client, f"{API}/summary"))["events"] == 1


def _readable() -> Any:
    return understand(body(), "sipgate", None, RoutingTable())


async def test_a_body_whose_source_is_gone_is_not_read_without_its_trust(tmp_path: Path) -> None:
    async with administered(tmp_path) as (router, _):
        kept = await quarantined(router)
    async with administered(tmp_path, FILE.replace("{sipgate:", "{other:")) as (_, client):
        refused = await post(client, f"{API}/quarantine/{kept}/replay", status=409)
        assert "'sipgate' is not configured" in refused["error"]["message"]


async def test_many_bodies_are_read_again_and_those_that_stay_are_named(admin: Administered) -> None:
    router, client = admin
    ids = [await quarantined(router, b"{" + b" " * n) for n in range(3)]
    counted = await post(client, f"{API}/quarantine/replay", {"where": {}, "all": True, "dry_run": True})
    assert counted == {"matched": 3, "done": 0, "left": [], "next": None}
    first = await post(client, f"{API}/quarantine/replay", {"where": {"source": "sipgate"}, "limit": 2})
    assert (first["matched"], first["done"], first["next"]) == (2, 0, ids[1])
    assert [left["id"] for left in first["left"]] == [ids[2], ids[1]]
    assert "not JSON" in first["left"][0]["message"]
    rest = await post(
        client, f"{API}/quarantine/replay", {"where": {}, "all": True, "limit": 2, "after": first["next"]}
    )
    assert [left["id"] for left in rest["left"]] == [ids[0]]


@pytest.mark.parametrize(
    "path", ["events/route", "deliveries/replay", "deliveries/end", "quarantine/replay", "quarantine/end"]
)
async def test_a_page_that_begins_nowhere_and_a_reason_without_end_are_refused(admin: Administered, path: str) -> None:
    """What is no key of a page would mean the first one."""
    _, client = admin
    asked = {"where": {}, "all": True, **({"reason": "why"} if path.endswith("end") else {})}
    await post(client, f"{API}/{path}", asked)
    for limit in (True, "5", 0, 501):
        await post(client, f"{API}/{path}", {**asked, "limit": limit}, status=400)
    for after in ("x", "", "0" * 36):
        await post(client, f"{API}/{path}", {**asked, "after": after}, status=400)
    for more in ({"reason": "x" * 1001}, {"where": {"source": "x" * 1001}}):
        await post(client, f"{API}/{path}", {**asked, **more}, status=400)
    async with client.get(f"{API}/{path.partition('/')[0]}?after=x") as answer:
        assert answer.status == 400


# --- events ---


async def test_an_event_that_routing_failed_for_is_routed_again(
    admin: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    router, client = admin
    event = await unrouted(router, monkeypatch, summary="x")
    (line,) = (await get(client, f"{API}/events?routed=unrouted"))["items"]
    assert line["id"] == event
    routed = await post(client, f"{API}/events/{event}/route")
    assert routed == {"event": event, "routed": "routed", "routes": ["all"], "sinks": ["archive"]}
    assert await settled(client, event) == {"archive": "delivered"}
    assert (await get(client, f"{API}/events?routed=unrouted"))["items"] == []
    assert (await post(client, f"{API}/events/{event}/route"))["sinks"] == [], "never twice to the same sink"
    await post(client, f"{API}/events/nothing/route", status=404)


async def test_routing_again_beats_no_never_rule_and_a_rule_that_fails_changes_nothing(
    admin: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    router, client = admin
    event = await unrouted(router, monkeypatch, channel={"name": "Secret"}, summary="x")
    with monkeypatch.context() as patch:
        patch.setattr(RoutingTable, "route", lambda *_: 1 / 0)
        refused = await post(client, f"{API}/events/{event}/route", status=409)
    assert refused["error"]["message"] == f"routing event {event} failed (ZeroDivisionError); please report this"
    assert (await get(client, f"{API}/summary"))["unrouted"] == 1
    assert (await post(client, f"{API}/events/{event}/route"))["sinks"] == []
    assert (await get(client, f"{API}/summary"))["deliveries"]["created"] == 0


async def test_all_unrouted_events_are_routed_again(admin: Administered, monkeypatch: pytest.MonkeyPatch) -> None:
    router, client = admin
    for n in range(3):
        await unrouted(router, monkeypatch, f"call-{n}", summary="x")
    await router.inbox.accept("sipgate", body("good", summary="x"))
    where = {"routed": "unrouted"}
    assert (await post(client, f"{API}/events/route", {"where": where, "dry_run": True}))["matched"] == 3
    assert (await get(client, f"{API}/summary"))["unrouted"] == 3
    done = await post(client, f"{API}/events/route", {"where": where})
    assert (done["matched"], done["done"], done["left"]) == (3, 3, [])
    assert (await get(client, f"{API}/summary"))["unrouted"] == 0


# --- dead letters, and what is pending ---


async def test_of_two_who_replay_the_same_dead_letter_one_gets_a_conflict(admin: Administered) -> None:
    router, client = admin
    dead = await dead_letter(router)
    answers = await asyncio.gather(*(client.post(f"{API}/deliveries/{dead}/replay") for _ in range(2)))
    assert sorted(answer.status for answer in answers) == [202, 409]
    assert (await get(client, f"{API}/summary"))["deliveries"]["replayed"] == 1


async def test_dead_letters_are_replayed_by_filter_to_another_sink(admin: Administered) -> None:
    router, client = admin
    await post(client, f"{API}/lanes/down/pause")
    await router.inbox.accept("sipgate", body("call-1"))
    await router.inbox.accept("sipgate", body("call-2", channel={"name": "Secret"}))
    await router.inbox.accept("sipgate", body("call-3", channel={"id": "c9", "name": "Other"}))
    (secret,) = [line["id"] for line in (await get(client, f"{API}/deliveries?sink=down&channel=secret"))["items"]]
    found = await router.store.claim("down", limit=9, now=at(1e9), until=at(2e9))
    for claim in found.claims:
        await router.store.settle(claim, settlement(Dead("refused for good")))
    path = f"{API}/deliveries/replay"
    for where, matched in (
        ({"channel": "other"}, 1),
        ({"channel": "c9"}, 1),
        ({"route": "bills"}, 3),
        ({"sink": "archive"}, 0),
        ({"reason": "For Good"}, 3),
        ({"direction": "outbound"}, 0),
        ({"until": "2020-01-01T00:00:00Z"}, 0),
        ({"since": "2020-01-01T00:00:00+02:00"}, 3),
    ):
        assert (await post(client, path, {"where": where, "dry_run": True}))["matched"] == matched, where
    assert (await get(client, f"{API}/summary"))["deliveries"]["replayed"] == 0
    with structlog.testing.capture_logs() as logs:
        done = await post(client, path, {"where": {"sink": "down"}, "sink": "archive"})
    assert (done["matched"], done["done"], done["next"]) == (3, 2, None)
    assert [left["id"] for left in done["left"]] == [secret]
    assert "secret channel" in done["left"][0]["message"]
    (acted,) = [entry for entry in logs if entry["event"] == "admin.acted"]
    assert (acted["action"], acted["matched"], acted["done"]) == ("replay_many", 3, 2)
    await post(client, path, {"where": {}, "all": True, "sink": "nobody"}, 404)
    await post(client, path, {"where": {}, "all": True, "sink": ""}, 404)
    await post(client, f"{API}/deliveries/{secret}/replay", {"sink": ""}, 404)
    assert (await get(client, f"{API}/summary"))["deliveries"]["dead"] == 1, "a sink without a name is nobody's"


@pytest.mark.parametrize(
    "ask",
    [
        {},
        {"where": {}},
        {"where": {"sink": None}},
        {"where": {}, "all": False},
        {"where": {}, "all": 1},
        {"where": {"snik": "down"}},
        {"where": {}, "all": True, "limit": 501},
        {"where": {"since": "yesterday"}},
        {"were": {}},
    ],
    ids=str,
)
async def test_a_misspelled_filter_replays_nothing(admin: Administered, ask: Any) -> None:
    router, client = admin
    await dead_letter(router)
    await post(client, f"{API}/deliveries/replay", ask, 400)
    assert (await get(client, f"{API}/summary"))["deliveries"]["dead"] == 1


async def test_what_waits_for_a_sink_that_is_gone_is_ended_with_a_reason(tmp_path: Path) -> None:
    async with administered(tmp_path) as (router, client):
        for sink in ("archive", "down"):
            await post(client, f"{API}/lanes/{sink}/pause")
        for n in range(2):
            await router.inbox.accept("sipgate", body(f"call-{n}"))
    without = FILE.replace("archive", "other")
    async with administered(tmp_path, without) as (_, client):
        path, why = f"{API}/deliveries/end", {"reason": "moved", "where": {}}
        await post(client, path, {"where": {}}, 400)
        await post(client, path, why | {"reason": " "}, 400)
        refused = await post(client, path, why | {"dry_run": True}, 400)
        assert refused["error"]["message"] == 'the body: say which: by a filter in "where", or "all": true'
        assert (await post(client, path, why | {"all": True, "dry_run": True}))["matched"] == 4
        done = await post(client, path, why | {"orphaned": True})
        assert (done["matched"], done["done"]) == (2, 2)
        lines = (await get(client, f"{API}/deliveries?state=dead"))["items"]
        assert {(line["sink"], line["reason"]) for line in lines} == {("archive", "ended by an operator: moved")}
        assert (await get(client, f"{API}/summary"))["deliveries"]["pending"] == 2


async def test_dead_letters_that_are_ended_rest_until_they_are_meant(admin: Administered) -> None:
    router, client = admin
    dead = await dead_letter(router)
    path, why = f"{API}/deliveries/{dead}/end", {"reason": "wrong number"}
    assert (await get(client, f"{API}/lanes"))["items"][1]["ended"] == 0
    await post(client, path, why)
    refused = await post(client, path, why, 409)
    assert refused["error"]["message"] == f"delivery {dead} is ended already"
    (line,) = (await get(client, f"{API}/deliveries?state=dead&ended=true"))["items"]
    assert line["reason"].startswith("ended by an operator: wrong number (before: no attempt left after 1")
    assert (await get(client, f"{API}/deliveries?state=dead&ended=false"))["items"] == []
    lane = (await get(client, f"{API}/lanes"))["items"][1]
    assert (lane["dead"], lane["ended"]) == (1, 1)
    for what in ("replay", "end"):
        many = await post(
            client,
            f"{API}/deliveries/{what}",
            {"where": {}, "all": True} | (why | {"dead": True} if what == "end" else {}),
        )
        assert (many["matched"], many["done"]) == (0, 0)
    ended = {"where": {"reason": "wrong number"}, "ended": True, "sink": "archive"}
    assert (await post(client, f"{API}/deliveries/replay", ended | {"dry_run": True}))["matched"] == 1
    with structlog.testing.capture_logs() as logs:
        assert (await post(client, f"{API}/deliveries/replay", ended))["done"] == 1
    (acted,) = [entry for entry in logs if entry["event"] == "admin.acted"]
    assert acted["ended"] is True
    await post(client, f"{API}/deliveries/{dead}/replay", status=409)


@pytest.mark.case("RPL-03")
async def test_rpl_03_after_a_change_of_rules_one_says_whether_old_sinks_or_todays_rules_count(tmp_path: Path) -> None:
    async with administered(tmp_path) as (router, client):
        dead = await dead_letter(router)
    changed = FILE.replace("to: [down]", "to: [crm]").replace("sinks:\n", "sinks:\n  crm: {kind: file, root: crm}\n")
    async with administered(tmp_path, changed) as (router, client):
        (line,) = (await get(client, f"{API}/deliveries?sink=down"))["items"]
        counted = {"where": {"sink": "down"}, "dry_run": True}
        assert (await post(client, f"{API}/deliveries/replay", counted))["matched"] == 1
        assert (await post(client, f"{API}/events/route", counted))["matched"] == 1
        assert (await get(client, f"{API}/deliveries/{dead}"))["delivery"]["state"] == "dead", "nothing was done"
        assert (await post(client, f"{API}/events/{line['event_id']}/route"))["sinks"] == ["crm"]
        new = (await post(client, f"{API}/deliveries/{dead}/replay", status=202))["delivery"]
        assert (await get(client, f"{API}/deliveries/{new}"))["delivery"]["sink"] == "down"


async def test_an_ended_dead_letter_is_replayed_by_its_id(admin: Administered) -> None:
    router, client = admin
    dead = await dead_letter(router)
    await post(client, f"{API}/deliveries/{dead}/end", {"reason": "wrong number"})
    await post(client, f"{API}/deliveries/{dead}/replay", {"sink": "archive"}, 202)


async def test_what_waits_for_a_renamed_sink_is_ended_and_goes_to_the_new_one(tmp_path: Path) -> None:
    """As docs/operations.md says it."""
    async with administered(tmp_path) as (router, client):
        await post(client, f"{API}/lanes/archive/pause")
        for n in range(2):
            await router.inbox.accept("sipgate", body(f"call-{n}"))
    async with administered(tmp_path, FILE.replace("archive", "library")) as (router, client):
        lanes = {lane["sink"]: lane for lane in (await get(client, f"{API}/lanes"))["items"]}
        assert (lanes["library"]["state"], lanes["archive"]["state"]) == ("open", "orphaned")
        assert lanes["archive"]["reason"].startswith("paused, and will be when it is back; no sink of this name")
        where = {"sink": "archive"}
        orphaned = {"where": where, "orphaned": True, "reason": "renamed"}
        assert (await post(client, f"{API}/deliveries/end", orphaned))["done"] == 2
        renamed = {"where": where, "ended": True, "sink": "library"}
        assert (await post(client, f"{API}/deliveries/replay", renamed))["done"] == 2

        async def delivered() -> bool:
            return (await router.store.summary()).deliveries["delivered"] == 2

        await until_awaited(delivered)
        lines = (await get(client, f"{API}/deliveries?sink=library"))["items"]
        assert [line["state"] for line in lines] == ["delivered", "delivered"]
        assert not any(lane["state"] == "orphaned" for lane in (await get(client, f"{API}/lanes"))["items"])


async def test_dead_letters_are_ended_by_filter(admin: Administered) -> None:
    router, client = admin
    await dead_letter(router)
    path, ask = f"{API}/deliveries/end", {"reason": "old", "where": {"sink": "down"}}
    assert (await post(client, path, ask))["matched"] == 0, "without `dead`, what is pending is meant"
    assert (await post(client, path, ask | {"dead": True, "dry_run": True}))["matched"] == 1
    assert (await post(client, path, ask | {"dead": True}))["done"] == 1
    assert (await get(client, f"{API}/lanes"))["items"][1]["ended"] == 1


async def test_a_quarantined_body_that_is_ended_rests_and_can_still_be_read(admin: Administered) -> None:
    router, client = admin
    kept, other = await quarantined(router), await quarantined(router, b"{")
    assert await router.store.unread() == 2
    await post(client, f"{API}/quarantine/{kept}/end", {"reason": "a scanner"})
    await post(client, f"{API}/quarantine/{kept}/end", {"reason": "again"}, 409)
    await post(client, f"{API}/quarantine/nothing/end", {"reason": "x"}, 409)
    assert await router.store.unread() == 1
    lines = (await get(client, f"{API}/quarantine"))["items"]
    assert {line["id"]: line["ended"] for line in lines} == {kept: "a scanner", other: None}
    assert [line["id"] for line in (await get(client, f"{API}/quarantine?ended=false"))["items"]] == [other]
    assert (await post(client, f"{API}/quarantine/replay", {"where": {}, "all": True}))["matched"] == 1
    assert (await post(client, f"{API}/quarantine/end", {"where": {}, "all": True, "reason": "all"}))["done"] == 1
    assert await router.store.unread() == 0
    assert (await post(client, f"{API}/quarantine/{kept}/replay"))["quarantined"] == kept
    assert (await get(client, f"{API}/summary"))["quarantined"] == 2, "they are kept"


# --- the audit ---


async def test_adm_12_the_log_says_who_saw_and_did_what_and_no_word_of_a_call(tmp_path: Path) -> None:
    text = FILE.replace('admin: {listen: "127.0.0.1:0"', f'admin: {{listen: "127.0.0.1:0", tokens: {{anna: {TOKEN}x}}')
    anna: dict[str, Any] = {"Authorization": f"Bearer {TOKEN}x"}
    async with administered(tmp_path, text) as (router, client):
        dead = await dead_letter(router)
        event = (await get(client, f"{API}/deliveries/{dead}", **anna))["delivery"]["event_id"]
        kept = await quarantined(router)
        with structlog.testing.capture_logs() as logs:
            await get(client, f"{API}/events/{event}", **anna)
            await get(client, f"{API}/quarantine/{kept}?full=1", **anna)
            await post(client, f"{API}/deliveries/{dead}/replay", status=202, **anna)
            await post(client, f"{API}/deliveries/{dead}/replay", status=409, **anna)
            await post(client, f"{API}/quarantine/{kept}/replay", **anna)
            await post(client, f"{API}/events/{event}/route", **anna)
            await post(client, f"{API}/lanes/archive/pause", **anna)
            await post(client, f"{API}/lanes/archive/resume", **anna)
            await post(client, f"{API}/deliveries/nothing/end", {"reason": "Brückner"}, 404, **anna)
            await client.head(f"{API}/events/{event}", headers=anna)
    lines = [
        (entry["event"], entry.get("action"), entry["path"].removeprefix(API), entry.get("status"))
        for entry in logs
        if entry.get("who") == "anna" and "path" in entry
    ]
    done = [entry["event"] for entry in logs if entry.get("who") == "anna" and "path" not in entry]
    assert done == ["delivery.replayed", "body.unreadable", "event.routed_again"]
    assert lines == [
        ("event.shown", None, f"/events/{event}", None),
        ("quarantine.shown", None, f"/quarantine/{kept}", None),
        ("body.shown", None, f"/quarantine/{kept}", None),
        ("admin.acted", "replay", f"/deliveries/{dead}/replay", 202),
        ("admin.refused", "replay", f"/deliveries/{dead}/replay", 409),
        ("admin.acted", "read_again", f"/quarantine/{kept}/replay", 200),
        ("admin.acted", "route", f"/events/{event}/route", 200),
        ("admin.acted", "pause", "/lanes/archive/pause", 200),
        ("admin.acted", "resume", "/lanes/archive/resume", 200),
        ("admin.refused", "end", "/deliveries/…/end", 404),
    ]
    for word in ("Brückner", "Rechnung", "+4915228817386", TOKEN):
        assert word not in str(logs)


async def test_adm_12_the_log_says_to_which_of_many_something_was_done_and_by_whom(tmp_path: Path) -> None:
    text = FILE.replace('admin: {listen: "127.0.0.1:0"', f'admin: {{listen: "127.0.0.1:0", tokens: {{anna: {TOKEN}x}}')
    anna: dict[str, Any] = {"Authorization": f"Bearer {TOKEN}x"}
    async with administered(tmp_path, text) as (router, client):
        await post(client, f"{API}/lanes/archive/pause", **anna)
        await dead_letter(router)
        await quarantined(router, b'{"call": 1}')
        since = "2020-01-01T00:00:00Z"
        with structlog.testing.capture_logs() as logs:
            for path, asked in {
                "deliveries/replay": {
                    "where": {"sink": "down", "channel": "Brückner", "reason": "Brückner", "since": since},
                    "sink": "archive", "dry_run": True,
                },
                "deliveries/end": {"where": {"direction": "inbound"}, "reason": "Brückner", "orphaned": True},
                "events/route": {"where": {"routed": "unrouted", "route": "all"}},
                "quarantine/replay": {"where": {"source": "sipgate"}},
            }.items():  # fmt: skip
                await post(client, f"{API}/{path}", asked, **anna)
            await post(client, f"{API}/deliveries/end", {"where": {}, "all": True, "reason": "x"}, **anna)
            await post(client, f"{API}/deliveries/replay", {"where": {"sink": "nobody"}}, 404, **anna)
    noted = [
        {
            key: value
            for key, value in entry.items()
            if key in ("action", "where", "sink", "orphaned", "dry_run", "done", "all")
        }
        for entry in logs
        if entry["event"] in ("admin.acted", "admin.refused")
    ]
    replayed = {"sink": "down", "channel": True, "reason": True, "since": since}
    nothing: dict[str, Any] = {"all": None, "sink": None, "orphaned": None, "dry_run": None}
    assert noted == [
        {"action": "replay_many", **nothing, "where": replayed, "sink": "archive", "dry_run": True, "done": 0},
        {"action": "end_many", **nothing, "where": {"direction": "inbound"}, "orphaned": True, "done": 0},
        {"action": "route_many", **nothing, "where": {"routed": "unrouted", "route": "all"}, "done": 0},
        {"action": "read_many_again", **nothing, "where": {"source": "sipgate"}, "done": 0},
        {"action": "end_many", **nothing, "where": {}, "all": True, "done": 1},
        {"action": "replay_many", **nothing, "where": {"sink": "nobody"}},
    ]
    assert [entry["who"] for entry in logs if entry["event"] == "delivery.ended"] == ["anna"]
    assert "Brückner" not in str(logs)


# --- misspelled ---


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"sink": "archiv"}, "there is no sink 'archiv' (configured: archive, down; did you mean 'archive'?)"),
        ({"route": "bill"}, "there is no route 'bill' (configured: all, bills; did you mean 'bills'?)"),
        ({"source": "sipgat"}, "there is no source 'sipgat' (configured: sipgate; did you mean 'sipgate'?)"),
    ],
)
async def test_a_misspelled_name_in_a_filter_is_said_to_be_one(
    admin: Administered, filters: dict[str, str], said: str
) -> None:
    router, client = admin
    await dead_letter(router)
    await quarantined(router)
    lists = ["deliveries", "events"] + (["quarantine"] if "source" in filters else [])
    for path in lists:
        async with client.get(f"{API}/{path}", params=filters) as answer:
            assert (answer.status, (await answer.json())["error"]["message"]) == (404, said)
    for path in ("deliveries/replay", "deliveries/end", "events/route"):
        refused = await post(
            client, f"{API}/{path}", {"where": filters, **({"reason": "x"} if "end" in path else {})}, 404
        )
        assert refused["error"]["message"] == said


async def test_a_name_that_is_configured_no_longer_and_that_something_has_is_none(tmp_path: Path) -> None:
    async with administered(tmp_path) as (router, _):
        await dead_letter(router)
        await quarantined(router)
    text = FILE.replace("down", "gone").replace("bills", "invoices").replace("{sipgate:", "{other:")
    async with administered(tmp_path, text) as (_, client):
        for filters in ("sink=down", "route=bills", "source=sipgate", "route=invoices", "sink=gone", "source=other"):
            await get(client, f"{API}/deliveries?{filters}")
        assert len((await get(client, f"{API}/quarantine?source=sipgate"))["items"]) == 1
