"""Every hook is explained, documented and tested, or the build fails."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pluggy
import pytest

from router import hookspecs
from router.about import NAME
from router.hookspecs import hookimpl
from router.registry import load_kinds

ROOT = Path(__file__).parents[1]
DOCUMENTS = [path for path in (ROOT / "docs" / "plugins.md", ROOT / "README.md") if path.exists()]


def _hooks() -> list[str]:
    manager = pluggy.PluginManager(NAME)
    manager.add_hookspecs(hookspecs)
    return sorted(name for name in vars(manager.hook) if not name.startswith("_"))


def test_the_hooks_are_those_of_the_module() -> None:
    assert _hooks() == sorted(
        name for name, value in vars(hookspecs).items() if inspect.isfunction(value) and not name.startswith("_")
    )
    assert _hooks()


@pytest.mark.parametrize("hook", _hooks())
def test_a_hook_has_a_sentence_is_synchronous_and_says_what_it_returns(hook: str) -> None:
    spec = getattr(hookspecs, hook)
    assert re.fullmatch(r"[A-Z].*\.", (inspect.getdoc(spec) or "").partition("\n")[0])
    assert not inspect.iscoroutinefunction(spec)
    assert spec.__annotations__["return"]


@pytest.mark.skipif(not (ROOT / "docs" / "plugins.md").exists(), reason="the document is not written yet")
@pytest.mark.parametrize("hook", _hooks())
def test_a_hook_has_a_section_in_the_documents(hook: str) -> None:
    sections = [
        line.strip("#` \n") for path in DOCUMENTS for line in path.read_text().split("\n") if line.startswith("#")
    ]
    assert any(section.partition("(")[0] == hook for section in sections), sections


@pytest.mark.parametrize("hook", _hooks())
def test_a_hook_has_a_test_of_its_name(hook: str) -> None:
    tests = [file.read_text(encoding="utf-8") for file in Path(__file__).parent.rglob("test_*.py")]
    assert any(re.search(rf"^ *(async )?def test_hook_{hook}\b", text, re.MULTILINE) for text in tests)


def test_hook_register_sinks(tmp_path: Path) -> None:
    """What it returns are the kinds that there are."""
    file = tmp_path / "bell.py"
    file.write_text(
        "from typing import Literal\n"
        "from router import SinkConfig, hookimpl\n"
        "class Base(SinkConfig):\n    def open(self, context): ...\n"
        "class One(Base):\n    kind: Literal['one']\n"
        "class Two(Base):\n    kind: Literal['two']\n"
        "@hookimpl\ndef register_sinks():\n    return (One, Two)\n"
    )
    assert {"one", "two"} <= load_kinds([file], {}).keys()
    assert hookimpl.project_name == NAME
