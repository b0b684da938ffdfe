"""How much of a vCon is read: no more items than any conversation has, and no more out of a gzip than anybody sends.

What is left out is remarked, and stays in the body that is kept.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any, Final

from router.errors import Unreadable
from router.formats import body as bodies
from router.formats.reading import Reading
from router.formats.seals import decoded
from router.unpacking import GZIP

#: Parties, dialogs, analyses and attachments, of each so many.
MOST_ITEMS: Final = 4_000
#: Bytes that all gzips in the items may hold together.
MOST_UNPACKED: Final = 4 * 2**20
_LISTS: Final = ("parties", "dialog", "analysis", "attachments")
_DATA_URL: Final = re.compile(r"data:[^,]{0,190};base64,", re.IGNORECASE)
#: What base64 of a gzip begins with.
_ZIPPED: Final = "H4sI"


def bounded(vcon: dict[str, Any], reading: Reading) -> dict[str, Any]:
    """The vCon without what is too much, and with its zipped items unpacked."""
    made = {**vcon}
    for name in _LISTS:
        given = vcon.get(name)
        if isinstance(given, list) and len(given) > MOST_ITEMS:
            made[name] = given[:MOST_ITEMS]
            reading.remark(f"more than {MOST_ITEMS} items in `{name}`; the others are left out")
    unzipping = _Unzipping(reading)
    for name in ("analysis", "attachments", "dialog"):
        match made.get(name):
            case list() as items:
                made[name] = [unzipping.item(item) for item in items]
            case dict() as item:
                made[name] = unzipping.item(item)
    return made


@dataclass(slots=True)
class _Unzipping:
    """The gzips of one vCon, and how much may still come out of them."""

    reading: Reading
    left: int = MOST_UNPACKED

    def item(self, item: Any) -> Any:
        """The item, its body the base64 of what was zipped; empty where that is too much or damaged."""
        if not isinstance(item, dict) or item.get("type") in ("recording", "audio", "video"):
            return item
        key = "transcript" if item.get("body") is None else "body"  # before 0.0.1
        body = item.get(key)
        if not isinstance(body, str):
            return item
        link = _DATA_URL.match(body[:200])
        start = link[0] if link else ""
        if not (link or str(item.get("encoding")).casefold().startswith("base64")):
            return item
        if not body[len(start) :].lstrip().startswith(_ZIPPED):
            return item
        try:
            unpacked = bodies.gunzipped(decoded(body[len(start) :]) or GZIP, self.left)
        except Unreadable:
            self.reading.remark("a gzip in it is left out: it is damaged, or all of them together hold too much")
            return {**item, key: ""}
        self.left -= len(unpacked)
        return {**item, key: start + base64.b64encode(unpacked).decode()}
