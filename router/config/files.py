"""The files that a configuration comes from: they are read here, and looked at again for whether they are the same."""

from __future__ import annotations

import glob
import os
import stat
from pathlib import Path
from typing import TypeAlias

#: What is seen of a file without reading it; None: it is not there.
Look: TypeAlias = tuple[int, int, int] | None


class Files:
    """What one reading of a configuration has read, also where it failed."""

    def __init__(self) -> None:
        self._files: dict[Path, Look] = {}
        self._patterns: dict[tuple[Path, str], tuple[str, ...]] = {}

    def text(self, file: Path, *, regular: bool = False) -> str:
        """The text of a file; `regular`: nothing else is even opened, a pipe would wait for its writer.

        Raises `OSError` and `UnicodeDecodeError`.
        """
        self.about_to_read(file)
        if regular and not stat.S_ISREG(file.stat().st_mode):
            message = "it is not a regular file"
            raise OSError(None, message)
        return file.read_text(encoding="utf-8-sig")

    def about_to_read(self, file: Path) -> None:
        """Watch a file that somebody else reads after this: a change meanwhile is seen at the next look."""
        self._files[file] = _look(file)

    def as_in(self, before: Files, file: Path) -> bool:
        """Whether a file that both have watched is still the one that was there before."""
        return self._files.get(file) == before._files.get(file)

    def matching(self, folder: Path, pattern: str) -> tuple[str, ...]:
        """The names that fit a pattern, in order; hidden files only where the pattern names the dot."""
        found = self._patterns[folder, pattern] = _matching(folder, pattern)
        return found

    def emptied(self, before: Files) -> dict[str, tuple[str, ...]]:
        """The patterns that files fitted before and none does now, each with the names of those."""
        return {
            pattern: fitted
            for (folder, pattern), fitted in before._patterns.items()
            if fitted and self._patterns.get((folder, pattern)) == ()
        }

    def changed(self) -> object | None:
        """What is there now where that is not what was read, for comparing; None where it is.

        May be asked on any thread, also while the files are still being read on another.
        """
        read = dict(self._files), dict(self._patterns)
        files = {file: _look(file) for file in read[0]}
        patterns = {(folder, pattern): _matching(folder, pattern) for folder, pattern in read[1]}
        return None if (files, patterns) == read else (files, patterns)


def _look(file: Path) -> Look:
    try:
        found = file.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _matching(folder: Path, pattern: str) -> tuple[str, ...]:
    if not glob.has_magic(pattern):
        return (pattern,) if os.path.lexists(folder / pattern) else ()
    return tuple(sorted(glob.glob(pattern, root_dir=folder)))  # noqa: PTH207 - pathlib's finds hidden files, too
