"""routes.yaml, read whole: what a good file becomes, and what is said of a bad one.

How YAML is read, and what is said of bad YAML, is in test_config_document.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from certificates import authority, identity
from mutations import broken, paths
from router.config import Config, Files, load, schema
from router.config.document import read
from router.config.load import _Loader
from router.config.problems import fitted
from router.config.suggest import closest, did_you_mean
from router.errors import ConfigError
from router.registry import load_kinds
from router.scalars import Rate
from router.sink import Numbers, Part, PeopleSinkConfig, Revisions
from router.store.postgres import Place

ROOT = Path(__file__).parents[1]
TOKEN, OTHER = "0123456789abcdefghijklmn", "nmlkjihgfedcba9876543210"

#: A plugin of the operator's own: two kinds with keys of every sort.
BELL = '''
from __future__ import annotations
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from pydantic import BaseModel, Field, SecretStr
from router import Duration, PeopleSinkConfig, Rate, Size, SinkConfig, hookimpl

class Options(BaseModel, extra="forbid"):
    "How to ring."
    loud: bool = False
    times: Annotated[int, Field(ge=1, le=10)] = 1

class BellConfig(PeopleSinkConfig):
    """Rings a bell.

    And more.
    """
    kind: Literal["bell"]
    url: SecretStr
    options: Options = Options()
    headers: dict[str, SecretStr] = {}
    either: int | Literal["auto"] = "auto"
    shares: tuple[float, ...] = ()

    def open(self, context):
        raise NotImplementedError

class LightConfig(SinkConfig):
    kind: Literal["light"] = "light"
    paint: Literal["red", "green"] = "red"

    def open(self, context):
        raise NotImplementedError

@hookimpl
def register_sinks():
    return [BellConfig, LightConfig]
'''
HEAD = "sources: {sipgate: {}}\nplugins: bell.py\nsinks:\n  bell: {kind: bell, url: https://bell.example}\n  light: {kind: light}\n"
LINES = HEAD.count("\n")

Load = Callable[..., Config]
Complaints = Callable[..., list[str]]


@pytest.fixture
def loading(tmp_path: Path) -> Load:
    """The configuration of a text below sources and sinks (`head`), with these variables."""
    (tmp_path / "bell.py").write_text(BELL, encoding="utf-8")

    def run(text: str, head: str = HEAD, **environ: str) -> Config:
        (tmp_path / "routes.yaml").write_text(head + text, encoding="utf-8")
        return load(tmp_path / "routes.yaml", environ)

    return run


@pytest.fixture
def complaints(loading: Load) -> Complaints:
    """What is wrong, one problem an item, as `line:column: …`, lines counted from the beginning of the text."""

    def run(text: str, head: str = HEAD, **environ: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loading(text, head, **environ)
        found = []
        for line in str(caught.value).split("\n"):
            matched = re.fullmatch(r"routes\.yaml:(\d+):(\d+): (.*)", line)
            assert matched, line
            found.append(f"{int(matched[1]) - head.count(chr(10))}:{matched[2]}: {matched[3]}")
        return found

    return run


# ----------------------------------------------------------------------------------------------------- a good file


def test_the_shortest_file_has_the_defaults_of_the_contract(loading: Load, tmp_path: Path) -> None:
    config = loading("", head="sources: {s: {}}\n")
    assert config.file == tmp_path / "routes.yaml"
    assert config.folder == tmp_path
    assert (config.data, config.database) == (tmp_path / "data", tmp_path / "data" / "aftercall.db")
    assert (config.zone.key, config.language) == ("Europe/Berlin", "de")
    days = (config.keep_events, config.keep_quarantine, config.keep_seen)
    assert days == (timedelta(days=90), timedelta(days=90), timedelta(days=400))
    assert (str(config.server.listen), str(config.admin.listen)) == ("127.0.0.1:8080", "127.0.0.1:8081")
    assert (config.server.max_body, config.server.public_url) == (10 * 1024 * 1024, None)
    assert (config.retry.schedule, config.retry.jitter) == ("standard-webhooks", 0.2)
    assert (dict(config.sinks), config.warnings) == ({}, ())


def test_a_whole_file_is_read(loading: Load, tmp_path: Path) -> None:
    config = loading(
        f"""
data: ./var
timezone: America/New_York
language: en
store: sqlite:///var/calls.db
keep: {{events: forever, quarantine: 1.5h, seen: forever}}
server: {{listen: "[::1]:80", public_url: "https://calls.example.com/x/", max_body: 500 kB}}
admin: {{listen: "0.0.0.0:9000", tokens: {{ops: {TOKEN}}}, hosts: router.example.com}}
retry: {{schedule: [0s, 5s, 1m], jitter: 0}}
sources: {{a: {{token: {TOKEN}, format: sipgate}}, b: {{tokens: [{OTHER}]}}}}
plugins: [bell.py]
sinks:
  door: {{kind: bell, url: "${{URL}}", send: note, numbers: full, revisions: mark, timeout: 1s, concurrency: 2, rate: 10/m,
          retry: {{schedule: [0s]}}, give_up: 1d, language: de, options: {{loud: yes, times: 3}}, shares: [0.5, 1]}}
  lamp: {{kind: light}}
""",
        head="",
        URL="https://secret.example",
    )
    assert (config.data, config.database) == (tmp_path / "var", tmp_path / "var" / "calls.db")
    assert (config.zone.key, config.language) == ("America/New_York", "en")
    assert (config.keep_events, config.keep_quarantine, config.keep_seen) == (None, timedelta(hours=1.5), None)
    assert str(config.server.listen) == "[::1]:80"
    assert (config.server.public_url, config.server.max_body) == ("https://calls.example.com/x", 500_000)
    assert (config.admin.tokens["ops"].get_secret_value(), config.admin.hosts) == (TOKEN, ("router.example.com",))
    assert config.retry.policy().schedule == (timedelta(0), timedelta(seconds=5), timedelta(minutes=1))
    assert config.sources["a"].format == "sipgate"
    door, lamp = config.sinks["door"], config.sinks["lamp"]
    assert isinstance(door, PeopleSinkConfig)
    assert door.url.get_secret_value() == "https://secret.example"  # type: ignore[attr-defined] # the plugin's own
    assert (door.send, door.numbers, door.revisions) == ((Part.NOTE,), Numbers.FULL, Revisions.MARK)
    assert (door.timeout, door.concurrency, door.rate) == (timedelta(seconds=1), 2, Rate(10, timedelta(minutes=1)))
    assert (door.give_up, door.language) == (timedelta(days=1), "de")
    assert (lamp.revisions, lamp.give_up, lamp.numbers) == (Revisions.SEND, timedelta(hours=96), Numbers.FULL)
    assert sorted(config.kinds) == sorted({*load_kinds(environ={}), "bell", "light"})


def test_no_secret_stands_in_the_repr_of_a_configuration(loading: Load) -> None:
    config = loading(
        f"admin: {{tokens: {{ops: {TOKEN}}}}}\n", head=HEAD.replace("{sipgate: {}}", f"{{s: {{token: {OTHER}}}}}")
    )
    assert not any(secret in repr(config) for secret in (TOKEN, OTHER, "bell.example"))


def test_a_store_may_be_in_postgresql(loading: Load) -> None:
    """All routers of it take the same token, so it is written out."""
    with_token = HEAD.replace("{sipgate: {}}", f"{{s: {{token: {OTHER}}}}}")
    config = loading(f"store: postgresql://me@db1,db2/calls\nstore_password: {TOKEN}\n", head=with_token)
    assert config.postgres == Place.of("postgresql://me@db1,db2/calls", TOKEN)
    assert TOKEN not in repr(config)
    assert loading("").postgres is None
    with pytest.raises(ConfigError, match=r"sources.sipgate: has no `token`, and all routers of a store in PostgreSQL"):
        loading("store: postgresql://me@host/db\n")


def test_a_path_may_be_absolute(loading: Load) -> None:
    config = loading("data: /var/lib/aftercall\nstore: sqlite:////srv/calls.db\n")
    assert (str(config.data), str(config.database)) == ("/var/lib/aftercall", "/srv/calls.db")


@pytest.mark.parametrize(
    "key",
    [
        "data",
        "timezone",
        "store",
        "keep",
        "server",
        "admin",
        "words",
        "always",
        "never",
        "routes",
        "otherwise",
        "retry",
    ],
)
def test_a_key_without_a_value_is_left_out(loading: Load, key: str) -> None:
    empty, absent = loading(f"{key}:\n"), loading("")
    assert empty.table.explain == absent.table.explain or empty.table.routes == absent.table.routes == ()
    for name in ("data", "database", "zone", "server", "admin", "retry", "keep_seen"):
        assert getattr(empty, name) == getattr(absent, name)


def test_a_sub_key_without_a_value_is_left_out(loading: Load) -> None:
    config = loading(
        "server: {listen: , max_body: }\nkeep: {seen: }\n", head=HEAD.replace("{sipgate: {}}", "{s: , t: {token: }}")
    )
    assert str(config.server.listen) == "127.0.0.1:8080"
    assert list(config.sources) == ["s", "t"]


@pytest.mark.parametrize("key", ["always", "otherwise"])
def test_one_sink_needs_no_list(loading: Load, key: str) -> None:
    assert getattr(loading(f"{key}: bell\n").table, key) == ("bell",) == getattr(loading(f"{key}: [bell]\n").table, key)


def test_the_hash_of_the_rules_changes_with_the_rules_and_with_nothing_else(loading: Load) -> None:
    rules = "routes: [{name: r, to: bell, when: {summary: Preis}}]\n"
    digest = loading(rules).table.digest
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert loading(f"# a comment\nlanguage: en\n{rules}").table.digest == digest
    assert loading("routes: [{when: {summary: Preis}, to: bell, name: r}]\n").table.digest == digest
    for other in (rules.replace("Preis", "Angebot"), f"{rules}always: bell\n", f"{rules}timezone: Asia/Tokyo\n"):
        assert loading(other).table.digest != digest


#: What `init` writes, and the repository shows (test_cli.py); whoever tries things out in a clone has edited that one.
STARTER = ROOT / "router" / "starter" / "routes.yaml"


def test_the_file_that_init_writes_is_good_and_needs_nothing() -> None:
    config = load(STARTER, {})
    assert config.warnings == ()
    assert config.sinks


def test_warnings_have_their_place(loading: Load) -> None:
    text = """\
