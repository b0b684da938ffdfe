"""The admin listener over real sockets: what it shows, what it puts right, and whom it keeps out."""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import structlog

from contract import conforms
from router import operations
from router.app import Router, running
from router.config import load
from router.errors import ConfigError, StoreBusy
from router.fakes import ManualClock
from router.outline import outline
from router.testing import Answer, FakeEndpoint
from support import EXAMPLE, body, threads_of, until, until_awaited

TOKEN = "0123456789abcdefghijklmn"
API = "/api/v1"

FILE = f"""
sources: {{sipgate: {{token: {TOKEN}}}}}
server: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
sinks:
  archive: {{kind: file, root: archive}}
  down: {{kind: webhook, url: "http://127.0.0.1:9/", allow_networks: [127.0.0.0/8], retry: {{schedule: [0s]}}}}
never:
  - {{name: secret channel, when: {{channel: Secret}}, to: archive}}
routes:
  - {{name: all, to: [archive]}}
  - {{name: bills, when: {{summary: Rechnung}}, to: [down]}}
"""


@asynccontextmanager
async def administered(
    folder: Path, text: str = FILE, clock: ManualClock | None = None
) -> AsyncIterator[tuple[Router, aiohttp.ClientSession]]:
    file = folder / "routes.yaml"
    file.write_text(text, encoding="utf-8")
    async with (
        running(load(file, {}), clock=clock) as router,
        aiohttp.ClientSession(f"http://{router.admin}") as client,
    ):
        yield router, client


Administered = tuple[Router, aiohttp.ClientSession]


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Administered]:
    async with administered(tmp_path) as made:
        yield made


