"""What others write, in every way that is wrong: bodies, routes.yaml, templates, and what calls put into paths.

Each is read, or refused in words of ours; none takes for ever, which the time limit of the test would show.
"""

from __future__ import annotations

import json
import re
import tempfile
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from calls import EVENTS
from extent import SEED, extent
from mutations import broken
from router.config import load
from router.errors import ConfigError, Rejected
from router.event import CALL, Event, plain
from router.fakes import make_delivery, sink_context
from router.formats import body as bodies
from router.inbox import Understood, understand
from router.markup import parse
from router.registry import load_kinds
from router.render import MAX_OUTPUT, Renderer
from router.routing import RoutingTable
from router.sample import sample_event
from router.vcon import as_vcon

ROOT = Path(__file__).parents[2]
fuzzed = settings(
    max_examples=extent(150, 20_000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)
pytestmark = pytest.mark.timeout(extent(120, 3600))

# --- bodies ---

ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["", " ", "\0", "\ud800", "2026-03-29T02:30:00", "9999-12-31T23:59:59Z", 10**400, -1, 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
#: A bundle, and the same as a vCon, with the bundle in it and without.
BUNDLE = json.loads((ROOT / "examples" / "call.json").read_bytes())
BODIES = [BUNDLE, as_vcon(sample_event(), bundle=True), as_vcon(sample_event())]


@st.composite
def wrong_bodies(draw: st.DrawFn) -> bytes:
    body = json.dumps(draw(broken(draw(st.sampled_from(BODIES)), ODD, at_most=8))).encode()
    if draw(st.booleans()):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=4)) + body[at + draw(st.integers(0, 9)) :]
    return body


@seed(SEED)
@fuzzed
@given(wrong_bodies() | st.binary(max_size=200))
def test_a_body_is_read_or_refused_in_words_and_the_same_way_twice(body: bytes) -> None:
    read = understand(body, "s", None, RoutingTable())
    assert read.failure is None, read.failure
    assert repr(read) == repr(understand(body, "s", None, RoutingTable()))
    if isinstance(read, Understood):
        assert CALL.validate_json(CALL.dump_json(read.found.call)) == read.found.call
    else:
        assert read.reason
        assert read.digest == bodies.digest_of_bytes(body) or len(read.digest) == 32


# --- routes.yaml ---

ROUTES = (ROOT / "router" / "starter" / "routes.yaml").read_text(encoding="utf-8")
PIECES = [
    "\n", "  ", "    ", "- ", ": ", ":", "{", "}", "[", "]", ",", "#", "'", '"', "|\n", ">-\n", "&a ", "*a", "<<: *a", "!!python/name:os.system ",
    "? ", "---\n", "...\n", "%TAG ! x\n", "\t", "\0", "\ufeff", "\u2028", "😀", "${HOME}", "${", "${file:/etc/hosts}", "null", "yes", "0x1", "1e999",
    "sinks", "routes", "when", "any", "not", "to", "all", "kind: file", "path: '{{ event.id }}'", "include: x.yaml", "text: {match: regex, any: '('}",
    "match: fuzzy", "time: {from: 'x'}", "schedule: [0s]", "-1d", "99999999999999999999d",
]  # fmt: skip


@st.composite
def wrong_files(draw: st.DrawFn) -> str:
    """The file that we deliver, or nothing, cut up and put together again."""
    text = draw(st.sampled_from([ROUTES, ROUTES, ""]))
    for _ in range(draw(st.integers(1, 8))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 60)))
        new = draw(st.sampled_from(PIECES) | st.text(max_size=3) | st.just(text[begin:end] * 3))
        text = text[:begin] + new + text[end:]
    return text