words: {w: [Preis, "Angebot*"]}
routes:
- {name: r, to: bell, when: {summary: "Preis*", note: [a, "b?"], text: $w}}
- {name: s, to: bell, when: {note: {match: word, all: [Preis, "it?"]}, headline: {match: regex, any: x*}}}
"""
    found = [str(warning).removeprefix("routes.yaml:") for warning in loading(text).warnings]
    assert [warning.split(": ")[:2] for warning in found] == [
        [f"{LINES + 1}:20", "words.w.1"],
        [f"{LINES + 3}:39", "routes.0.when.summary"],
        [f"{LINES + 3}:59", "routes.0.when.note.1"],
        [f"{LINES + 4}:63", "routes.1.when.note.all.1"],
        [f"{LINES + 4}:102", "routes.1.when.headline.any"],
    ]


def test_a_secret_file_that_everybody_can_read_is_a_warning(loading: Load, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o644)
    head = HEAD.replace("{sipgate: {}}", '{sipgate: {token: "${file:token}"}}')
    config = loading("", head=head)
    token = config.sources["sipgate"].token
    assert token is not None
    assert token.get_secret_value() == TOKEN
    assert [warning.path for warning in config.warnings] == [("sources", "sipgate", "token")]


# --------------------------------------------------------------------------------------------- a file that is none


def test_a_file_that_is_not_there_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"routes\.yaml: there is no such file in .*aftercall init"):
        load(tmp_path / "routes.yaml", {})


def test_a_folder_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read as UTF-8 text: Is a directory"):
        load(tmp_path, {})
    (tmp_path / "routes.yaml").write_bytes("sources: {s: {}}".encode("utf-16"))
    with pytest.raises(ConfigError, match="cannot be read as UTF-8 text"):
        load(tmp_path / "routes.yaml", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: the file is empty: write sources, sinks and routes, or begin with `aftercall init`"),
        ("[a, b]\n", "1:1: is no map; write keys with values, like `key: value`"),
        ("just text\n", "1:1: is no map; write keys with values, like `key: value`"),
        ("sources: {s: {}}\n---\nsources: {}\n", "2:1: a second document begins here: remove one of the two"),
    ],
)
def test_a_text_that_is_no_map_is_refused(complaints: Complaints, text: str, expected: str) -> None:
    assert complaints(text, head="") == [expected]


def test_a_variable_that_is_not_set_is_named(complaints: Complaints) -> None:
    assert complaints('language: "${SPRACHE}"\n') == [
        "1:11: language: the variable SPRACHE is not set: export it, or keep it in a file: '${file:/path}'"
    ]


# ------------------------------------------------------------------------------------ one mistake, one exact message

TOP = "(known here: admin, alarms, always, data, include, keep, language, name, never, otherwise, plugins, retry, routes, server, sinks, sources, store, store_password, timezone, words"
RULE = "(known here: name, stop, to, unless, when"
TEXT = "(known here: all, any, except, fold, match, none"
WHEN = (
    "(known here: action_items, all, any, callee, caller, channel, direction, duration, has, headline, not, note, number, "
    "small_talk, smart_answers, source, summary, text, time, transcript"
)
DURATION = "is no duration; write a number with ms, s, m, h or d, like 30s or 1.5h"
NUMBER = "is no number; write it with its country like +4930123456 or +4930*, or one of anonymous, internal"
DAY = "is no day; write mon, tue, wed, thu, fri, sat, sun or a range like mon-fri"
CLOCK = 'is no time of day; write it like "08:00"'
CODE = "is no country or state that is known; write a code like DE, DE-NW, AT or CH-ZH"
EMPTY = "is empty; write what it should be, or remove the key"
NONE = "is empty; write at least one"
NO_MAP = "is no map; write keys with values, like `key: value`"
NO_NAMES = "is no map; write names with values, like `name: value`"
NO_LIST = "is no list; write one, like [a, b]"
NO_TEXT = "is no text; write one"
NO_WORD = "the keyword '' is empty, so it would match everything or nothing; write a word or take it out"
SINKS = "(there are: bell, light"
ADDRESS = "is no address; write host:port like 127.0.0.1:8080"
SERVER = "is no address of a server; write it like https://calls.example.com"
SEEN = "is shorter than keep.events, but a call must be known as long as it is kept; write as long a time"

NO_STORE = (
    "is no store; write sqlite:/// and a file, like sqlite:///data/aftercall.db, or postgresql://user@host/database"
)

SETTINGS = {
    "dta: x": f"1:1: dta: unknown key 'dta' {TOP}; did you mean 'data'?)",
    "colour: x": f"1:1: colour: unknown key 'colour' {TOP})",
    "data: [x]": f"1:7: data: {NO_TEXT}",
    "timezone: Europe/Belin": "1:11: timezone: 'Europe/Belin' is no time zone; write a name like Europe/Berlin",
    "timezone: ''": "1:11: timezone: '' is no time zone; write a name like Europe/Berlin",
    "timezone: ../../etc/passwd": "1:11: timezone: '../../etc/passwd' is no time zone; write a name like Europe/Berlin",
    "timezone: Europe": "1:11: timezone: 'Europe' is no time zone; write a name like Europe/Berlin",
    "language: fr": "1:11: language: 'fr' is not allowed; write 'de' or 'en'",
    "store: postgresql://me:geheim@host/db": "1:8: store: has a password in it; write it as `store_password`, and a colon of the user as %3A",
    "store: postgresql://me@host": "1:8: store: is no PostgreSQL URL; write postgresql://user@host/database",
    "store: mysql://me@host/db": f"1:8: store: {NO_STORE}",
    "store: data.db": f"1:8: store: {NO_STORE}",
    "store: sqlite:///": f"1:8: store: {NO_STORE}",
    "store_password: geheim": "1:17: store_password: goes with a `store` in PostgreSQL; a file has none",
    "keep: 30d": f"1:7: keep: {NO_MAP}",
    "name: berlin 1": "1:7: name: 'berlin 1' is no name for a router; use up to 64 letters, digits, ., - and _",
    "keep: {evnts: 3d}": "1:8: keep.evnts: unknown key 'evnts' (known here: events, quarantine, quarantine_size, reserve, seen; did you mean 'events'?)",
    "keep: {seen: 30x}": f"1:14: keep.seen: '30x' {DURATION}, or `forever`",
    "keep: {seen: -1d}": f"1:14: keep.seen: '-1d' {DURATION}, or `forever`",
    "keep: {seen: 999999999999d}": "1:14: keep.seen: '999999999999d' is longer than a century; write a shorter time, or `forever`",
    "keep: {seen: 30d}": f"1:14: keep.seen: {SEEN}",
    "keep: {events: 500d}": f"1:7: keep.seen: {SEEN}",
    "keep: {events: forever}": f"1:7: keep.seen: {SEEN}",
    "server: {listen: 8080}": f"1:18: server.listen: '8080' {ADDRESS}",
    "server: {listen: ':8080'}": f"1:18: server.listen: ':8080' {ADDRESS}",
    "server: {listen: '::1:8080'}": f"1:18: server.listen: '::1:8080' {ADDRESS}",
    "server: {listen: '127.0.0.1:65536'}": f"1:18: server.listen: '127.0.0.1:65536' {ADDRESS}",
    "server: {listen: 'http://127.0.0.1:80'}": f"1:18: server.listen: 'http://127.0.0.1:80' {ADDRESS}",
    "server: {listen: [a]}": f"1:18: server.listen: {ADDRESS}",
    "server: {public_url: calls.example.com}": f"1:22: server.public_url: 'calls.example.com' {SERVER}",
    "server: {public_url: 'https://[x'}": f"1:22: server.public_url: 'https://[x' {SERVER}",
    "server: {public_url: 'https://x:port'}": f"1:22: server.public_url: 'https://x:port' {SERVER}",
    "server: {public_url: 'https://x:0'}": f"1:22: server.public_url: 'https://x:0' {SERVER}",
    "server: {public_url: 'https://x/?a'}": f"1:22: server.public_url: 'https://x/?a' {SERVER}",
    "server: {public_url: 'ftp://x'}": f"1:22: server.public_url: 'ftp://x' {SERVER}",
    "server: {max_body: lots}": "1:20: server.max_body: 'lots' is no size; write a whole number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, like 10 MiB",
    "server: {max_body: 0 B}": "1:20: server.max_body: '0 B' is not allowed; write at least 1",
    "admin: {listen: 0.0.0.0:8081}": "1:17: admin.listen: 0.0.0.0:8081 can be reached from other machines; give admin.tokens a name and a secret",
    "admin: {listen: 127.0.0.1:8080}": "1:17: admin.listen: is where server.listen listens already; choose another port",
    "admin: {tokens: {ops: short}}": (
        "1:23: admin.tokens.ops: is too weak or cannot stand in a URL; a token has at least 22 of the characters A-Z a-z "
        "0-9 _ - and is random: take the output of `openssl rand -hex 16`"
    ),
    f"admin: {{tokens: {{ops: {TOKEN}, ben: {TOKEN}}}}}": "1:54: admin.tokens.ben: has the secret of 'ops': the log could not tell the two apart; give each its own",
    "admin: {tokens: [x]}": f"1:17: admin.tokens: {NO_NAMES}",
    "retry: fast": f"1:8: retry: {NO_MAP}",
    "retry: {schedule: fast}": f"1:19: retry.schedule: 'fast' is not allowed; write 'standard-webhooks'; or: {NO_LIST}",
    "retry: {schedule: {a: b}}": f"1:19: retry.schedule: is not allowed; write 'standard-webhooks'; or: {NO_LIST}",
    "retry: {schedule: [0s, 5x]}": f"1:24: retry.schedule.1: '5x' {DURATION}",
    "retry: {jitter: 2}": "1:17: retry.jitter: '2' is not allowed; write at most 1",
    "retry: {jitter: x}": "1:17: retry.jitter: 'x' is no number; write one",
    "retry: {jitter: nan}": "1:17: retry.jitter: 'nan' is not allowed; write at most 1",
    "always: blel": f"1:9: always: unknown sink 'blel' {SINKS}; did you mean 'bell'?)",
    "always: [light, blel]": f"1:17: always.1: unknown sink 'blel' {SINKS}; did you mean 'bell'?)",
    "always: all": f"1:9: always: unknown sink 'all' {SINKS})",
    'alarms: {to: "https://hooks.example/services/SECRET"}': f"1:14: alarms.to: unknown sink (this is a URL, and no name) {SINKS})",
    "always: {a: b}": f"1:9: always: {NO_TEXT}",
    "always: [[a]]": f"1:10: always.0: {NO_TEXT}",
    "otherwise: lihgt": f"1:12: otherwise: unknown sink 'lihgt' {SINKS}; did you mean 'light'?)",
    "words: [a]": f"1:8: words: {NO_NAMES}",
    "words: {a: }": f"1:9: words.a: {EMPTY}",
    "words: {a: []}": f"1:12: words.a: {NONE}",
    "words: {a: ''}": f"1:12: words.a: {NO_WORD}",
    "words: {a: [x, '']}": f"1:16: words.a.1: {NO_WORD}",
    "words: {a: [x, [y]]}": f"1:16: words.a.1: {NO_TEXT}",
    "words: {a: {any: x, mtch: word}}": f"1:21: words.a.mtch: unknown key 'mtch' {TEXT}; did you mean 'match'?)",
    "words: {a: {match: word}}": "1:12: words.a: has no keywords; write any, all or none",
    "words: {a: [x, $b]}": (
        "1:16: words.a.1: '$b' cannot stand here: names of words go into a plain list, like `text: [$b, price]`; "
        "for the keyword '$b' write '$$b'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", SETTINGS)
def test_a_mistake_in_the_settings(complaints: Complaints, text: str) -> None:
    assert complaints(f"{text}\n") == [SETTINGS[text]]


#: Below `sources:`; the column of the first character is 1.
SOURCES = {
    "{}": f"1:1: sources: {NONE}",
    "": "1:0: sources: is missing; write it",
    "[]": f"1:1: sources: {NO_NAMES}",
    "{all: {}}": "1:2: sources.all: 'all' is no name for a source; use letters, digits, - and _, and not `all`",
    "{'a b': {}}": "1:2: sources.a b: 'a b' is no name for a source; use letters, digits, - and _, and not `all`",
    "{s: []}": f"1:5: sources.s: {NO_MAP}",
    "{s: {tokens: []}}": f"1:14: sources.s.tokens: {NONE}",
    "{s: {tokns: x}}": (
        "1:6: sources.s.tokns: unknown key 'tokns' "
        "(known here: aliases, allow_from, format, token, tokens, trust; did you mean 'tokens'?)"
    ),
    "{s: {format: sipgat}}": "1:14: sources.s.format: 'sipgat' is not allowed; write 'sipgate', 'sipgate-ci' or 'vcon'",
    f"{{s: {{token: {TOKEN}, tokens: [{OTHER}]}}}}": "1:5: sources.s: has both token and tokens; keep one of the two keys",
    f"{{s: {{token: {TOKEN}}}, t: {{tokens: [{OTHER}, {TOKEN}]}}}}": "1:43: sources.t: has a token of source 's'; each source has its own",
}  # fmt: skip


SOURCES["{s: {allow_from: []}}"] = f"1:18: sources.s.allow_from: {NONE}"
AWAY = "{s: {allow_from: 203.0.113.0/24}}"
SOURCES[AWAY] = (
    "1:18: sources.s.allow_from: lets nothing in: server.listen is reached from this machine alone, by a proxy; name the "
    "proxy in server.trusted_proxies (127.0.0.1), so that it is believed who called it"
)


@pytest.mark.parametrize("sources", SOURCES)
@pytest.mark.case("AUTH-04")
def test_a_mistake_in_the_sources(complaints: Complaints, sources: str) -> None:
    (found,) = complaints(f"sources: {sources}\n", head="")
    at, column, said = found.split(":", 2)
    assert f"{at}:{int(column) - len('sources: ')}:{said}" == SOURCES[sources]


@pytest.mark.parametrize(
    ("sources", "server"),
    [
        (AWAY, "{trusted_proxies: 127.0.0.1}"),
        (AWAY, "{listen: '0.0.0.0:8080'}"),
        ("{s: {allow_from: [203.0.113.0/24, 127.0.0.1]}}", "{}"),
    ],
)
def test_calls_are_let_in_where_they_can_come_from(loading: Load, sources: str, server: str) -> None:
    assert loading(f"sources: {sources}\nserver: {server}\n", head="").sources["s"].allow_from


#: One sink called `s`, from its value on, which is in line 4, column 6.
KNOWN_BELL = (
    "(known here: concurrency, either, give_up, headers, kind, language, numbers, options, rate, retry, revisions, send, "
    "shares, timeout, url"
)
SINK = {
    "": "1:5: sinks.s: is no sink; write {kind: …} with the keys of that kind",
    "bell": "1:6: sinks.s: is no sink; write {kind: …} with the keys of that kind",
    "{url: x}": "1:6: sinks.s: has no kind; write one (installed: bell, console, file, light, webhook)",
    "{kind: }": "1:6: sinks.s: has no kind; write one (installed: bell, console, file, light, webhook)",
    "{kind: blel}": "1:13: sinks.s.kind: unknown kind 'blel' (installed: bell, console, file, light, webhook; did you mean 'bell'?)",
    "{kind: siren}": "1:13: sinks.s.kind: unknown kind 'siren' (installed: bell, console, file, light, webhook)",
    "{kind: bell}": "1:6: sinks.s.url: is missing; write it",
    "{kind: bell, ulr: x}": f"1:19: sinks.s.ulr: unknown key 'ulr' {KNOWN_BELL}; did you mean 'url'?)",
    "{kind: light, timeout: 5}": f"1:29: sinks.s.timeout: '5' {DURATION}",
    "{kind: light, timeout: 0s}": "1:29: sinks.s.timeout: '0s' is not allowed; write 1ms to 10m",
    "{kind: light, timeout: 11m}": "1:29: sinks.s.timeout: '11m' is not allowed; write 1ms to 10m",
    "{kind: light, concurrency: 0}": "1:33: sinks.s.concurrency: '0' is not allowed; write at least 1",
    "{kind: light, concurrency: 1001}": "1:33: sinks.s.concurrency: '1001' is not allowed; write at most 1000",
    "{kind: light, concurrency: many}": "1:33: sinks.s.concurrency: 'many' is no whole number; write one",
    "{kind: light, rate: 1/y}": "1:26: sinks.s.rate: '1/y' is no rate; write how many in which time, like 1/s or 100/m",
    "{kind: light, rate: 0/s}": "1:26: sinks.s.rate: '0/s' is no rate; write how many in which time, like 1/s or 100/m",
    "{kind: light, retry: {schedule: [0s, x]}}": f"1:43: sinks.s.retry.schedule.1: 'x' {DURATION}",
    "{kind: light, give_up: never}": f"1:29: sinks.s.give_up: 'never' {DURATION}",
    "{kind: light, numbers: some}": "1:29: sinks.s.numbers: 'some' is not allowed; write 'masked' or 'full'",
    "{kind: light, paint: blue}": "1:27: sinks.s.paint: 'blue' is not allowed; write 'red' or 'green'",
    "{kind: bell, url: x, revisions: maybe}": "1:38: sinks.s.revisions: 'maybe' is not allowed; write 'ignore', 'mark' or 'send'",
    "{kind: bell, url: x, options: {lod: yes}}": "1:37: sinks.s.options.lod: unknown key 'lod' (known here: loud, times; did you mean 'loud'?)",
    "{kind: bell, url: x, options: {loud: so}}": "1:43: sinks.s.options.loud: 'so' is neither true nor false; write one of them",
    "{kind: bell, url: x, either: some}": "1:35: sinks.s.either: 'some' is no whole number; write one; or: is not allowed; write 'auto'",
    "{kind: bell, url: x, shares: [1, x]}": "1:39: sinks.s.shares.1: 'x' is no number; write one",
    "{kind: bell, url: x, shares: 1}": f"1:35: sinks.s.shares: '1' {NO_LIST}",
    "{kind: bell, url: x, send: smal_talk}": (
        "1:33: sinks.s.send: 'smal_talk' is not allowed; write 'headline', 'summary', 'action_items', 'note', 'smart_answers', "
        "'transcript', 'small_talk' or 'participants'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("sink", SINK)
def test_a_mistake_in_a_sink(complaints: Complaints, sink: str) -> None:
    head = "sources: {s: {}}\nplugins: bell.py\nsinks:\n"
    expected = SINK[sink].replace("bell, console, file, light, webhook", ", ".join(_installed()))
    assert complaints(f"  s: {sink}\n", head=head) == [expected]


def _installed() -> list[str]:
    """With the kinds that are built in, however many there are by now."""
    return sorted({*load_kinds(environ={}), "bell", "light"})


@pytest.mark.parametrize("name", ["all", "a/b", "", "-x", "x" * 65, "a:b"])
def test_a_sink_needs_a_name_that_can_stand_in_messages_and_urls(complaints: Complaints, name: str) -> None:
    head = "sources: {s: {}}\nplugins: bell.py\nsinks:\n"
    said = f"{name!r} is no name for a sink; use letters, digits, - and _, and not `all`"
    assert complaints(f"  '{name}': {{kind: light}}\n", head=head) == [f"1:3: sinks.{name}: {said}"]


#: What stands behind `when: ` of a route; the column of the first character is 1.
CONDITIONS = {
    "x": f"1:1: routes.0.when: {NO_MAP}",
    "[a]": f"1:1: routes.0.when: {NO_MAP}",
    "{}": "1:1: routes.0.when: is empty; write its conditions, or leave it out if every call is meant",
    "{chanel: x}": f"1:2: routes.0.when.chanel: unknown key 'chanel' {WHEN}; did you mean 'channel'?)",
    "{channel: }": f"1:2: routes.0.when.channel: {EMPTY}",
    "{any: }": f"1:2: routes.0.when.any: {EMPTY}",
    "{any: []}": f"1:7: routes.0.when.any: {NONE}",
    "{any: [{}]}": "1:8: routes.0.when.any.0: is empty; write its conditions, or leave it out if every call is meant",
    "{any: [{source: sipgate}, ~]}": "1:27: routes.0.when.any.1: is empty; write it, or remove it",
    "{all: {source: sipgate}}": f"1:7: routes.0.when.all: {NO_LIST}",
    "{not: }": f"1:2: routes.0.when.not: {EMPTY}",
    "{not: {}}": "1:7: routes.0.when.not: is empty; write its conditions, or leave it out if every call is meant",
    "{not: {not: {all: [{sorce: x}]}}}": f"1:21: routes.0.when.not.not.all.0.sorce: unknown key 'sorce' {WHEN}; did you mean 'source'?)",
    "{channel: []}": f"1:11: routes.0.when.channel: {NONE}",
    "{channel: ''}": "1:11: routes.0.when.channel: this name is empty; write a channel's name, or `*` for any",
    "{channel: [a, ' ']}": "1:15: routes.0.when.channel.1: this name is empty; write a channel's name, or `*` for any",
    "{channel: [[a]]}": f"1:12: routes.0.when.channel.0: {NO_TEXT}",
    "{channel: {}}": "1:11: routes.0.when.channel.id: is missing; write it",
    "{channel: {name: x}}": "1:12: routes.0.when.channel.name: unknown key 'name' (known here: id)",
    "{channel: {id: }}": f"1:12: routes.0.when.channel.id: {EMPTY}",
    "{channel: {id: ''}}": "1:16: routes.0.when.channel.id: this id is empty; `aftercall channels` prints them",
    "{channel: [a, {id: [[b]]}]}": f"1:21: routes.0.when.channel.1.id.0: {NO_TEXT}",
    "{direction: inbund}": "1:13: routes.0.when.direction: 'inbund' is not allowed; write 'inbound', 'outbound' or 'unknown'",
    "{direction: [inbound, x]}": "1:23: routes.0.when.direction.1: 'x' is not allowed; write 'inbound', 'outbound' or 'unknown'",
    "{direction: []}": f"1:13: routes.0.when.direction: {NONE}",
    "{source: sipgat}": "1:10: routes.0.when.source: unknown source 'sipgat' (there are: sipgate; did you mean 'sipgate'?)",
    "{source: [sipgate, x]}": "1:20: routes.0.when.source.1: unknown source 'x' (there are: sipgate)",
    "{caller: 030 123}": f"1:10: routes.0.when.caller: '030 123' {NUMBER}",
    "{callee: [+4930*, 030]}": f"1:19: routes.0.when.callee.1: '030' {NUMBER}",
    "{number: +49*30}": f"1:10: routes.0.when.number: '+49*30' {NUMBER}",
    "{number: '*'}": f"1:10: routes.0.when.number: '*' {NUMBER}",
    "{number: +123}": f"1:10: routes.0.when.number: '+123' {NUMBER}",
    "{number: ''}": f"1:10: routes.0.when.number: '' {NUMBER}",
    "{number: unknown}": f"1:10: routes.0.when.number: 'unknown' {NUMBER}",
    "{duration: 5m}": "1:12: routes.0.when.duration: '5m' compares with no duration; write \">= 5m\" or {min: 5m, max: 1h}",
    "{duration: '>= 5'}": "1:12: routes.0.when.duration: '>= 5' compares with no duration; write \">= 5m\" or {min: 5m, max: 1h}",
    "{duration: {}}": "1:12: routes.0.when.duration: is empty; write min, max or both",
    "{duration: {min: 5}}": f"1:18: routes.0.when.duration.min: '5' {DURATION}",
    "{duration: {min: 2h, max: 1h}}": "1:12: routes.0.when.duration: min is more than max, so no call fits",
    "{duration: {mn: 5m}}": "1:13: routes.0.when.duration.mn: unknown key 'mn' (known here: max, min; did you mean 'min'?)",
    "{duration: [5m]}": f"1:12: routes.0.when.duration: {NO_TEXT}",
    "{time: mon}": f"1:8: routes.0.when.time: {NO_MAP}",
    "{time: {}}": "1:8: routes.0.when.time: is empty; write days, from, until or holidays",
    "{time: {day: mon}}": "1:9: routes.0.when.time.day: unknown key 'day' (known here: days, from, holidays, until; did you mean 'days'?)",
    "{time: {days: mon-}}": f"1:15: routes.0.when.time.days: 'mon-' {DAY}",
    "{time: {days: -fri}}": f"1:15: routes.0.when.time.days: '-fri' {DAY}",
    "{time: {days: 'mon,wed'}}": f"1:15: routes.0.when.time.days: 'mon,wed' {DAY}",
    "{time: {days: [mon, sunset]}}": f"1:21: routes.0.when.time.days.1: 'sunset' {DAY}",
    "{time: {days: m}}": f"1:15: routes.0.when.time.days: 'm' {DAY}",
    "{time: {from: 8}}": f"1:15: routes.0.when.time.from: '8' {CLOCK}",
    "{time: {from: '25:00'}}": f"1:15: routes.0.when.time.from: '25:00' {CLOCK}",
    "{time: {from: '24:00'}}": '1:15: routes.0.when.time.from: "24:00" is the end of a day; write "00:00"',
    "{time: {from: x, until: '00:00'}}": f"1:15: routes.0.when.time.from: 'x' {CLOCK}",
    "{time: {until: '24:01'}}": f"1:16: routes.0.when.time.until: '24:01' {CLOCK}",
    "{time: {until: '00:00'}}": '1:16: routes.0.when.time.until: no time is before 00:00; write "24:00", or leave it out',
    "{time: {from: '08:00', until: '8:00'}}": '1:8: routes.0.when.time: `from` and `until` are the same time; for the whole day write {from: "00:00", until: "24:00"}',
    "{time: {holidays: XX}}": f"1:19: routes.0.when.time.holidays: 'XX' {CODE}",
    "{time: {holidays: [DE, DE-XX]}}": f"1:24: routes.0.when.time.holidays.1: 'DE-XX' {CODE}",
    "{has: nots}": (
        "1:7: routes.0.when.has: 'nots' is not allowed; write 'headline', 'summary', 'note', 'transcript', 'action_items', "
        "'smart_answers', 'small_talk' or 'participants'"
    ),
    "{has: []}": f"1:7: routes.0.when.has: {NONE}",
    "{summary: ''}": f"1:11: routes.0.when.summary: {NO_WORD}",
    "{summary: [a, '']}": f"1:15: routes.0.when.summary.1: {NO_WORD}",
    "{summary: []}": f"1:11: routes.0.when.summary: {NONE}",
    "{summary: [[a]]}": f"1:12: routes.0.when.summary.0: {NO_TEXT}",
    "{summary: [{any: a}]}": f"1:12: routes.0.when.summary.0: {NO_TEXT}",
    "{summary: {}}": "1:11: routes.0.when.summary: has no keywords; write any, all or none",
    "{summary: {any: }}": f"1:12: routes.0.when.summary.any: {EMPTY}",
    "{summary: {any: a, except: }}": f"1:20: routes.0.when.summary.except: {EMPTY}",
    "{summary: {any: ''}}": f"1:17: routes.0.when.summary.any: {NO_WORD}",
    "{summary: {none: [a, '']}}": f"1:22: routes.0.when.summary.none.1: {NO_WORD}",
    "{summary: {all: [a, [b]]}}": f"1:21: routes.0.when.summary.all.1: {NO_TEXT}",
    "{summary: {anny: a}}": f"1:12: routes.0.when.summary.anny: unknown key 'anny' {TEXT}; did you mean 'any'?)",
    "{summary: {any: a, match: fuzy}}": "1:27: routes.0.when.summary.match: 'fuzy' is not allowed; write 'word', 'prefix', 'substring', 'glob' or 'regex'",
    "{summary: {any: a, fold: x}}": "1:26: routes.0.when.summary.fold: 'x' is not allowed; write 'german', 'basic' or 'exact'",
    "{summary: {any: [a, '(?=x)'], match: regex}}": (
        "1:21: routes.0.when.summary.any.1: the regex '(?=x)' is none that RE2 knows: invalid perl operator: (?=; "
        "RE2 has no look-around: write two keywords, one of them under none"
    ),
    "{summary: {any: [a, b], match: regex, except: [c, d]}}": (
        "1:48: routes.0.when.summary.except.0: `except` is about whole words and has no meaning with match: regex; "
        "use word, prefix or glob"
    ),
    "{summary: {any: [a, b], match: glob, except: [c, '']}}": f"1:50: routes.0.when.summary.except.1: {NO_WORD}",
    "{summary: $geld}": "1:11: routes.0.when.summary: unknown words '$geld' (there are: none); for the keyword '$geld' write '$$geld'",
    "{summary: [a, $geld]}": "1:15: routes.0.when.summary.1: unknown words '$geld' (there are: none); for the keyword '$geld' write '$$geld'",
    "{summary: {any: $geld}}": (
        "1:17: routes.0.when.summary.any: '$geld' cannot stand here: names of words go into a plain list, like "
        "`text: [$geld, price]`; for the keyword '$geld' write '$$geld'"
    ),
}  # fmt: skip


@pytest.mark.parametrize("when", CONDITIONS)
def test_a_mistake_in_a_condition(complaints: Complaints, when: str) -> None:
    rule = "routes:\n- name: r\n  to: bell\n  when: "
    head = HEAD + rule[: rule.rindex("\n") + 1]
    (found,) = complaints(f"  when: {when}\n", head=head)
    line, column, said = found.split(":", 2)
    assert f"{line}:{int(column) - len('  when: ')}:{said}" == CONDITIONS[when]


RULES = {
    "routes: x": f"1:9: routes: 'x' {NO_LIST}",
    "routes: {name: r, to: bell}": f"1:9: routes: {NO_LIST}",
    "routes: [x]": f"1:10: routes.0: {NO_MAP}",
    "routes: [~]": "1:10: routes.0: is empty; write it, or remove it",
    "routes: [{name: r}]": "1:10: routes.0.to: is missing; write it",
    "routes: [{to: bell}]": "1:10: routes.0.name: is missing; write it",
    "routes: [{nam: r, to: bell}]": f"1:11: routes.0.nam: unknown key 'nam' {RULE}; did you mean 'name'?)",
    "routes: [{name: r, sinks: bell}]": f"1:20: routes.0.sinks: unknown key 'sinks' {RULE})",
    "routes: [{name: '', to: bell}]": "1:17: routes.0.name: is empty; write a text",
    f"routes: [{{name: {'r' * 201}, to: bell}}]": f"1:17: routes.0.name: '{'r' * 79}…' is not allowed: String should have at most 200 characters",
    "routes: [{name: , to: bell}]": f"1:11: routes.0.name: {EMPTY}",
    "routes: [{name: [r], to: bell}]": f"1:17: routes.0.name: {NO_TEXT}",
    "routes: [{name: r, to: }]": f"1:20: routes.0.to: {EMPTY}",
    "routes: [{name: r, to: []}]": f"1:24: routes.0.to: {NONE}",
    "routes: [{name: r, to: blel}]": f"1:24: routes.0.to: unknown sink 'blel' {SINKS}; did you mean 'bell'?)",
    "routes: [{name: r, to: [bell, ligth]}]": f"1:31: routes.0.to.1: unknown sink 'ligth' {SINKS}; did you mean 'light'?)",
    "routes: [{name: r, to: all}]": f"1:24: routes.0.to: unknown sink 'all' {SINKS})",
    "routes: [{name: r, to: bell, when: }]": f"1:30: routes.0.when: {EMPTY}",
    "routes: [{name: r, to: bell, unless: }]": f"1:30: routes.0.unless: {EMPTY}",
    "routes: [{name: r, to: bell, unless: {}}]": "1:38: routes.0.unless: is empty; write its conditions, or leave it out if every call is meant",
    "routes: [{name: r, to: bell, unless: {caller: 1}}]": f"1:47: routes.0.unless.caller: '1' {NUMBER}",
    "routes: [{name: r, to: bell, stop: perhaps}]": "1:36: routes.0.stop: 'perhaps' is neither true nor false; write one of them",
    "routes: [{name: r, to: bell}, {name: r, to: bell}]": "1:38: routes.1.name: there is a rule 'r' above; give one of the two another name",
    "never: [{name: n, to: bell}, {name: n, to: bell}]": "1:37: never.1.name: there is a rule 'n' above; give one of the two another name",
    "never: [{name: n, to: blel}]": f"1:23: never.0.to: unknown sink 'blel' {SINKS}; did you mean 'bell'?)",
    "never: [{name: n, to: [all, bell]}]": "1:23: never.0.to: `all` has every sink in it; write `all` alone, or the names alone",
    "never: [{name: n, to: all, stop: yes}]": "1:28: never.0.stop: unknown key 'stop' (known here: name, to, unless, when)",
    "never: [{name: n, to: all, when: {channel: ''}}]": "1:44: never.0.when.channel: this name is empty; write a channel's name, or `*` for any",
    "never: {name: n, to: all}": f"1:8: never: {NO_LIST}",
}  # fmt: skip


@pytest.mark.parametrize("text", RULES)
def test_a_mistake_in_a_rule(complaints: Complaints, text: str) -> None:
    assert complaints(f"{text}\n") == [RULES[text]]


@pytest.mark.parametrize(
    ("rule", "paths_"),
    [
        ("{nam: r}", ["to", "nam"]),
        ("{nam: r, too: bell}", ["nam", "too"]),
        ("{nam: r, colour: red}", ["nam", "colour"]),
        ("{colour: red}", ["name", "to", "colour"]),
    ],
)
def test_a_misspelt_key_is_not_missing_as_well(complaints: Complaints, rule: str, paths_: list[str]) -> None:
    found = [problem.split(": ")[1].removeprefix("routes.0.") for problem in complaints(f"routes: [{rule}]\n")]
    assert sorted(found) == sorted(paths_)


def test_the_same_name_may_be_a_route_and_a_never_rule(loading: Load) -> None:
    loading("routes: [{name: r, to: bell}]\nnever: [{name: r, to: bell}]\n")


# -------------------------------------------------------------------------------------------- several mistakes at once


def test_every_mistake_is_reported_in_the_order_of_the_file(complaints: Complaints) -> None:
    text = dedent(
        """\
        language: fr
        sinks: {bell: {kind: blel}, light: {kind: light, paint: blue, timeout: x}}
        routes:
        - {name: r, too: bell, when: {chanel: x}, stop: perhaps}
        - {to: bell, when: }
        """
    )
    found = complaints(text, head="sources: {s: {}}\nplugins: bell.py\n")
    assert [problem.split(": ")[:2] for problem in found] == [
        ["1:11", "language"],
        ["2:22", "sinks.bell.kind"],
        ["2:57", "sinks.light.paint"],
        ["2:72", "sinks.light.timeout"],
        ["4:13", "routes.0.too"],
        ["4:31", "routes.0.when.chanel"],
        ["4:49", "routes.0.stop"],
        ["5:14", "routes.1.when"],
    ]


def test_every_mistake_of_the_rules_is_reported_together_with_those_between_keys(complaints: Complaints) -> None:
    text = dedent(
        """\
        words: {w: ["", x]}
        always: [blel, bell]
        keep: {seen: 1d}
        routes:
        - {name: r, to: [a, bell, b], when: {summary: [$w, "", $$x, $v], caller: [1, +49*], time: {days: x, from: y}}}
        - {name: r, to: bell, unless: {any: [{note: ""}, {source: x}], duration: x}}
        never: [{name: n, to: c, when: {time: {holidays: [DE, x]}}}]
        """
    )
    assert [problem.split(": ")[:2] for problem in complaints(text)] == [
        ["1:13", "words.w.0"],
        ["2:10", "always.0"],
        ["3:14", "keep.seen"],
        ["5:18", "routes.0.to.0"],
        ["5:27", "routes.0.to.2"],
        ["5:52", "routes.0.when.summary.1"],
        ["5:61", "routes.0.when.summary.3"],
        ["5:75", "routes.0.when.caller.0"],
        ["5:98", "routes.0.when.time.days"],
        ["5:107", "routes.0.when.time.from"],
        ["6:10", "routes.1.name"],
        ["6:45", "routes.1.unless.any.0.note"],
        ["6:59", "routes.1.unless.any.1.source"],
        ["6:74", "routes.1.unless.duration"],
        ["7:23", "never.0.to"],
        ["7:55", "never.0.when.time.holidays.1"],
    ]


def test_a_bad_plugin_is_one_problem_and_hides_none(complaints: Complaints, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import pydantic\nraise ValueError('one\\n\\ntwo')\n")
    text = "plugins: [bell.py, broken.py]\nlanguage: fr\nsinks: {s: {kind: bell}}\n"
    (plugin, language) = complaints(text, head="sources: {s: {}}\n")
    assert plugin == f"1:20: plugins.1: plugin {tmp_path / 'broken.py'}: ValueError: one two"
    assert language.startswith("2:11: language")


@pytest.mark.parametrize("plugins", ["nope.py", "[nope.py]"])
def test_a_plugin_that_is_not_there_is_named(complaints: Complaints, tmp_path: Path, plugins: str) -> None:
    (found,) = complaints(f"plugins: {plugins}\n", head="sources: {s: {}}\n")
    assert found.endswith(f"plugin {tmp_path / 'nope.py'}: no such Python file")


@pytest.mark.parametrize("plugins", ["{a: b}", "[[a]]"])
def test_plugins_are_names_of_files(complaints: Complaints, plugins: str) -> None:
    (found,) = complaints(f"plugins: {plugins}\n", head="sources: {s: {}}\n")
    assert found.endswith(NO_TEXT)


# ------------------------------------------------------------------------------------------------------------ secrets

SECRET = "geheim-7hK2pQ"


@pytest.mark.parametrize(
    "text",
    [
        f"sources: {{s: {{token: {SECRET}}}}}",
        f"sources: {{s: {{token: {SECRET}/aaaaaaaaaaaaaaaaaaaaaa}}}}",
        f"sources: {{s: {{token: {SECRET}äöü_aaaaaaaaaaaaaaaaa}}}}",
        f"sources: {{s: {{tokens: [{SECRET}]}}}}",
        f"sources: {{s: {{tokens: {SECRET}}}}}",
        f"sources: {{s: {{token: [{SECRET}]}}}}",
        f"sources: {{s: {SECRET}}}",
        f"sources: {{s: {{tokn: {SECRET}}}}}",
        f"sources: {{s: {{}}}}\nadmin: {{tokens: {{ops: {SECRET}}}}}",
        f"sources: {{s: {{}}}}\nadmin: {{tokens: {SECRET}}}",
        f"sources: {{s: {{}}}}\nadmin: {SECRET}",
        f"sources: {{s: {{}}}}\nstore: postgresql://me:{SECRET}@host/db",
        f"sources: {{s: {{}}}}\nstore: postgresql://me@host/db?{SECRET}",
        f"sources: {{s: {{}}}}\nstore_password: {SECRET}",
        f"sources: {{s: {{}}}}\nstore: postgresql://me@host/db\nstore_password: {SECRET}",
        f"sources: {{s: {{}}}}\nserver: {{public_url: 'https://me:{SECRET}@host'}}",
        f"sources: {{s: {{}}}}\nplugins: bell.py\nsinks: {{b: {{kind: bell, ulr: {SECRET}}}}}",
        f"sources: {{s: {{}}}}\nplugins: bell.py\nsinks: {{b: {{kind: bell, url: [{SECRET}]}}}}",
        f"sources: {{s: {{}}}}\nplugins: bell.py\nsinks: {{b: {{kind: bell, url: x, headers: {SECRET}}}}}",
        f"sources: {{s: {{}}}}\nplugins: bell.py\nsinks: {{b: {{kind: bell, url: x, headers: {{a: [{SECRET}]}}}}}}",
        f"sources: {{s: {{}}}}\nsinks: {{b: {SECRET}}}",
    ],
)
@pytest.mark.case("AUTH-04")
def test_no_message_has_a_secret_in_it(complaints: Complaints, text: str) -> None:
    assert SECRET not in "\n".join(complaints(f"{text}\n", head=""))


@pytest.mark.parametrize(
    "text",
    [
        'language: "${S}"',
        'timezone: "${S}"',
        'data: {a: "${S}"}',
        'store: "${S}"',
        'keep: {events: "${S}"}',
        'server: {listen: "${S}", public_url: "${S}", max_body: "${S}"}',
        'retry: {jitter: "${S}", schedule: ["${S}"]}',
        'always: "${S}"',
        'always: ["x${S}"]',
        'sinks: {a: {kind: "${S}"}}',
        'sinks: {a: {kind: light, paint: "${S}", rate: "${S}"}}',
        'words: {w: "$${S}"}\nroutes: [{name: "${S}", to: bell},{name: "${S}", to: "${S}"}]',
        'routes: [{name: r, to: bell, when: {caller: "${S}", time: {days: "${S}", from: "${S}", holidays: "${S}"}}}]',
        'routes: [{name: r, to: bell, when: {duration: ">= ${S}", source: "${S}", direction: "${S}"}}]',
        'routes: [{name: r, to: bell, when: {duration: ">= ${S}", source: "${S}"}}]',
        'routes: [{name: r, to: bell, when: {text: {match: regex, any: "${S}("}, note: "$${S}"}}]',
    ],
)
def test_what_a_variable_was_filled_with_is_shown_as_the_variable(complaints: Complaints, text: str) -> None:
    head = HEAD if "sinks" not in text else "sources: {s: {}}\nplugins: bell.py\n"
    found = "\n".join(complaints(f"{text}\n", head=head, S=SECRET))
    assert SECRET not in found


@pytest.mark.parametrize(
    "token", ["short", "a" * 30, "1234" * 8, "0123456789abcdefghijk", f"{TOKEN}/x", f"{TOKEN} x", "ä" * 30]
)
@pytest.mark.case("AUTH-04")
def test_a_token_that_could_be_guessed_or_cannot_stand_in_a_url_is_refused(complaints: Complaints, token: str) -> None:
    (found,) = complaints(f"sources: {{s: {{token: '{token}'}}}}\n", head="")
    assert found.startswith("1:22: sources.s.token: is too weak or cannot stand in a URL")
    assert "openssl rand -hex 16" in found
    assert token not in found.removeprefix("1:22: sources.s.token:") or token == "short"


def test_the_output_of_the_command_that_is_recommended_is_a_token(loading: Load) -> None:
    loading("", head="sources: {s: {token: 9f86d081884c7d659a2feaa0c55ad015}}\n")


@pytest.mark.case("AUTH-04")
def test_a_token_has_at_least_eight_different_characters(loading: Load, complaints: Complaints) -> None:
    loading("", head="sources: {s: {token: 0123456701234567012345}}\n")
    assert len(complaints("", head="sources: {s: {token: 0123456012345601234560}}\n")) == 1


def test_two_tokens_of_one_source_may_stay_the_same_for_a_while(loading: Load) -> None:
    loading("", head=f"sources: {{s: {{tokens: [{TOKEN}, {OTHER}]}}, t: {{token: {TOKEN}x}}}}\n")


# ----------------------------------------------------------------------------------------------------------- crossings


@pytest.mark.parametrize("listen", ["127.0.0.1:8081", "localhost:8081", "[::1]:8081", "127.9.9.9:8081"])
def test_the_admin_listener_needs_no_tokens_on_this_machine(loading: Load, listen: str) -> None:
    assert loading(f"admin: {{listen: '{listen}'}}\n").admin.listen.loopback


@pytest.mark.parametrize("listen", ["0.0.0.0:8081", "[::]:8081", "192.168.1.1:8081", "router.example.com:8081"])
def test_the_admin_listener_needs_tokens_beyond_it(complaints: Complaints, loading: Load, listen: str) -> None:
    (found,) = complaints(f"admin: {{listen: '{listen}'}}\n")
    assert "give admin.tokens a name and a secret" in found
    assert not loading(f"admin: {{listen: '{listen}', tokens: {{ops: {TOKEN}}}}}\n").admin.listen.loopback


def test_both_listeners_may_take_any_free_port(loading: Load) -> None:
    loading("server: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n")


@pytest.mark.parametrize(
    "keep", ["{events: 90d, seen: 90d}", "{events: forever, seen: forever}", "{seen: forever}", "{events: 1h}"]
)
@pytest.mark.case("DED-04")
def test_a_call_is_known_as_long_as_it_is_kept(loading: Load, keep: str) -> None:
    loading(f"keep: {keep}\n")


# ---------------------------------------------------------------------------------------------------- what is robust

#: With a key of every sort.
WHOLE: dict[str, Any] = {
    "data": "data",
    "timezone": "Europe/Berlin",
    "keep": {"events": "90d", "seen": "forever"},
    "server": {"listen": "127.0.0.1:8080", "public_url": "https://x.example", "max_body": "10 MiB"},
    "admin": {"tokens": {"ops": TOKEN}, "hosts": ["x"]},
    "sources": {"s": {"tokens": [OTHER], "format": "sipgate"}, "t": None},
    "sinks": {"c": {"kind": "console", "rate": "1/s", "retry": {"schedule": ["0s", "1m"], "jitter": "0.1"}}},
    "words": {"w": ["x", "y"], "v": {"any": "x*", "match": "glob", "except": ["xy*"]}},
    "always": "c",
    "otherwise": ["c"],
    "never": [{"name": "n", "when": {"channel": ["a", {"id": ["b"]}]}, "to": "all"}],
    "routes": [
        {
            "name": "r",
            "when": {
                "any": [{"not": {"source": "s"}}, {"direction": ["inbound"]}],
                "caller": ["+4930*", "anonymous"],
                "duration": {"min": "1m"},
                "time": {"days": ["mon-fri"], "from": "08:00", "until": "18:00", "holidays": ["DE-NW"]},
                "has": ["note"],
                "summary": ["$w", "x", "$$y"],
                "text": {"all": ["a", "b"], "none": "c", "fold": "basic"},
            },
            "unless": {"duration": ">= 5m", "note": "x"},
            "to": ["c"],
            "stop": "true",
        }
    ],
    "retry": {"schedule": "standard-webhooks", "jitter": "0.2"},
}
SCALARS = "c s w x 5m 08:00 all any kind id name +49* $w ( * -1 1e9 inbound forever console"
ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.sampled_from(["", *SCALARS.split()]) | st.text("äß😀 \u202e'\\{}[]#:", max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(SCALARS.split()), inner, max_size=2),
    max_leaves=4,
)


def _problems(made: dict[str, Any]) -> list[str]:
    document = read(json.dumps(made, ensure_ascii=False), "routes.yaml", Path("/nowhere"), {}, Files())  # JSON is YAML
    try:
        _Loader(document, Path("/nowhere/routes.yaml"), {}, datetime(2026, 3, 10, tzinfo=UTC), Files(), None).config()
    except ConfigError as error:
        return str(error).split("\n")
    return []


@pytest.mark.parametrize("odd", [None, "", [], ["x"], [[]], {"x": "y"}, "(renamed)"], ids=repr)
def test_one_mistake_is_one_problem(odd: Any) -> None:
    assert _problems(WHOLE) == []
    for path in paths({key: WHOLE[key] for key in ("keep", "words", "routes", "never", "retry")}):
        made = copy.deepcopy(WHOLE)
        parent: Any = made
        for step in path[:-1]:
            parent = parent[step]
        if odd == "(renamed)" and isinstance(path[-1], str):
            parent[f"{path[-1]}s"] = parent.pop(path[-1])
        else:
            parent[path[-1]] = odd
        problems = _problems(made)
        assert len(problems) <= (3 if odd == {"x": "y"} else 1), (path, problems)


@given(broken(WHOLE, ODD))
def test_whatever_is_wrong_with_a_file_its_mistakes_have_places(made: dict[str, Any]) -> None:
    problems = _problems(made)
    assert len(problems) == len(set(problems))
    for problem in problems:
        assert re.match(r"routes\.yaml:[1-9]\d*:[1-9]\d*: .", problem), problems


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("a", "b", 0), ("a", "b", 0)),
        (("a", "c", 0), ("a", "c")),
        (("a", "b", "any", 1), ("a", "b", 1)),
        (("a", "nope"), ("a", "nope")),
        (("a", "c", "nope"), ("a", "c")),
        (("a", "nope", 0), ("a",)),
        ((), ()),
    ],
)
def test_a_path_is_fitted_to_what_the_file_has(path: tuple[str | int, ...], expected: tuple[str | int, ...]) -> None:
    assert fitted(path, {"a": {"b": ["x", "y"], "c": "z"}}) == expected


def test_suggestions_look_past_case_and_list_no_more_than_a_line() -> None:
    assert closest("CHANEL", ["channel", "caller"]) == "channel"
    assert closest("zzz", ["channel"]) is None
    assert did_you_mean("x", []) == "(there are: none)"
    assert did_you_mean("Bel", ["Bell", "light"], "installed") == "(installed: Bell, light; did you mean 'Bell'?)"
    assert did_you_mean("x1", [f"name-{at:02}" for at in range(30)]).endswith("name-19, …)")


# -------------------------------------------------------------------------------------------------------------- schema


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The schema, with the kinds of the plugin above, and of another one whose classes have the same names."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "bell.py").write_text(BELL, encoding="utf-8")
    (folder / "bell2.py").write_text(BELL.replace('"bell"', '"gong"').replace('"light"', '"lamp"'), encoding="utf-8")
    return schema(load_kinds([folder / "bell.py", folder / "bell2.py"], {}))


def _keys(made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for definition in (made, *made["$defs"].values()):
        for name, key in definition.get("properties", {}).items():
            yield definition["title"], name, key


def test_the_schema_is_json_and_describes_every_key(made: dict[str, Any]) -> None:
    json.dumps(made)
    for title, name, key in _keys(made):
        if title in ("BellConfig", "LightConfig", "Options"):
            continue  # whose author may be less careful
        described = [
            key,
            *(made["$defs"][one["$ref"].rpartition("/")[2]] for one in key.get("anyOf", ()) if "$ref" in one),
        ]
        assert any(one.get("description") for one in described), (title, name)


def test_the_schema_has_every_kind_though_classes_have_the_same_name(made: dict[str, Any]) -> None:
    variants = made["properties"]["sinks"]["anyOf"][0]["additionalProperties"]["oneOf"]
    definitions = [made["$defs"][variant["$ref"].rpartition("/")[2]] for variant in variants]
    kinds = [definition["properties"]["kind"]["const"] for definition in definitions]
    assert sorted(kinds) == sorted({*load_kinds(environ={}), "bell", "light", "gong", "lamp"})
    assert all("kind" in definition["required"] for definition in definitions)


def test_the_defaults_of_the_schema_are_as_one_would_write_them(made: dict[str, Any]) -> None:
    defaults = {(title, name): key["default"] for title, name, key in _keys(made) if "default" in key}
    assert defaults["Server", "listen"] == "127.0.0.1:8080"
    assert defaults["Keep", "events"] == "90d"
    assert defaults["LightConfig", "timeout"] == "20s"
    assert defaults["BellConfig", "give_up"] == "12h"
    assert defaults["BellConfig", "send"] == ["headline", "summary", "action_items", "note"]
    for title, name, key in _keys(made):
        if key.get("default") is not None:
            assert not list(_violations(key["default"], key, made)), (title, name)


def test_the_schema_takes_the_file_that_is_shipped(made: dict[str, Any]) -> None:
    """As an editor reads it: with YAML's own types."""
    shipped = yaml.safe_load(STARTER.read_text(encoding="utf-8"))
    assert list(_violations(shipped, made, made)) == []


