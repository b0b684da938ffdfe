"""The statements of `queries.sql`, by name."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_HEAD = re.compile(r"^-- ([a-z_]+): .+$", re.MULTILINE)


def named(text: str) -> dict[str, str]:
    """The statements of a file of `-- name: sentence` blocks."""
    _, *parts = _HEAD.split(text)
    return {name: statement.strip() for name, statement in zip(parts[::2], parts[1::2], strict=True)}


#: Read once, at import.
SQL: Final = named(resources.files(__package__).joinpath("queries.sql").read_text("utf-8"))
