"""Sink `file`: a file of its own for each call, that is there completely or not at all.

A path is cut at `/` before it is filled, so no text of a call adds a folder, and each piece is made a harmless name by
itself. How files get onto the disk is left to `FileTree`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, model_validator

from router import (
    Delivery,
    Discreet,
    Event,
    FilePath,
    FileTree,
    Numbers,
    OneOrSeveral,
    Part,
    Rejected,
    Signer,
    Sink,
    SinkConfig,
    SinkContext,
    Template,
    VconSigning,
    Wording,
    as_json,
    as_vcon,
    check_template,
    exact_json,
    hookimpl,
    markdown_page,
    outgoing,
    plain,
    safe_name,
    safe_segment,
    sample_event,
)

_PAGE_PARTS = tuple(part for part in Part if part not in (Part.SMALL_TALK, Part.PARTICIPANTS))
_DEFAULT_PATH = (
    "{{ event.started_at | date('%Y') }}/{{ event.started_at | date('%m') }}/{{ event.channel.name }}/"
    "{{ event.call_id or event.id }}"
)
_SUFFIXES = {"markdown": ".md", "vcon": ".vcon"}
#: With names of 200 bytes, they fit into what systems take as a whole path.
_MOST_PIECES = 16


def _values(event: Event) -> dict[str, Any]:
    """What is missing, as an empty text: filters like `lower` would make the word `none` of it."""
    values: dict[str, Any] = {name: "" if value is None else value for name, value in plain(event).items()}
    for name in ("channel", "caller", "callee"):
        values[name] = {key: "" if value is None else value for key, value in values[name].items()}
    return values


def _path(path: str) -> str:
    """Each piece between slashes is a template, and a name of its own."""
    pieces = path.split("/")
    if {"", ".", ".."} & {piece.strip() for piece in pieces} or len(pieces) > _MOST_PIECES:
        message = f"is not 1 to {_MOST_PIECES} names with a / in between, of which none is empty, `.` or `..`"
        raise Discreet(message)
    for piece in pieces:
        try:
            check_template(piece, _values)
        except ValueError as error:
            own = "each piece between slashes is a template of its own"
            raise Discreet(f"has {piece!r}: {error}; {own}", instead=f"cannot be filled; {own}") from None
    return path


class FileConfig(SinkConfig):
    """Writes each call to a file of its own: the body as it was received, the event as JSON or vCon, or a page."""

    kind: Literal["file"]
    root: FilePath
    """The folder below which everything is written."""
    path: Annotated[str, AfterValidator(_path)] | None = None
    """Where below it: a template for each piece between slashes; by year, month and channel where it is left out."""
    format: Literal["received", "event", "vcon", "markdown"] = "received"
    """`received`: the very bytes that came in; `event`: the normalised call; `vcon`; `markdown`: a page to read."""
    sign: VconSigning | None = None
    """Signs what `format: vcon` makes, with `key` and `certificates`."""
    send: Annotated[tuple[Part, ...], OneOrSeveral()] | None = None
    """Which parts of a call are written, not for `received`; a page has all but small_talk and participants."""

    @model_validator(mode="after")
    def _fits(self) -> FileConfig:
        if self.format == "received" and (self.send is not None or self.numbers is Numbers.MASKED):
            message = "`send` and `numbers: masked` go with every other `format`: a received body stays as it is"
            raise Discreet(message)
        if self.format != "vcon" and self.sign is not None:
            message = "`sign` goes with `format: vcon`"
            raise Discreet(message)
        return self

    def check(self, folder: Path) -> datetime | None:
        """What signs."""
        return self.sign.signer(folder).expires if self.sign else None

    def files(self) -> tuple[Path, ...]:
        """What signs."""
        return self.sign.files() if self.sign else ()

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """Makes the root where that can be done; if not now, then when a call comes."""
        signer = self.sign.open(context) if self.sign else None
        path = self.path or _DEFAULT_PATH + _SUFFIXES.get(self.format, ".json")
        sink = FileSink(self, context, [context.templates.compile(piece) for piece in path.split("/")], signer)
        tree = sink.tree
        try:
            if problem := await tree.open():
                context.log.warning("sink.root_not_ready", root=str(self.root), reason=problem)
            yield sink
        finally:
            await tree.close()

    def recipient(self) -> str:
        """The root."""
        return str(self.root)

    def parts(self) -> tuple[str, ...]:
        """An event or a vCon without anything left out has the received body in it."""
        whole = self.format != "markdown" and self.send is None and self.numbers is Numbers.FULL
        if self.format == "received" or whole:
            return ("received",)
        sent = self.sent()
        return tuple(part.value for part in (Part if sent is None else sent))

    def sent(self) -> tuple[Part, ...] | None:
        """The parts, with the default that pages have."""
        return _PAGE_PARTS if self.send is None and self.format == "markdown" else self.send


class FileSink:
    """One root."""

    def __init__(
        self, config: FileConfig, context: SinkContext, path: Sequence[Template], signer: Signer | None
    ) -> None:
        self.tree = FileTree(context.folder / config.root, threads=min(config.concurrency, 16) + 1)
        self._config = config
        self._path = path
        self._signer = signer
        self._wording = Wording.of(context)
        with suppress(Rejected):  # it asks the raw body
            if self._names(sample_event()) == self._names(sample_event(id="another", call_id="another", sequence=2)):
                context.log.warning(
                    "sink.path_shared", advice="calls share one path; write {{ event.call_id }} into it"
                )

    async def deliver(self, delivery: Delivery) -> str:
        """Write it; the path below the root is the remote id. The same bytes at the same path are written once."""
        *folders, name = self._names(delivery.event)
        return await self.tree.put(folders, name, await asyncio.to_thread(self._content, delivery))

    def _names(self, event: Event) -> list[str]:
        values = _values(outgoing(event, None, self._config.numbers))
        *folders, name = (template.render(event=values) for template in self._path)
        return [*map(safe_segment, folders), safe_name(name)]

    def _content(self, delivery: Delivery) -> bytes:
        sent, numbers = self._config.sent(), self._config.numbers
        match self._config.format:
            case "received":
                return delivery.body
            case "event":
                return as_json(outgoing(delivery.event, sent, numbers))
            case "vcon":
                document = as_vcon(delivery.event, sent, numbers, bundle=True)
                return exact_json(self._signer.sign(document) if self._signer else document)
            case "markdown":
                return markdown_page(outgoing(delivery.event, sent, numbers), self._wording).encode(errors="replace")


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `file`."""
    return [FileConfig]
