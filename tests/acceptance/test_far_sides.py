"""Slow and hostile far sides of a real router: what becomes of a delivery, what an admin is told, and that others go on."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

import farsides
from extent import extent
from farsides import Manner, begins_and_goes_on, far_side, says, speaks, takes_a_mail_and
from process import Receiver, RouterProcess, Sender

CALLS = 3
#: Bytes by which the router may grow meanwhile: less than one of the answers that it gets.
ROOM = 60 * 1024 * 1024


@dataclass(frozen=True)
class Case:
    """A far side, and what becomes of a call that is owed to it."""

    manner: Manner | None
    #: `delivered` or `dead`; of a lane that is held `probing` or `disabled`.
    ends: str
    #: Of the dead delivery, or of the lane.
    reason: str = ""
    mail: bool = False
    tls: str = ""
    timeout: str = "120s"

    @property
    def held(self) -> bool:
        """Whether it holds its lane."""
        return self.ends in ("probing", "disabled")


TIMED_OUT = "no answer within 2 s"
CLOSED = r"127\.0\.0\.1:\d+ closed the connection before it answered; it may have the call"
REDIRECT = "redirects are not followed, so write the URL it leads to"
CERTIFICATE = r"the certificate of 127\.0\.0\.1:\d+ was not accepted: "

WEB = {
    "never_answers": Case(farsides.never_answers, "dead", TIMED_OUT, timeout="2s"),
    "trickles_a_head": Case(begins_and_goes_on(b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.2), "dead", TIMED_OUT, timeout="2s"),
    "trickles_a_body": Case(
        begins_and_goes_on(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"x", 0.5), "delivered"
    ),
    "resets_in_the_request": Case(farsides.resets_in_the_request, "dead", CLOSED),
    "resets_in_the_head": Case(farsides.resets_in_the_head, "dead", CLOSED),
    "resets_in_the_body": Case(farsides.resets_in_the_body, "delivered"),
    "much": Case(
        begins_and_goes_on(b"HTTP/1.1 200 OK\r\n" + farsides.HUNDRED_MEGABYTES, b"x" * 65536), "delivered"
    ),
    "much_of_an_error": Case(
        begins_and_goes_on(b"HTTP/1.1 500 No\r\n" + farsides.HUNDRED_MEGABYTES, b"x" * 65536), "dead", "answered 500"
    ),
    "a_bomb": Case(says("200 OK\r\nContent-Encoding: gzip", body=farsides.BOMB), "delivered"),
    "headers_without_end": Case(begins_and_goes_on(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100), "dead", "not HTTP"),
    "interim_without_end": Case(begins_and_goes_on(b"", b"HTTP/1.1 103 Early\r\n\r\n" * 100), "dead", "not HTTP"),
    "chunks_without_end": Case(
        begins_and_goes_on(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 100), "delivered",
    ),
    "r301": Case(says("301 x\r\nLocation: /elsewhere"), "dead", REDIRECT),
    "r302": Case(says("302 x\r\nLocation: http://169.254.169.254/"), "dead", REDIRECT),
    "r307": Case(says("307 x\r\nLocation: /elsewhere"), "dead", REDIRECT),
    "r308": Case(says("308 x\r\nLocation: /elsewhere"), "dead", REDIRECT),
    "gone": Case(says("410 Gone"), "disabled", "answered 410 Gone"),
    "negative": Case(says("429 x\r\nRetry-After: -7"), "probing", "answered 429"),
    "garbage": Case(says("503 x\r\nRetry-After: soon\u00a0\u0000".replace("\u0000", "")), "probing", "answered 503"),
    "several": Case(says("503 x\r\nRetry-After: 0\r\nRetry-After: 1"), "probing", "answered 503"),
    "a_float": Case(says("429 x\r\nRetry-After: 0.5"), "probing", "answered 429"),
    "long_ago": Case(says("503 x\r\nRetry-After: Tue, 10 Mar 1998 08:14:00 +0100"), "probing", "answered 503"),
    "for_ever": Case(says("503 x\r\nRetry-After: 1000000000000"), "probing", "answered 503"),
    "expired": Case(says("200 OK"), "probing", CERTIFICATE + ".*expired; who runs the server has to renew", tls="expired"),
    "of_another": Case(says("200 OK"), "probing", CERTIFICATE + ".*write the name that is in", tls="of_another"),
    "self_signed": Case(says("200 OK"), "probing", CERTIFICATE + ".*name its authority in ca_file", tls="unknown"),
}  # fmt: skip
MAIL = {
    "says_nothing": Case(speaks(b""), "dead", TIMED_OUT, timeout="2s", mail=True),
    "greets_without_end": Case(speaks(forever=b"220-wait\r\n", pause=0.2), "dead", TIMED_OUT, timeout="2s", mail=True),
    "talks_without_end": Case(takes_a_mail_and(b"", forever=b"250-x\r\n" * 100), "dead", "not SMTP", mail=True),
    "thinks_about_it": Case(takes_a_mail_and(b""), "dead", TIMED_OUT, timeout="2s", mail=True),
    "takes_it_and_goes": Case(
        takes_a_mail_and(b"", then="closes"), "dead", "closed the connection before it answered; it may have the mail",
        mail=True,
    ),
    "is_closing": Case(takes_a_mail_and(b"421 bye\r\n"), "probing", r"421 \(it is closing, or busy\)", mail=True),
    "drops_tls": Case(
        speaks(b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\n", then="closes"), "probing",
        "closed the connection before it took a mail|no TLS with", mail=True, tls="starttls",
    ),
}  # fmt: skip
#: Only after ten seconds is it known that nobody will come.
LONG = {
    "never_accepts": Case(None, "probing", r"cannot be connected to: no answer in time"),
    "no_handshake": Case(farsides.never_answers, "probing", "no answer in time|no TLS with", tls="none"),
}
CASES = WEB | MAIL | extent({}, LONG)


@asynccontextmanager
async def far_sides(folder: Path) -> AsyncIterator[dict[str, str]]:
    """All of them; the sinks of routes.yaml that lead there."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    long_ago = datetime(2001, 1, 1, tzinfo=UTC)
    certificates = {
        "expired": authority.issue_cert("127.0.0.1", not_before=long_ago, not_after=long_ago.replace(year=2002)),
        "of_another": authority.issue_cert("other.example"),
        "unknown": stranger.issue_cert("127.0.0.1"),
    }
    sinks: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for name, case in CASES.items():
            tls = None
            if case.tls in certificates:
                tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                certificates[case.tls].configure_cert(tls)
            if case.manner is None:
                port = stack.enter_context(farsides.deaf())
            else:
                port = await stack.enter_async_context(far_side(case.manner, tls))
            # What a held lane owes must not die meanwhile: with nothing left to try, the lane would open again.
            schedule = "0s, 1h" if case.held else "0s"
            common = f"timeout: {case.timeout}, retry: {{schedule: [{schedule}]}}, concurrency: {CALLS}"
            if case.mail:
                how = "required" if case.tls else "none"
                sinks[name] = (
                    f"{{kind: email, to: [chef@example.org], from: calls@example.com, server: 'smtp://127.0.0.1:{port}', "
                    f"tls: {how}, {common}}}"
                )
            else:
                scheme = "https" if case.tls else "http"
                sinks[name] = (
                    f"{{kind: webhook, url: '{scheme}://127.0.0.1:{port}/', ca_file: ca.pem, "
                    f"allow_networks: [127.0.0.0/8], {common}}}"
                )
        yield sinks


