"""A YAML file as plain data that knows where everything stands.

`read` gives a `Document`, or raises `Invalid` with every problem that one pass can find. Every scalar is its text as
written, with `${…}` filled; whether that text is a time, a number or a word is left to whoever knows the schema.

It is made of PyYAML's events and not by its `compose()`, which recurses in C (30,000 brackets end the process) and
forgets where aliases stand and which tags were written out.

Messages quote keys, paths and names of variables, and no other text of the file: a password without quotes may begin
with `!` or `*`, or have a `${` in it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import yaml
from typing_extensions import override

from router.config.files import Files
from router.config.fill import fill

MAX_BYTES = 10 * 1024 * 1024
MAX_NODES = 100_000  #: keys and values, counted again wherever an alias repeats them
MAX_DEPTH = 100

Data: TypeAlias = "dict[str, Data] | list[Data] | str | None"
Steps: TypeAlias = tuple[str | int, ...]
Place: TypeAlias = tuple[int, int]  #: line and column, both from 1

_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_REFUSED = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

#: What PyYAML says (its two parsers differ), in words for whoever edits the file; `{}` is where it began.
_WORDS = (
    (r"mapping values", "a ':' cannot stand here: put text that has ': ' in it in quotes, or mend the indentation"),
    (r"expected ':'", "this is no 'key: value': add the ': ', or mend the indentation"),
    (r"entries are not", "a list item cannot stand here: begin it on a line of its own"),
    (r"\btag\b", "tags are not known here: remove it, or put text that begins with '!' in quotes"),
    (r"any token|directive", "text cannot begin with this character: put it in quotes"),
    (r"alphabetic|block scalar", "text that begins with '*', '&', '>' or '|' must be in quotes"),
    (r"escape|expected .*hexa", "there is no such '\\' sequence: write '\\\\', or use single quotes"),
    (r"',' or '[]}]'", "the list or map that begins at {} is not closed: add the missing ',' or bracket"),
    (r"found unexpected", "the quotes that begin at {} are not closed: close them"),
    (r"document start", "nothing can follow here, the one value of this file has ended: mend what stands before"),
    (r"node content", "a value is missing here: write it, or put text that begins with this character in quotes"),
    (r"expected", "this does not fit what stands before it: mend the indentation or the quotes"),
    (r"", "this is not valid YAML: mend it, or remove it"),
)

#: What is mended where it began, and not where PyYAML gave up.
_BEGUN = re.compile(r"simple key|found unexpected|alphabetic|block scalar|directive")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what to do; `str()` gives `routes.yaml:14:7: sinks.ops.kind: message`."""

    file: str
    line: int
    column: int
    path: Steps
    message: str

    @override
    def __str__(self) -> str:
        steps = map(str, self.path)
        path = ".".join(step if step.isprintable() else ascii(step)[1:-1] for step in steps)
        return f"{self.file}:{self.line}:{self.column}: {path}{': ' if self.path else ''}{self.message}"


class Invalid(ValueError):
    """The file cannot be read as a document. The text of this error has one problem a line.

    `rest` is what can be read of it in spite of these; None where that is nothing.
    """

    def __init__(self, problems: tuple[Problem, ...], rest: "Document | None" = None) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
        self.rest = rest


