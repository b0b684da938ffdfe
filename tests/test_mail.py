from __future__ import annotations

import re
from email import message_from_bytes, policy
from typing import Any

import pytest

from router import MailHeader, Rejected, address_of, mailbox

NAMES = [
    "Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "Content-Language",
]  # fmt: skip


def header(**settings: Any) -> MailHeader:
    given: dict[str, Any] = {
        "sender": "calls@example.com",
        "to": ("chef@example.org",),
        "cc": (),
        "subject": "Anruf",
        "key": "a key",
        "follows": None,
        "date": "Tue, 10 Mar 2026 09:00:00 +0100",
        "language": "de",
    }
    return MailHeader(**{**given, **settings})


# --- mailboxes ---


@pytest.mark.parametrize(
    "address",
    ["a@b\r\nRCPT TO:<x@y>", "<x>@b", '"a b"@example.com', "a b@example.com", "chef", "@example.com",
     "chef@", "chef@exa mple.com", "a@b\x00c", "a@-b-.de", "a@b..de", ".a@b.de", "x" * 65 + "@b.de",
     "a@" + "b." * 130 + "de", "Chef <a@b.de", "a@b.de>", "", "Chef =?utf-8?q?x?= <a@b.de>",
     "A\u202eB <a@b.de>", "A\nB <a@b.de>"],
)  # fmt: skip
def test_what_is_no_mailbox(address: str) -> None:
    """MAIL-03."""
    with pytest.raises(ValueError, match=r"is no mailbox; write one like chef@example\.com"):
        mailbox(address)


@pytest.mark.parametrize(
    ("written", "advice"),
    [
        ("a@b.de, c@d.de", "is no mailbox; write several as a list: [anna@example.com, chef@example.com]"),
        ("A <a@b.de>; C <c@d.de>", "is no mailbox; write several as a list"),
        (
            "Müller, Hans <h@b.de>",
            """is no mailbox; write a name with a comma in quotes: '"Muster, Anna" <anna@example.com>'""",
        ),
    ],
)
def test_what_is_nearly_a_mailbox_says_how_to_write_it(written: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        mailbox(written)


# --- header fields ---


@pytest.mark.parametrize(
    "text",
    [
        "hi =?utf-8?q?x=0ABcc:_v@x.example?=",
        "=?utf-8?q?x=0D=0ABcc:_v@x.example?= =?utf-8?b?DQpCY2M6IHZAeC5leGFtcGxl?=",
        "a\r\nBcc: v@x.example\r\n\r\n<h1>", "\x85\u2028\u2029\x0b\x0cBcc: v@x.example", "\x00\x7f\ud800x",
        "=" + "\u200b" + "?utf-8?q?x=0ABcc:_v@x.example?=", "=?" * 90, "x" * 300, "ä" * 300, "👩‍👩‍👧" * 80, "x " * 150,
        " \t ", 'Re: Fwd: <x@y>, "a" (b)', "ü, x@y; =", "\N{NO-BREAK SPACE}x\u2003y",
    ],
)  # fmt: skip
def test_a_subject_is_one_field_whatever_it_says(text: str) -> None:
    """MAIL-01: on Python 3.11.7 the standard library writes a Bcc for the first of these."""
    made = header(subject=text).encoded()
    assert max(map(len, made.split(b"\r\n"))) <= 78
    for rules in (policy.default, policy.compat32):
        read = message_from_bytes(made, policy=rules)
        assert read.keys() == [name for name in NAMES if name != "Subject" or text.strip()]
        assert read["to"] == "chef@example.org"


def test_a_header_that_would_be_read_in_another_way_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look, should the first ever fail."""
    monkeypatch.setattr("router.mail._safe", lambda text, _length: text)
    with pytest.raises(Rejected, match="would not be read as it is meant"):
        header(subject="=?utf-8?q?x=0ABcc:_v@x.example?=").encoded()


def test_lists_of_mailboxes_are_read_as_they_were_written() -> None:
    boxes = ('"Müller, Hans" <h@example.org>', "Bär & Söhne <b@example.org>", "chef@example.org")
    read = message_from_bytes(header(to=boxes, cc=boxes[1:]).encoded(), policy=policy.default)
    assert [address.addr_spec for address in read["to"].addresses] == list(map(address_of, boxes))
    assert [address.display_name for address in read["to"].addresses] == ["Müller, Hans", "Bär & Söhne", ""]
    assert [address.addr_spec for address in read["cc"].addresses] == ["b@example.org", "chef@example.org"]
