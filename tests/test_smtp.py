from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mailserver import PASSWORD, USER, Hanging, PostOffice, Scripted, authority, ca_file
from router import Login, MailUrl, Rejected, SmtpAnswer, Unavailable, mail_session, trusting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

CHEF, SALES = "chef@example.org", "sales@example.org"

pytestmark = pytest.mark.usefixtures("no_authorities")


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with PostOffice() as office:
        yield office


async def hand_in(
    url: str, folder: Path, *, recipients: Sequence[str] = (CHEF,), password: str = PASSWORD, trusted: bool = True
) -> Mapping[str, SmtpAnswer]:
    """A mail, as a sink does; who is refused."""
    at = MailUrl.parse(url)
    tls, login = trusting(Path(ca_file(folder)) if trusted else None), Login(at.user, password)
    async with mail_session(at.connecting(), tls, login, "example.com") as session:
        return await session.send(USER, recipients, b"Subject: x\r\n\r\nx\r\n")


@pytest.mark.parametrize(
    ("at", "answer", "error", "whole_lane", "reason"),
    [
        ("MAIL", "451 4.3.0 Jana", Unavailable, False, "did not take the mail: 451 4.3.0 (an error of its own, or greylisted)"),
        ("MAIL", "421 Jana", Unavailable, True, "did not take the mail: 421 (it is closing, or busy)"),
        ("MAIL", "552 5.3.4 Jana", Rejected, False, "refused the mail: 552 5.3.4 (the mail is too big)"),
        ("MAIL", "553 5.7.1 Jana", Unavailable, True,
         "does not let us send: 553 5.7.1 (not allowed); look at `from`, user and password"),
        ("MAIL", "530 Jana", Unavailable, True,
         "does not let us send: 530 (it wants a login or TLS); look at `from`, user and password"),
        (CHEF, "421 4.7.0 Jana", Unavailable, True, "did not take the mail: 421 4.7.0 (it is closing, or busy)"),
        ("DATA", "450 Jana", Unavailable, False, "did not take the mail: 450 (mailbox busy, or greylisted)"),
        ("DATA", "421 4.3.2 Jana", Unavailable, True, "did not take the mail: 421 4.3.2 (it is closing, or busy)"),
        ("DATA", "554 5.7.1 Jana", Rejected, False, "refused the mail: 554 5.7.1 (not allowed)"),
        ("DATA", "550 5.7.26 Jana", Rejected, False,
         "refused the mail: 550 5.7.26 (SPF and DKIM do not vouch for the address in `from`)"),
        ("DATA", "552 Jana", Rejected, False, "refused the mail: 552 (mailbox full, or the mail is too big)"),
        ("DATA", "599 4.9.9 Jana", Rejected, False, "refused the mail: 599"),
        ("DATA", "654 Jana", Unavailable, False, "did not take the mail: an answer that is not SMTP"),
    ],
)  # fmt: skip
async def test_what_an_answer_means(
    at: str, answer: str, error: type[Exception], whole_lane: bool, reason: str, office: PostOffice, tmp_path: Path
) -> None:
    """In words of ours: what the server says may be our own mail."""
    office.answer(at, answer)
    with pytest.raises(error) as caught:
        await hand_in(office.url, tmp_path)
    assert str(caught.value) == f"127.0.0.1:{office.port} {reason}"
    assert caught.value.whole_lane is whole_lane  # type: ignore[attr-defined]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert office.mails == []


@pytest.mark.parametrize("at", ["MAIL", SALES, "DATA"])
@pytest.mark.parametrize(
    ("answer", "wait"),
    [("550 5.4.5 Daily user sending limit exceeded", timedelta(hours=1)), ("451 4.4.5 Server busy", None)],
)
async def test_who_has_sent_too_much_is_held_and_not_dead(
    at: str, answer: str, wait: timedelta | None, office: PostOffice, tmp_path: Path
) -> None:
    office.answer(at, answer)
    with pytest.raises(Unavailable) as caught:
        await hand_in(office.url, tmp_path, recipients=[CHEF, SALES])
    reason = f"did not take the mail: {answer[:9]} (it is too much for now)"
    assert str(caught.value) == f"127.0.0.1:{office.port} {reason}"
    assert (caught.value.whole_lane, caught.value.retry_after) == (True, wait)
    assert office.mails == []


async def test_who_does_not_answer_a_farewell_has_the_mail_all_the_same(office: PostOffice, tmp_path: Path) -> None:
    """A timeout would be another attempt, and a second mail."""
    office.stays = True
    async with asyncio.timeout(5):
        assert await hand_in(office.url, tmp_path) == {}
    assert len(office.mails) == 1