@dataclass(slots=True)
class Node:
    """A scalar (it has `written`), a list or a map. An alias is its target: the same node in one slot more."""

    is_list: bool = False
    written: str | None = None
    filled: str | None = None
    slots: "dict[str | int, Slot]" = field(default_factory=dict)
    size: int = 0  #: nodes in it, itself too; 0 while it is being read
    height: int = 0  #: lists and maps in it, one in the other
    had_holes: bool | None = None  #: what `has_holes` found

    @property
    def is_map(self) -> bool:
        return self.written is None and not self.is_list

    @property
    def has_holes(self) -> bool:
        """Whether something in it was filled."""
        if self.had_holes is None:
            if self.written is not None:
                self.had_holes = self.filled is not None and self.filled != self.written
            else:
                self.had_holes = any(slot.node.has_holes for slot in self.slots.values())
        return self.had_holes

    def data(self) -> Data:
        if self.is_list:
            return [slot.node.data() for slot in self.slots.values()]
        return {str(key): slot.node.data() for key, slot in self.slots.items()} if self.is_map else self.filled


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a node stands: in a file, in a list or as the value of a key."""

    node: Node
    at: Place
    key: Place | None = None
    file: str = ""
    own: Steps | None = None  #: the steps to it in its own file, where those around it are another's


def is_null(node: Node) -> bool:
    """Whether a key has no value."""
    return node.written is not None and node.filled is None


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, and where. Only `data` has what stood behind a `${…}`: the repr and `written` never do."""

    file: str
    data: Data = field(repr=False)
    warnings: tuple[Problem, ...]
    root: Slot = field(repr=False)

    def place(self, path: Steps, *, key: bool = False) -> Place:
        """Where the value at this path stands, or its key; for a path that leads nowhere, its nearest ancestor's.

        An alias stands where it is; what is inside it, and what `<<` brought in, where it was written.
        """
        slot, _ = self._nearest(path)
        return slot.key if key and slot.key else slot.at

    def written(self, path: Steps) -> str | None:
        """The text of the scalar at this path before it was filled; None where there is no scalar."""
        slot, found = self._nearest(path)
        return slot.node.written if found else None

    def was_filled(self, path: Steps, *, below: bool = True) -> bool:
        """Whether a `${…}` was filled in the scalar at this path, or above it; `below`: or anywhere below."""
        slot, _ = self._nearest(path)
        return slot.node.has_holes and (below or slot.node.written is not None)

    def problem(self, path: Steps, message: str, *, key: bool = False) -> Problem:
        """A problem of the value at this path, or of its key; the path is that in its own file."""
        slot, own = self.root, tuple[str | int, ...]()
        for at, step in enumerate(path):
            if step not in slot.node.slots:
                own += path[at:]
                break
            slot = slot.node.slots[step]
            own += (step,) if slot.own is None else slot.own
        return Problem(slot.file, *self.place(path, key=key), own, message)

    def _nearest(self, path: Steps) -> tuple[Slot, bool]:
        slot = self.root
        for step in path:
            if step not in slot.node.slots:
                return slot, False
            slot = slot.node.slots[step]
        return slot, True


def read(
    text: str, file: str, folder: Path, environ: Mapping[str, str], files: Files, *, may_be_empty: bool = False
) -> Document:
    """Read the text of a file; `file` is its name in messages, relative `${file:…}` start at `folder`.

    `files` gets to know those that it names. Raises `Invalid`, and nothing else. Opens the secret files that the text names, and runs nothing.
    """
    reader = _Reader(text.removeprefix("\ufeff"), file, folder, environ, files)  # some editors write a byte order mark
    root = reader.root()
    data = root.node.data() if root else None
    if reader.problems:
        rest = Document(file, data, tuple(reader.warnings), root) if root and data is not None else None
        raise Invalid(tuple(sorted(reader.problems, key=lambda problem: (problem.line, problem.column))), rest)
    if data is None and may_be_empty:
        return Document(file, {}, tuple(reader.warnings), Slot(Node(), (1, 1), file=file))
    if root is None or data is None:
        reader.stop((1, 1), "the file is empty: write sources, sinks and routes, or begin with `aftercall init`")
    return Document(file, data, tuple(reader.warnings), root)


def _place(mark: object) -> Place:
    return getattr(mark, "line", 0) + 1, getattr(mark, "column", 0) + 1


def _at(place: Place) -> str:
    return "{}:{}".format(*place)


