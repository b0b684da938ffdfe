"""Names of files and folders out of text that strangers choose: one safe segment each, on every system. Pure.

What opens the files (`plugins/file.py`) follows no symlink and looks no further than this.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

from router.text import one_line

#: What is missing.
UNKNOWN: Final = "_unknown"
#: Bytes of a segment, suffix and hash included. File systems take 255; some is left for `~r2` and other tools.
LONGEST: Final = 200

#: Separators, what Windows cannot have in a name, and `~`, which marks numbers of ours.
_NOT_IN_NAMES = re.compile(r'[/\\<>:"|?*~\x00-\x1f\x7f]')
#: A name that begins so is hidden, an option, or a way up.
_NOT_AT_THE_START = " .-"
_NOT_AT_THE_END = " ."
_SUFFIX = re.compile(r"(?s)(.*?)(\.[A-Za-z0-9]{1,16})")
#: Devices of Windows, with whatever suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def safe_segment(text: str) -> str:
    """One name of a folder or file. What is nothing but blanks and dots is `_unknown`; safe names stay as they are."""
    return _fitted(_safe(text), "")


def safe_name(text: str) -> str:
    """As `safe_segment`, for a file: a suffix like `.md` stays when the rest is missing or too long."""
    matched = _SUFFIX.fullmatch(unicodedata.normalize("NFC", text).rstrip(_NOT_AT_THE_END))
    return _fitted(_safe(matched[1]), matched[2]) if matched else safe_segment(text)


def numbered_name(name: str, number: int) -> str:
    """The name of another version: `a.md` is `a~r2.md` for number 2, and itself for 1."""
    matched = _SUFFIX.fullmatch(name)
    stem, suffix = (matched[1], matched[2]) if matched and matched[1] else (name, "")
    return name if number == 1 else f"{stem}~r{number}{suffix}"


def _safe(text: str) -> str:
    line = one_line(unicodedata.normalize("NFC", text))
    name = _NOT_IN_NAMES.sub("_", unicodedata.normalize("NFC", line))
    name = name.lstrip(_NOT_AT_THE_START).rstrip(_NOT_AT_THE_END)
    if not name:
        return UNKNOWN
    return f"_{name}" if _RESERVED.match(name) else name


def _fitted(stem: str, suffix: str) -> str:
    """Cut between characters where it is too long; a hash of the whole keeps long names apart."""
    if len(f"{stem}{suffix}".encode()) <= LONGEST:
        return stem + suffix
    mark = f"-{hashlib.sha256(stem.encode()).hexdigest()[:12]}{suffix}"
    kept = stem.encode()[: LONGEST - len(mark)].decode(errors="ignore")
    return kept.rstrip(_NOT_AT_THE_END) + mark
