"""A mail as bytes: mailboxes, header fields, a text and a page, files beside them. Pure.

Header fields are written here and not by the standard library, which before 3.11.15 makes fields of what stands in
encoded words of a subject (CVE-2024-6923). What was written is read again before it leaves.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message, parser, policy, utils
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field
from yarl import URL

from router.errors import Discreet, Rejected
from router.html import html_page
from router.markup import Document, plain_text
from router.scalars import OneOrSeveral
from router.text import cut, one_line

# --- mailboxes ---

_NAMED: Final = re.compile(r'(?:"([^"<>@;:\\()\[\]]*)"\s*<|([^"<>@,;:\\()\[\]]*?)\s*<|)([^<>\s]+?)>?')
#: RFC 5321 has quoted ones as well; nobody has one, and much could be hidden in it.
_LOCAL: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_LABEL: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
#: Bytes of an address, and of what stands before its @ (RFC 5321 4.5.3.1).
_LONGEST_ADDRESS: Final = 254
_LONGEST_LOCAL: Final = 64
_LONGEST_NAME: Final = 80


def mailbox(text: str) -> str:
    """As it will be written: `chef@example.com`, or `Die Chefin <chef@example.com>`; the domain in ASCII.

    A name with a comma in it is in quotes. Raises ValueError for what is none.
    """
    named = _NAMED.fullmatch(text.strip())
    name = (named[1] or named[2] or "").strip() if named else ""
    local, _, domain = unicodedata.normalize("NFC", named[3] if named else "").rpartition("@")
    try:
        domain = URL.build(scheme="smtp", host=domain).raw_host or ""
    except ValueError:
        domain = ""
    usable = (
        _LOCAL.fullmatch(local)
        and len(local.encode()) <= _LONGEST_LOCAL
        and all(map(_LABEL.fullmatch, domain.split(".")))
        and len(f"{local}@{domain}".encode()) <= _LONGEST_ADDRESS
        and ("<" in text) is (">" in text)
        and name == _safe(name, _LONGEST_NAME)
    )
    if not usable:
        shown = cut(one_line(text), _LONGEST_NAME)
        raise Discreet(f"{shown!r} is no mailbox; {_instead(text)}", instead=f"is no mailbox; {_instead(text)}")
    if "," in name:
        name = f'"{name}"'
    return f"{name} <{local}@{domain}>" if name else f"{local}@{domain}"


def _instead(text: str) -> str:
    """What to write."""
    if "," in text and text.count("@") == 1:
        return """write a name with a comma in quotes: '"Muster, Anna" <anna@example.com>'"""
    if re.search("[,;]", text) and text.count("@") > 1:
        return "write several as a list: [anna@example.com, chef@example.com]"
    return "write one like chef@example.com or Chefin <chef@example.com>"


def address_of(box: str) -> str:
    """What of a `mailbox` is told to servers."""
    return box.rpartition("<")[2].removesuffix(">")


#: What a mailbox is declared as in a sink's configuration, and several or one.
Mailbox = Annotated[str, AfterValidator(mailbox), Field(json_schema_extra={"examples": ["chef@example.com"]})]
Mailboxes = Annotated[tuple[Mailbox, ...], OneOrSeveral()]

# --- header fields ---

#: Characters of a subject.
_LONGEST_SUBJECT: Final = 200
_MESSAGE_ID: Final = re.compile(r"<[\x21-\x3b\x3d\x3f\x41-\x7e]{1,200}@[A-Za-z0-9.-]{1,253}>")
#: Not the comma of a name in quotes.
_BETWEEN_MAILBOXES: Final = re.compile(r', (?=(?:[^"]*"[^"]*")*[^"]*\Z)')
_WITH_MAILBOXES: Final = frozenset({"From", "To", "Cc"})


@dataclass(frozen=True, slots=True)
class MailHeader:
    """What a mail says before its content."""

    sender: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    #: Any text: it is made safe.
    subject: str
    #: Its domain is the sender's, and the same key makes the same one.
    key: str
    #: The Message-ID of the mail that this one belongs to; anything else is left out.
    follows: str | None
    #: As `email.utils.format_datetime` writes it.
    date: str
    language: str

    @property
    def message_id(self) -> str:
        """`<key@example.com>`."""
        key = re.sub(r"[^A-Za-z0-9._-]", "-", self.key)
        return f"<{key}@{address_of(self.sender).rpartition('@')[2]}>"

    def encoded(self) -> bytes:
        """Its lines. Raises `Rejected` where they would not be read as they are meant."""
        follows = self.follows if self.follows and _MESSAGE_ID.fullmatch(self.follows) else ""
        meant = {
            "Date": self.date,
            "From": self.sender,
            "To": ", ".join(self.to),
            "Cc": ", ".join(self.cc),
            "Subject": _safe(self.subject, _LONGEST_SUBJECT),
            "Message-ID": self.message_id,
            "In-Reply-To": follows,
            "References": follows,
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            "Content-Language": self.language,
        }
        fields = [(name, value) for name, value in meant.items() if value]
        text = "".join(f"{name}: {_written(name, value)}\r\n" for name, value in fields)
        read = parser.HeaderParser(policy=policy.default).parsestr(text).items()
        if [_told(name, str(value)) for name, value in read] != [_told(name, value) for name, value in fields]:
            raise Rejected("the mail's header would not be read as it is meant; please report this")
        return text.encode()


def _safe(text: str, length: int) -> str:
    """On one line, with nothing in it that a program takes for an encoded word, not at a second look either."""
    return cut(one_line(text), length).replace("=?", "= ?")


def _written(name: str, value: str) -> str:
    if name in _WITH_MAILBOXES:
        return ",\r\n ".join(map(_written_mailbox, _BETWEEN_MAILBOXES.split(value)))
    return value if name != "Subject" or _is_simple(value) else "\r\n ".join(_encoded_words(value))


def _written_mailbox(box: str) -> str:
    name, _, address = box.rpartition(" <")
    name = name.strip('"')
    if not name:
        return box
    return (f'"{name}"' if _is_simple(name) else "\r\n ".join(_encoded_words(name))) + f" <{address}"


def _is_simple(text: str) -> bool:
    """Whether it can stand on one line as it is, with the name of its field."""
    return text.isascii() and len(text) <= 60  # noqa: PLR2004 - of 78


def _encoded_words(text: str) -> Iterator[str]:
    """RFC 2047; each is short enough for a line of 76 characters, with the name of its field."""
    word = b""
    for char in text:
        if len(word + char.encode()) > 39:  # noqa: PLR2004 - 52 in base64
            yield _encoded_word(word)
            word = b""
        word += char.encode()
    yield _encoded_word(word)


def _encoded_word(word: bytes) -> str:
    return f"=?utf-8?b?{base64.b64encode(word).decode()}?="


def _told(name: str, value: str) -> tuple[str, Any]:
    """What has to be the same once a field was read: of mailboxes, the addresses."""
    return name, [address for _, address in utils.getaddresses([value])] if name in _WITH_MAILBOXES else value


# --- the mail ---

#: Characters from which on quoted-printable would take too long; base64 is many times faster.
_LARGE: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class MailFile:
    """An attachment. Name and media type are the sink's, never a call's."""

    name: str
    media_type: str
    content: bytes


def mail_bytes(header: MailHeader, document: Document, files: Iterable[MailFile] = ()) -> bytes:
    """All of it: 7-bit lines of 998 bytes at most (RFC 5322), ended by CRLF. Raises `Rejected` as `encoded` does."""
    made = message.EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))
    text, page = plain_text(document) + "\n", html_page(document, header.language)
    made.set_content(text, cte=_transfer_encoding(text))
    made.add_alternative(page, subtype="html", cte=_transfer_encoding(page))
    for file in files:
        maintype, _, subtype = file.media_type.partition("/")
        charset = {"charset": "utf-8"} if maintype == "text" else {}
        made.add_attachment(file.content, maintype=maintype, subtype=subtype, filename=file.name, params=charset)
    return header.encoded() + made.as_bytes()


def _transfer_encoding(text: str) -> Literal["base64", "quoted-printable"]:
    return "base64" if len(text) > _LARGE else "quoted-printable"
