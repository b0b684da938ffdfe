"""The documents tell the truth: what they show runs, and what there is stands in them."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml
from click.testing import CliRunner

import figures
import make
import pictures
from certificates import authority, identity
from router import Wording, plain, sample_event
from router.cli import cli
from router.config import load
from router.config.include import MAX_DEPTH
from router.http import failure
from router.message import _LONGEST_TEXT, _MOST, _checked, _values
from router.registry import load_kinds
from router.render import _REMOVED_FILTERS, FUEL, MAX_OUTPUT, Renderer
from router.scalars import parse_duration

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
TEXT = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
FENCE = re.compile(r"^([ ]*)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a document in this language, without their indentation."""
    found = FENCE.findall(TEXT[path])
    return [re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, tag, text in found if tag == language]


SINKS = ROOT / "docs" / "sinks"
SECTIONS = ["To begin with", "Options", "Limits", "When something goes wrong"]
KINDS = load_kinds(environ={})
#: What the pieces of routes.yaml take from the environment, and from files.
SECRETS = {
    "OTHER_TOKEN": "0123456789abcdefghijklmn",
    "CRM_SECRET": "whsec_" + "A" * 43 + "=",
    "CRM_TOKEN": "x",
    "TELEGRAM_TOKEN": "123456789:AAFabcdefghijklmnopqrstuvwxyz-_12345",
    "NTFY_TOPIC": "aftercall-0123456789abcdef01234567",
    "NTFY_TOKEN": "tk_x",
    "APPRISE_URL": "pover://user@token",
    "SLACK_SALES_URL": "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "SLACK_TOKEN": "xoxb-1-x",
    "DISCORD_SALES_URL": "https://discord.com/api/webhooks/123/token",
    "MATTERMOST_SALES_URL": "https://chat.example.com/hooks/abc",
    "TEAMS_SALES_URL": "https://prod-1.westeurope.logic.azure.com/workflows/x/triggers/manual/paths/invoke?sig=x",
    "MAIL_PASSWORD": "x",
    "PROMETHEUS_TOKEN": "0123456789abcdefghijklmn",
    "IT_TOKEN": "abcdefghijklmn0123456789",
}
FILES = {
    "sales.md": blocks(SINKS / "templates.md", "jinja")[0],
    "postgres": "p@ss:word/",
    "token": SECRETS["OTHER_TOKEN"],
}
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
    if "archive" in sinks:  # of `aftercall init`
        sinks["archive"].setdefault("kind", "file")
    given.setdefault("words", {"kuendigung": {"match": "glob", "any": ["*kündig*"]}})
    if "bell.py" in given.get("plugins", ()):
        (tmp_path / "bell.py").write_text(blocks(ROOT / "docs" / "plugins.md", "python")[0], encoding="utf-8")
    authority().write(tmp_path / "ca.pem")
    authority().write(tmp_path / "partner.pem")
    identity("rsa").write(tmp_path / "vcon-chain.pem")
    (tmp_path / "vcon-key.pem").write_text(identity("rsa").pem())
    file = tmp_path / "routes.yaml"
    file.write_text(_with_files(yaml.safe_dump(given, allow_unicode=True, width=9999), tmp_path), encoding="utf-8")
    load(file, SECRETS)


def _with_files(text: str, folder: Path) -> str:
    """The text, and below the folder the files that fill it."""

    def below(hole: re.Match[str]) -> str:
        file = folder / hole[1].lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FILES[file.name], encoding="utf-8")
        file.chmod(0o600)
        return f"${{file:{file}}}"

    return re.sub(r"\$\{file:([^}]+)\}", below, text)