@pytest.mark.parametrize(
    "text",
    [
        "always: bell",
        "words: {a: x, b: [x, y], c: {any: x}}",
        "routes: [{name: r, to: bell, when: {channel: x, direction: inbound, has: note, summary: [a, b]}}]",
        "routes: [{name: r, to: [bell], when: {channel: [x, {id: [y]}], time: {days: mon, holidays: [DE]}}, stop: true}]",
        "routes: [{name: r, to: bell, when: {any: [{not: {duration: '> 5m'}}, {duration: {min: 5m}}]}}]",
        "never: \nkeep: {events: forever, seen: forever}",
        "retry: {schedule: [0s, 5m], jitter: 0.5}",
        "server: {max_body: 500 kB}\nadmin: {hosts: [a]}",
        "sinks: {a: {kind: bell, url: x, send: note, rate: 1/s, either: 5}, b: {kind: lamp, concurrency: 5}}",
    ],
)
def test_the_schema_takes_what_the_router_takes(made: dict[str, Any], loading: Load, text: str) -> None:
    assert list(_violations(yaml.safe_load(text) | {"sources": {"s": {}}}, made, made)) == []
    if "sinks" not in text:
        loading(f"{text}\n")


@pytest.mark.parametrize(
    "text",
    [
        "alway: bell",
        "language: fr",
        "keep: {events: 90}",
        "keep: {events: 90x}",
        "routes: [{name: r}]",
        "routes: [{name: r, to: []}]",
        "routes: [{name: r, to: bell, when: }]",
        "routes: [{name: r, to: bell, when: {chanel: x}}]",
        "routes: [{name: r, to: bell, when: {direction: x}}]",
        "routes: [{name: r, to: bell, when: {summary: {match: x, any: y}}}]",
        "sinks: {a: {kind: slak}}",
        "sinks: {a: {}}",
        "sinks: {a: {kind: bell}}",
        "sinks: {a: {kind: light, rate: 1/y}}",
        "retry: {jitter: 2}",
        "sources: {}",
    ],
)
def test_the_schema_refuses_what_the_router_refuses(made: dict[str, Any], text: str) -> None:
    assert list(_violations({"sources": {"s": {}}} | yaml.safe_load(text), made, made))


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_KEYWORDS = {
    "$ref", "anyOf", "oneOf", "type", "const", "enum", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems",
    "maxItems", "minProperties", "items", "properties", "required", "additionalProperties",
    # of these nothing follows for a value
    "$schema", "$defs", "title", "description", "default", "examples", "format", "writeOnly", "discriminator", "propertyNames",
}  # fmt: skip


