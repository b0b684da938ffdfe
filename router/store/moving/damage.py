"""Whether a row is what was stored, as far as it shows that itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.store.rows import content_digest, event_digest

if TYPE_CHECKING:
    from router.store.moving.side import Line
    from router.store.moving.tables import Table


def damage_of(table: Table, line: Line) -> str | None:
    """What is wrong with a row, if anything is."""
    found = dict(zip(table.columns, line.row, strict=True))
    match table.name:
        case "events":
            content = ("id", "source", "format", "received_at", "content_type", "routes", "call", "body")
            digest = content_digest(**{name: found[name] for name in content})  # type: ignore[arg-type] # damage makes them anything
            if event_digest(digest, found["revision"]) != found["sha256"]:  # type: ignore[arg-type] # as above
                return "its bytes are not those that were stored"
        case "quarantine":
            if not isinstance(found["body"], bytes) or len(found["body"]) != found["size"]:
                return "its body has not as many bytes as were stored"
    return "a text in it is no UTF-8; what cannot be read is U+FFFD now" if line.is_mended else None