def test_every_link_leads_somewhere() -> None:
    for path, text in TEXT.items():
        for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", re.sub(r"(?s:```.*?```)|`[^`\n]*`", "", text)):
            if "://" not in target:
                file = (path.parent / target).resolve() if target else path
                assert file.exists(), f"{path.name}: {target}"
                assert not anchor or anchor in anchors(TEXT[file]), f"{path.name}: {target}#{anchor}"


def anchors(text: str) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


# ------------------------------------------------------------------------------------------------------ the sinks' pages


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_row_on_the_front_page_and_a_page_with_all_sections(kind: str) -> None:
    assert f"| `{kind}` |" in TEXT[ROOT / "README.md"]
    page = TEXT[SINKS / f"{kind}.md"]
    assert page.startswith(f"# {kind}\n\n")
    assert re.findall(r"^## (.*)", page, re.MULTILINE) == SECTIONS
    assert re.search(rf"^!\[[^]]+\]\(pictures/{kind}[\w-]*\.png\)", page, re.MULTILINE)
    assert blocks(SINKS / f"{kind}.md", "yaml")


@pytest.mark.parametrize("page", sorted(SINKS.glob("*.md")), ids=lambda page: page.name)
def test_what_pages_have_from_the_code_is_up_to_date(page: Path) -> None:
    """`make docs` writes it."""
    assert make.filled_in(page, KINDS) == TEXT[page]


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_of_every_kind_stands_on_its_page(kind: str) -> None:
    options = TEXT[SINKS / f"{kind}.md"].split("<!-- options -->")[1].split("<!-- /options -->")[0]
    for name, field in KINDS[kind].config.model_fields.items():
        assert name == "kind" or f"`{field.alias or name}`" in options, name


def test_the_built_in_templates_are_printed_in_full() -> None:
    shown = blocks(SINKS / "templates.md", "jinja")
    for file in (ROOT / "router" / "messages").iterdir():
        assert file.read_text(encoding="utf-8") in shown, file.name


async def test_the_pictures_show_what_is_sent_today() -> None:
    """`make pictures` makes them; nothing is drawn here."""
    names = set()
    async for picture in pictures.pictures({name: kind.config for name, kind in KINDS.items()}):
        assert pictures.made(picture), f"{picture.name} shows something else: make pictures"
        names.add(picture.name)
    files = {file.stem: file.stat().st_size for file in pictures.PICTURES.iterdir()}
    assert files.keys() == names
    assert max(files.values()) < 60_000


def test_every_value_that_a_template_sees_is_documented() -> None:
    page = TEXT[SINKS / "templates.md"]
    values = _values(sample_event(), (), Wording("de", "UTC"), sample_event().received_at, updated=False)
    for name in values:
        assert f"| `{name}` |" in page
    of_event = page.split("| of `event` | |")[1].split("\n\n")[0]
    for name, value in plain(sample_event()).items():
        assert f"`{name}`" in of_event
        items = value if isinstance(value, list) else [value]
        for inside in items[0] if isinstance(items[0], dict) and name != "raw" else ():
            assert re.search(rf"^\|[^|]*`{name}`[^|]*\|.*`{inside}`", of_event, re.MULTILINE), f"{name}.{inside}"


def test_every_filter_of_ours_is_documented() -> None:
    section = TEXT[SINKS / "templates.md"].split("\n## Filters\n")[1].split("\n## ")[0]
    renderer = Renderer(ZoneInfo("UTC"))
    for shown in re.findall(r"^\| `(\{\{.*?\}\})`", section, re.MULTILINE):
        assert renderer.compile(shown.replace(r"\|", "|")).render(event=plain(sample_event()))
    for name in ("date", "duration", "phone", "cut", "tojson"):
        assert rf"\| {name}" in section
    for name in _REMOVED_FILTERS:
        assert f"`{name}`" in section


def test_the_limits_of_templates_are_those_of_the_code() -> None:
    page = " ".join(TEXT[SINKS / "templates.md"].split())
    assert f"({_LONGEST_TEXT:,} characters each, {_MOST:,} in all" in page
    assert f"{FUEL:,} steps" in page
    assert MAX_OUTPUT == 1_000_000
    assert "a million characters" in page


def test_the_mistake_that_is_shown_is_the_one_that_is_made() -> None:
    shown = re.search(r"^routes\.yaml:.* (template: .*)$", TEXT[SINKS / "templates.md"], re.MULTILINE)
    assert shown is not None
    with pytest.raises(ValueError, match=re.escape(shown[1])):
        _checked("# {{ title }}\n{{ event.summary | shorten(3) }}")


# ------------------------------------------------------------------------------------------------------------ the others


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


def test_a_reason_that_is_searched_for_is_one_that_there_is() -> None:
    said = failure(404, "crm.example.com")
    assert said is not None
    shown = re.findall(r'--reason-has "([^"]*)" --to archive$', TEXT[ROOT / "docs" / "operations.md"], re.MULTILINE)
    assert shown
    for words in shown:
        assert words in str(said)


def test_working_hours_round_the_clock_are_as_documented(tmp_path: Path) -> None:
    page = TEXT[ROOT / "docs" / "configuration.md"]
    (shown,) = re.findall(r"Round the clock: `(.*?)`", page)
    file = tmp_path / "routes.yaml"
    text = "sources: {s: {}}\nsinks: {screen: {kind: console}}\nalways: screen\nalarms: {hours: %s}\n"
    file.write_text(text % shown, encoding="utf-8")
    since = datetime(2026, 3, 27, tzinfo=UTC)  # a clock is changed in that week
    assert load(file, {}).hours.between(since, since + timedelta(days=7)) == timedelta(days=7)


def test_the_depth_of_includes_is_the_one_that_is_documented() -> None:
    assert f"more than {MAX_DEPTH} levels" in TEXT[ROOT / "docs" / "configuration.md"]


def test_every_metric_is_documented_with_its_labels_and_no_other() -> None:
    page = TEXT[ROOT / "docs" / "operations.md"]
    shown = {}
    for line in re.findall(r"^\| (`aftercall_.*?) \|", page, re.MULTILINE):
        for name, labels in re.findall(r"`(aftercall_\w+)(?:\{(.*?)\})?`", line):
            shown[name] = tuple(labels.split(",")) if labels else ()
    assert shown == figures.labels()


def test_the_words_are_those_of_the_code() -> None:
    from router.delivery import DeliveryState, LaneState

    words = TEXT[ROOT / "README.md"].split("## The words")[1].split("## ")[0]
    for word in (*DeliveryState, *(state for state in LaneState)):
        assert f"`{word}`" in words, word


def test_a_word_of_the_glossary_is_used_and_stands_there_once() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", TEXT[ROOT / "README.md"], re.MULTILINE)
    assert len(words) == len(set(words)) > 30
    elsewhere = " ".join(text for path, text in TEXT.items() if path.name != "README.md" or path.parent != ROOT)
    elsewhere += " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "router").rglob("*.py"))
    for word in words:
        assert re.search(rf"\b{word}s?\b", elsewhere, re.IGNORECASE), word


def test_every_module_stands_on_its_floor_in_the_description_of_the_house() -> None:
    """In the order of the floors that CI checks."""
    block = TEXT[ROOT / "docs" / "architecture.md"].split("```")[1]
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"][
        0
    ]
    floors = {name: at for at, layer in enumerate(layers["layers"]) for name in layer.split(" : ")}
    named = [name.rstrip("/") for line in block.strip().splitlines()[:-1] for name in line[:36].split()]
    named = [name.replace("/", ".") for name in named]
    assert sorted(named) == sorted(floors.keys() - {"__main__"})
    assert [floors[name] for name in named] == sorted(floors[name] for name in named)


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