def _violations(value: Any, rule: dict[str, Any], root: dict[str, Any], at: str = "$") -> Iterator[str]:
    """As much of JSON Schema as our schema uses; a word that this does not know fails the test."""
    assert rule.keys() <= _KEYWORDS, rule.keys() - _KEYWORDS
    if "$ref" in rule:
        yield from _violations(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root, at)
    for word, allowed in (("anyOf", None), ("oneOf", 1)):
        if word in rule:
            fitting = sum(not list(_violations(value, branch, root, at)) for branch in rule[word])
            if fitting == 0 or (allowed and fitting != allowed):
                yield f"{at}: fits {fitting} of {word}"
    types = [rule["type"]] if isinstance(rule.get("type"), str) else rule.get("type", [])
    if types and not any(isinstance(value, _TYPES[t]) and (t == "boolean") == isinstance(value, bool) for t in types):
        yield f"{at}: is no {types}"
        return
    if value != rule.get("const", value) or value not in rule.get("enum", [value]):
        yield f"{at}: is none of those"
    if isinstance(value, str):
        fits = re.search(rule.get("pattern", ""), value) and rule.get("minLength", 0) <= len(value)
        if not fits or len(value) > rule.get("maxLength", len(value)):
            yield f"{at}: does not fit"
    if isinstance(value, int | float) and not rule.get("minimum", value) <= value <= rule.get("maximum", value):
        yield f"{at}: is out of bounds"
    if isinstance(value, list):
        if not rule.get("minItems", 0) <= len(value) <= rule.get("maxItems", len(value)):
            yield f"{at}: has {len(value)} items"
        for number, item in enumerate(value):
            yield from _violations(item, rule.get("items", {}), root, f"{at}.{number}")
    if isinstance(value, dict):
        if missing := set(rule.get("required", ())) - value.keys() or len(value) < rule.get("minProperties", 0):
            yield f"{at}: lacks {missing}"
        for name, inner in value.items():
            of_name = rule.get("properties", {}).get(name, rule.get("additionalProperties", {}))
            if of_name is False:
                yield f"{at}.{name}: is unknown"
            elif of_name is not True:
                yield from _violations(inner, of_name, root, f"{at}.{name}")


