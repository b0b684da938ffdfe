"""The list of hostile cases in docs/security.md: whole, and true."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from router import app, server
from router.admin import BODY_DEADLINE
from router.connections import KEEPALIVE
from router.http import ANSWER_SECONDS, MAX_ANSWER
from router.strangers import Strangers
from support import CASES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
STATES = {"done", "by design not", "later"}
#: The areas of which nothing that blocks a release may be open.
CLOSED = {"AUTH", "HTTP", "JSON", "CFG", "ARC", "SSRF", "FWD", "TPL", "PLG", "LOG", "ADM"}


class Line(NamedTuple):
    id: str
    priority: str
    state: str
    words: str


LINES = [Line(*found) for found in re.findall(r"^\| ([A-Z]+-\d+) \| (\w+) \| ([\w ]+) \| (.+) \|$", PAGE, re.MULTILINE)]


def marked() -> dict[str, set[str]]:
    """The ids that tests carry, and the tests."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or not node.name.startswith("test_"):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.case":
                    for id_ in mark.args:
                        found.setdefault(ast.literal_eval(id_), set()).add(f"{path.name}::{node.name}")
    return found


MARKED = marked()


def test_every_case_is_listed_once_in_a_state_that_there_is() -> None:
    ids = [line.id for line in LINES]
    assert len(ids) == len(set(ids)) > 100
    assert {line.state for line in LINES} == STATES
    assert len(ids) == len(re.findall(r"^\| [A-Z]+-", PAGE, re.MULTILINE)), "a line that could not be read"


def test_the_list_is_that_of_the_cases() -> None:
    file = CASES / "hostile.yaml"
    if not file.is_file():
        pytest.skip("the shared cases are not here")
    cases = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert {line.id: line.priority for line in LINES} == {case["id"]: case["priority"] for case in cases}


def test_what_is_done_has_a_test_and_what_has_a_test_is_done() -> None:
    assert {line.id for line in LINES if line.state == "done"} == MARKED.keys()


def test_nothing_that_blocks_a_release_is_open_where_things_could_get_in() -> None:
    blocking = [line for line in LINES if line.priority == "P0" and line.id.partition("-")[0] in CLOSED]
    assert len(blocking) > 35
    assert [line.id for line in blocking if line.state != "done"] == []


def test_the_bounds_are_those_of_the_code() -> None:
    for bound in (
        f"{server.CONNECTIONS} for calls, {server.CONNECTIONS_EACH} of one address",
        f"{app._ADMIN_CONNECTIONS} for admins, {app._ADMIN_EACH} of one address",
        f"an idle connection | {KEEPALIVE:g} seconds",
        f"after decompression, {server.BODY_DEADLINE:g} seconds",
        f"{MAX_ANSWER // 1024} KiB and {ANSWER_SECONDS:g} seconds",
        f"{Strangers().allowed} wrong requests a minute",
        f"{Strangers().allowed} wrong ones a minute, in a memory of {Strangers().remembered:,} addresses",
    ):
        assert bound in PAGE
    assert server.BODY_DEADLINE == BODY_DEADLINE
    assert server.LARGE_BODIES == 4
