"""Logs: structlog, one line for one fact; JSON, or readable on a terminal. Never text of a call, never a secret."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from router.text import one_line


def set_up(form: Literal["json", "text"] | None = None, level: int = logging.INFO) -> None:
    """Once per process. `form` None: readable on a terminal, JSON elsewhere. Lines go to stderr."""
    form = form or ("text" if sys.stderr.isatty() else "json")
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_locals,
        _said_only,
        _one_lined,
    ]
    last: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            sort_keys=False, colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Lines(sys.stderr))),
        cache_logger_on_first_use=False,
    )
    # Libraries speak through logging. aiohttp's server logs requests that it cannot parse, bytes and all, and those
    # bytes may hold a token; what matters of them is in our own access log.
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)
    for noisy in ("aiohttp.server", "aiohttp.client", "aiohttp.internal", "aiohttp.web"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


class _Lines:
    """Where lines go to. One that cannot be written (a full disk, a pipe that ended) is lost: it must not cost a call."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._lost = 0

    def write(self, line: str) -> None:
        """Write a line, or count it; what was lost is said before the next one."""
        try:
            if self._lost:
                self._file.write(f'{{"event": "log.lost", "level": "warning", "lines": {self._lost}}}\n')
            self._file.write(line)
            self._file.flush()
        except (OSError, ValueError):
            self._lost += 1
        else:
            self._lost = 0

    def flush(self) -> None:
        """Each line was."""


def logger() -> FilteringBoundLogger:
    """The process's logger."""
    made: FilteringBoundLogger = structlog.get_logger()
    return made


_frames = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=30)


def _without_locals(_: object, __: str, fields: Any) -> Any:
    """A traceback with file, line and function of each frame; no values, and no message but of our own errors.

    Local variables hold secrets and calls, and so do the messages of foreign exceptions.
    """
    error = fields.pop("exc_info", None)
    if isinstance(error, BaseException):
        frames = _frames((type(error), error, error.__traceback__))
        fields["error"] = type(error).__name__
        fields["traceback"] = [
            f"{frame['filename']}:{frame['lineno']} {frame['name']}" for stack in frames for frame in stack["frames"]
        ]
    return fields


def _said_only(_: object, __: str, fields: Any) -> Any:
    """What is not known is left out."""
    return {key: value for key, value in fields.items() if value is not None}


def _one_lined(_: object, __: str, fields: Any) -> Any:
    """No field can begin a line of its own, or speak to a terminal."""
    return {key: one_line(value) if isinstance(value, str) else value for key, value in fields.items()}


#: Where a message goes on with the repr of something: asyncio's quote tasks and callbacks, with their exceptions.
_QUOTED = re.compile(r"\n|<|\((?!\))")


class _ToStructlog(logging.Handler):
    """What libraries log, without arguments, reprs and the text of exceptions: those may hold anything."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line: what the message says before it quotes something, and the class of the exception."""
        said = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        logger().warning(
            "library.logged",
            library=record.name,
            level=record.levelname,
            message=_QUOTED.split(said, maxsplit=1)[0].rstrip(),
            error=record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None,
        )