def test_one_run_finds_the_mistakes_of_every_part(complaints: Complaints) -> None:
    said = complaints(
        "sources: {s: {}}\ntimezone: Mars/Olympus\nkeep: {events: 90}\nsinks: {a: {kind: consol}}\nalways: [b]\n"
        "routes: [{name: r, to: c}]\n",
        head="",
    )
    paths = [line.split(": ")[1] for line in said]
    assert paths == ["timezone", "keep.events", "sinks.a.kind", "always.0", "routes.0.to"]


def test_a_comma_in_a_keyword_is_a_warning(loading: Load) -> None:
    config = loading(
        "sources: {s: {}}\nsinks: {a: {kind: console}}\nroutes: [{name: r, when: {summary: 'Angebot, Preis'}, to: a}]\n",
        head="",
    )
    assert "[Angebot, Preis]" in str(config.warnings[0])


# ------------------------------------------------------------------------------------------------ templates of messages

POST = '''
from contextlib import asynccontextmanager
from typing import Literal
from router import MessageSinkConfig, hookimpl

class PostConfig(MessageSinkConfig):
    """Writes letters."""
    kind: Literal["post"]

    def open(self, context):
        raise NotImplementedError

@hookimpl
def register_sinks():
    return [PostConfig]
'''
POST_HEAD = "sources: {s: {}}\nplugins: post.py\nsinks:\n"