class _Reader:
    """One pass over the events of one file. The bounds are checked as it grows, before anything is repeated."""

    def __init__(self, text: str, file: str, folder: Path, environ: Mapping[str, str], files: Files) -> None:
        self.file, self.folder, self.environ, self.files = file, folder, environ, files
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.anchors: dict[str, tuple[Node, Place]] = {}
        self.count = 0
        self.events = self.parse(text)

    def report(self, at: Place, path: Steps, message: str) -> None:
        self.problems.append(Problem(self.file, *at, path, message))

    def stop(self, at: Place, message: str) -> NoReturn:
        """Report this alone: what else was found may only follow from it."""
        raise Invalid((Problem(self.file, *at, (), message),)) from None  # PyYAML's errors may quote a line

    def parse(self, text: str) -> Iterator[Any]:
        """The events of values, and where lists, maps and further documents end or begin."""
        if len(text) > MAX_BYTES or len(text.encode(errors="surrogatepass")) > MAX_BYTES:
            self.stop((1, 1), f"the file is larger than {MAX_BYTES // 1024**2} MiB: is it the right one?")
        if bad := _REFUSED.search(text):
            lines = _BREAK.split(text[: bad.start()])
            at = len(lines), len(lines[-1]) + 1
            self.stop(at, f"the character U+{ord(bad[0]):04X} is not allowed here: remove it")
        try:
            yield from yaml.parse(text, Loader=_LOADER)
        except yaml.MarkedYAMLError as error:
            end, said = error.problem_mark, f"{error.context} {error.problem}"
            begin, index = error.context_mark or end, end.index if end else 0
            words = next((words for pattern, words in _WORDS if re.search(pattern, said)))
            if text[index : index + 1] == "\t":
                words = "a tab stands where YAML wants spaces: indent with spaces"
            elif text[max(index - 1, 0) : index + 1] == "${":
                words = "a '${…}' between brackets must be in quotes"
            at = _place(begin if index >= len(text) or _BEGUN.search(said) else end)
            self.stop(at, words.replace("{}", _at(_place(begin))))
        except (yaml.YAMLError, ValueError, OverflowError):  # the Python parser, of numbers out of range
            self.stop((1, 1), "this is not valid YAML: look for a '\\' sequence or a %YAML that is out of range")

    def root(self) -> Slot | None:
        slot = None
        for event in self.events:
            if isinstance(event, yaml.NodeEvent):
                slot = self.read(event, ())
            elif isinstance(event, yaml.DocumentStartEvent) and slot:
                self.report(_place(event.start_mark), (), "a second document begins here: remove one of the two")
                break
        return slot

    def read(self, event: Any, path: Steps, key: Place | None = None, *, is_key: bool = False) -> Slot:
        """Read the node that begins with this event, to its end."""
        at = _place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return Slot(self.alias(str(event.anchor), at, path), at, key, self.file)
        node = Node(isinstance(event, yaml.SequenceStartEvent), getattr(event, "value", None))
        before = self.count
        self.bound(1, len(path) + (node.written is None), at)
        if event.tag is not None:
            self.report(at, path, "tags are not known here: remove it, or put text that begins with '!' in quotes")
        if event.anchor in self.anchors:
            first = self.anchors[event.anchor][1]
            self.report(at, path, f"this anchor is already at {_at(first)}: rename one of the two")
        elif event.anchor:
            self.anchors[event.anchor] = node, at
        if node.is_map:
            self.map(node, path)
        elif node.is_list:
            for number, item in enumerate(self.inside()):
                node.slots[number] = self.read(item, (*path, number))
        elif not is_key and (event.style or node.written not in ("", "~", "null")):
            node.filled = self.fill(str(node.written), at, path)
        node.size = self.count - before
        if node.written is None:
            node.height = 1 + max((slot.node.height for slot in node.slots.values()), default=0)
        return Slot(node, at, key, self.file)

    def inside(self) -> Iterator[Any]:
        """The first event of each node in the list or map that has just begun; who takes one reads its node."""
        return takewhile(lambda event: not isinstance(event, yaml.CollectionEndEvent), self.events)

    def map(self, node: Node, path: Steps) -> None:
        """Read keys and values. What `<<` brings comes first, and what the map says itself wins."""
        merge: Slot | None = None
        own = node.slots
        for event in self.inside():
            inner = (*path, getattr(event, "value", "?"))
            key = self.read(event, inner, is_key=True)
            name = key.node.written
            inner = path if name is None else (*path, name)
            merging = name == "<<" and not getattr(event, "style", "")
            first = merge if merging else own.get(name or "")
            if name is None:
                self.report(key.at, path, "a key must be text: put text that begins with '{' or '[' in quotes")
            elif first and first.key:
                self.report(key.at, inner, f"the key {name!r} is already at {_at(first.key)}: keep one of the two")
            slot = self.read(next(self.events), inner, key.at)
            if merging:
                merge = slot
            elif name is not None:
                own.setdefault(name, slot)
        if merge:
            brought = [slot.node for slot in merge.node.slots.values()] if merge.node.is_list else [merge.node]
            if not all(source.is_map for source in brought):
                self.report(merge.at, (*path, "<<"), "'<<' takes a map or a list of maps, as in `<<: *name`")
            node.slots = {}
            for source in reversed(brought):
                node.slots |= source.slots
            node.slots |= own

    def alias(self, name: str, at: Place, path: Steps) -> Node:
        node, anchored = self.anchors.get(name, (None, at))
        if node and node.size:
            self.bound(node.size, len(path) + node.height, at)
            return node
        if node:
            self.report(at, path, f"this alias stands inside of what it repeats, from {_at(anchored)} on: remove it")
        else:
            self.report(at, path, "no anchor of this name above: add it, or put text that begins with '*' in quotes")
        return Node()

    def bound(self, nodes: int, depth: int, at: Place) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            self.stop(at, f"more than {MAX_NODES:,} keys and values up to here, repeated ones too: use fewer aliases")
        if depth > MAX_DEPTH:
            self.stop(at, f"nested deeper than {MAX_DEPTH} levels: make it flatter")

    def fill(self, written: str, at: Place, path: Steps) -> str:
        filled, errors, warnings = fill(written, self.folder, self.environ, self.files)
        if path[-1:] == ("template",):
            warnings = []  # who may read the file: of everything else it is taken to be a secret
        self.problems += [Problem(self.file, *at, path, message) for message in errors]
        self.warnings += [Problem(self.file, *at, path, message) for message in warnings]
        return filled
