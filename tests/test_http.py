from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from router.errors import ConfigError, Rejected, Unavailable
from router.http import MAX_ANSWER, failure, open_client, retry_after
from router.sink import HttpAnswer
from router.testing import HANG, RESET, Answer, FakeEndpoint, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from router.http import Client
    from router.targets import Network

NOW = datetime(2026, 3, 10, 8, 15, tzinfo=UTC)
LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"),)
CLOSED = "HTTP/1.1 {} Odd\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with FakeEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with open_client(allow_networks=LOOPBACK, now=lambda: NOW) as client:
        yield client


@asynccontextmanager
async def raw_server(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """A server that speaks whatever it likes; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


# --- the table ---

TABLE: dict[int, tuple[type[Exception] | None, bool]] = {
    200: (None, False), 201: (None, False), 202: (None, False), 204: (None, False), 299: (None, False),
    300: (Unavailable, False), 301: (Unavailable, False), 302: (Unavailable, False), 303: (Unavailable, False),
    304: (Unavailable, False), 307: (Unavailable, False), 308: (Unavailable, False),
    400: (Rejected, False), 401: (Unavailable, False), 403: (Unavailable, False), 404: (Unavailable, False),
    405: (Unavailable, False), 408: (Unavailable, False), 409: (Unavailable, False), 410: (Rejected, True),
    413: (Rejected, False), 414: (Rejected, False), 415: (Rejected, False), 418: (Unavailable, False),
    422: (Rejected, False), 425: (Unavailable, False), 429: (Unavailable, True), 431: (Rejected, False),
    500: (Unavailable, False), 501: (Rejected, False), 502: (Unavailable, True), 503: (Unavailable, True),
    504: (Unavailable, True), 508: (Unavailable, False), 599: (Unavailable, False), 999: (Unavailable, False),
}  # fmt: skip


@pytest.mark.parametrize("status", TABLE)
@pytest.mark.case("FWD-01")
async def test_a_status_decides(status: int, endpoint: FakeEndpoint, client: Client) -> None:
    endpoint.answer(Answer(raw=CLOSED.format(status).encode()))
    kind, whole_lane = TABLE[status]
    if kind is None:
        assert (await client.post(endpoint.url(), b"x", {})).status == status
        return
    with pytest.raises((Unavailable, Rejected)) as caught:
        await client.post(endpoint.url(), b"x", {})
    error = caught.value
    assert (type(error), error.whole_lane) == (kind, whole_lane)  # type: ignore[attr-defined]
    assert f"127.0.0.1:{endpoint.port} answered {status}" in str(error)
    assert "Odd" not in str(error)  # their words are not repeated


def test_no_status_falls_through_the_table() -> None:
    for status in range(600):
        assert (failure(status, "host") is None) == (200 <= status <= 299)


async def test_of_several_retry_afters_the_first_counts(endpoint: FakeEndpoint, client: Client) -> None:
    lines = b"HTTP/1.1 503 Odd\r\nRetry-After: 7\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"
    endpoint.answer(Answer(raw=lines))
    with pytest.raises(Unavailable) as caught:
        await client.post(endpoint.url(), b"x", {})
    assert caught.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503, 302])
async def test_retry_after_is_honoured_on_whatever_is_tried_again(
    status: int, endpoint: FakeEndpoint, client: Client
) -> None:
    endpoint.answer(Answer(status=status, headers={"Retry-After": "120"}))
    with pytest.raises(Unavailable) as caught:
        await client.post(endpoint.url(), b"x", {})
    assert caught.value.retry_after == timedelta(minutes=2)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("0", timedelta(0)),
        ("120", timedelta(minutes=2)),
        (" 7 ", timedelta(seconds=7)),
        ("0.65", timedelta(seconds=0.65)),
        ("999999999", timedelta(hours=24)),
        ("999999999999999", timedelta(hours=24)),
        ("9" * 40, None),
        ("-5", None),
        ("+5", None),
        ("1e3", None),
        ("٣", None),
        ("３", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("nan", None),
        ("Tue, 10 Mar 2026 08:16:00 GMT", timedelta(minutes=1)),
        ("Tuesday, 10-Mar-26 08:16:00 GMT", timedelta(minutes=1)),
        ("Tue Mar 10 08:16:00 2026", timedelta(minutes=1)),
        ("Tue, 10 Mar 2026 09:16:00 +0100", timedelta(minutes=1)),
        ("Tue, 10 Mar 2026 08:14:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", timedelta(hours=24)),
        ("Fri, 31 Dec 9999 23:59:59 -2359", timedelta(hours=24)),
        ("Tue, ١٠ Mar 2026 08:16:00 GMT", None),
        ("Tue, 32 Mar 2026 08:16:00 GMT", None),
        ("Tue, 10 Mar 2026 08:16:00 GMT" + " " * 100 + "x", None),
    ],
)
def test_retry_after_is_read(value: str | None, wait: timedelta | None) -> None:
    assert retry_after(value, NOW) == wait


@given(st.text(max_size=70) | st.text("0123456789 :,-+JanMarGMT", max_size=40))
def test_retry_after_never_raises_and_is_bounded(value: str) -> None:
    wait = retry_after(value, NOW)
    assert wait is None or timedelta(0) <= wait <= timedelta(hours=24)


# --- what is sent ---


async def test_it_posts_the_bytes_and_headers_as_given(endpoint: FakeEndpoint, client: Client) -> None:
    body = bytes(range(256))
    answer = await client.post(endpoint.url("/a?b=c"), body, {"Content-Type": "text/x", "X-Mine": "1"})
    (request,) = endpoint.requests
    assert (answer.status, request.method, request.path, request.body) == (200, "POST", "/a?b=c", body)
    assert request.headers == {
        "host": f"127.0.0.1:{endpoint.port}",
        "user-agent": request.headers["user-agent"],
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-length": "256",
        "content-type": "text/x",
        "x-mine": "1",
    }
    assert request.headers["user-agent"].startswith("aftercall/")


async def test_a_large_body_is_sent_whole(endpoint: FakeEndpoint, client: Client) -> None:
    body = b"0123456789" * 1_000_000
    await client.post(endpoint.url(), body, {})
    assert endpoint.requests[0].body == body


@pytest.mark.case("FWD-04")
async def test_cookies_are_not_kept(endpoint: FakeEndpoint, client: Client) -> None:
    endpoint.answer(Answer(headers={"Set-Cookie": "a=b; Path=/"}))
    for _ in range(2):
        await client.post(endpoint.url(), b"", {})
    assert [request.headers.get("cookie") for request in endpoint.requests] == [None, None]


@pytest.mark.case("SSRF-07")
async def test_the_environment_sends_it_nowhere_else(
    endpoint: FakeEndpoint, client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    await client.post(endpoint.url(), b"", {})
    assert "authorization" not in endpoint.requests[0].headers


async def test_credentials_of_a_url_become_a_header(endpoint: FakeEndpoint, client: Client) -> None:
    url = endpoint.url("/x").replace("http://", "http://j%C3%A4ger:p%40ss@")
    await client.post(url, b"", {})
    await client.post(url, b"", {"Authorization": "Bearer mine"})
    sent = [request.headers["authorization"] for request in endpoint.requests]
    assert sent == [aiohttp.encode_basic_auth("jäger", "p@ss", "utf-8"), "Bearer mine"]


@pytest.mark.case("SSRF-04")
async def test_a_redirect_is_not_followed(endpoint: FakeEndpoint, client: Client) -> None:
    for target in (endpoint.url("/other"), "http://169.254.169.254/", "file:///etc/passwd", "//x", "", "http://["):
        endpoint.answer(Answer(status=307, headers={"Location": target}))
        with pytest.raises(Unavailable, match="redirects are not followed"):
            await client.post(endpoint.url(), b"", {})
    assert {request.path for request in endpoint.requests} == {"/calls"}


# --- what comes back ---


async def test_the_answer_is_given_to_the_sink(endpoint: FakeEndpoint, client: Client) -> None:
    endpoint.answer(Answer(status=201, body=b'{"id": 7}'))
    answer = await client.post(endpoint.url(), b"", {})
    assert (answer.status, answer.body) == (201, b'{"id": 7}')


@pytest.mark.parametrize("status", [200, 204, 400, 410, 429, 500, 302])
@pytest.mark.parametrize("said", [Rejected("no such channel"), Unavailable("revoked", whole_lane=True)])
async def test_what_a_sink_makes_of_an_answer_counts_more_than_its_status(
    status: int, said: Rejected | Unavailable, endpoint: FakeEndpoint, client: Client
) -> None:
    endpoint.answer(Answer(status=status, body=b"" if status == 204 else b"not_ok"))
    answers: list[HttpAnswer] = []

    def verdict(answer: HttpAnswer) -> Rejected | Unavailable:
        answers.append(answer)
        return said

    with pytest.raises(type(said)) as caught:
        await client.post(endpoint.url(), b"", {}, verdict=verdict)
    assert caught.value is said
    assert answers == [HttpAnswer(status, b"" if status == 204 else b"not_ok")]


async def test_a_sink_that_makes_nothing_of_an_answer_leaves_it_to_the_status(
    endpoint: FakeEndpoint, client: Client
) -> None:
    for status in (200, 302, 400, 410, 429, 500):
        endpoint.answer(Answer(status=status, body=b"x"))
        expected = failure(status, f"127.0.0.1:{endpoint.port}")
        if expected is None:
            assert (await client.post(endpoint.url(), b"", {}, verdict=lambda _: None)).body == b"x"
        else:
            with pytest.raises(type(expected)) as caught:
                await client.post(endpoint.url(), b"", {}, verdict=lambda _: None)
            assert vars(caught.value) == vars(expected)
            assert str(caught.value) == str(expected)


@pytest.mark.parametrize(
    ("header", "said", "wait"), [("30", None, 30), ("30", 10, 30), ("30", 60, 60), (None, 60, 60), ("soon", None, None)]
)
@pytest.mark.parametrize("status", [200, 429])
async def test_the_longer_wait_counts(
    status: int, header: str | None, said: int | None, wait: int | None, endpoint: FakeEndpoint, client: Client
) -> None:
    endpoint.answer(Answer(status=status, headers={"Retry-After": header} if header else {}))
    busy = Unavailable("busy", retry_after=None if said is None else timedelta(seconds=said))
    with pytest.raises(Unavailable) as caught:
        await client.post(endpoint.url(), b"", {}, verdict=lambda _: busy)
    assert caught.value.retry_after == (None if wait is None else timedelta(seconds=wait))


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.case("SSRF-09")
async def test_of_a_flood_64_kib_are_read(status: int, endpoint: FakeEndpoint, client: Client) -> None:
    gone = asyncio.Event()

    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        try:
            for _ in range(2**15):  # two gigabytes
                await response.write(b"z" * 2**16)
        except (ConnectionError, asyncio.CancelledError):
            gone.set()
            raise
        return response

    endpoint.answer(flood)
    if status == 200:
        assert len((await client.post(endpoint.url(), b"", {})).body) == MAX_ANSWER
    else:
        with pytest.raises(Unavailable):
            await client.post(endpoint.url(), b"", {})
    await asyncio.wait_for(gone.wait(), 10)


@pytest.mark.case("SSRF-09")
async def test_a_compressed_answer_is_not_unpacked(endpoint: FakeEndpoint, client: Client) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    endpoint.answer(Answer(headers={"Content-Encoding": "gzip"}, body=bomb))
    assert (await client.post(endpoint.url(), b"", {})).body == bomb[:MAX_ANSWER]


@pytest.mark.case("SSRF-09")
async def test_a_body_that_trickles_fails_nothing(endpoint: FakeEndpoint) -> None:
    async def trickle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()
        raise AssertionError

    endpoint.answer(trickle)
    async with open_client(allow_networks=LOOPBACK, answer_seconds=0.05) as client:
        answer = await client.post(endpoint.url(), b"", {})
    assert (answer.status, answer.body) == (200, b"{")


async def test_a_body_that_breaks_off_fails_nothing(endpoint: FakeEndpoint, client: Client) -> None:
    endpoint.answer(Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc"))
    assert (await client.post(endpoint.url(), b"", {})).body == b"abc"


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 10_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 -1 OK\r\n\r\n",
    ],
)
@pytest.mark.case("SSRF-09")
async def test_what_is_not_http_is_tried_again(raw: bytes, endpoint: FakeEndpoint, client: Client) -> None:
    endpoint.answer(Answer(raw=raw))
    with pytest.raises(Unavailable, match="not HTTP") as caught:
        await client.post(endpoint.url(), b"", {})
    assert not caught.value.whole_lane


@pytest.mark.case("SSRF-09")
async def test_a_hundred_interim_answers_are_passed_over(endpoint: FakeEndpoint, client: Client) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100
    endpoint.answer(Answer(raw=interim + b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert (await client.post(endpoint.url(), b"", {})).status == 204


@pytest.mark.case("SSRF-09")
async def test_who_sends_interim_answers_without_end_is_left(client: Client) -> None:
    left = asyncio.Event()

    async def interim(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            while True:
                writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50)
                await writer.drain()
        except ConnectionError:
            left.set()

    async with raw_server(interim) as url:
        with pytest.raises(Unavailable, match="not HTTP") as caught:
            await client.post(url, b"", {})
        await asyncio.wait_for(left.wait(), 20)
    assert not caught.value.whole_lane


async def test_an_answer_before_the_end_of_the_request_counts(client: Client) -> None:
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()

    async with raw_server(early) as url:
        with pytest.raises(Rejected, match="413"):
            await client.post(url, b"x" * 20_000_000, {})


# --- what goes wrong ---


@pytest.mark.parametrize("answer", [RESET, Answer(raw=b"")])
async def test_a_connection_that_breaks_is_this_delivery_alone(
    answer: Answer, endpoint: FakeEndpoint, client: Client
) -> None:
    endpoint.answer(answer)
    with pytest.raises(Unavailable, match="closed the connection before it answered") as caught:
        await client.post(endpoint.url(), b"", {})
    assert not caught.value.whole_lane


async def test_nobody_listening_is_the_whole_lane(endpoint: FakeEndpoint, client: Client) -> None:
    await endpoint.stop()
    with pytest.raises(
        Unavailable, match=f"127.0.0.1:{endpoint.port} cannot be connected to: Connection ref"
    ) as caught:
        await client.post(endpoint.url(), b"", {})
    assert caught.value.whole_lane


async def test_a_connection_that_does_not_come_about_is_the_whole_lane() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):  # fills the queue
            async with open_client(allow_networks=LOOPBACK, connect_seconds=0.05) as client:
                for _ in range(2):
                    with pytest.raises(Unavailable, match="no answer in time") as caught:
                        await client.post(f"http://127.0.0.1:{port}/", b"", {})
                    assert caught.value.whole_lane


async def test_a_name_that_nobody_knows_is_the_whole_lane(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch)
    for url in ("https://nobody.example/", "https://a..example/"):
        with pytest.raises(Unavailable, match="cannot be looked up") as caught:
            await client.post(url, b"", {})
        assert caught.value.whole_lane


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "ws://example.com/", "file:///etc/passwd", "/x", "", "http://[", "http:///"]
)
async def test_other_urls_are_not_used(url: str, client: Client) -> None:
    with pytest.raises(Unavailable, match="not one of https or http"):
        await client.post(url, b"", {})


async def test_it_can_be_called_off(endpoint: FakeEndpoint) -> None:
    """And the one connection that the pool has is free again."""
    async with open_client(allow_networks=LOOPBACK, connections=1) as client:
        endpoint.answer(HANG, Answer())
        task = asyncio.create_task(client.post(endpoint.url(), b"", {}))
        await endpoint.received()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.post(endpoint.url(), b"", {})).status == 200


@pytest.mark.case("SSRF-10")
async def test_reasons_show_nothing_but_the_host(endpoint: FakeEndpoint, client: Client) -> None:
    """Nor do the exceptions behind them."""
    echo = Answer(status=500, headers={"X-Echo": "s3cr3t"}, body=b"s3cr3t")
    broken = [
        Answer(raw=b"HTTP/9.9 s3cr3t s3cr3t\r\ns3cr3t\r\n\r\n"),
        RESET,
        echo,
        Answer(status=302, headers={"Location": "s3cr3t"}),
    ]
    endpoint.answer(*broken)
    url = endpoint.url("/s3cr3t?s3cr3t").replace("://", "://s3cr3t:s3cr3t@")
    for target in [url] * len(broken) + [url.replace("127.0.0.1", "127.1"), url.replace("127.0.0.1", "8.8.8.8.8")]:
        with pytest.raises(Unavailable) as caught:
            await client.post(target, b"s3cr3t", {"X": "s3cr3t"})
        error: BaseException | None = caught.value
        while error is not None:
            assert "s3cr3t" not in f"{error!r} {error}"
            error = error.__cause__ or error.__context__


@pytest.mark.case("LOG-01")
async def test_the_library_logs_nothing(
    endpoint: FakeEndpoint, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.answer(Answer(raw=b"HTTP/1.1 200 OK\r\nSet-Cookie: s3cr3t[]=1; x\r\nContent-Length: 0\r\n\r\n"), RESET)
    await client.post(endpoint.url(), b"", {})
    with pytest.raises(Unavailable):
        await client.post(endpoint.url(), b"", {})
    assert [record.getMessage() for record in caplog.records if "aiohttp.client" in record.name] == []


# --- TLS ---


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@asynccontextmanager
async def tls_endpoint(authority: trustme.CA, *names: str) -> AsyncIterator[FakeEndpoint]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    async with FakeEndpoint(ssl_context=context) as endpoint:
        yield endpoint


async def test_an_unknown_certificate_is_not_accepted(authority: trustme.CA, client: Client) -> None:
    async with tls_endpoint(authority, "127.0.0.1") as endpoint:
        with pytest.raises(Unavailable, match=r"certificate of 127.0.0.1:\d+ was not accepted: .*ca_file") as caught:
            await client.post(endpoint.url(), b"", {})
        assert caught.value.whole_lane
        assert endpoint.requests == []


async def test_an_authority_of_ones_own_is_accepted(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    async with (
        tls_endpoint(authority, "127.0.0.1") as good,
        tls_endpoint(authority, "other.example") as bad,
        open_client(allow_networks=LOOPBACK, ca_file=ca_file) as client,
    ):
        assert (await client.post(good.url(), b"", {})).status == 200
        with pytest.raises(
            Unavailable, match=r"accepted: IP address mismatch, .*[^.]; write the name that is in the certificate$"
        ):
            await client.post(bad.url(), b"", {})


async def test_a_certificate_that_has_expired_is_for_who_runs_the_server(authority: trustme.CA, tmp_path: Path) -> None:
    ca_file, context = tmp_path / "ca.pem", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(ca_file)
    begins, ends = datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC)
    authority.issue_cert("127.0.0.1", not_before=begins, not_after=ends).configure_cert(context)
    async with (
        FakeEndpoint(ssl_context=context) as endpoint,
        open_client(allow_networks=LOOPBACK, ca_file=ca_file) as client,
    ):
        with pytest.raises(Unavailable, match="certificate has expired; who runs the server has to renew it") as caught:
            await client.post(endpoint.url(), b"", {})
        assert caught.value.whole_lane
        assert endpoint.requests == []


async def test_who_accepts_and_does_not_come_to_tls_is_the_whole_lane() -> None:
    async def wait(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(wait) as url, open_client(allow_networks=LOOPBACK, connect_seconds=0.05) as client:
        with pytest.raises(Unavailable, match="cannot be connected to: no answer in time") as caught:
            await client.post(url.replace("http:", "https:"), b"", {})
        assert caught.value.whole_lane


async def test_tls_with_who_does_not_speak_it(endpoint: FakeEndpoint, client: Client) -> None:
    with pytest.raises(Unavailable, match="no TLS with") as caught:
        await client.post(endpoint.url().replace("http:", "https:"), b"", {})
    assert caught.value.whole_lane


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_bad_ca_file_is_a_configuration_error(content: bytes | None, tmp_path: Path) -> None:
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"ca_file: no certificates can be read from .*ca\.pem.: "):
        async with open_client(ca_file=ca_file):
            pass


# --- where it may go ---


def resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: tuple[str, ...]) -> None:
    """The name server answers each look-up with the next of these, then with the last one; with none it knows nobody."""
    left = list(answers)

    def getaddrinfo(host: str, port: int, **_hints: Any) -> list[Any]:
        host.encode("idna")
        if not left:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = left.pop(0) if len(left) > 1 else left[0]
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in found
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


TRICKS = [
    "127.0.0.1", "127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "[::]", "[::1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "0", "0.0.0.0", "localhost", "localhost.",
    "user@127.0.0.1", "%31%32%37.0.0.1", "１２７.０.０.１", "①②⑦.0.0.1", "127。0。0。1", "[fe80::1]", "[fc00::1]", "10.0.0.1",
    "192.168.1.1", "172.16.0.1", "100.64.0.1", "169.254.169.254", "[::ffff:169.254.169.254]", "224.0.0.1", "[ff02::1]",
    "255.255.255.255", "198.18.0.1",
]  # fmt: skip


@pytest.mark.parametrize("host", TRICKS)
@pytest.mark.case("SSRF-01")
async def test_no_spelling_leads_inside(host: str, endpoint: FakeEndpoint) -> None:
    async with open_client() as client:
        with pytest.raises(Unavailable) as caught:
            await client.post(f"http://{host}:{endpoint.port}/", b"", {})
    assert caught.value.whole_lane
    assert endpoint.requests == []


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",),
        ("::1",),
        ("93.184.215.14", "127.0.0.1"),
        ("127.0.0.1", "93.184.215.14"),
        ("2606:2800::1", "10.0.0.1"),
    ],
)
@pytest.mark.case("SSRF-03")
async def test_a_name_does_not_lead_inside(
    addresses: tuple[str, ...], endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One address inside spoils the answer, whatever else is in it."""
    resolve_to(monkeypatch, addresses)
    async with open_client() as client:
        with pytest.raises(Unavailable, match=r"inside.example is .*, which is not public; .* allow_networks: \["):
            await client.post(f"http://inside.example:{endpoint.port}/", b"", {})
    assert endpoint.requests == []


@pytest.mark.case("SSRF-03")
async def test_a_name_that_moves_inside_is_refused_there(
    endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: each connection is judged by the address that it is made to."""
    resolve_to(monkeypatch, ("127.0.0.1",), ("127.0.0.2", "10.0.0.1"), ("127.0.0.1",))
    async with open_client(allow_networks=LOOPBACK) as client:
        endpoint.answer(Answer(headers={"Connection": "close"}))
        url = f"http://moving.example:{endpoint.port}/"
        await client.post(url, b"", {})
        with pytest.raises(Unavailable, match=r"moving.example is 10.0.0.1, .*\[10.0.0.1/32\]"):
            await client.post(url, b"", {})
        await client.post(url, b"", {})
    assert [request.headers["host"] for request in endpoint.requests] == [f"moving.example:{endpoint.port}"] * 2


@pytest.mark.case("SSRF-06")
async def test_networks_can_be_allowed_but_not_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    async with open_client(allow_networks=everything) as client:
        for host in ("169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "[::ffff:169.254.169.254]"):
            with pytest.raises(Unavailable, match="never allowed"):
                await client.post(f"http://{host}/latest/meta-data/", b"", {})
        resolve_to(monkeypatch, ("169.254.169.254",))
        with pytest.raises(Unavailable, match=r"metadata.example is 169.254.169.254, .* never allowed"):
            await client.post("http://metadata.example/", b"", {})


async def test_localhost_is_both_loopbacks(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, ("::1", "127.0.0.1"))
    async with open_client(allow_networks=LOOPBACK) as client:
        await client.post(f"http://localhost:{endpoint.port}/", b"", {})
    assert len(endpoint.requests) == 1


async def test_nothing_is_left_open(endpoint: FakeEndpoint) -> None:
    before = asyncio.all_tasks()
    async with open_client(allow_networks=LOOPBACK) as client:
        await asyncio.gather(*(client.post(endpoint.url(), b"x", {}) for _ in range(20)))
    await eventually(lambda: asyncio.all_tasks() <= before)


@pytest.mark.parametrize(
    ("body", "value"),
    [(b'{"ok": true}', {"ok": True}), (b"", {}), (b"[1]", {}), (b'{"ok', {}), (b"\xff", {}), (b"[" * 65_536, {})],
)
def test_an_answer_in_json(body: bytes, value: dict[str, Any]) -> None:
    """Whatever a far side sends is no reason to fail."""
    assert HttpAnswer(200, body).json() == value
