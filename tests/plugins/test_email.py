from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from importlib import import_module
from itertools import combinations, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from mailserver import PASSWORD, TOKEN, USER, Mail, PostOffice, ca_file
from pages import check_page
from router import ConfigError, Numbers, Part, Rejected, SinkConfig, Unavailable, as_vcon, outgoing
from router.testing import (
    ManualClock,
    MessageContract,
    hostile_deliveries,
    make_delivery,
    make_event,
    sink_context,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from router import Delivery

email = import_module("router.plugins.email")
pytestmark = pytest.mark.usefixtures("no_authorities")

CHEF, SALES, OTHER = "chef@example.org", "sales@example.org", "other@example.net"
ALL = ["headline", "summary", "action_items", "note", "smart_answers", "transcript", "small_talk", "participants"]


def config(**settings: Any) -> Any:
    given = {"kind": "email", "to": CHEF, "server": f"smtps://{USER}@mail.example.com", "password": PASSWORD}
    return email.EmailConfig.model_validate({k: v for k, v in {**given, **settings}.items() if v is not None})


def for_office(office: PostOffice, folder: Path, **settings: Any) -> Any:
    login = {"password": PASSWORD if office.login else None}
    if not office.login:
        login["from"] = USER
    return config(**{"server": office.url, "ca_file": ca_file(folder), **login, **settings})


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(email, "_PROGRESS", {})


@pytest.fixture
async def office() -> AsyncIterator[PostOffice]:
    async with PostOffice() as office:
        yield office


async def sent(office: PostOffice, folder: Path, delivery: Delivery | None = None, **settings: Any) -> EmailMessage:
    """Deliver it; the mail that came."""
    async with for_office(office, folder, **settings).open(sink_context(folder)) as sink:
        await sink.deliver(delivery or make_delivery())
    return parsed(office.mails[-1])


def parsed(mail: Mail) -> EmailMessage:
    message = message_from_bytes(mail.content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


def content_of(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def html_of(message: EmailMessage) -> str:
    return text_of(message, "html")


class TestEmail(MessageContract):
    @pytest.fixture
    async def endpoint(self) -> AsyncIterator[Any]:
        async with PostOffice() as office:
            yield office

    @pytest.fixture
    def config(self, endpoint: Any, tmp_path: Path) -> SinkConfig:
        made: SinkConfig = for_office(endpoint, tmp_path, cc=SALES, bcc=OTHER)
        return made

    async def stall(self, config: SinkConfig, endpoint: Any) -> SinkConfig:
        endpoint.stalled = True
        return config

    async def read(self, endpoint: Any) -> str:
        return "\n".join(
            f"{message['subject']}\n{text_of(message)}\n{html_of(message)}" for message in map(parsed, endpoint.mails)
        )


# --- what is sent ---


async def test_a_mail_has_text_and_html_and_says_where_it_comes_from(office: PostOffice, tmp_path: Path) -> None:
    message = await sent(office, tmp_path, cc=[SALES], bcc=[OTHER])
    assert [(name, str(value)) for name, value in message.items()] == [
        ("Date", "Tue, 10 Mar 2026 09:00:00 +0100"),
        ("From", USER),
        ("To", CHEF),
        ("Cc", SALES),
        ("Subject", "Anruf auf Support · 10.03.2026, 09:15"),
        ("Message-ID", f"<{make_delivery().id}@example.com>"),
        ("Auto-Submitted", "auto-generated"),
        ("X-Auto-Response-Suppress", "All"),
        ("Content-Language", "de"),
        ("MIME-Version", "1.0"),
        ("Content-Type", str(message["Content-Type"])),
    ]
    assert message.get_content_type() == "multipart/alternative"
    assert text_of(message).startswith(
        "Rückfrage zur Rechnung\n\neingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 1522"
    )
    assert "- Tarifoptionen per E-Mail senden" in text_of(message)
    assert "<h1" in html_of(message)
    (mail,) = office.mails
    assert (mail.sender, mail.recipients, mail.encrypted, mail.user) == (USER, (CHEF, SALES, OTHER), True, USER)
    assert OTHER.encode() not in mail.content


async def test_a_person_gets_it_once(office: PostOffice, tmp_path: Path) -> None:
    await sent(office, tmp_path, to=[CHEF, SALES], cc=CHEF, bcc=[SALES])
    assert office.mails[-1].recipients == (CHEF, SALES)


@pytest.mark.parametrize(
    ("settings", "event", "subject"),
    [
        ({}, {}, "Anruf auf Support · 10.03.2026, 09:15"),
        ({"language": "en"}, {}, "Anruf auf Support · 10.03.2026, 09:15"),
        ({"subject": "headline"}, {}, "Rückfrage zur Rechnung"),
        ({"subject": "headline", "send": ["summary"]}, {}, "Anruf +49 1522 8817386 → Support"),
        ({"subject": "{{ event.channel.name }}: {{ event.summary | cut(8) }}"}, {}, "Support: Frau Br…"),
        ({"subject": "{{ event.note }}"}, {"note": None}, "Anruf auf Support · 10.03.2026, 09:15"),
        ({"subject": "Headline "}, {}, "Rückfrage zur Rechnung"),
        ({"subject": "CALL"}, {}, "Anruf auf Support · 10.03.2026, 09:15"),
        ({"subject": "{{ event.channel.name }}: {{ title }}"}, {}, "Support: Rückfrage zur Rechnung"),
        (
            {"subject": "{{ event.channel.name }}: {{ title }}", "numbers": "masked"},
            {"headline": None},
            "Support: Anruf +49 152 …386 → Support",
        ),
        (
            {"subject": "{% if true %}{{ facts }}{% endif %}", "send": []},
            {},
            "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 1522 8817386",
        ),
        ({}, {"headline": "geheim", "started_at": None}, "Anruf auf Support · 10.03.2026, 09:20"),
    ],
)
async def test_the_subject(
    settings: dict[str, Any], event: dict[str, Any], subject: str, office: PostOffice, tmp_path: Path
) -> None:
    message = await sent(office, tmp_path, make_delivery(event=make_event(**event)), **settings)
    if event.get("started_at", 0) is None:
        assert message["subject"].startswith("Anruf auf Support · 10.03.2026, 09:")
    else:
        assert message["subject"] == subject


async def test_the_english_subject_has_nothing_of_the_call_but_its_channel(office: PostOffice, tmp_path: Path) -> None:
    context = sink_context(tmp_path, language="en")
    async with for_office(office, tmp_path).open(context) as sink:
        await sink.deliver(make_delivery())
    message = parsed(office.mails[0])
    assert message["subject"] == "Call on Support · 2026-03-10, 09:15"
    assert message["content-language"] == "en"


async def test_a_long_name_of_a_channel_leaves_room_for_the_time(office: PostOffice, tmp_path: Path) -> None:
    channel = replace(make_event().channel, name="ü" * 300)
    message = await sent(office, tmp_path, make_delivery(event=make_event(channel=channel)))
    assert message["subject"] == f"Anruf auf {'ü' * 79}… · 10.03.2026, 09:15"


@pytest.mark.case("DED-06", "MAIL-07")
async def test_every_attempt_has_the_same_message_id_and_its_own_date(office: PostOffice, tmp_path: Path) -> None:
    """MAIL-07."""
    clock = ManualClock()
    async with for_office(office, tmp_path).open(sink_context(tmp_path, clock=clock)) as sink:
        first = await sink.deliver(make_delivery())
        clock.advance(timedelta(hours=1))
        assert await sink.deliver(make_delivery(attempt=2)) == first
        assert await sink.deliver(make_delivery(id="other")) != first
    assert [parsed(mail)["message-id"] for mail in office.mails[:2]] == [first, first]
    assert parsed(office.mails[0])["date"] != parsed(office.mails[1])["date"]


async def test_a_revision_belongs_to_the_mail_that_it_corrects(office: PostOffice, tmp_path: Path) -> None:
    delivery = make_delivery(event=make_event(revision=2), follows="<first@example.com>")
    message = await sent(office, tmp_path, delivery, revisions="mark")
    assert (message["in-reply-to"], message["references"]) == ("<first@example.com>", "<first@example.com>")
    assert message["subject"] == "Re: Anruf auf Support · 10.03.2026, 09:15"
    assert "Aktualisiert: Fassung 2" in text_of(message)


@pytest.mark.parametrize("follows", ["1712.22", "<a@b>\r\nBcc: x@example.net", "<ä@b>", "<a b@c>", "<>"])
async def test_what_is_no_message_id_is_not_referred_to(follows: str, office: PostOffice, tmp_path: Path) -> None:
    """The sink may have been one of another kind when the first revision was delivered."""
    message = await sent(office, tmp_path, make_delivery(follows=follows))
    assert message["in-reply-to"] is message["references"] is message["bcc"] is None


async def test_attachments_are_what_they_say(office: PostOffice, tmp_path: Path) -> None:
    body = json.dumps({"dialog": [{"type": "recording", "body": "UklGRg", "encoding": "base64url"}], "ä": 1}).encode()
    message = await sent(
        office, tmp_path, make_delivery(body=body), attach=["received", "vcon", "markdown", "vcon"], send=["summary"]
    )
    assert message.get_content_type() == "multipart/mixed"
    received, vcon, page = message.iter_attachments()
    assert [part.get_filename() for part in (received, vcon, page)] == ["call.json", "call.vcon", "call.md"]
    assert json.loads(content_of(received))["ä"] == 1
    assert b"UklGRg" not in content_of(received)
    event = outgoing(make_event(), [Part.SUMMARY])
    assert json.loads(content_of(vcon)) == as_vcon(event, [Part.SUMMARY])
    assert "Tarif L anbieten" not in page.get_content()
    assert "Frau Brückner fragt" in page.get_content()  # its umlauts are as they were
    assert config(attach="received").parts() == ("headline", "summary", "action_items", "note", "received")


async def test_numbers_of_a_vcon_are_masked_once(office: PostOffice, tmp_path: Path) -> None:
    """It is made of the event itself, of which the message has only a part."""
    event = make_event(raw={"assist": {"provider": {"llm": "a model"}}}, format="sipgate-ci")
    settings = {"attach": "vcon", "send": ["summary"], "numbers": "masked"}
    (vcon,) = (await sent(office, tmp_path, make_delivery(event=event), **settings)).iter_attachments()
    assert json.loads(content_of(vcon)) == as_vcon(event, [Part.SUMMARY], Numbers.MASKED)
    assert b"a model" in content_of(vcon)


async def test_what_is_no_json_is_attached_as_bytes(office: PostOffice, tmp_path: Path) -> None:
    message = await sent(office, tmp_path, make_delivery(body=b"\xff\x00eyJ.x.y"), attach="received")
    (part,) = message.iter_attachments()
    assert (part.get_filename(), content_of(part)) == ("call.bin", b"\xff\x00eyJ.x.y")


async def test_an_attachment_that_is_too_big_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    async with PostOffice(size=40_000) as office:
        message = await sent(office, tmp_path, make_delivery(body=b'"' + b"x" * 50_000), attach="received")
        assert list(message.iter_attachments()) == []
        assert text_of(message).endswith("\n\nOhne Anhang: Dem Mailserver ist er zu groß\n")
        assert "Ohne Anhang" not in text_of(await sent(office, tmp_path, attach="received"))


async def test_a_text_that_is_too_big_is_rejected(tmp_path: Path) -> None:
    event = make_event(summary="x" * 50_000)
    async with PostOffice(size=40_000) as office:
        with pytest.raises(Rejected, match=r"the mail has \d+ bytes, and 127\.0\.0\.1:\d+ takes 40000; leave parts"):
            await sent(office, tmp_path, make_delivery(event=event))
        assert office.mails == []


async def test_the_last_words_of_a_long_call_arrive(office: PostOffice, tmp_path: Path) -> None:
    """And lines that begin with dots, or with `From`."""
    text = ".\n..\n.x\nFrom me\n" + "ä" * 80_000 + "Ende"
    message = await sent(office, tmp_path, make_delivery(event=make_event(summary=text)))
    assert text in text_of(message)


# --- what a call says is no markup, no header, no recipient ---

NAMES = sorted(
    ["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "Content-Language",
     "Content-Type", "MIME-Version"]
)  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {"subject": "headline", "send": ALL},
        {"subject": "{{ event.summary }}{{ event.channel.name }}", "send": [], "attach": ["markdown", "vcon"]},
    ],
    ids=str,
)
@pytest.mark.case("MAIL-01", "MAIL-03", "MAIL-04")
async def test_whatever_a_call_says_is_text(settings: dict[str, Any], tmp_path: Path) -> None:
    """MAIL-01, MAIL-03, MAIL-04."""
    async with PostOffice(implicit=False, login=False) as office:
        made = for_office(office, tmp_path, tls="none", **settings)
        async with made.open(sink_context(tmp_path)) as sink:
            deliveries = list(hostile_deliveries())
            for delivery in deliveries:
                await sink.deliver(replace(delivery, body=b"{}"))
    assert len(office.mails) == len(deliveries)
    for mail in office.mails:
        check_mail(mail, len(settings.get("attach", ())))
        # Nor does a field come to be when a server writes it anew.
        again = message_from_bytes(mail.content.partition(b"\r\n\r\n")[0], policy=policy.SMTP)
        assert sorted(message_from_bytes(again.as_bytes()).keys()) == NAMES


@pytest.mark.case("MAIL-04")
async def test_whatever_a_call_says_is_text_in_all_parts(tmp_path: Path) -> None:
    async with PostOffice(implicit=False, login=False) as office:
        made = for_office(office, tmp_path, tls="none")
        choices = [parts for count in range(len(Part) + 1) for parts in combinations(Part, count)]
        for parts, delivery in zip(choices, cycle(hostile_deliveries()), strict=False):
            async with made.model_copy(update={"send": parts}).open(sink_context(tmp_path)) as sink:
                await sink.deliver(delivery)
    assert len(office.mails) == len(choices) == 256
    for mail in office.mails:
        check_mail(mail)


def check_mail(mail: Mail, files: int = 0) -> None:
    """Our own fields, recipients, parts and elements, and no other."""
    assert (mail.sender, mail.recipients) == (USER, (CHEF,))
    assert sorted(message_from_bytes(mail.content).keys()) == NAMES
    message = parsed(mail)
    assert sorted(message.keys()) == NAMES
    leaves = [part.get_content_type() for part in message.walk() if not part.is_multipart()]
    assert leaves[:2] == ["text/plain", "text/html"]
    assert len(leaves) == 2 + files
    subject = str(message["subject"])
    assert subject.strip()
    assert "=?" not in subject
    assert len(subject) <= 203
    check_page(html_of(message))


# --- who takes it ---


async def test_who_is_refused_for_good_keeps_nobody_from_it_and_is_a_dead_letter(
    office: PostOffice, tmp_path: Path
) -> None:
    """Delivered would say that everybody has it, and the log is read by nobody."""
    office.answer(SALES, "550 5.1.1 <sales@example.org> Frau Brückner unknown")
    async with for_office(office, tmp_path, cc=[SALES], bcc=[OTHER]).open(sink_context(tmp_path)) as sink:
        with pytest.raises(Rejected) as caught:
            await sink.deliver(make_delivery())
    assert str(caught.value) == (
        "2 of 3 have it; recipient 2 of 3: 550 5.1.1 (no such mailbox); mend that, then replay: it goes to who lacks it"
    )
    assert not caught.value.whole_lane
    assert office.mails[0].recipients == (CHEF, OTHER)


async def test_a_replay_goes_only_to_who_lacks_it_also_at_a_mended_address(office: PostOffice, tmp_path: Path) -> None:
    office.answer(SALES, "550 5.1.1 unknown", "550 5.1.1 unknown")
    old = for_office(office, tmp_path, to=[CHEF, SALES, OTHER])
    for number in range(2):
        async with old.open(sink_context(tmp_path)) as sink:
            with pytest.raises(Rejected, match=r"2 of 3 have it; recipient 2 of 3: 550 5\.1\.1"):
                await sink.deliver(make_delivery(id=f"id-{number}"))
    mended = for_office(office, tmp_path, to=[CHEF, "verkauf@example.org", OTHER])
    async with mended.open(sink_context(tmp_path)) as sink:
        assert await sink.deliver(make_delivery(id="id-2", replay_of="id-1")) == "<id-2@example.com>"
        await sink.deliver(make_delivery(id="id-3"))
    everybody = (CHEF, "verkauf@example.org", OTHER)
    assert [mail.recipients for mail in office.mails] == [(CHEF, OTHER), ("verkauf@example.org",), everybody]


async def test_a_replay_is_done_where_who_was_refused_is_no_recipient_any_more(
    office: PostOffice, tmp_path: Path
) -> None:
    office.answer(SALES, "550 5.1.1 unknown")
    async with for_office(office, tmp_path, to=[CHEF, SALES]).open(sink_context(tmp_path)) as sink:
        with pytest.raises(Rejected):
            await sink.deliver(make_delivery())
    async with for_office(office, tmp_path).open(sink_context(tmp_path)) as sink:
        await sink.deliver(make_delivery(id="again"))
        assert len(office.mails) == 1
        await sink.deliver(make_delivery(id="and again"))
    assert [mail.recipients for mail in office.mails] == [(CHEF,), (CHEF,)]


async def test_other_sinks_and_calls_do_not_count(office: PostOffice, tmp_path: Path) -> None:
    office.answer(SALES, "450 busy")
    made = for_office(office, tmp_path, to=[CHEF, SALES])
    async with made.open(sink_context(tmp_path, name="one")) as sink:
        with pytest.raises(Unavailable):
            await sink.deliver(make_delivery())
        await sink.deliver(make_delivery(event=make_event(id="other")))
    async with made.open(sink_context(tmp_path, name="two")) as sink:
        await sink.deliver(make_delivery())
    assert [mail.recipients for mail in office.mails] == [(CHEF,), (CHEF, SALES), (CHEF, SALES)]


@pytest.mark.case("MAIL-07")
async def test_who_has_it_does_not_get_it_again(office: PostOffice, tmp_path: Path) -> None:
    """MAIL-07: others are greylisted, or full, for a while; then for good."""
    office.answer(SALES, "450 4.7.1 greylisted")
    office.answer(OTHER, "452 4.2.2 full", "452 4.2.2 full", "550 5.2.1 gone")
    async with for_office(office, tmp_path, to=[CHEF, SALES, OTHER]).open(sink_context(tmp_path)) as sink:
        with pytest.raises(Unavailable) as caught:
            await sink.deliver(make_delivery())
        assert str(caught.value) == (
            f"127.0.0.1:{office.port} does not take it for everybody yet: "
            "recipient 2 of 3: 450 4.7.1 (not allowed, or greylisted); recipient 3 of 3: 452 4.2.2 (the mailbox is full)"
        )
        assert not caught.value.whole_lane
        with pytest.raises(Unavailable):
            await sink.deliver(make_delivery(attempt=2))
        with pytest.raises(Rejected, match=r"2 of 3 have it; recipient 3 of 3: 550 5\.2\.1"):
            await sink.deliver(make_delivery(attempt=3))
    assert [mail.recipients for mail in office.mails] == [(CHEF,), (SALES,)]


async def test_who_is_refused_for_good_is_not_asked_again_while_others_wait(office: PostOffice, tmp_path: Path) -> None:
    """A replay asks: somebody may have mended the mailbox, and not the address."""
    office.answer(SALES, "450 4.7.1 greylisted")
    office.answer(OTHER, "550 5.1.1 unknown")
    async with for_office(office, tmp_path, to=[CHEF, SALES, OTHER]).open(sink_context(tmp_path)) as sink:
        with pytest.raises(Unavailable):
            await sink.deliver(make_delivery())
        office.commands.clear()
        with pytest.raises(Rejected, match=r"2 of 3 have it; recipient 3 of 3: 550 5\.1\.1"):
            await sink.deliver(make_delivery(attempt=2))
        assert office.commands == [f"RCPT {SALES}"]
        await sink.deliver(make_delivery(id="again"))
    assert [mail.recipients for mail in office.mails] == [(CHEF,), (SALES,), (OTHER,)]


async def test_that_nobody_gets_it_says_all_that_was_answered(office: PostOffice, tmp_path: Path) -> None:
    office.answer(CHEF, "550 5.1.1 unknown")
    office.answer(SALES, "450 busy", "552 5.2.2 full")
    async with for_office(office, tmp_path, to=[CHEF, SALES]).open(sink_context(tmp_path)) as sink:
        with pytest.raises(Unavailable, match=r"recipient 1 of 2: 550 5\.1\.1 .*; recipient 2 of 2: 450"):
            await sink.deliver(make_delivery())
        with pytest.raises(
            Rejected, match=r"for nobody: recipient 1 of 2: 550 5\.1\.1 .*; recipient 2 of 2: 552 5\.2\.2"
        ):
            await sink.deliver(make_delivery(attempt=2))
    assert email._PROGRESS == {}


async def test_it_is_not_remembered_for_ever_who_has_what(
    office: PostOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email, "_REMEMBERED", 2)
    async with for_office(office, tmp_path, to=[CHEF, SALES]).open(sink_context(tmp_path)) as sink:
        for number in range(4):
            office.answer(SALES, "450 busy")
            with pytest.raises(Unavailable):
                await sink.deliver(make_delivery(event=make_event(id=f"id-{number}")))
    assert [event for *_, event in email._PROGRESS] == ["id-2", "id-3"]


async def test_where_nobody_is_accepted_nothing_is_handed_in(office: PostOffice, tmp_path: Path) -> None:
    office.answer(CHEF, "552 5.2.2 full of Frau Brückner")
    with pytest.raises(Rejected) as caught:
        await sent(office, tmp_path)
    assert str(caught.value) == (
        f"127.0.0.1:{office.port} takes it for nobody: recipient 1 of 1: 552 5.2.2 (the mailbox is full)"
    )
    office.answer(CHEF, "451 4.3.0 later")
    with pytest.raises(Unavailable, match=r"recipient 1 of 1: 451 4\.3\.0 \(an error of its own, or greylisted\)"):
        await sent(office, tmp_path)
    assert office.mails == []


async def test_a_break_after_the_mail_is_another_try_with_the_same_id(office: PostOffice, tmp_path: Path) -> None:
    """MAIL-07: the server may have it."""
    office.breaks = True
    async with for_office(office, tmp_path).open(sink_context(tmp_path)) as sink:
        with pytest.raises(
            Unavailable, match="closed the connection before it answered; it may have the mail"
        ) as caught:
            await sink.deliver(make_delivery())
        assert not caught.value.whole_lane
        office.breaks = False
        await sink.deliver(make_delivery(attempt=2))
    first, second = (parsed(mail)["message-id"] for mail in office.mails)
    assert first == second


# --- TLS and logins ---


async def test_a_token_is_read_anew_for_each_mail(office: PostOffice, tmp_path: Path) -> None:
    file = tmp_path / "token"
    made = for_office(office, tmp_path, password=None, token_file="token")
    async with made.open(sink_context(tmp_path)) as sink:
        with pytest.raises(Unavailable, match="token_file cannot be read: No such file") as caught:
            await sink.deliver(make_delivery())
        assert caught.value.whole_lane
        for wrong in (b"", b"two tokens", b"\xff"):
            file.write_bytes(wrong)
            with pytest.raises(Unavailable, match="token_file"):
                await sink.deliver(make_delivery())
        assert office.logins == []
        file.write_text("old")
        with pytest.raises(Unavailable, match="did not accept the login: 535"):
            await sink.deliver(make_delivery())
        file.write_text(f"{TOKEN}\n")
        await sink.deliver(make_delivery())
    assert office.logins == ["XOAUTH2", "XOAUTH2"]
    assert office.mails[0].user == USER


async def test_a_relay_in_the_house_takes_it_without_tls(tmp_path: Path) -> None:
    async with PostOffice(implicit=False, login=False) as office:
        await sent(office, tmp_path, tls="none")
        assert (office.mails[0].encrypted, office.mails[0].user) == (False, None)


async def test_an_authority_that_is_none_is_found_by_check_and_when_the_sink_is_opened(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hunter2")
    with pytest.raises(ConfigError, match=r"ca_file: no certificates can be read from .*ca\.pem"):
        config(ca_file="ca.pem").check(tmp_path)
    with pytest.raises(ConfigError, match=r"ca_file: no certificates can be read from .*ca\.pem"):
        async with config(ca_file="ca.pem").open(sink_context(tmp_path)):
            pass


# --- addresses ---


async def test_addresses_beyond_ascii(tmp_path: Path) -> None:
    """A domain is written in ASCII; what stands before the @ needs a server that takes it."""
    async with PostOffice() as office:
        message = await sent(office, tmp_path, to=["müller@bücher.example", "chef@bücher.example"])
        assert office.mails[0].recipients == ("müller@xn--bcher-kva.example", "chef@xn--bcher-kva.example")
        assert "SMTPUTF8" in office.mails[0].options
        assert sorted(message.keys()) == NAMES
    async with PostOffice(smtputf8=False) as office:
        with pytest.raises(Unavailable, match="takes no addresses with letters beyond ASCII") as caught:
            await sent(office, tmp_path, to="müller@bücher.example")
        assert caught.value.whole_lane
        await sent(office, tmp_path, to="chef@bücher.example")


# --- the configuration ---


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("chef@example.com", "chef@example.com"), (" a.b+c@Example.com ", "a.b+c@example.com"), ("root@localhost", "root@localhost"),
        ("Die Chefin <chef@example.com>", "Die Chefin <chef@example.com>"),
        ('"Bär & Söhne" <b@example.com>', "Bär & Söhne <b@example.com>"), ("<a@b.de>", "a@b.de"),
        ('"Muster, Anna" <a@b.de>', '"Muster, Anna" <a@b.de>'), ('"Müller, Hans" <h@b.de>', '"Müller, Hans" <h@b.de>'),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
    ],
)  # fmt: skip
async def test_mailboxes(written: str, meant: str, office: PostOffice, tmp_path: Path) -> None:
    assert config(to=written).to == (meant,)
    message = await sent(office, tmp_path, None, **{"to": written, "from": written})
    assert str(message["to"]) == str(message["from"]) == meant
    assert office.mails[-1].recipients == (meant.rpartition("<")[2].strip(">"),)


