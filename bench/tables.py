"""What was measured, as Markdown: printed, and put into a page between two markers."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median

from programs import TREE


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, ["---"] * len(head), *rows))


def several(values: Sequence[float], digits: int = 0) -> str:
    """The median, and the least and the most."""
    low, high = (f"{value:,.{digits}f}" for value in (min(values), max(values)))
    return f"{median(values):,.{digits}f}" + (f" ({low}–{high})" if low != high else "")


def machine() -> str:
    """What it was measured on."""
    cpu = "unknown processor"
    info = Path("/proc/cpuinfo")
    if info.exists() and (found := re.search(r"^model name\s*: (.+)$", info.read_text(encoding="utf-8"), re.MULTILINE)):
        cpu = found[1]
    command = ["git", "-C", str(TREE), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip() or 'unknown'}; {os.cpu_count()} cores ({cpu}), "
        f"{platform.system()} {platform.release()}; Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"aiohttp {metadata.version('aiohttp')}."
    )


def put(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- name -->` and `<!-- /name -->`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no place for this: {begin}{end}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