@seed(SEED)
@fuzzed
@given(wrong_files())
def test_a_configuration_is_good_or_each_of_its_mistakes_has_a_place(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "routes.yaml"
        file.write_bytes(text.encode(errors="surrogatepass"))
        try:
            load(file, {"HOME": "/root"}, datetime(2026, 3, 10, tzinfo=UTC))
        except ConfigError as error:
            for problem in str(error).split("\n"):
                assert re.match(r"routes\.yaml:([1-9]\d*:[1-9]\d*:| cannot be read as UTF-8) .", problem), problem
        assert list(Path(folder).iterdir()) == [file], "reading writes nothing"


# --- templates ---

TEMPLATE = [
    "{{ ", " }}", "{% ", " %}", "{# ", " #}", "event", ".", "event.summary", "event.transcript", "event.caller", "event.raw", "event.duration",
    "event.started_at", "event.nothing", " | ", "upper", "date('%s')", "date(1)", "phone(true)", "cut(-1)", "cut(9999999999)", "tojson", "duration",
    "length", "sort", "reverse", "list", "items", "dictsort", "round", "abs", "int", "float", "default(", "first", "last", "unique", "map(", "select(",
    "for x in ", "endfor", "if ", "else", "endif", "set x = ", "x", "loop.index", "range(99999999)", "macro m(x)", "endmacro", "m(m)", "call m()",
    "block b", "include 'x'", "import 'x' as y", "extends 'x'", "raw", "endraw", "autoescape true", "filter upper", "endfilter", "debug()", "self",
    "__class__", "['__init__']", "1", "0", " / ", " // ", " % ", " ** ", " * ", " ~ ", " - ", " in ", " is ", "defined", "not ", "none", "[", "]", "(", ")",
    "'", '"', "\\", "\n", "ä", "😀", "\0", "9" * 30, "1e999", "- 1",
]  # fmt: skip
SHAPES = st.sampled_from([
    "{}", "{{{{ {} }}}}", "{{{{ event.summary | {} }}}}", "{{% for x in {} %}}{{{{ x }}}}{{% endfor %}}", "{{% if {} %}}a{{% endif %}}",
    "{{% set y = {} %}}{{{{ y }}}}", "{{% for x in range(9999) %}}" + "x" * 200 + "{}{{% endfor %}}", "{{% for x in range(9999) %}}{{% for y in range(9999) %}}{}{{% endfor %}}{{% endfor %}}",
])  # fmt: skip
TEMPLATES = st.builds(
    lambda shape, pieces: shape.format("".join(pieces)), SHAPES, st.lists(st.sampled_from(TEMPLATE), max_size=9)
)
RENDERER = Renderer(ZoneInfo("Europe/Berlin"))


@seed(SEED)
@fuzzed
@given(TEMPLATES, EVENTS)
def test_a_template_is_refused_or_fills_and_what_it_writes_is_bounded(source: str, event: Event) -> None:
    for compiling in (RENDERER.compile, RENDERER.compile_message):
        said = ""
        try:
            text = compiling(source).render(event=plain(event))
        except (Rejected, ValueError) as error:
            said, text = str(error), ""
        assert not said or said.startswith("template: ")
        assert len(text) <= MAX_OUTPUT
        if compiling is RENDERER.compile_message:
            parse(text)


# --- paths ---

KIND = load_kinds()["file"]

RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE | re.DOTALL)
NAMES = st.one_of(
    st.text(st.characters(), max_size=300),
    st.text(st.characters(), min_size=1, max_size=4).map(lambda text: text * 90),
    st.text("./\\ ~-:_conulpt19\0\r\n\u202e\ufeff\u0308", max_size=30),
)
PATHS = [
    "{{ event.channel.name }}/{{ event.call_id }}.md",
    "{{ event.raw.team }}/{{ event.caller.raw }}/x{{ event.summary }}",
    "{{ event.summary }}{{ event.summary }}/{{ event.direction }}/{{ event.raw.team }}.{{ event.call_id }}",
]


@seed(SEED)
@settings(fuzzed, max_examples=extent(60, 5000))
@given(path=st.sampled_from(PATHS), names=st.tuples(NAMES, NAMES, NAMES), depth=st.integers(0, 3))
async def test_whatever_a_call_says_its_file_lies_below_the_root(path: str, names: tuple[str, ...], depth: int) -> None:
    call_id, team, summary = names
    event = sample_event(call_id=call_id, summary="../" * depth + summary, raw={"team": team})
    with tempfile.TemporaryDirectory() as folder:
        around = Path(folder)
        root = around / "in" / "root"
        config = KIND.config.model_validate({"kind": "file", "root": root, "path": path})
        async with config.open(sink_context(around)) as sink:
            written = str(await sink.deliver(make_delivery(event=event, body=b"{}")))
        found = [place for place in around.rglob("*") if place.is_file()]
        assert found == [root / written], "one file, at the place that was told"
        assert found[0].read_bytes() == b"{}"
        segments = found[0].relative_to(root).parts
        assert len(segments) == path.count("/") + 1, "a call adds no folder"
        for segment in segments:
            assert 0 < len(segment.encode()) <= 200
            assert segment not in (".", "..")
            assert not RESERVED.fullmatch(segment)
            assert segment[0] not in "-~. "
            assert unicodedata.is_normalized("NFC", segment)
            assert not {"Cc", "Cf", "Cs"} & {unicodedata.category(char) for char in segment}