async def get(client: aiohttp.ClientSession, path: str, status: int = 200, **headers: str) -> Any:
    async with client.get(path, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await said(answer)


async def post(client: aiohttp.ClientSession, path: str, json: Any = None, status: int = 200, **headers: str) -> Any:
    async with client.post(path, json=json, headers=headers) as answer:
        assert answer.status == status, await answer.text()
        return await said(answer)


async def said(answer: aiohttp.ClientResponse) -> Any:
    """Its JSON, which is as the document says."""
    told = await answer.json()
    conforms(answer.method, answer.url.raw_path, answer.status, told)
    return told


async def dead_letter(router: Router, call_id: str = "call-1", **changes: Any) -> str:
    """The id of a dead delivery to `down`: its one attempt finds nobody there."""
    receipt = await router.inbox.accept("sipgate", body(call_id, **changes))
    event_id = receipt.event_id  # type: ignore[union-attr]

    async def died() -> bool:
        lines = (await router.store.deliveries(event_id=event_id, sink="down")).items
        return [line.state for line in lines] == ["dead"]

    await until_awaited(died)
    (line,) = (await router.store.deliveries(event_id=event_id, sink="down")).items
    return line.id


async def test_the_sums_have_every_key_from_the_beginning(admin: Administered) -> None:
    summary = await get(admin[1], f"{API}/summary")
    assert summary == {
        "received": 0, "events": 0, "duplicates": 0, "quarantined": 0, "purged": 0, "routed": 0, "unmatched": 0,
        "unrouted": 0,
        "deliveries": {"created": 0, "pending": 0, "claimed": 0, "delivered": 0, "dead": 0, "replayed": 0, "erased": 0,
                       "purged": 0},
    }  # fmt: skip


async def test_an_event_is_shown_without_what_was_said_unless_that_is_asked_for_with_its_routes_and_deliveries(
    admin: Administered,
) -> None:
    router, client = admin
    receipt = await router.inbox.accept("sipgate", EXAMPLE.read_bytes())
    path = f"{API}/events/{receipt.event_id}"  # type: ignore[union-attr]
    shown = await get(client, f"{path}?full=1")
    assert shown["event"]["headline"] == "Angebot für zwölf Lizenzen angefragt"
    assert shown["event"]["raw"]["call"]["id"] == "call_example_0001"
    shown = await get(client, path)
    assert (shown["event"]["call_id"], shown["event"]["raw"]) == ("call_example_0001", None)
    assert "body" not in shown
    for word in ("zwölf", "Özdemir", "Angebot", "4915228817386"):
        assert word not in str(shown), "what was said is for who asks for it"
    assert shown["routes"] == ["all"]
    assert [line["sink"] for line in shown["deliveries"]] == ["archive"]
    await get(client, f"{API}/events/no-such-event", 404)


async def test_lists_go_on_page_by_page(admin: Administered) -> None:
    router, client = admin
    for number in range(5):
        await router.inbox.accept("sipgate", body(f"call-{number}", summary="x"))
    seen, after = [], ""
    while True:
        page = await get(client, f"{API}/events?limit=2{after}")
        seen += [line["call_id"] for line in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert sorted(seen) == [f"call-{number}" for number in range(5)]
    assert len(seen) == 5


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=1e9", "limit=-1", "limit=٣", "state=asleep"])
@pytest.mark.case("ADM-10")
async def test_adm_10_a_question_that_makes_no_sense_is_a_400(admin: Administered, query: str) -> None:
    path = "deliveries" if "state" in query else "events"
    assert (await get(admin[1], f"{API}/{path}?{query}", 400))["error"]["code"] == "bad_request"


async def test_a_dead_letter_is_shown_with_its_reason_and_replayed_as_a_new_delivery(admin: Administered) -> None:
    router, client = admin
    dead = await dead_letter(router)
    shown = await get(client, f"{API}/deliveries/{dead}")
    assert shown["delivery"]["state"] == "dead"
    assert "no attempt left" in shown["delivery"]["reason"]
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["retry"]
    answer = await post(client, f"{API}/deliveries/{dead}/replay", status=202)
    assert answer["replay_of"] == dead
    assert answer["delivery"] != dead
    again = await get(client, f"{API}/deliveries/{dead}")
    assert again["delivery"]["state"] == "replayed"
    assert (await post(client, f"{API}/deliveries/{dead}/replay", status=409))["error"]["code"] == "conflict"
    await post(client, f"{API}/deliveries/nothing/replay", status=404)


async def test_a_dead_letter_can_be_replayed_to_another_sink(admin: Administered, tmp_path: Path) -> None:
    router, client = admin
    dead = await dead_letter(router)
    await post(client, f"{API}/deliveries/{dead}/replay", {"sink": "nobody"}, 404)
    new = (await post(client, f"{API}/deliveries/{dead}/replay", {"sink": "archive"}, 202))["delivery"]

    async def delivered() -> bool:
        return bool((await get(client, f"{API}/deliveries/{new}"))["delivery"]["state"] == "delivered")

    await until_awaited(delivered)


async def test_never_beats_a_replay(admin: Administered) -> None:
    router, client = admin
    dead = await dead_letter(router, "secret", channel={"name": "Secret"})
    refused = await post(client, f"{API}/deliveries/{dead}/replay", {"sink": "archive"}, 409)
    assert "secret channel" in refused["error"]["message"]


async def test_a_lane_is_paused_resumed_and_shown(admin: Administered) -> None:
    router, client = admin
    assert (await post(client, f"{API}/lanes/archive/pause"))["state"] == "paused"
    await router.inbox.accept("sipgate", body(summary="x"))
    lanes = {lane["sink"]: lane for lane in (await get(client, f"{API}/lanes"))["items"]}
    assert (lanes["archive"]["state"], lanes["archive"]["pending"]) == ("paused", 1)
    assert (await post(client, f"{API}/lanes/archive/resume"))["state"] == "open"
    await post(client, f"{API}/lanes/nobody/pause", status=404)


async def test_a_pending_delivery_is_ended_with_a_reason(admin: Administered) -> None:
    router, client = admin
    await post(client, f"{API}/lanes/archive/pause")
    await router.inbox.accept("sipgate", body(summary="x"))
    (line,) = (await get(client, f"{API}/deliveries?state=pending&sink=archive"))["items"]
    await post(client, f"{API}/deliveries/{line['id']}/end", status=400)
    await post(client, f"{API}/deliveries/{line['id']}/end", {"reason": "wrong number"})
    shown = await get(client, f"{API}/deliveries/{line['id']}")
    assert shown["delivery"]["state"] == "dead"
    assert "wrong number" in shown["delivery"]["reason"]


@pytest.mark.case("CFG-12")
async def test_deliveries_of_a_sink_that_is_gone_are_shown_as_orphaned_and_wait(tmp_path: Path) -> None:
    async with administered(tmp_path) as (router, client):
        await post(client, f"{API}/lanes/archive/pause")
        await router.inbox.accept("sipgate", body(summary="x"))
    without = FILE.replace("archive: {kind: file, root: archive}", "other: {kind: file, root: archive}").replace(
        "archive]", "other]"
    )
    async with administered(tmp_path, without.replace("to: archive", "to: other")) as (_, client):
        lanes = {lane["sink"]: lane for lane in (await get(client, f"{API}/lanes"))["items"]}
        assert (lanes["archive"]["state"], lanes["archive"]["pending"]) == ("orphaned", 1)
    async with administered(tmp_path) as (_, client):
        await post(client, f"{API}/lanes/archive/resume")

        async def delivered() -> bool:
            return bool((await get(client, f"{API}/summary"))["deliveries"]["delivered"] == 1)

        await until_awaited(delivered)


async def test_explain_says_why_and_keeps_nothing(admin: Administered) -> None:
    router, client = admin
    async with client.post(f"{API}/explain", data=EXAMPLE.read_bytes()) as answer:
        told = await said(answer)
    assert told["event"]["call_id"] == "call_example_0001"
    assert [(route["name"], route["matched"], route["fired"]) for route in told["routes"]] == [
        ("all", True, True),
        ("bills", False, False),
    ]
    assert told["routes"][1]["conditions"][0]["condition"] == "summary: any 'Rechnung'"
    assert told["sinks"] == ["archive"]
    assert (await router.store.summary()).received == 0
    async with client.post(f"{API}/explain", data=b"{") as answer:
        assert answer.status == 422


async def test_channels_and_quarantine_are_listed(admin: Administered) -> None:
    router, client = admin
    await router.inbox.accept("sipgate", body())
    await router.inbox.accept("sipgate", b"{")
    (channel,) = (await get(client, f"{API}/channels"))["items"]
    assert (channel["name"], channel["id"], channel["calls"]) == ("Support", "c1", 1)
    (kept,) = (await get(client, f"{API}/quarantine"))["items"]
    assert kept["size"] == 1


@pytest.mark.case("LOG-03")
async def test_metrics_are_prometheus_text_without_a_label_from_a_call(admin: Administered) -> None:
    router, client = admin
    await router.inbox.accept("sipgate", EXAMPLE.read_bytes())
    async with client.get("/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = await answer.text()
    assert 'aftercall_received_total{result="event",source="sipgate"} 1.0' in text
    assert 'aftercall_events{sum="events"} 1.0' in text
    for word in ("Sales", "+49", "call_example", "Angebot"):
        assert word not in text


@pytest.mark.case("LOG-03")
async def test_log_03_however_many_names_calls_and_far_sides_bring_there_are_no_more_figures_and_no_line_has_one(
    tmp_path: Path,
) -> None:
    """Names that would end a label, a line or a terminal's, and a far side that repeats them."""
    hostile = (
        'Kanarie"} 1\nevil{x="',
        "Kanarie\r\n\x1b[31m",
        "Kanarie\u202e",
        "Kanarie %s {0} ${HOME}",
        "Kanarie" * 99,
    )

    async def figures(client: aiohttp.ClientSession) -> tuple[set[str], str]:
        async with client.get("/metrics") as answer:
            text = await answer.text()
        return {line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")}, text

    async with FakeEndpoint() as far:
        far.answer(Answer(status=400, body=f"Kanarie {hostile[0]}".encode()))
        webhook = f'kind: webhook, url: "{far.url()}", allow_networks: [127.0.0.0/8]'
        text = FILE.replace('kind: webhook, url: "http://127.0.0.1:9/", allow_networks: [127.0.0.0/8]', webhook)
        async with administered(tmp_path, text) as (router, client):

            async def settled(calls: int) -> tuple[set[str], str]:
                """The figures when so many calls are delivered to one sink and dead to the other."""

                async def done() -> bool:
                    states = (await router.store.summary()).deliveries
                    return (states["delivered"], states["dead"]) == (calls, calls)

                await until_awaited(done)
                return await figures(client)

            with structlog.testing.capture_logs() as logs:
                for number in range(25):
                    name = f"{hostile[number % 5]} {number}"
                    channel = {"id": f"Kanarie-{number}", "name": name}
                    call = body(f"Kanarie-{number}", channel=channel, summary=f"Rechnung {name}", Kanarie=name)
                    await router.inbox.accept("sipgate", call)
                    if number == 0:
                        await router.inbox.accept("sipgate", b'{"Kanarie": "0"}')
                        before, _ = await settled(1)
                await router.inbox.accept("sipgate", b'{"Kanarie": "1"}')
                after, shown = await settled(25)
    assert len(far.requests) == 25
    assert after == before
    assert "Kanarie" not in shown
    assert "evil" not in shown
    assert len([line for line in logs if line["event"] == "delivery.attempted"]) == 50
    assert "Kanarie" not in str(logs)


async def test_health_says_what_is_wrong_only_here(admin: Administered) -> None:
    _, client = admin
    ready = await get(client, "/readyz")
    (alone,) = ready.pop("routers")
    assert ready == {"ready": True, "trouble": [], "holding": False}
    assert (alone["alive"], alone["here"]) == (True, True)
    async with client.get("/healthz") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8081"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.case("ADM-03")
async def test_adm_03_what_a_foreign_page_makes_a_browser_send_is_refused(
    admin: Administered, headers: dict[str, str]
) -> None:
    router, client = admin
    await get(client, f"{API}/summary", 403, **headers)
    await post(client, f"{API}/lanes/archive/pause", status=403, **headers)
    assert router.lanes["archive"].row.state == "open"


@pytest.mark.case("ADM-03")
async def test_our_own_origin_and_names_are_fine(admin: Administered) -> None:
    router, client = admin
    port = router.admin.port
    await get(client, f"{API}/summary", Origin=f"http://127.0.0.1:{port}")
    await get(client, f"{API}/summary", Host=f"localhost:{port}", Origin=f"http://localhost:{port}")
    await get(client, f"{API}/summary", Host=f"[::1]:{port}")


def routes_of_the_listener(router: Router) -> list[tuple[str, str]]:
    """Every path that the listener answers, from its own table."""
    return [
        (route.method, route.resource.canonical)
        for route in router.admin_app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    ]


@pytest.mark.case("ADM-01")
async def test_adm_01_where_tokens_are_set_nothing_but_health_is_open(tmp_path: Path) -> None:
    text = FILE.replace(
        'admin: {listen: "127.0.0.1:0"}', f'admin: {{listen: "127.0.0.1:0", tokens: {{anna: {TOKEN}x}}}}'
    )
    with structlog.testing.capture_logs() as logs:
        async with administered(tmp_path, text) as (router, client):
            paths = routes_of_the_listener(router)
            assert len(paths) > 10
            for method, path in paths:
                for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": f"Basic {TOKEN}x"}):
                    async with client.request(method, path.format(id="x", sink="archive"), headers=headers) as answer:
                        assert answer.status == (200 if path in ("/healthz", "/readyz") else 401), path
            good = f"Bearer {TOKEN}x"
            await get(client, f"{API}/summary", Authorization=good)
            await post(client, f"{API}/lanes/archive/pause", Authorization=good)
    acted = [entry for entry in logs if entry["event"] == "admin.acted"]
    assert [(entry["who"], entry["path"]) for entry in acted] == [("anna", "/api/v1/lanes/archive/pause")]
    assert TOKEN not in str(logs)


@pytest.mark.parametrize("listen", ["0.0.0.0:8081", "[::]:8081", "192.0.2.1:8081", "router.example.com:8081"])
def test_beyond_this_machine_it_does_not_start_without_tokens(tmp_path: Path, listen: str) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(f'sources: {{s: {{}}}}\nadmin: {{listen: "{listen}"}}\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"routes.yaml:2:17: admin.listen: .*admin.tokens"):
        load(file, {})


def shown_lines(logs: list[structlog.typing.EventDict]) -> list[structlog.typing.EventDict]:
    """Who saw what; the router itself may say meanwhile that something is in quarantine."""
    return [entry for entry in logs if entry["event"].endswith(".shown")]


async def test_a_quarantined_body_is_outlined_and_shown_only_where_that_is_asked_for(admin: Administered) -> None:
    router, client = admin
    written = '{"anrufer": "Frau Brückner", "dauer": 12}'
    kept = await router.inbox.accept("sipgate", written.encode(), content_type='application/json; name="Brückner"')
    path = f"{API}/quarantine/{kept.quarantine_id}"  # type: ignore[union-attr]
    shown = await get(client, path)
    assert shown["outline"] == {
        "json": {"<key 1, 7 characters>": "<text, 13 characters>", "<key 2, 5 characters>": "<integer, 2 digits>"}
    }
    assert (shown["source"], shown["content_type"], shown["size"]) == ("sipgate", "application/json", 42)
    assert "Brückner" not in str(shown)
    with structlog.testing.capture_logs() as logs:
        full = await get(client, f"{path}?full=1")
    assert (full["body"], full["encoding"]) == (written, "utf-8")
    assert full["content_type"] == 'application/json; name="Brückner"'
    assert [(entry["event"], entry["path"]) for entry in shown_lines(logs)] == [
        ("quarantine.shown", path),
        ("body.shown", path),
    ]
    with structlog.testing.capture_logs() as logs:
        await get(client, f"{API}/quarantine/no-such-body?full=1", 404)
        await get(client, f"{path}?full=1", 403, Host="elsewhere.example")
        await get(client, f"{API}/summary?full=1", 400)
        await client.head(f"{path}?full=1")
    assert shown_lines(logs) == []


async def test_an_event_is_shown_with_its_body_as_it_came_only_where_that_is_asked_for(admin: Administered) -> None:
    router, client = admin
    written = b'{"call": {"id": "c1"},   "summary": "s"}'
    kept = await router.inbox.accept("sipgate", written)
    path = f"{API}/events/{kept.event_id}"  # type: ignore[union-attr]
    with structlog.testing.capture_logs() as logs:
        assert "body" not in await get(client, path)
        assert (await get(client, f"{path}?full=1"))["body"] == written.decode()
    assert [(entry["event"], entry["path"]) for entry in logs if entry["event"] == "body.shown"] == [
        ("body.shown", path)
    ]


@pytest.mark.parametrize(
    "change", ["body = CAST(body || x'20' AS BLOB)", "body = CAST(replace(body, 'Frau', 'Herr') AS BLOB)"]
)
async def test_a_damaged_body_in_quarantine_is_not_shown(admin: Administered, change: str) -> None:
    router, client = admin
    kept = await router.inbox.accept("sipgate", b'{"anrufer": "Frau"}')
    with closing(sqlite3.connect(router.config.database, isolation_level=None)) as connection:
        connection.execute(f"UPDATE quarantine SET {change}")  # noqa: S608 - ours
    with structlog.testing.capture_logs() as logs:
        answer = await get(client, f"{API}/quarantine/{kept.quarantine_id}?full=1", 503)  # type: ignore[union-attr]
    assert "is damaged: it is not what was stored" in answer["error"]["message"]
    assert shown_lines(logs) == []


async def test_an_outline_of_a_large_body_does_not_hold_up_the_router(admin: Administered) -> None:
    router, client = admin
    kept = await router.inbox.accept("sipgate", gzip.compress(b"[" + b'{"a":{}},' * 60_000 + b"{}]"))
    with threads_of(outline) as threads:
        await get(client, f"{API}/quarantine/{kept.quarantine_id}")  # type: ignore[union-attr]
    assert threading.main_thread().name not in threads


async def test_a_quarantined_body_that_is_no_text_is_shown_in_base64(admin: Administered) -> None:
    router, client = admin
    kept = await router.inbox.accept("sipgate", b"\xff\x00")
    full = await get(client, f"{API}/quarantine/{kept.quarantine_id}?full=1")  # type: ignore[union-attr]
    assert (full["body"], full["encoding"]) == ("/wA=", "base64")
    assert full["outline"]["kind"] == "bytes that are no UTF-8"


async def answered(router: Router, request: bytes) -> tuple[int, Any]:
    """Status and JSON of the answer to these bytes, which no client would send."""
    reader, writer = await asyncio.open_connection(router.admin.host, router.admin.port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split()[1]), json.loads(await reader.readexactly(length))
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("given", [b"Bearer \xff\xfe", "Bearer Schlüssel".encode(), b"\xe2\x82 x"])
@pytest.mark.case("ADM-01")
async def test_adm_01_a_token_that_is_no_text_is_a_wrong_token(tmp_path: Path, given: bytes) -> None:
    text = FILE.replace('admin: {listen: "127.0.0.1:0"', f'admin: {{listen: "127.0.0.1:0", tokens: {{anna: {TOKEN}x}}')
    async with administered(tmp_path, text) as (router, _):
        request = b"GET /api/v1/summary HTTP/1.1\r\nHost: localhost\r\nAuthorization: " + given + b"\r\n\r\n"
        status, said = await answered(router, request)
    assert (status, said["error"]["code"]) == (401, "unauthorized")


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "http://a]b/"])
@pytest.mark.case("ADM-03")
async def test_adm_03_an_origin_that_is_no_url_is_foreign(admin: Administered, origin: str) -> None:
    assert (await get(admin[1], f"{API}/summary", 403, Origin=origin))["error"]["code"] == "origin"


@pytest.mark.parametrize("path", ["explain", "deliveries/x/end", "deliveries/x/replay"])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nplain",
        b"Content-Encoding: deflate\r\nContent-Length: 5\r\n\r\nplain",
    ],
)
@pytest.mark.case("ADM-10")
async def test_adm_10_a_body_that_is_not_what_its_headers_say_is_a_400(
    admin: Administered, path: str, body: bytes
) -> None:
    request = f"POST {API}/{path} HTTP/1.1\r\nHost: localhost\r\n".encode() + body
    status, said = await answered(admin[0], request)
    assert (status, said["error"]["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        (
            {"sinc": "x"},
            "where.sinc: unknown; there are: channel, direction, reason, route, since, sink, source, until",
        ),
        ({"since": "2026-03-10T08:00:00"}, "where.since: needs a zone, like 2026-03-10T08:00:00Z"),
        ({"since": "yesterday"}, "where.since: write a time with its zone, like 2026-03-10T08:00:00Z"),
    ],
)
@pytest.mark.case("ADM-10")
async def test_adm_10_a_mistake_in_a_question_is_said_in_words(
    admin: Administered, where: dict[str, str], said: str
) -> None:
    refused = await post(admin[1], f"{API}/deliveries/replay", {"where": where}, 400)
    assert refused["error"]["message"] == said
    known = "after, channel, direction, limit, routed, route, since, sink, source, until"
    refused = await get(admin[1], f"{API}/events?sinc=x", 400)
    assert refused["error"]["message"] == f"sinc: unknown; there are: {', '.join(sorted(known.split(', ')))}"
    refused = await post(admin[1], f"{API}/deliveries/x/end", {"reason": " "}, 400)
    assert refused["error"]["message"] == "reason: say why"