async def test_who_hangs_is_left_at_once_when_the_time_is_over(tmp_path: Path) -> None:
    """Without a farewell of TLS, for which asyncio would wait half a minute."""
    server = Hanging()
    left = asyncio.create_task(asyncio.to_thread(server.until_it_is_left))
    handing_in = asyncio.create_task(hand_in(f"smtps://{USER}@127.0.0.1:{server.port}", tmp_path))
    await asyncio.to_thread(server.heard.wait, 5)
    handing_in.cancel()
    await asyncio.wait({handing_in})
    assert handing_in.cancelled()
    assert await left


# --- TLS and logins ---


async def test_starttls_comes_before_the_login(tmp_path: Path) -> None:
    async with PostOffice(implicit=False, starttls=True) as office:
        await hand_in(office.url, tmp_path)
        assert (office.mails[0].encrypted, office.mails[0].user, office.logins) == (True, USER, ["PLAIN"])


@pytest.mark.parametrize("starttls", [False, True])
async def test_a_certificate_of_somebody_else_is_not_accepted(starttls: bool, tmp_path: Path) -> None:
    """MAIL-06: and nothing is said before."""
    async with PostOffice(implicit=not starttls, starttls=starttls) as office:
        with pytest.raises(
            Unavailable, match=r"certificate of 127.* was not accepted: .*name its authority in ca_file"
        ) as caught:
            await hand_in(office.url, tmp_path, trusted=False)
        assert caught.value.whole_lane
        assert (office.mails, office.logins) == ([], [])


