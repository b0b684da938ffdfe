"""The ingest listener, asked over real sockets: every status of the contract, and what it keeps."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from router.app import Router, running
from router.config import load
from router.strangers import Strangers
from support import CASES, EXAMPLE, body

TOKEN = "0123456789abcdefghijklmn"
SECOND = "zyxwvutsrqponmlkjihgfedc"

FILE = f"""
sources:
  sipgate: {{tokens: [{TOKEN}, {SECOND}]}}
  other: {{token: another-token-0123456789}}
server: {{listen: "127.0.0.1:0", max_body: 64 KiB}}
admin: {{listen: "127.0.0.1:0"}}
"""


@asynccontextmanager
async def listening(folder: Path, text: str = FILE) -> AsyncIterator[tuple[Router, aiohttp.ClientSession]]:
    """A router with this routes.yaml, and a client of its ingest listener."""
    file = folder / "routes.yaml"
    file.write_text(text, encoding="utf-8")
    async with running(load(file, {})) as router, aiohttp.ClientSession(f"http://{router.ingest}") as client:
        yield router, client


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Router, aiohttp.ClientSession]]:
    async with listening(tmp_path) as made:
        yield made


Served = tuple[Router, aiohttp.ClientSession]


async def post(
    client: aiohttp.ClientSession, data: Any, token: str = TOKEN, source: str = "sipgate", **headers: str
) -> tuple[int, dict[str, Any]]:
    async with client.post(f"/in/{source}/{token}", data=data, headers=headers) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else {}


async def chunked(data: bytes, size: int = 700) -> AsyncIterator[bytes]:
    """A body whose length nobody knows beforehand."""
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def raw(router: Router, request: bytes) -> bytes:
    """Whatever comes back until the other side closes, which it does after everything that is wrong."""
    reader, writer = await asyncio.open_connection(router.ingest.host, router.ingest.port)
    writer.write(request)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.case("JSON-01")
async def test_a_call_is_kept_byte_for_byte_and_answered_with_its_event(served: Served) -> None:
    router, client = served
    data = b' {"call" : {"id":"c", "x": 1.50},  "summary":"\\u00fc"}\n'
    status, answer = await post(client, data)
    assert (status, answer) == (202, {"event": answer["event"], "revision": 1, "deliveries": 0})
    stored = await router.store.event(answer["event"])
    assert stored is not None
    assert stored.body == data


async def test_chunked_bodies_are_taken(served: Served) -> None:
    router, client = served
    status, answer = await post(client, chunked(EXAMPLE.read_bytes()))
    assert status == 202
    stored = await router.store.event(answer["event"])
    assert stored is not None
    assert stored.body == EXAMPLE.read_bytes()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def two_streams(data: bytes) -> bytes:
    return gzip.compress(data[:20]) + gzip.compress(data[20:])


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("GZIP", gzip.compress),
        ("identity", bytes),
        ("deflate", raw_deflate),
        ("gzip", two_streams),
    ],
)
async def test_encodings_are_taken_off(served: Served, encoding: str, packed: Any) -> None:
    router, client = served
    data = body()
    for number, sent in enumerate((packed(data), chunked(packed(data), 10))):
        status, answer = await post(client, sent, **{"Content-Encoding": encoding})
        assert status == (200 if number else 202)
    stored = await router.store.event(answer["event"])
    assert stored is not None
    assert stored.body == data


async def test_the_same_call_again_is_a_duplicate_and_other_content_a_revision(served: Served) -> None:
    _, client = served
    _, first = await post(client, body())
    assert await post(client, body()) == (200, {"event": first["event"], "duplicate": True, "deliveries": 0})
    reordered = json.dumps(dict(reversed(json.loads(body()).items())), indent=3).encode()
    assert (await post(client, reordered))[0] == 200
    status, second = await post(client, body(summary="anders"))
    assert (status, second["revision"]) == (202, 2)


@pytest.mark.case("DED-01")
async def test_the_same_body_in_parallel_is_one_event(served: Served) -> None:
    router, client = served
    answers = await asyncio.gather(*(post(client, body()) for _ in range(50)))
    assert sorted(status for status, _ in answers) == [200] * 49 + [202]
    assert len({answer["event"] for _, answer in answers}) == 1
    summary = await router.store.summary()
    assert (summary.received, summary.events, summary.duplicates) == (50, 1, 49)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"not json", "not JSON"),
        (b'{"call": {"id": NaN}}', "NaN"),
        (b"[1, 2]", "not an object"),
        (b"null", "not an object"),
        (b'{"a": 1}', "no known format"),
        (b'{"call": {}}{"call": {}}', "Extra data"),
        (b"[" * 50_000, "nested deeper"),
        (b"\xff\xff", "not text"),
        (b"call=1&x=2", "not JSON"),
    ],
)
@pytest.mark.case("JSON-09", "JSON-12")
async def test_json_12_what_nobody_can_read_is_kept_in_quarantine(served: Served, data: bytes, reason: str) -> None:
    router, client = served
    status, answer = await post(client, data)
    assert status == 202
    assert answer.keys() == {"quarantined", "reason"}
    assert reason in answer["reason"]
    again, same = await post(client, data)
    assert (again, same["quarantined"]) == (202, answer["quarantined"])
    (line,) = (await router.store.quarantined()).items
    assert (line.size, line.times) == (len(data), 2)
    assert (await post(client, body()))[0] == 202, "the next call works"


@pytest.mark.parametrize("value", ["1" * 5000, "9223372036854775808", "1e400", '"\\ud800"', '"\\u0000"'])
async def test_odd_values_are_no_reason_to_refuse_a_call(served: Served, value: str) -> None:
    _, client = served
    data = f'{{"call": {{"id": {value}, "startTime": {value}, "duration": {value}}}, "summary": {value}}}'
    status, answer = await post(client, data.encode())
    assert status == 202
    assert "event" in answer


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data", "application/x-www-form-urlencoded", ""])
@pytest.mark.case("HTTP-15")
async def test_http_15_the_content_type_does_not_matter(served: Served, content_type: str) -> None:
    _, client = served
    assert (await post(client, body(), **{"Content-Type": content_type}))[0] == 202


async def test_both_tokens_of_a_source_open_it(served: Served) -> None:
    _, client = served
    assert (await post(client, body("a")))[0] == 202
    assert (await post(client, body("b"), SECOND))[0] == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/in/sipgate/{TOKEN[:-1]}"),
        ("POST", f"/in/sipgate/{TOKEN}x"),
        ("POST", f"/in/sipgate/{TOKEN}/more"),
        ("POST", "/in/sipgate/"),
        ("POST", "/in/sipgate"),
        ("POST", f"/in/nobody/{TOKEN}"),
        ("POST", f"/in/other/{TOKEN}"),
        ("POST", f"/in/sipgate/{TOKEN};x=1"),
        ("PUT", f"/in/sipgate/{TOKEN}"),
        ("DELETE", f"/in/sipgate/{TOKEN}"),
        ("OPTIONS", f"/in/sipgate/{TOKEN}"),
        ("TRACE", f"/in/sipgate/{TOKEN}"),
        ("PATCH", f"/in/sipgate/{TOKEN}"),
        ("POST", f"/in/sipgate/{TOKEN}/"),
        ("POST", f"/in/sipgate/{TOKEN[:5]}%2F{TOKEN[5:]}"),
        ("POST", "/"),
        ("GET", "/in/sipgate/wrong"),
        ("GET", "/api/v1/summary"),
        ("POST", "/healthz"),
        ("POST", "/in/%2e%2e/%2F"),
    ],
)
@pytest.mark.case("AUTH-01", "HTTP-13")
async def test_http_13_whatever_is_wrong_gets_one_uniform_answer(served: Served, method: str, path: str) -> None:
    router, client = served
    async with client.request(method, path, data=body()) as answer:
        assert answer.status == 404
        assert await answer.json() == {"error": {"code": "not_found", "message": "not found"}}
    assert (await router.store.summary()).received == 0


@pytest.mark.case("LOG-04")
async def test_log_04_the_public_listener_says_nothing_of_what_runs_and_of_where_calls_go(tmp_path: Path) -> None:
    sinks = 'sinks: {crm: {kind: webhook, url: "https://crm.example.com/hooks/1"}}\nalways: crm\n'
    async with listening(tmp_path, FILE + sinks) as (router, client):
        assert router.admin.host == "127.0.0.1"
        await router.lanes["crm"].gate.pause()
        assert (await post(client, body()))[0] == 202
        said = []
        for path in ("/metrics", "/health", "/api/v1/summary", "/api/v1/lanes", "/openapi.json", "/"):
            async with client.get(path) as answer:
                assert answer.status == 404, path
                said.append(f"{answer.headers} {await answer.text()}")
        for path in ("/healthz", "/readyz"):
            async with client.get(path) as answer:
                assert (answer.status, await answer.read()) == (200, b"")
                said.append(str(answer.headers))
        async with client.get(f"/in/sipgate/{TOKEN}") as answer:
            said.append(f"{answer.headers} {await answer.text()}")
    for text in said:
        assert not re.search(r"crm|call-1|\+?4915|\d+\.\d+\.\d+|python|aiohttp", text, re.IGNORECASE), text


@pytest.mark.case("HTTP-13")
async def test_odd_request_targets_are_no_way_in(served: Served) -> None:
    router, _ = served
    odd = ("http://evil/in/sipgate/wrong", f"http://evil/in/sipgate/{TOKEN}", f"//in/sipgate/{TOKEN}", "*")
    for target in (*odd, f"/in/sipgate/%30{TOKEN[1:]}"):
        request = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}"
        assert (await raw(router, request.encode())).splitlines()[0][9:12] in (b"404", b"400"), target


async def test_a_get_with_the_token_says_that_aftercall_listens(served: Served) -> None:
    _, client = served
    async with client.head(f"/in/sipgate/{TOKEN}") as answer:
        assert answer.status == 200
    async with client.get(f"/in/sipgate/{TOKEN}") as answer:
        assert answer.status == 200
        assert (await answer.json())["source"] == "sipgate"


async def test_an_empty_body_is_the_senders_fault(served: Served) -> None:
    _, client = served
    assert (await post(client, b""))[0] == 400
    assert (await post(client, gzip.compress(b""), **{"Content-Encoding": "gzip"}))[0] == 400


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(body()) + b"junk", "gzip"),
        (gzip.compress(b"") * 2000, "gzip"),
        (zlib.compress(body())[:-1], "deflate"),
        (zlib.compress(body()) * 2, "deflate"),
        (b"no gzip at all", "gzip"),
        (gzip.compress(body())[:-9], "gzip"),
        (gzip.compress(body())[:20] + b"\0" * 40, "gzip"),
        (body(), "br"),
        (gzip.compress(gzip.compress(body())), "gzip, gzip"),
        (body(), "foo"),
    ],
)
@pytest.mark.case("HTTP-03", "HTTP-04")
async def test_http_03_04_a_corrupt_or_unknown_encoding_is_a_400(served: Served, data: bytes, encoding: str) -> None:
    router, client = served
    assert (await post(client, data, **{"Content-Encoding": encoding}))[0] == 400
    assert (await router.store.summary()).received == 0


@pytest.mark.case("HTTP-01")
async def test_http_01_too_large_is_a_413_however_it_is_sent(served: Served) -> None:
    router, client = served
    large = b'{"call": {"id": "' + b"x" * 65536 + b'"}}'
    assert (await post(client, large))[0] == 413
    assert (await post(client, chunked(large)))[0] == 413
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 65536
    assert (await post(client, bomb, **{"Content-Encoding": "gzip"}))[0] == 413
    assert (await router.store.summary()).received == 0


async def test_a_body_of_exactly_the_limit_is_taken(served: Served) -> None:
    _, client = served
    data = body(pad="")
    data = body(pad="x" * (65536 - len(data)))
    assert len(data) == 65536
    assert (await post(client, data))[0] == 202
    assert (await post(client, chunked(data)))[0] == 200


async def test_large_bodies_wait_for_each_other_and_their_senders_are_not_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.server.LARGE", 1000)
    monkeypatch.setattr("router.server.LARGE_BODIES", 1)
    async with listening(tmp_path) as (router, client):
        reader, writer = await asyncio.open_connection(router.ingest.host, router.ingest.port)
        data = body("slow", pad="x" * 20_000)
        writer.write(f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        writer.write(data[:15_000])
        await writer.drain()
        others = [asyncio.create_task(post(client, body(f"other-{at}", pad="x" * 20_000))) for at in range(5)]
        assert (await post(client, body("small")))[0] == 202, "small ones do not wait"
        writer.write(data[15_000:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 202")
        assert [status for status, _ in await asyncio.gather(*others)] == [202] * 5
        writer.close()
        await writer.wait_closed()
        monkeypatch.setattr("router.server.TURN_DEADLINE", 0.01)
        reader, writer = await asyncio.open_connection(router.ingest.host, router.ingest.port)
        writer.write(
            f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n".encode() + b"x" * 20_000
        )
        await writer.drain()
        async with asyncio.timeout(10):
            while (await post(client, body("late", pad="x" * 20_000)))[0] != 503:
                await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()


@pytest.mark.case("HTTP-01")
async def test_a_length_that_is_too_large_is_refused_before_it_comes(served: Served) -> None:
    router, _ = served
    head = f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n"
    assert (await raw(router, head.encode())).startswith(b"HTTP/1.1 413")


@pytest.mark.case("HTTP-12")
async def test_continue_is_said_only_to_who_may_post(served: Served) -> None:
    router, _ = served
    head = "POST /in/sipgate/{} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {}\r\nConnection: close\r\n\r\n"
    good = await raw(router, head.format(TOKEN, len(body())).encode() + body())
    assert good.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202")
    for token, length, status in (("wrong", 10, b"404"), ("wrong", 70000, b"404"), (TOKEN, 70000, b"413")):
        answer = await raw(router, head.format(token, length).encode())
        assert answer.startswith(b"HTTP/1.1 " + status), "and before a byte of the body has come"
        assert b"100 Continue" not in answer


@pytest.mark.case("HTTP-06")
async def test_a_body_that_never_ends_is_a_408(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.server.BODY_DEADLINE", 0.05)
    async with listening(tmp_path) as (router, _):
        reader, writer = await asyncio.open_connection(router.ingest.host, router.ingest.port)
        writer.write(f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc".encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        writer.close()
        await writer.wait_closed()
        assert (await router.store.summary()).received == 0


async def test_a_sender_that_hangs_up_half_way_leaves_nothing(served: Served) -> None:
    router, client = served
    head = f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    _, writer = await asyncio.open_connection(router.ingest.host, router.ingest.port)
    writer.write(head.encode() + b'{"call": {')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert (await post(client, body()))[0] == 202
    assert (await router.store.summary()).received == 1


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"Transfer-Encoding: xchunked\r\n\r\n{}",
        b"Content-Length: +2\r\n\r\n{}",
        b"Content-Length: 2\r\n folded: x\r\n\r\n{}",
        b"X: a\0b\r\nContent-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}",
        b"Content-Length: 2\n\n{}",
        b"Host: y\r\nContent-Length: 2\r\n\r\n{}",
        b"X : y\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
@pytest.mark.case("HTTP-07")
async def test_http_07_what_two_parsers_could_read_differently_is_refused(served: Served, lines: bytes) -> None:
    router, client = served
    answer = await raw(router, f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\n".encode() + lines)
    assert answer.splitlines()[0].endswith(b" 400 Bad Request")
    assert answer.count(b"HTTP/1.") == 1
    assert TOKEN.encode() not in answer
    assert b"aiohttp" not in answer
    assert (await post(client, body()))[0] == 202


@pytest.mark.case("HTTP-07")
@pytest.mark.parametrize(
    "request_",
    [
        f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nContent-Length: 2\r\n\r\n{{}}",
        f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost : x\r\nContent-Length: 2\r\n\r\n{{}}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        f"POST /in/sipgate/{TOKEN}\r\n\r\n",
        "\x16\x03\x01 hello\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_a_400_and_the_end(served: Served, request_: str) -> None:
    router, _ = served
    answer = await raw(router, request_.encode())
    assert answer.splitlines()[0].endswith(b" 400 Bad Request")
    assert answer.count(b"HTTP/") == 1
    assert TOKEN.encode() not in answer
    assert (await router.store.summary()).received == 0


@pytest.mark.case("HTTP-10")
async def test_odd_but_whole_requests_are_answered(served: Served) -> None:
    router, client = served
    head = f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    data = body(pad="x" * 20_000)
    small = b"".join(b"1\r\n%c\r\n" % byte for byte in data) + b"0\r\n\r\n"
    chunked_head = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
    assert b" 202 " in (await raw(router, chunked_head + small)).splitlines()[0]
    for request_ in (
        chunked_head + b"1;" + b"x" * 20_000 + b"\r\n{\r\n0\r\n\r\n",
        f"{head}X: {'x' * 9000}\r\n\r\n".encode(),
        f"{head}{''.join(f'X-{number}: x' + chr(13) + chr(10) for number in range(2000))}\r\n".encode(),
    ):
        assert (await raw(router, request_)).splitlines()[0][9:12] in (b"202", b"400", b"413")
    assert (await post(client, body("another")))[0] == 202


@pytest.mark.case("AUTH-16", "LOG-06")
async def test_auth_16_an_address_that_guesses_too_often_is_told_so_and_a_good_token_still_works(
    served: Served,
) -> None:
    _, client = served
    with structlog.testing.capture_logs() as logs:
        wrong = [(await post(client, body(), f"wrong-{number}"))[0] for number in range(Strangers().allowed + 5)]
    assert wrong == [404] * Strangers().allowed + [429] * 5
    assert [line["network"] for line in logs if line["event"] == "stranger.slowed_down"] == ["127.0.0.0/24"]
    assert len(logs) == Strangers().allowed + 1, "no stranger fills the log"
    assert (await post(client, body()))[0] == 202


@pytest.mark.case("LOG-06")
async def test_log_06_a_scanner_fills_no_log_wherever_it_looks(served: Served) -> None:
    _, client = served
    statuses = []
    with structlog.testing.capture_logs() as logs:
        for number in range(Strangers().allowed + 20):
            for path in ("/wp-login.php", "/", "/inn/x/y"):
                async with client.get(path, headers={"X": str(number)}) as answer:
                    statuses.append(answer.status)
    assert statuses == [404] * Strangers().allowed + [429] * (len(statuses) - Strangers().allowed)
    assert len(logs) == Strangers().allowed + 1


@pytest.mark.case("HTTP-16")
async def test_nothing_says_what_we_are_made_of(served: Served) -> None:
    _, client = served
    async with client.post("/in/x/y") as answer:
        assert answer.headers["Server"] == "aftercall"


async def test_health_is_an_empty_200(served: Served) -> None:
    _, client = served
    for path in ("/healthz", "/readyz"):
        async with client.get(path) as answer:
            assert (answer.status, await answer.read()) == (200, b"")


@pytest.mark.case("LOG-01")
async def test_the_access_log_names_the_source_and_never_the_path(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with listening(tmp_path) as (_, client):
            await post(client, EXAMPLE.read_bytes())
            await post(client, body(), "a-wrong-token")
            await post(client, b"broken {")
    lines = [entry for entry in logs if entry["event"] == "request.answered"]
    assert [(line["source"], line["status"]) for line in lines] == [("sipgate", 202), (None, 404), ("sipgate", 202)]
    for leak in (TOKEN, "a-wrong-token", "/in/", "Özdemir", "+4915228817386", "Sales Hotline", "call_example_0001"):
        assert leak not in str(logs)


@pytest.mark.parametrize("how", ["plain", "chunked"])
async def test_the_cases_are_answered_as_expected(tmp_path: Path, how: str) -> None:
    folder = CASES / "payloads"
    if not folder.is_dir():
        pytest.skip("the shared cases are not here")
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    async with listening(tmp_path, FILE.replace("64 KiB", "10 MiB")) as (_, client):
        events: dict[str, str] = {}
        for name, wanted in expected.items():
            data = (folder / name).read_bytes()
            status, answer = await post(client, chunked(data) if how == "chunked" else data)
            assert status in (200, 202), name
            if wanted.get("quarantined") is True:
                assert "quarantined" in answer, name
            events[name] = answer.get("event", "")
            if "duplicate_of" in wanted:
                assert answer.get("duplicate"), name
                assert events[name] == events[wanted["duplicate_of"]]
            if "revision_of" in wanted:
                assert answer["revision"] == 2, name


FENCED = f"""
sources:
  sipgate: {{token: {TOKEN}, allow_from: 203.0.113.0/24}}