@pytest.fixture
def post(tmp_path: Path) -> Path:
    """A kind that writes messages, as a local plugin; the folder."""
    (tmp_path / "post.py").write_text(POST, encoding="utf-8")
    return tmp_path


def test_a_template_stands_in_the_file_or_beside_it(loading: Load, post: Path) -> None:
    (post / "post.md").write_text("# {{ title }}\n{{ event.note }}\n", encoding="utf-8")
    (post / "post.md").chmod(0o644)
    text = (
        '  a: {kind: post, template: "${file:post.md}"}\n  b:\n    kind: post\n    template: |\n      # {{ title }}\n'
    )
    config = loading(text, head=POST_HEAD)
    assert [getattr(config.sinks[name], "template", None) for name in "ab"] == [
        "# {{ title }}\n{{ event.note }}",
        "# {{ title }}\n",
    ]
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("# {{ title }}\n{{ evnt.note }}", "template: line 2: there is no evnt; there is event, title, "),
        ("# {{ title }}\n\n{% if x %}", "template: line 3: syntax error"),
        ("{{ event.note }}", "template: says nothing about a call of which only the time is known"),
        ("{{ title }}{{ event.smart_answers[0].question }}", "template: line 1: undefined value"),
        ("{{ title }}\n{% if updated %}{{ speakers.nobody.there }}{% endif %}", "template: line 2: undefined value"),
        ("{{ title }}[x](//y)", "template: line 1: the link '//y' has to begin with https://"),
    ],
)
def test_a_template_that_cannot_be_filled_is_found_with_both_lines(
    template: str, problem: str, complaints: Complaints, post: Path
) -> None:
    """Where it stands in routes.yaml, and the line in the template; of what came out of a file not a word."""
    (post / "post.md").write_text(template, encoding="utf-8")
    indented = "".join(f"      {line}\n" for line in template.split("\n"))
    texts = (
        '  a:\n    kind: post\n    template: "${file:post.md}"\n',
        f"  a:\n    kind: post\n    template: |\n{indented}",
    )
    for text, value in zip(texts, ("'${file:post.md}' ", ""), strict=True):
        (found,) = complaints(text, head=POST_HEAD)
        assert found.startswith(f"3:15: sinks.a.template: {value}")
        if value:
            assert "evnt" not in found
            assert "(//y" not in found
        assert (problem.partition("there is no evnt")[0].replace(" '//y'", "") if value else problem) in found
        assert "Rückfrage" not in found


