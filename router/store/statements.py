"""Statements in a file of their own, by name."""

from __future__ import annotations

import re
from typing import Final

_HEAD: Final = re.compile(r"^-- ([a-z_]+): .+$", re.MULTILINE)


def named(text: str) -> dict[str, str]:
    """The statements of a file of `-- name: sentence` blocks."""
    _, *parts = _HEAD.split(text)
    return {name: statement.strip() for name, statement in zip(parts[::2], parts[1::2], strict=True)}