@pytest.mark.parametrize("starttls", [False, True])
async def test_a_certificate_of_another_name_says_to_write_its_name(starttls: bool, tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("other.example").configure_cert(tls)
    async with PostOffice(implicit=not starttls, starttls=starttls, tls=tls) as office:
        with pytest.raises(
            Unavailable, match=r"IP address mismatch, [^.]*'127\.0\.0\.1'; write the name that is in the"
        ):
            await hand_in(office.url, tmp_path)
        assert (office.mails, office.logins) == ([], [])


@pytest.mark.parametrize(
    "answers", [[b""], [b"220-wait\r\n220-wai"], [b"220 hi\r\n", b""], [b"220 hi\r\n", b"250-wait\r\n250-"]]
)
async def test_who_does_not_come_to_the_point_may_speak_tls_from_the_start_on(
    answers: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no mail that it could have: it is as if it were not there."""
    monkeypatch.setattr("router.smtp.CONNECT_SECONDS", 0.05)
    async with Scripted(*answers) as server:
        with pytest.raises(Unavailable, match="no answer in time; smtps:// is TLS from the start on") as caught:
            await hand_in(f"smtp://{USER}@127.0.0.1:{server.port}", tmp_path)
        assert caught.value.whole_lane


@pytest.mark.parametrize("starttls", [False, True])
async def test_a_certificate_that_has_expired_is_for_who_runs_the_server(starttls: bool, tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime(2002, 1, 1, tzinfo=UTC)
    authority().issue_cert("127.0.0.1", not_before=datetime(2001, 1, 1, tzinfo=UTC), not_after=ends).configure_cert(tls)
    async with PostOffice(implicit=not starttls, starttls=starttls, tls=tls) as office:
        with pytest.raises(Unavailable, match="certificate has expired; who runs the server has to renew it") as caught:
            await hand_in(office.url, tmp_path)
        assert caught.value.whole_lane
        assert (office.mails, office.logins) == ([], [])


async def test_a_server_that_drops_tls_holds_the_lane(tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        await reader.readline()
        writer.write(b"250-hi\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go\r\n")
        await writer.drain()
        await reader.read(100)  # the first of a handshake
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable) as caught:
            await hand_in(f"smtp://{USER}@127.0.0.1:{port}", tmp_path)
    assert caught.value.whole_lane
    assert str(caught.value) == f"127.0.0.1:{port} closed the connection before it took a mail"


async def test_without_starttls_nothing_is_told(tmp_path: Path) -> None:
    """MAIL-06: somebody in between may have taken it away."""
    async with PostOffice(implicit=False, login=False) as office:
        url = f"smtp://{USER}@127.0.0.1:{office.port}"
        with pytest.raises(Unavailable, match="offers no TLS, so it was told nothing") as caught:
            await hand_in(url, tmp_path)
        assert caught.value.whole_lane
        assert (office.mails, office.logins, office.commands) == ([], [], [])


@pytest.mark.case("MAIL-06")
async def test_what_was_slipped_in_before_tls_is_not_believed(tmp_path: Path) -> None:
    """MAIL-06: GHSA-vxj7-4xrp-5vr4. What counts is the answer to the question that is asked again over TLS."""
    answers = [
        b"220 hi\r\n",
        b"250-hi\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
        b"220 go\r\n250-hi\r\n250 AUTH PLAIN\r\n",
        b"250-hi\r\n250 AUTH LOGIN\r\n",
        b"454 4.7.0 later\r\n",
    ]
    async with Scripted(*answers) as server:
        with pytest.raises(Unavailable, match=r"did not accept the login: 454 4\.7\.0"):
            await hand_in(f"smtp://{USER}@127.0.0.1:{server.port}", tmp_path)
    assert server.in_the_clear == 2
    assert [line.split()[:2] for line in server.lines] == [
        [b"EHLO", b"example.com"],
        [b"STARTTLS"],
        [b"EHLO", b"example.com"],
        [b"AUTH", b"LOGIN"],
    ]


async def test_a_login_that_is_refused_is_tried_once_and_then_waits(office: PostOffice, tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        await hand_in(office.url, tmp_path, password="wrong")
    assert str(caught.value) == (
        f"127.0.0.1:{office.port} did not accept the login: 535 5.7.8 (user or password is wrong); "
        "look at user and password, then `aftercall resume`"
    )
    assert (caught.value.whole_lane, caught.value.retry_after) == (True, timedelta(minutes=5))
    assert office.logins == ["PLAIN"]


async def test_a_server_without_a_login_gets_no_password(tmp_path: Path) -> None:
    async with PostOffice(login=False) as office:
        url = f"smtps://{USER}@127.0.0.1:{office.port}"
        with pytest.raises(Unavailable, match="offers no login by PLAIN or LOGIN") as caught:
            await hand_in(url, tmp_path)
        assert caught.value.whole_lane


# --- servers that are none ---


@pytest.mark.parametrize(
    ("answers", "forever", "reason"),
    [
        ([b"554 5.3.2 Jana\r\n"], b"", "does not work with us: 554 5.3.2 (refused)"),
        ([b"421 Jana\r\n"], b"", "does not work with us: 421 (it is closing, or busy)"),
        ([b"220 hi\r\n", b"502 Jana\r\n"], b"", "does not work with us: 502"),
        ([b"HTTP/1.1 400 Jana\r\n"], b"", "does not work with us: an answer that is not SMTP"),
        ([b"220 hi\r\n"], b"250-Jana\r\n", "does not work with us: an answer that is not SMTP"),
        ([], b"220-Jana\r\n", "does not work with us: an answer that is not SMTP"),
        ([], b"x" * 1000, "does not work with us: an answer that is not SMTP"),
    ],
)
async def test_a_server_that_is_none_holds_the_lane(
    answers: list[bytes], forever: bytes, reason: str, tmp_path: Path
) -> None:
    """Also one that talks for ever: it is heard for 32 KiB."""
    async with Scripted(*answers, forever=forever) as server:
        with pytest.raises(Unavailable) as caught:
            await hand_in(f"smtp://{USER}@127.0.0.1:{server.port}", tmp_path)
        assert str(caught.value) == f"127.0.0.1:{server.port} {reason}"
        assert caught.value.whole_lane
        assert caught.value.__context__ is None


async def test_who_hangs_up_or_is_not_there_holds_the_lane(office: PostOffice, tmp_path: Path) -> None:
    async with Scripted(b"") as server:
        port = server.port
    await office.stop()
    for url, reason in (
        (office.url, f"127.0.0.1:{office.port} cannot be connected to: Connection refused"),
        (f"smtp://{USER}@127.0.0.1:{port}", f"127.0.0.1:{port} cannot be connected to: Connection refused"),
    ):
        with pytest.raises(Unavailable) as caught:
            await hand_in(url, tmp_path)
        assert (str(caught.value), caught.value.whole_lane) == (reason, True)


async def test_tls_where_there_is_none(tmp_path: Path) -> None:
    async with PostOffice(implicit=False, login=False) as office:
        url = f"smtps://{USER}@127.0.0.1:{office.port}"
        with pytest.raises(Unavailable, match=r"no TLS with 127.*smtps:// is TLS from the start on") as caught:
            await hand_in(url, tmp_path)
        assert caught.value.whole_lane


# --- addresses of servers ---


@pytest.mark.parametrize("url", ["smtps://a%40b.de@mail.example.com:2465/", "smtp://[::1]", "smtp://relay.intern:25"])
def test_a_server_is_shown_as_it_was_written(url: str) -> None:
    assert str(MailUrl.parse(url)) == url
    assert MailUrl.parse(MailUrl.parse(url)) == MailUrl.parse(url)