# ------------------------------------------------------------------------------------------- files that sinks name


SIGNING = """
sources: {sipgate: {}}
sinks:
  out: {kind: file, root: out, format: vcon, sign: {key: KEY, certificates: CHAIN}}
  hook: {kind: webhook, url: "https://hook.example", ca_file: CA}
always: [out, hook]
"""


def signing(folder: Path, key: str = "key.pem", chain: str = "chain.pem", ca: str = "ca.pem") -> Path:
    (folder / "key.pem").write_text(identity("rsa").pem())
    identity("rsa").write(folder / "chain.pem")
    authority().write(folder / "ca.pem")
    file = folder / "routes.yaml"
    file.write_text(SIGNING.replace("KEY", key).replace("CHAIN", chain).replace("CA", ca))
    return file


@pytest.mark.parametrize("wrong", [{"key": '"a\\0b"'}, {"chain": '"a\\0b"'}, {"ca": '"a\\0b"'}])
def test_what_no_file_can_be_called_is_a_mistake_like_any_other(tmp_path: Path, wrong: dict[str, str]) -> None:
    with pytest.raises(
        ConfigError, match=r"routes\.yaml:[45]:\d+: sinks\.(out\.sign\.(key|certificates)|hook\.ca_file): "
    ):
        load(signing(tmp_path, **wrong), {})


