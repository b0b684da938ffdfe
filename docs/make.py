"""Fills in what the pages of docs/sinks/ have from the code: options, kinds, built-in templates. `make docs` runs it.

What is between two markers is written here, from the configuration models, whose descriptions editors and
`aftercall schema` show as well; all else on a page is written by hand. A test finds pages that are not up to date.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from router import MessageSinkConfig, PeopleSinkConfig, SinkConfig
from router.message import built_in
from router.registry import Kind, load_kinds

PAGES: Final = Path(__file__).parent / "sinks"
INDEX: Final = PAGES / "README.md"
_FILLED_IN = re.compile(r"(?P<begin><!-- (?P<what>\w+) -->\n).*?(?P<end><!-- /(?P=what) -->)", re.DOTALL)


def filled_in(page: Path, kinds: dict[str, Kind]) -> str:
    """The page as it should be."""

    def content(marked: re.Match[str]) -> str:
        match marked["what"]:
            case "options":
                text = _common_options() if page == INDEX else _options(kinds[page.stem].config)
            case "kinds":
                text = _table(
                    ("kind", ""), ((f"[`{name}`]({name}.md)", kind.description) for name, kind in kinds.items())
                )
            case "templates":
                text = _templates()
            case other:
                message = f"{page.name}: nobody knows what belongs into <!-- {other} -->"
                raise ValueError(message)
        return f"{marked['begin']}{text}{marked['end']}"

    return _FILLED_IN.sub(content, page.read_text(encoding="utf-8"))


def _templates() -> str:
    names = sorted(file.name for file in resources.files("router").joinpath("messages").iterdir())
    shown = []
    for name, language in (name.split(".")[:2] for name in names):
        heading = f"### {name}, {'German' if language == 'de' else 'English'}"
        shown.append(f"{heading}\n\n```jinja\n{built_in(name, language)}```\n")
    return "\n".join(shown)


# --- options ---


def _options(config: type[SinkConfig]) -> str:
    """What this kind has of its own or otherwise than others, and then the names of what it has in common with them."""
    bases: tuple[type[SinkConfig], ...] = (MessageSinkConfig, PeopleSinkConfig, SinkConfig)
    common = next(base for base in bases if issubclass(config, base))
    fields = {name: field for name, field in config.model_fields.items() if name != "kind"}
    same = [name for name, field in fields.items() if _same(field, common.model_fields.get(name))]
    own = [name for name in fields if name not in common.model_fields]
    changed = [name for name in fields if name not in own and name not in same]
    rows = [row for name in own + changed for row in _rows(config, name)]
    inherited = ", ".join(f"`{_written(name, fields[name])}`" for name in same)
    return f"{_table(('option', 'default', ''), rows)}\nAnd as [every sink](README.md#every-sink): {inherited}.\n"


def _common_options() -> str:
    """What every sink has. The first column of defaults is for messages to people, the second for machines."""
    rows: list[tuple[str, ...]] = []
    for name, field in MessageSinkConfig.model_fields.items():
        machines = _default(SinkConfig, name) if name in SinkConfig.model_fields else "–"
        rows.append((f"`{name}`", _default(MessageSinkConfig, name), machines, _description(field)))
        rows += [(option, default, default, text) for option, default, text in _inside(name, field)]
    return _table(("option", "default for people", "for machines", ""), rows)


def _same(field: FieldInfo, other: FieldInfo | None) -> bool:
    return other is not None and (field.default, field.description) == (other.default, other.description)


def _rows(config: type[BaseModel], name: str, above: str = "") -> Iterator[tuple[str, ...]]:
    field = config.model_fields[name]
    yield f"`{above}{_written(name, field)}`", _default(config, name), _description(field)
    yield from _inside(above + _written(name, field), field)


def _inside(name: str, field: FieldInfo) -> Iterator[tuple[str, ...]]:
    """The options of an option that has some."""
    for model in (field.annotation, *get_args(field.annotation)):
        if isinstance(model, type) and issubclass(model, BaseModel):
            for inside in model.model_fields:
                yield from _rows(model, inside, f"{name}.")


def _written(name: str, field: FieldInfo) -> str:
    """As it stands in routes.yaml: `from` is no name in Python."""
    return field.alias or name


def _default(config: type[BaseModel], name: str) -> str:
    """As one would write it in routes.yaml; empty where it is nothing in particular."""
    field = config.model_fields[name]
    if field.is_required():
        return "required"
    declared: Any = Annotated[(field.annotation, *field.metadata, "as its model has it")]
    value = TypeAdapter(declared).dump_python(field.default, mode="json")
    match value:
        case None | [] | {} | "":
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case list():
            return f"`[{', '.join(map(str, value))}]`"
        case _:
            return f"`{value}`"


def _description(field: FieldInfo) -> str:
    if not field.description:
        message = f"an option has no description: {field}"
        raise ValueError(message)
    return " ".join(field.description.split())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", r"\|") for cell in row) for row in rows)]
    return "".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) + "\n" for line in lines)


def main() -> int:
    """Write what has changed, and say which pages have."""
    kinds = load_kinds(environ={})
    missing = [name for name in kinds if not (PAGES / f"{name}.md").exists()]
    for page in sorted(PAGES.glob("*.md")):
        text = filled_in(page, kinds)
        if text != page.read_text(encoding="utf-8"):
            page.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(PAGES.parents[1])} is new\n")
    for name in missing:
        sys.stderr.write(f"docs/sinks/{name}.md is missing: write it (the others show how)\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
