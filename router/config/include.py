"""`include`: sources, sinks, words and rules in files of their own, put together with those of routes.yaml.

The result is one document of all of them, in which everything knows the file where it stands.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from router.config.document import MAX_NODES, Document, Invalid, Node, Problem, Slot, Steps, is_null, read
from router.config.files import Files

#: What an included file may have. The names of maps are put together, lists follow each other; everything else is
#: said in one place.
MAPS: Final = ("sources", "sinks", "words")
LISTS: Final = ("always", "never", "routes", "otherwise")
MAX_FILES: Final = 1000
#: Files that include one another, one in the other.
MAX_DEPTH: Final = 20


def including(document: Document, folder: Path, environ: Mapping[str, str], files: Files) -> Document:
    """The document with what it includes; patterns start at `folder`, the included files' own, too.

    What a file says comes before what it includes. Raises `Invalid` with what is wrong in any of the files.
    """
    reader = _Reader(document.file, folder, environ, files)
    parts = list(reader.all_of(document, (folder / document.file,)))
    root = document.root
    if len(parts) > 1:
        root = _joined(parts, reader.problems)
    joined = Document(document.file, root.node.data(), tuple(reader.warnings), root)
    if reader.problems:
        raise Invalid(tuple(dict.fromkeys(reader.problems)), joined)
    return joined


class _Reader:
    """Reads the included files, each once."""

    def __init__(self, main: str, folder: Path, environ: Mapping[str, str], files: Files) -> None:
        self.main, self.folder, self.environ, self.files = main, folder, environ, files
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.size = 0
        #: By its real path, where each is included.
        self.seen: dict[Path, Problem] = {}
        #: By its path, how each is called in messages.
        self.names: dict[Path, str] = {}

    def all_of(self, document: Document, chain: tuple[Path, ...]) -> Iterator[Document]:
        """The document, and what it includes; `chain` is the way to it."""
        yield document
        self.warnings += document.warnings
        self.size += document.root.node.size
        slot = document.root.node.slots.get("include")
        if slot is None or document.root.node.written is not None or document.root.node.is_list:
            return
        entries: list[tuple[Steps, Slot]] = [(("include",), slot)]
        if slot.node.is_list:
            entries = [(("include", at), entry) for at, entry in slot.node.slots.items()]
        for path, entry in entries:
            if entry.node.filled:
                yield from self.matching(document, path, entry.node.filled, chain)
            elif len(chain) > 1 and not is_null(entry.node):  # that of routes.yaml is looked at with everything else
                self.problems.append(document.problem(path, "is no file; write one, like rules.d/*.yaml, or a list"))

    def matching(self, document: Document, path: Steps, pattern: str, chain: tuple[Path, ...]) -> Iterator[Document]:
        names = self.files.matching(self.folder, pattern)
        if not names:
            message = "no file fits this; put one there, or remove the entry"
            found = document.problem(path, message)
            (self.warnings if glob.has_magic(pattern) else self.problems).append(found)
        written = document.written(path)
        for name in names:
            here = document.problem(path, "")
            file = self.folder / name
            shown = self.names[file] = self.names.get(file) or _shown(name, written)
            real = _real(file)
            if real in (resolved := [_real(one) for one in chain]):
                way = " → ".join(self.shown(one) for one in [*chain[resolved.index(real) :], file])
                self.problems.append(document.problem(path, f"a file includes itself: {way}; remove one of these"))
            elif real in self.seen:
                first = self.seen[real]
                message = (
                    f"{shown} is included already, at {first.file}:{first.line}:{first.column}; keep one of the two"
                )
                self.problems.append(document.problem(path, message))
            elif len(chain) > MAX_DEPTH:
                message = f"files include each other deeper than {MAX_DEPTH} levels; name them in {self.main} instead"
                self.problems.append(document.problem(path, message))
            elif len(self.seen) >= MAX_FILES or self.size > MAX_NODES:
                message = f"more than {MAX_FILES:,} files, or {MAX_NODES:,} keys and values in them, up to here"
                self.problems.append(document.problem(path, f"{message}: include fewer"))
                return
            else:
                self.seen[real] = here
                if (made := self.read(document, path, name, shown)) is not None:
                    yield from self.all_of(made, (*chain, file))

    def read(self, document: Document, path: Steps, name: str, shown: str) -> Document | None:
        """None where there is a problem."""
        try:
            text = self.files.text(self.folder / name, regular=True)
            made = read(text, shown, self.folder, self.environ, self.files, may_be_empty=True)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
            self.problems.append(document.problem(path, f"{shown} cannot be read: {reason}; mend it, or remove it"))
            return None
        except Invalid as invalid:
            self.problems += invalid.problems
            if invalid.rest is None:
                return None
            made = invalid.rest
        if not made.root.node.is_map:
            self.problems.append(made.problem((), "is no map; write keys with values, like `key: value`"))
            return None
        for key in made.root.node.slots:
            if key not in (*MAPS, *LISTS, "include"):
                known = ", ".join(sorted((*MAPS, *LISTS, "include")))
                message = f"{key!r} cannot stand in an included file, {self.main} alone has it; there can be: {known}"
                self.problems.append(made.problem((key,), message, key=True))
        return made

    def shown(self, file: Path) -> str:
        if file in self.names:
            return self.names[file]
        return str(file.relative_to(self.folder)) if file.is_relative_to(self.folder) else str(file)


def _shown(name: str, written: str | None) -> str:
    """The name of a file without what `${…}` was filled with: that much of it as is written, and the rest of the name."""
    if written is None or "${" not in written:
        return name
    after = written.rpartition("}")[2].count("/")
    if not after:
        return written
    return "/".join([*written.split("/")[:-after], *name.split("/")[-after:]])


def _real(file: Path) -> Path:
    """Without links; a link to itself is one that cannot be read."""
    return Path(os.path.realpath(file))


def _joined(parts: list[Document], problems: list[Problem]) -> Slot:
    """The root of them all; the first is the one that includes the others. No node that was read is changed."""
    main, *others = parts
    if not main.root.node.is_map:
        return main.root
    slots = dict(main.root.node.slots)
    for part in others:
        for key, slot in part.root.node.slots.items():
            if is_null(slot.node) or key not in (*MAPS, *LISTS):
                continue
            mine = slots.get(key)
            into = slot if mine is None or is_null(mine.node) else mine
            if key in MAPS:
                if not slot.node.is_map:
                    problems.append(part.problem((key,), "is no map; write names with values, like `name: value`"))
                    continue
                if into is mine and not mine.node.is_map:
                    continue  # which is found when the whole is looked at
                node = Node(slots=dict(mine.node.slots) if into is mine else {})
                for name, entry in slot.node.slots.items():
                    if (first := node.slots.setdefault(name, entry)) is not entry:
                        line, column = first.key or first.at
                        message = f"the name {name!r} is already at {first.file}:{line}:{column}; rename one of the two"
                        problems.append(part.problem((key, name), message, key=True))
            else:
                if slot.node.is_map:
                    problems.append(part.problem((key,), "is no list; write one, like [a, b]"))
                    continue
                if into is mine and mine.node.is_map:
                    continue
                items = [*(_items(mine) if into is mine else ()), *_items(slot)]
                node = Node(is_list=True, slots=dict(enumerate(items)))
            slots[key] = Slot(node, into.at, into.key, into.file)
    return Slot(Node(slots=slots), main.root.at, file=main.file)


def _items(slot: Slot) -> Iterator[Slot]:
    """The entries of a list, or the one that stands there alone, with the steps to them in their own file."""
    if not slot.node.is_list:
        yield Slot(slot.node, slot.at, None, slot.file, ())
        return
    for at, item in slot.node.slots.items():
        yield Slot(item.node, item.at, None, item.file, (at,) if item.own is None else item.own)