def test_files_that_sinks_name_are_looked_at(tmp_path: Path) -> None:
    assert load(signing(tmp_path), {}).warnings == ()


def test_every_sink_with_a_bad_file_is_reported_with_the_place_of_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(signing(tmp_path, key="no.pem", ca="nix.pem"), {})
    first, second = str(caught.value).splitlines()
    assert first.startswith("routes.yaml:4:58: sinks.out.sign.key: is no private key in PEM, and names no file")
    assert second.startswith("routes.yaml:5:63: sinks.hook.ca_file: no certificates can be read from")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"chain": '"${file:key.pem}"'},
            "sinks.out.sign.certificates: '${file:key.pem}' has no certificate in PEM; it",
        ),
        ({"key": '"${file:chain.pem}"'}, "sinks.out.sign.key: there is no private key"),
        ({"ca": '"${file:key.pem}"'}, "sinks.hook.ca_file: '${file:key.pem}' is the content of a file; write its path"),
        ({"chain": "key.pem", "key": "chain.pem"}, "sinks.out.sign.key: there is no private key"),
        ({"chain": "ca.pem"}, "sinks.out.sign.certificates: the first certificate is not that of the key"),
    ],
)
def test_a_key_in_a_wrong_place_is_found_and_not_quoted(tmp_path: Path, wrong: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(signing(tmp_path, **wrong), {})
    assert said in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def test_a_key_that_stands_in_the_file_itself_is_not_quoted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(signing(tmp_path, ca=json.dumps(identity("rsa").pem())), {})
    assert "sinks.hook.ca_file: is the content of a file" in str(caught.value)
    assert "BEGIN" not in str(caught.value)


def test_a_certificate_that_has_expired_is_a_warning(tmp_path: Path) -> None:
    (warning,) = load(signing(tmp_path), {}, datetime(2041, 1, 1, tzinfo=UTC)).warnings
    assert str(warning).startswith("routes.yaml:4:8: sinks.out: a certificate has expired (2040-01-01)")


def test_a_plugins_own_check_may_fail_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "bell.py").write_text(BELL + "\nLightConfig.check = lambda *_: 1 / 0\n")
    (tmp_path / "routes.yaml").write_text(HEAD)
    with pytest.raises(ConfigError, match=r"sinks\.light: cannot be checked: .* \(ZeroDivisionError\)"):
        load(tmp_path / "routes.yaml", {})
