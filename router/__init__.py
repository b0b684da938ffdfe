"""aftercall's public API: what a sink plugin imports. Everything else in this package is private."""

from router.alarm import Alarm, Cause
from router.audio import strip_audio, without_audio
from router.blockkit import slack_blocks, slack_escaped
from router.delivery import Delivery
from router.errors import ConfigError, Discreet, Rejected, Unavailable
from router.event import Event, other_party, plain
from router.excerpt import as_json, exact_json, outgoing
from router.files import FileTree
from router.fitting import MARK, fitted, parted, shortened, utf8, utf16
from router.hookspecs import hookimpl
from router.jws import Signer, VconSigning
from router.mail import Mailbox, Mailboxes, MailFile, MailHeader, address_of, mail_bytes, mailbox
from router.mail_progress import MailProgress
from router.markdown import Markdown
from router.markup import Block, Document, Line, Span, Style, plain_line, plain_text
from router.message import Message, MessageSinkConfig, Writer, check_line
from router.notice import Notice, alarm_notice
from router.page import markdown_page
from router.paths import safe_name, safe_segment
from router.pem import check_ca_file, trusting
from router.people import Wording, duration, masked
from router.reach import HttpSinkConfig, unconfirmed
from router.sample import bare_event, sample_event
from router.scalars import Duration, FilePath, OneOrSeveral, Rate, Size, Written
from router.signing import SigningSecret, sign
from router.sink import (
    AlarmSink,
    HttpAnswer,
    HttpClient,
    Numbers,
    Part,
    PeopleSinkConfig,
    Revisions,
    Sink,
    SinkConfig,
    SinkContext,
    Template,
    Timeout,
    Verdict,
)
from router.smtp import MailSession, mail_session
from router.smtp_answers import SmtpAnswer
from router.smtp_url import Login, MailServer, MailUrl, Tls
from router.targets import HttpUrl, Network, Networks, check_url, host_of
from router.templates import check_template
from router.text import cut, one_line
from router.vcon import as_vcon

__all__ = [
    "MARK",
    "Alarm",
    "AlarmSink",
    "Block",
    "Cause",
    "ConfigError",
    "Delivery",
    "Discreet",
    "Document",
    "Duration",
    "Event",
    "FilePath",
    "FileTree",
    "HttpAnswer",
    "HttpClient",
    "HttpSinkConfig",
    "HttpUrl",
    "Line",
    "Login",
    "MailFile",
    "MailHeader",
    "MailProgress",
    "MailServer",
    "MailSession",
    "MailUrl",
    "Mailbox",
    "Mailboxes",
    "Markdown",
    "Message",
    "MessageSinkConfig",
    "Network",
    "Networks",
    "Notice",
    "Numbers",
    "OneOrSeveral",
    "Part",
    "PeopleSinkConfig",
    "Rate",
    "Rejected",
    "Revisions",
    "Signer",
    "SigningSecret",
    "Sink",
    "SinkConfig",
    "SinkContext",
    "Size",
    "SmtpAnswer",
    "Span",
    "Style",
    "Template",
    "Timeout",
    "Tls",
    "Unavailable",
    "VconSigning",
    "Verdict",
    "Wording",
    "Writer",
    "Written",
    "address_of",
    "alarm_notice",
    "as_json",
    "as_vcon",
    "bare_event",
    "check_ca_file",
    "check_line",
    "check_template",
    "check_url",
    "cut",
    "duration",
    "exact_json",
    "fitted",
    "hookimpl",
    "host_of",
    "mail_bytes",
    "mail_session",
    "mailbox",
    "markdown_page",
    "masked",
    "one_line",
    "other_party",
    "outgoing",
    "parted",
    "plain",
    "plain_line",
    "plain_text",
    "safe_name",
    "safe_segment",
    "sample_event",
    "shortened",
    "sign",
    "slack_blocks",
    "slack_escaped",
    "strip_audio",
    "trusting",
    "unconfirmed",
    "utf8",
    "utf16",
    "without_audio",
]
