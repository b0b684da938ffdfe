"""What `${…}` was filled with is in no message, whatever is wrong with it and wherever it stands."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from extent import extent
from router import registry
from router.app import running
from router.config import load
from router.config.settings import Settings
from router.errors import AftercallError, ConfigError
from router.trial import trial

TOKEN = "0123456789abcdefghijklmn"
#: One of each kind, as little as is valid.
VALID: dict[str, dict[str, Any]] = {
    "apprise": {"url": "ntfy://topic"},
    "console": {},
    "discord": {"url": "https://discord.com/api/webhooks/123/token"},
    "email": {"server": "smtps://u@mail.example.com", "password": "p", "from": "a@example.com", "to": "b@example.com"},
    "file": {"root": "files"},
    "mattermost": {"url": "https://chat.example.com/hooks/abc"},
    "ntfy": {"topic": "aTopicThatNobodyGuesses1234"},
    "slack": {"url": "https://hooks.slack.com/services/T/B/x"},
    "teams": {"url": "https://prod-1.westeurope.logic.azure.com/workflows/x?sig=y"},
    "telegram": {"token": "123456789:AAFabcdefghijklmnopqrstuvwxyz012345", "chat": "-100123"},
    "webhook": {"url": "https://crm.example.com/calls"},
}
#: No six of these letters in a row are in any of our words.
LETTERS = "ZQXJWKVYzqxjwkvy"
#: What values of some kind begin with.
BEGINNINGS = (
    "", "", "https://", "https://hooks.slack.com/", "http://10.", "smtps://", "smtps://u@", "smtps://u:", "mailto:",
    "xoxb-", "xoxp-", "whsec_", "tk_", "{{ event.", "{{ ", "{{ title | ", "{% ", "$", "$$", "+49", "(?P<", "[", "(", "*",
    "-----BEGIN ", "10.1.2.3/", "DE-", "08:", "mon-", "sqlite:///", "postgresql://", ">= ", "5m", "127.0.0.1:", "../",
)  # fmt: skip
BETWEEN = ("", " ", "  ", "\n", "\n\n", "\t", "'", '"', "\\", "/", "//", "@", ".", ",", ";", ":", "\0", "\x1b", "\u2028",
           "u\u0308", "\u202e", "%", "{{", "}}", "*", "?", "[", "(")  # fmt: skip

pieces = st.text(LETTERS, min_size=7, max_size=40)
secrets = st.builds(
    lambda beginning, parts, ending: beginning + "".join(a + b for a, b in parts) + ending,
    st.sampled_from(BEGINNINGS),
    st.lists(st.tuples(st.sampled_from(BETWEEN), pieces), min_size=1, max_size=4),
    st.sampled_from(["", " ", "\n\n", " }}", ">", "@example.com", ".example.com"]),
)


def inside(annotation: Any, depth: int) -> Iterator[tuple[str | int, ...]]:
    """The way to everything that can be a scalar in a value of this type, and to the value itself."""
    yield ()
    match get_origin(annotation):
        case origin if origin is Annotated:
            yield from inside(get_args(annotation)[0], depth)
        case origin if origin in (Union, types.UnionType):
            for member in get_args(annotation):
                yield from inside(member, depth)
        case origin if origin is dict:
            yield from (("k", *way) for way in inside(get_args(annotation)[-1], depth))
        case origin if origin in (tuple, list):
            yield from ((0, *way) for way in inside(get_args(annotation)[0], depth))
        case _ if isinstance(annotation, type) and issubclass(annotation, BaseModel) and depth:
            for name, field in annotation.model_fields.items():
                yield from ((field.alias or name, *way) for way in inside(field.annotation, depth - 1))


@cache
def places() -> list[tuple[str | int, ...]]:
    kinds = registry.load_kinds([], {})
    assert kinds.keys() == VALID.keys()
    found = [way for way in inside(Settings, 4) if way]
    for name, kind in kinds.items():
        found += [("sinks", name, *way) for way in inside(kind.config, 3)]
    return list(dict.fromkeys(found))


def document(place: tuple[str | int, ...], leaf: str) -> dict[str, Any]:
    """One that is good but for what stands at this place."""
    made: dict[str, Any] = {
        "sources": {"k": {"token": TOKEN}},
        "sinks": {},
    }
    if place[0] == "sinks" and place[1:2] in [(kind,) for kind in VALID]:
        made["sinks"] = {place[1]: {"kind": place[1], **deepcopy(VALID[str(place[1])])}}
    if place[0] in ("routes", "never"):
        made["sinks"]["screen"] = {"kind": "console"}
        made[place[0]] = [{"name": "a rule", "to": "screen", "when": {"channel": "x"}}]
    here: Any = made
    for step, after in zip(place, [*place[1:], None], strict=True):
        empty: Any = leaf if after is None else [] if isinstance(after, int) else {}
        if isinstance(here, list):
            here[:] = [empty if after is None or not here or not isinstance(here[0], type(empty)) else here[0]]
        elif after is None or not isinstance(here.get(step), type(empty)):
            here[step] = empty
        here = here[step]
    return made


def said(folder: Path, text: str, environ: dict[str, str]) -> str:
    """All that is said of such a configuration."""
    file = folder / "routes.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        return "\n".join(map(str, load(file, environ).warnings))
    except ConfigError as error:
        return str(error)


def squeezed(text: str) -> str:
    return "".join(filter(LETTERS.__contains__, text)).casefold()


def shown(secret: str, message: str) -> str | None:
    """Six letters of the secret that are in the message, however it was trimmed, cut, escaped or normalised."""
    mine, theirs = squeezed(secret), squeezed(message)
    return next((mine[at : at + 6] for at in range(len(mine) - 5) if mine[at : at + 6] in theirs), None)


@settings(max_examples=extent(150, 3000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(places()), secrets, st.sampled_from(["${X}", "${X}", "a ${X}", "${X} ", "$${${X}"]))
@example(("sinks", "email", "to"), "ZQXJWKVYZQXJWKVY\n\n", "${X}")
@example(("sinks", "webhook", "ca_file"), "https://ZQXJWK//VYZQXJWKVY", "${X}")
@example(("routes", 0, "when", "text", "any", 0), "ZQXJWKu\u0308VY(", "${X}")
def test_no_piece_of_what_was_filled_in_is_in_a_message(
    tmp_path: Path, place: tuple[str | int, ...], secret: str, leaf: str
) -> None:
    text = json.dumps(document(place, leaf))
    assert shown(secret, message := said(tmp_path, text, {"X": secret})) is None, message


@pytest.mark.parametrize(
    ("offset", "secret"),
    list(
        enumerate(
            (
                "  ZQXJWKVY ZQXJWKVY\n\n",
                "{{ event.ZQXJWKVYZ }} 'JWKVYZQX' //JWKVYZQX",
                "https://ZQXJWKVY.zqxjwkvy//Q",
            )
        )
    ),
)
def test_no_place_of_the_document_shows_it(tmp_path: Path, offset: int, secret: str) -> None:
    """Each by itself; `make test` takes some of them."""
    for place in places()[extent(offset, 0) :: extent(23, 1)]:
        message = said(tmp_path, json.dumps(document(place, "${X}")), {"X": secret})
        assert shown(secret, message) is None, (place, message)


# --- who has texts of their own ---

QUOTER = '''
from contextlib import asynccontextmanager
from typing import Annotated, Literal
from pydantic import AfterValidator, model_validator
from router import ConfigError, Discreet, SinkConfig, hookimpl

def _quoted(value):
    if value.startswith("discreet"):
        raise Discreet(f"{value} is odd", instead="is odd, and that can be said")
    if not value.startswith("fine"):
        raise ValueError(f"what is {value.strip().upper()[:30]}?")
    return value

class Quoter(SinkConfig):
    """Says all it knows."""
    kind: Literal["quoter"]
    tone: Annotated[str, AfterValidator(_quoted)] = "fine"
    """A tone that is fine."""
    where: str = ""

    @model_validator(mode="after")
    def _fits(self):
        if self.where == "model":
            raise ValueError(f"model: {self.tone}")
        return self

    def check(self, folder):
        if self.where == "check":
            raise ConfigError(f"check: {self.tone}", at=("tone",))

    @asynccontextmanager
    async def open(self, context):
        raise ConfigError(f"open: {self.tone}", at=("tone",))
        yield

@hookimpl
def register_sinks():
    return [Quoter]
'''
SECRET = "fine ZQXJWKVY zqxjwkvy"


def quoting(folder: Path, tone: str, where: str = "") -> str:
    (folder / "quoter.py").write_text(QUOTER, encoding="utf-8")
    return json.dumps(
        {
            "plugins": "quoter.py",
            "server": {"listen": "127.0.0.1:0"},
            "admin": {"listen": "127.0.0.1:0"},
            "sources": {"k": {"token": TOKEN}},
            "sinks": {"q": {"kind": "quoter", "tone": tone, "where": where}},
        }
    )


def test_a_plugin_that_quotes_is_quoted_only_where_the_file_has_the_text(tmp_path: Path) -> None:
    assert "sinks.q.tone: 'a tone' what is A TONE?" in said(tmp_path, quoting(tmp_path, "a tone"), {})
    message = said(tmp_path, quoting(tmp_path, "${X}"), {"X": "a tone"})
    assert "sinks.q.tone: '${X}' is not what belongs here (A tone that is fine); why is not said" in message
    message = said(tmp_path, quoting(tmp_path, "${X}"), {"X": "discreet ZQXJWKVY"})
    assert message.endswith("sinks.q.tone: '${X}' is odd, and that can be said")


@pytest.mark.parametrize("where", ["model", "check"])
def test_what_a_plugin_says_of_the_whole_or_of_a_file_is_said_of_literals_alone(tmp_path: Path, where: str) -> None:
    assert f"{where}: fine tone" in said(tmp_path, quoting(tmp_path, "fine tone", where), {})
    message = said(tmp_path, quoting(tmp_path, "${X}", where), {"X": SECRET})
    assert "is not what belongs here" in message
    assert shown(SECRET, message) is None


async def test_what_a_plugin_says_when_it_opens_is_said_of_literals_alone(tmp_path: Path) -> None:
    for tone, seen in (("fine tone", "tone: open: fine tone"), ("${X}", "tone: is wrong; why is not said")):
        (tmp_path / "routes.yaml").write_text(quoting(tmp_path, tone), encoding="utf-8")
        config = load(tmp_path / "routes.yaml", {"X": SECRET})
        with pytest.raises(AftercallError, match=seen):
            async with running(config, environ={}):
                pass
        with pytest.raises(AftercallError, match=seen):
            await trial(config, "q")


def test_an_included_file_is_called_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "zqxjwkvy").mkdir()
    (tmp_path / "zqxjwkvy" / "a.yaml").write_text("always: nobody\n", encoding="utf-8")
    head = f"sources: {{k: {{token: {TOKEN}}}}}\n"
    for pattern, name in (("${X}/*.yaml", "${X}/a.yaml"), ("${X}/a.yaml", "${X}/a.yaml"), ("*/${Y}", "*/${Y}")):
        message = said(tmp_path, f'{head}include: "{pattern}"\n', {"X": "zqxjwkvy", "Y": "a.yaml"})
        assert message.startswith(f"{name}:1:9: always: unknown sink 'nobody'"), message


def test_the_search_finds_what_is_shown() -> None:
    """These tests can fail."""
    assert shown("  zqxjwk\nvyzqxj", "'zqxj wkvy…' is no mailbox")
    assert len(places()) > 300
