"""The documents tell the truth: what they show runs, and what there is stands in them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from certificates import authority, identity
from router.cli import cli
from router.config import load
from router.registry import load_kinds
from router.scalars import parse_duration

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
TEXT = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
FENCE = re.compile(r"^([ ]*)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a document in this language, without their indentation."""
    found = FENCE.findall(TEXT[path])
    return [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, tag, text in found if tag == language]


YAML = [(path, text) for path in DOCUMENTS for text in blocks(path, "yaml")]


@pytest.mark.parametrize(("path", "text"), YAML, ids=lambda value: value.name if isinstance(value, Path) else None)
def test_every_piece_of_routes_yaml_that_is_shown_is_good(path: Path, text: str, tmp_path: Path) -> None:
    """Pieces are completed with what they leave out."""
    given = yaml.load(text, yaml.BaseLoader)  # noqa: S506 - every scalar stays text
    if "when" in given:
        given = {"routes": [{"name": "shown", "when": given["when"], "to": ["crm"]}]}
    given.setdefault("sources", {"sipgate": {}})
    sinks = given.setdefault("sinks", {})
    sinks.setdefault("crm", {"kind": "webhook", "url": "https://crm.example.com/"})
    given.setdefault("words", {"kuendigung": {"match": "glob", "any": ["*kündig*"]}})
    if "bell.py" in given.get("plugins", ()):
        (tmp_path / "bell.py").write_text(blocks(ROOT / "docs" / "plugins.md", "python")[0], encoding="utf-8")
    (tmp_path / "ca.pem").write_text("")
    authority().write(tmp_path / "partner.pem")
    identity("rsa").write(tmp_path / "vcon-chain.pem")
    (tmp_path / "vcon-key.pem").write_text(identity("rsa").pem())
    file = tmp_path / "routes.yaml"
    file.write_text(yaml.safe_dump(given, allow_unicode=True), encoding="utf-8")
    secrets = {"OTHER_TOKEN": "0123456789abcdefghijklmn", "CRM_SECRET": "whsec_" + "A" * 43 + "="}
    load(file, secrets)


def test_every_link_leads_somewhere() -> None:
    for path, text in TEXT.items():
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            assert "://" in target or (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_kind_is_on_the_front_page() -> None:
    for kind in load_kinds(environ={}):
        assert f"| `{kind}` |" in TEXT[ROOT / "README.md"]
        assert f"\n## {kind}\n" in TEXT[ROOT / "docs" / "sinks.md"]


def test_every_option_of_every_kind_is_described() -> None:
    page = TEXT[ROOT / "docs" / "sinks.md"]
    for kind in load_kinds(environ={}).values():
        section = (
            page.split("## Every sink")[1].split("\n## ")[0] + page.split(f"\n## {kind.name}\n")[1].split("\n## ")[0]
        )
        for name, field in kind.config.model_fields.items():
            assert f"`{field.alias or name}" in section, f"{kind.name}: {name}"


def test_every_command_is_on_the_front_page() -> None:
    for name in cli.commands:
        assert re.search(rf"\b{name}\b", TEXT[ROOT / "README.md"].split("## Running it")[1]), name


def test_the_commands_of_the_front_page_exist() -> None:
    block = TEXT[ROOT / "README.md"].split("## Running it")[1].split("```")[1]
    for line in block.strip().splitlines():
        for name in re.findall(r"[a-z-]+", line.removeprefix("aftercall").split("  ")[0].split("[")[0])[:1]:
            assert CliRunner().invoke(cli, [name, "--help"]).exit_code == 0, name


def test_the_retry_schedule_is_the_one_that_is_documented() -> None:
    from router.retry import STANDARD_WEBHOOKS

    said = re.search(r"repeated after (.*?) \(`retry`\)", TEXT[ROOT / "docs" / "operations.md"])
    assert said is not None
    waits = [parse_duration(re.sub(r" min", "m", wait)) for wait in re.split(r", | and ", said[1])]
    assert waits == list(STANDARD_WEBHOOKS[1:])


def test_every_metric_is_documented() -> None:
    from router.metrics import Metrics

    page = TEXT[ROOT / "docs" / "operations.md"]
    for metric in Metrics().registry.collect():
        assert metric.name in page, metric.name


def test_the_words_are_those_of_the_code() -> None:
    from router.delivery import DeliveryState, LaneState

    words = TEXT[ROOT / "README.md"].split("## The words")[1].split("## ")[0]
    for word in (*DeliveryState, *(state for state in LaneState)):
        assert f"`{word}`" in words, word


def test_every_format_and_every_name_of_a_part_is_documented() -> None:
    from router.formats import FORMATS
    from router.formats.names import NAMES, plain

    page = TEXT[ROOT / "docs" / "formats.md"]
    for name in FORMATS:
        assert f"| `{name}` |" in page
        assert f"\n## {name}\n" in page
    table = page.split("\n## Names of parts\n")[1]
    for part, names in NAMES.items():
        said = re.search(rf"^\| `{part}` \| (.*) \|$", table, re.MULTILINE)
        assert said is not None, part
        assert {plain(name) for name in said[1].split(",")} == names
