"""aftercall's public API: what a sink plugin imports. Everything else in this package is private."""

from router.audio import strip_audio, without_audio
from router.delivery import Delivery
from router.errors import ConfigError, Rejected, Unavailable
from router.event import Event, other_party, plain
from router.excerpt import as_json, exact_json, outgoing
from router.files import FileTree
from router.hookspecs import hookimpl
from router.jws import Signer, VconSigning
from router.page import markdown_page
from router.paths import safe_name, safe_segment
from router.pem import check_ca_file
from router.people import Wording, duration, masked
from router.sample import bare_event, sample_event
from router.scalars import Duration, FilePath, OneOrSeveral, Rate, Size
from router.signing import SigningSecret, sign
from router.sink import (
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
)
from router.targets import HttpUrl, Network, Networks, check_url, host_of
from router.templates import check_template
from router.vcon import as_vcon

__all__ = [
    "ConfigError",
    "Delivery",
    "Duration",
    "Event",
    "FilePath",
    "FileTree",
    "HttpAnswer",
    "HttpClient",
    "HttpUrl",
    "Network",
    "Networks",
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
    "Template",
    "Unavailable",
    "VconSigning",
    "Wording",
    "as_json",
    "as_vcon",
    "bare_event",
    "check_ca_file",
    "check_template",
    "check_url",
    "duration",
    "exact_json",
    "hookimpl",
    "host_of",
    "markdown_page",
    "masked",
    "other_party",
    "outgoing",
    "plain",
    "safe_name",
    "safe_segment",
    "sample_event",
    "sign",
    "strip_audio",
    "without_audio",
]