@pytest.mark.parametrize("key", ["to", "cc", "bcc", "from"])
def test_who_gets_it_and_who_sends_it_are_mailboxes(key: str) -> None:
    """MAIL-03."""
    with pytest.raises(ValidationError, match="is no mailbox"):
        config(**{key: "a@b\r\nRCPT TO:<x@y>"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"server": "mail.example.com"}, "is no server like smtps://"),
        ({"server": "http://x@y"}, "is no server like smtps://"),
        ({"server": "smtps://user@host:0"}, "is no server"), ({"server": "smtps://user@host:65536"}, "is no server"),
        ({"server": "smtps://user@ho st"}, "is no server"), ({"server": "smtps://u@h/path"}, "is no server"),
        ({"server": "smtps://u@b.de:hunter2@h"}, "has a password in it; write it as `password`"),
        ({"server": "smtps://mail.example.com"}, "a login takes a user in `server`"),
        ({"password": None}, "a login takes a user in `server`"),
        ({"token_file": "x"}, "`password` and `token_file` are both there"),
        ({"server": "smtps://user@mail.example.com"}, "is no mailbox, so write who the mail comes from as `from`"),
        ({"server": "smtp://a@b.de@h.example:465"}, "port 465 is TLS from the start on: write smtps://"),
        ({"server": "smtps://a@b.de@h.example:587"}, "port 587 is STARTTLS: write smtp://"),
        ({"port": "587"}, "`port` goes into `server`, like smtp://user@mail.example.com:587"),
        ({"username": "hunter2"}, "`username` goes into `server`"),
        ({"tls": "none"}, "`tls: none` goes with smtp://"),
        ({"tls": "none", "server": "smtp://a@b.de@mail.example.com"}, "would send the password in the clear"),
        ({"to": []}, "at least 1 item"), ({"to": [f"a{n}@b.de" for n in range(51)]}, "more than 50"),
        ({"attach": "received", "numbers": "masked"}, "has all numbers in it"), ({"attach": "audio"}, "attach"),
        ({"subject": "Wichtig"}, "says the same for every call; write call, headline or a template with {{ … }}"),
        ({"subject": "{{ titel }}"}, "template: line 1: there is no titel; there is event, title, facts"),
        ({"subject": "{{ event.nothing }}"}, "an event has no nothing"), ({"subject": "{{"}, "template: line 1"),
        ({"template": "{{ nothing }}"}, "template: line 1"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"timeout": "1h"}, "write 1ms to 10m"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_found_when_the_file_is_read(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(message)) as caught:
        config(**settings)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "tls", "expected"),
    [
        ("smtps://a@b.de@mail.example.com", "required", ("mail.example.com:465", "implicit", "a@b.de")),
        ("smtps://a%40b.de@mail.example.com:2465/", "required", ("mail.example.com:2465", "implicit", "a@b.de")),
        ("smtp://a@b.de@mail.example.com", "required", ("mail.example.com:587", "starttls", "a@b.de")),
        ("smtp://a@b.de@[::1]", "none", ("[::1]:25", "none", "a@b.de")),
        ("smtp://a@b.de@localhost:1025", "none", ("localhost:1025", "none", "a@b.de")),
    ],
)
def test_servers(server: str, tls: str, expected: tuple[str, str, str]) -> None:
    made = config(server=server, tls=tls)
    login = made.login(Path())
    assert (str(made.mail_server()), made.mail_server().tls.value, login.user) == expected
    assert made.sender() == "a@b.de"
    assert PASSWORD not in repr(login)


def test_what_is_kept_of_a_delivery() -> None:
    made = config(to=["Chefin <a@b.de>"], cc="c@d.de", bcc=["a@b.de", "e@f.de"])
    assert made.recipient() == "a@b.de, c@d.de, e@f.de"
    assert made.parts() == ("headline", "summary", "action_items", "note")


def test_what_a_file_or_a_subject_holds_is_kept_as_sent_though_the_template_leaves_it_out() -> None:
    assert config(template="{{ title }}").parts() == ("headline",)
    for more in ({"attach": "vcon"}, {"subject": "{{ event.summary }}"}):
        assert "summary" in config(template="{{ title }}", **more).parts()


def test_the_context_is_not_needed_to_know_the_defaults() -> None:
    made = config()
    assert (made.numbers, made.give_up, made.concurrency, str(made.rate)) == (
        Numbers.FULL,
        timedelta(hours=12),
        2,
        "30/m",
    )