@pytest.mark.case("ADM-10")
async def test_adm_10_half_a_character_is_no_text(admin: Administered) -> None:
    router, client = admin
    await post(client, f"{API}/lanes/archive/pause")
    await router.inbox.accept("sipgate", body(summary="x"))
    (line,) = (await get(client, f"{API}/deliveries?state=pending&sink=archive"))["items"]
    refused = await post(client, f"{API}/deliveries/{line['id']}/end", {"reason": "\ud800"}, 400)
    assert refused["error"]["code"] == "bad_request"
    await post(client, f"{API}/deliveries/{line['id']}/replay", {"sink": "\udfff"}, 400)


async def test_a_wrong_method_is_called_that_and_the_right_one_is_named(admin: Administered) -> None:
    async with admin[1].post(f"{API}/summary") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET,HEAD")
        assert (await answer.json())["error"]["code"] == "method_not_allowed"


async def test_adm_11_what_is_no_number_in_json_is_null_and_every_other_one_is_exact(admin: Administered) -> None:
    def no_json(name: str) -> None:
        pytest.fail(f"{name} is no JSON")

    router, client = admin
    content = body().replace(b'"summary"', b'"huge": 1e400, "exact": %d, "summary"' % 2**100)
    receipt = await router.inbox.accept("sipgate", content)
    async with client.get(f"{API}/events/{receipt.event_id}?full=1") as answer:  # type: ignore[union-attr]
        shown = json.loads(await answer.read(), parse_constant=no_json)
    async with client.post(f"{API}/explain", data=content) as answer:
        told = json.loads(await answer.read(), parse_constant=no_json)
    for event in (shown["event"], told["event"]):
        assert (event["raw"]["huge"], event["raw"]["exact"]) == (None, 2**100)


