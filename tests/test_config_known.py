"""What commands still learn from a routes.yaml with mistakes: each key for itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from router.config import Rest, load, rest
from router.config.settings import Address
from router.errors import ConfigError

TOKEN = "0123456789abcdefghijklmn"

GOOD = f"""
data: kept
server: {{listen: "127.0.0.1:7000", public_url: "https://calls.example.com"}}
admin: {{listen: "127.0.0.1:7001", tokens: {{anna: {TOKEN}}}}}
sources: {{sipgate: {{token: {TOKEN}x}}}}
"""

MISTAKES = {
    "an unknown kind": "sinks: {crm: {kind: slak}}\n",
    "an unknown sink": "always: crm\n",
    "an unknown key": "rutes: []\n",
    "a variable that is not set": 'sinks: {crm: {kind: slack, url: "${NOWHERE}"}}\n',
    "a name twice": "words: {a: [x], a: [y]}\n",
    "a tag": "sinks: !x {}\n",
    "an include that is not there": "include: nowhere.yaml\n",
    "an include that is no YAML": "include: broken.yaml\n",
    "an include with a mistake": "include: tagged.yaml\n",
    "a plugin that is not there": "plugins: nowhere.py\n",
}


def made(folder: Path, text: str) -> Rest:
    """What is left of it; it cannot be loaded."""
    (folder / "broken.yaml").write_text("sinks: [", encoding="utf-8")
    (folder / "tagged.yaml").write_text("sinks: !x {}\nsources: {other: {}}", encoding="utf-8")
    file = folder / "routes.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load(file, {})
    return rest(file, {})


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_what_is_not_wrong_itself_is_as_it_would_be_without_the_mistake(tmp_path: Path, mistake: str) -> None:
    left = made(tmp_path, GOOD + mistake)
    (tmp_path / "routes.yaml").write_text(GOOD, encoding="utf-8")
    good = load(tmp_path / "routes.yaml", {})
    assert (left.data, left.database, left.server, left.admin) == (good.data, good.database, good.server, good.admin)
    assert left.sources["sipgate"] == good.sources["sipgate"]


def test_what_an_included_file_says_counts(tmp_path: Path) -> None:
    assert made(tmp_path, GOOD + MISTAKES["an include with a mistake"]).sources.keys() == {"sipgate", "other"}


def test_a_key_that_is_left_out_has_its_default(tmp_path: Path) -> None:
    left = made(tmp_path, "always: crm\n")
    assert (left.server.listen, left.admin.tokens) == (Address("127.0.0.1", 8080), {})
    assert (left.data, left.database) == (tmp_path / "data", tmp_path / "data" / "aftercall.db")


WRONG: dict[str, tuple[str, Callable[[Rest], object], str]] = {
    "a value": ("admin: {listen: nowhere}", lambda left: left.admin, "routes.yaml:1:17: admin.listen: 'nowhere' is no"),
    "a variable": (
        'admin: {listen: "${NOWHERE}:1"}', lambda left: left.admin, "admin.listen: the variable NOWHERE is not set",
    ),
    "a store": ("store: mysql://h", lambda left: left.database, "routes.yaml:1:8: store: is no store"),
    "a place": ("store: postgresql://h", lambda left: left.postgres, "routes.yaml:1:8: store: is no PostgreSQL URL"),
    "no source": ("always: crm", lambda left: left.sources, "sources: is missing; write it"),
    "a name twice": ("data: a\ndata: b", lambda left: left.data, "data: the key 'data' is already at"),
    "no text": ("data: [a]", lambda left: left.database, "data: is no text; write one"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "asked", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_itself_says_so_and_the_others_do_not(
    tmp_path: Path, text: str, asked: Callable[[Rest], object], said: str
) -> None:
    left = made(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        asked(left)
    assert said in str(error.value)
    assert left.server.listen.port == 8080


@pytest.mark.parametrize("text", ["", "sinks: [", "- a\n- b", "\x07"], ids=["empty", "brackets", "list", "character"])
def test_of_what_is_no_map_nothing_is_left(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        _ = made(tmp_path, text).admin
