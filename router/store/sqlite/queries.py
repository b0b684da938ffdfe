"""The statements of `queries.sql`, by name."""

from __future__ import annotations

from importlib import resources
from typing import Final

from router.store.statements import named

#: Read once, at import.
SQL: Final = named(resources.files(__package__).joinpath("queries.sql").read_text("utf-8"))