server: {{listen: "127.0.0.1:0", trusted_proxies: 127.0.0.1}}
admin: {{listen: "127.0.0.1:0"}}
"""


@pytest.mark.case("AUTH-06")
async def test_only_from_its_networks_a_source_is_open(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with listening(tmp_path, FENCED) as (router, client):
            for said in ({}, {"X-Forwarded-For": "203.0.113.7, 198.51.100.9"}, {"X-Real-IP": "203.0.113.7"}):
                async with client.post("/in/sipgate/wrong", data=body()) as answer:
                    refusal = answer.status, answer.headers.keys(), await answer.read()
                async with client.post(f"/in/sipgate/{TOKEN}", data=body(), headers=said) as answer:
                    assert (answer.status, answer.headers.keys(), await answer.read()) == refusal
            assert (await router.store.summary()).received == 0
            assert (await post(client, body(), **{"X-Forwarded-For": "198.51.100.9, 203.0.113.7"}))[0] == 202
    barred = [line for line in logs if line["event"] == "source.barred"]
    assert [(line["source"], line["network"]) for line in barred] == [
        ("sipgate", "127.0.0.0/24"),
        ("sipgate", "198.51.100.0/24"),
        ("sipgate", "127.0.0.0/24"),
    ]
    assert "198.51.100.9" not in str(logs)


@pytest.mark.case("AUTH-06")
async def test_without_trusted_proxies_no_header_opens_a_door(tmp_path: Path) -> None:
    text = FENCED.replace(", trusted_proxies: 127.0.0.1", "").replace('127.0.0.1:0"}\nadmin', '0.0.0.0:0"}\nadmin')
    async with listening(tmp_path, text) as (router, _), aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{router.ingest.port}/in/sipgate/{TOKEN}"
        for name, value in (("X-Forwarded-For", "203.0.113.7"), ("Forwarded", "for=203.0.113.7")):
            async with client.post(url, data=body(), headers={name: value}) as answer:
                assert answer.status == 404


@pytest.mark.case("AUTH-16")
async def test_who_guesses_behind_a_proxy_slows_down_nobody_else(tmp_path: Path) -> None:
    async with listening(tmp_path, FENCED) as (_, client):

        async def wrong(address: str) -> int:
            return (await post(client, body(), "wrong", **{"X-Forwarded-For": address}))[0]

        guessed = [await wrong(f"2001:db8::{number:x}") for number in range(Strangers().allowed + 1)]
        assert guessed == [404] * Strangers().allowed + [429], "a /64 is one person's"
        assert await wrong("2001:db8:0:1::1") == 404
        assert await wrong("203.0.113.7") == 404


@pytest.mark.case("AUTH-03")
async def test_two_tokens_are_told_apart_until_one_of_them_goes(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with listening(tmp_path) as (_, client):
            assert [(await post(client, body(), token))[0] for token in (TOKEN, SECOND)] == [202, 200]
        async with listening(tmp_path, FILE.replace(f"tokens: [{TOKEN}, {SECOND}]", f"token: {SECOND}")) as (_, client):
            assert [(await post(client, body(), token))[0] for token in (TOKEN, SECOND)] == [404, 200]
    answered = [(line["token"], line["status"]) for line in logs if line["event"] == "request.answered"]
    assert answered == [(1, 202), (2, 200), (None, 404), (1, 200)]
    assert TOKEN not in str(logs)
    assert SECOND not in str(logs)


@pytest.mark.case("JSON-12")
async def test_a_flood_of_authentic_garbage_ends_and_calls_go_on_coming_in(tmp_path: Path) -> None:
    with structlog.testing.capture_logs() as logs:
        async with listening(tmp_path, FILE + "keep: {quarantine_size: 5 KiB}\n") as (router, client):
            statuses = [(await post(client, f"garbage {number}".encode()))[0] for number in range(8)]
            assert statuses == [202] * 4 + [503] * 4
            assert (await post(client, body()))[0] == 202
            assert (await post(client, b"garbage 0"))[0] == 202, "we have that one"
            assert (await post(client, b"garbage", "another-token-0123456789", "other"))[0] == 202
            assert (await router.store.summary()).quarantined == 5
    assert [line["source"] for line in logs if line["event"] == "quarantine.full"] == ["sipgate"] * 4