async def test_others_are_answered_while_a_call_is_explained(
    admin: Administered, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = admin
    began, go_on = threading.Event(), threading.Event()

    def explained(*_: Any) -> dict[str, Any]:
        began.set()
        return {"others were answered": go_on.wait(20)}

    monkeypatch.setattr(operations, "explained", explained)
    explaining = asyncio.create_task(client.post(f"{API}/explain"))
    await until(began.is_set)
    await get(client, f"{API}/summary")
    go_on.set()
    assert await (await explaining).json() == {"others were answered": True}


class SlowStore:
    """Checks when it is let, and counts."""

    def __init__(self) -> None:
        self.checks = 0
        self.let = asyncio.Event()
        self.error: Exception | None = None

    async def check(self) -> None:
        self.checks += 1
        await self.let.wait()
        if self.error:
            raise self.error


def checked(store: SlowStore, clock: ManualClock) -> operations.Operations:
    some: Any = SimpleNamespace()
    stored: Any = store
    return operations.Operations(
        some, store=stored, reload=some, metrics=some, alarms=some, presence=some, clock=clock, log=some
    )


async def test_who_asks_for_readiness_during_a_check_waits_for_that_one() -> None:
    store = SlowStore()
    router = checked(store, ManualClock())
    asking = [asyncio.create_task(router.trouble()) for _ in range(1000)]
    await until(lambda: store.checks == 1)
    asking[0].cancel()  # the one that began it
    await asyncio.gather(asking[0], return_exceptions=True)
    store.error = StoreBusy("full")
    store.let.set()
    assert await asyncio.gather(*asking[1:]) == [["store: full"]] * 999
    assert store.checks == 1


async def test_an_answer_about_readiness_counts_for_two_seconds() -> None:
    store, clock = SlowStore(), ManualClock()
    router = checked(store, clock)
    store.error = StoreBusy("full")
    store.let.set()
    assert await router.trouble() == ["store: full"]
    store.error = None
    clock.advance(timedelta(seconds=1.9))
    assert await router.trouble() == ["store: full"]
    clock.advance(timedelta(seconds=0.1))
    assert await router.trouble() == []
    assert store.checks == 2


async def test_who_asks_with_a_wrong_token_is_counted_and_told_of_once_a_minute(tmp_path: Path) -> None:
    text = FILE.replace('admin: {listen: "127.0.0.1:0"', f'admin: {{listen: "127.0.0.1:0", tokens: {{anna: {TOKEN}x}}')
    good, clock = {"Authorization": f"Bearer {TOKEN}x"}, ManualClock()
    async with administered(tmp_path, text, clock) as (_, client):
        with structlog.testing.capture_logs() as logs:
            for _ in range(2):
                for _ in range(5):
                    await get(client, f"{API}/events", 401, Authorization="Bearer wrong")
                await get(client, f"{API}/events", 403, Host="evil.example", **good)
                clock.advance(timedelta(minutes=1))
            await get(client, f"{API}/events", 200, **good)
            await get(client, f"{API}/events/nix", 404, **good)
        async with client.get("/metrics", headers=good) as answer:
            shown = await answer.text()
    told = [{key: line[key] for key in line if key != "log_level"} for line in logs]
    assert told == [{"event": "stranger.refused", "listener": "admin", "network": "127.0.0.0/24", "status": 401}] * 2
    assert 'aftercall_admin_refused_total{status="401"} 10.0' in shown
    assert 'aftercall_admin_refused_total{status="403"} 2.0' in shown
    assert 'aftercall_admin_refused_total{status="429"} 0.0' in shown
    assert "wrong" not in str(logs)


@pytest.mark.case("LOG-06")
async def test_log_06_who_is_refused_again_and_again_fills_no_log_and_writes_nothing_into_it(
    admin: Administered,
) -> None:
    _, client = admin
    path = f"{API}/deliveries/+4915228817386/replay"
    with structlog.testing.capture_logs() as logs:
        statuses = [(await client.post(path, headers={"Host": "evil.example"})).status for _ in range(330)]
    assert statuses == [403] * 300 + [429] * 30
    events = [line["event"] for line in logs]
    assert events == ["stranger.refused"] + ["admin.refused"] * 300 + ["stranger.slowed_down"]
    assert "4915228817386" not in str(logs)
    with structlog.testing.capture_logs() as logs:
        await post(client, path, status=404)
    assert [line["path"] for line in logs if line["event"] == "admin.refused"] == [f"{API}/deliveries/…/replay"]