def memory(router: RouterProcess, which: str) -> int:
    """Bytes that it has (VmRSS), or has had at most (VmHWM)."""
    assert router.process is not None
    status = Path(f"/proc/{router.process.pid}/status").read_text()
    found = re.search(rf"{which}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def ended(case: Case, lane: dict[str, Any]) -> bool:
    if case.held:
        return bool(lane["state"] == case.ends)
    return not lane["pending"] + lane["claimed"]


@pytest.mark.timeout(360)
@pytest.mark.case("SSRF-09", "FWD-01", "SSRF-04")
async def test_whatever_far_sides_do_is_told_bounded_and_their_own_matter(tmp_path: Path) -> None:
    async with far_sides(tmp_path) as sinks, Receiver().listening() as good, aiohttp.ClientSession() as client:
        router = RouterProcess(tmp_path)  # its ports are free only until the far sides take theirs
        sender = Sender(router.url)
        sinks["good"] = good.sink
        lines = "".join(f"  {name}: {sink}\n" for name, sink in sinks.items())
        router.configure(f"sinks:\n{lines}always: [{', '.join(sinks)}]\n")
        async with router.running():
            before = memory(router, "VmRSS")
            for _ in range(CALLS):
                await sender.post(client)
            async with asyncio.timeout(240):
                while good.calls.keys() != sender.promised:
                    await asyncio.sleep(0.02)
                # Each lane as it was when it had come there, and when that was: they need not all be there at once.
                seen: dict[str, tuple[dict[str, Any], datetime]] = {}
                while seen.keys() != CASES.keys():
                    lanes, now = await router.lanes(), datetime.now(UTC)
                    for name, case in CASES.items():
                        if ended(case, lanes[name]):
                            seen.setdefault(name, (lanes[name], now))
                    await asyncio.sleep(0.05)
            grown = memory(router, "VmHWM") - before
            async with client.get(f"http://127.0.0.1:{router.admin}/api/v1/deliveries?limit=500") as answer:
                deliveries = (await answer.json())["items"]
            assert await router.stop() == 0
    assert grown < ROOM
    for name, case in CASES.items():
        mine = [one for one in deliveries if one["sink"] == name]
        assert len(mine) == CALLS
        if case.held:
            reasons = [seen[name][0]["reason"]]
        else:
            assert {one["state"] for one in mine} == {case.ends}, f"{name}: {[one['reason'] for one in mine]}"
            reasons = [one["reason"] or "" for one in mine]
        for reason in reasons:
            assert re.search(case.reason, reason), f"{name}: {reason}"
            assert "Rechnung" not in reason
    ends = {
        name: [one["settled_at"] for one in deliveries if one["sink"] == name] for name in ("good", "trickles_a_body")
    }
    assert min(ends["good"]) < min(ends["trickles_a_body"]), "nobody has waited for who is slow"
    # As it was asked to, but for a day at most; all others are asked again soon.
    waits = {
        name: (datetime.fromisoformat(seen[name][0]["next_at"]) - seen[name][1]).total_seconds()
        for name in ("negative", "garbage", "several", "a_float", "long_ago", "for_ever")
    }
    assert 86_000 < waits.pop("for_ever") <= 86_400
    assert max(waits.values()) <= 61
