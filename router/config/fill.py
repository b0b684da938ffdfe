"""Filling `${…}` in a scalar: from the environment, with a default, or from a file. Filled text is not filled again.

What is wrong and what deserves a warning is said without any value: they are secrets more often than not.
"""

import re
import stat
from collections.abc import Mapping
from pathlib import Path

from router.config.files import Files

MAX_SECRET_BYTES = 64 * 1024

_HOLE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Unfilled(ValueError):
    """A `${…}` has no value; the text says why and what to do."""


def fill(written: str, folder: Path, environ: Mapping[str, str], files: Files) -> tuple[str, list[str], list[str]]:
    """The text with every `${…}` filled, once; what is wrong with them; what deserves a warning.

    `files` gets to know which are read.
    """
    errors: list[str] = []
    warnings: list[str] = []

    def value(hole: re.Match[str]) -> str:
        inside, closed = hole.groups()
        if inside is None:  # `$${`
            return "${"
        if not closed or "${" in inside:
            errors.append("a '${' is not closed: add '}' (no '${' goes inside), or write '$${' for the text '${'")
            return ""
        try:
            return _value(inside, folder, environ, files, warnings)
        except _Unfilled as error:
            errors.append(str(error))
            return ""

    filled = _HOLE.sub(value, written)
    if _SURROGATE.search(filled):
        errors.append("this cannot be written in UTF-8: mend it, or the variable that fills it")
    return filled, errors, warnings


def _value(inside: str, folder: Path, environ: Mapping[str, str], files: Files, warnings: list[str]) -> str:
    name, otherwise, default = inside.partition(":-")  # first, so that `${file:-x}` is a variable with a default
    if _NAME.fullmatch(name):
        value = environ.get(name)
        if value is None and not otherwise:
            raise _Unfilled(f"the variable {name} is not set: export it, or keep it in a file: '${{file:/path}}'")
        return value or default  # an empty variable takes its default, as in a shell
    if not inside.startswith("file:") or inside == "file:":
        raise _Unfilled("no name in a '${…}': write ${NAME}, ${NAME:-default} or ${file:/path}, or '$${' for '${'")
    file = folder / inside.removeprefix("file:")
    files.about_to_read(file)
    secret, mode = _secret(file)
    if mode & ~0o640:
        warnings.append(f"others can read or change {str(file)!r} (mode {mode:04o}): chmod 640 it")
    return secret


def _secret(file: Path) -> tuple[str, int]:
    """The text of a file, without one newline at its end, and the file's mode."""
    name, content = repr(str(file)), b""
    try:
        status = file.stat()
        if stat.S_ISREG(status.st_mode):  # anything else is not even opened: a pipe would wait for its writer
            with file.open("rb") as stream:
                content = stream.read(MAX_SECRET_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise _Unfilled(f"cannot read {name}: {reason}: mend the path or its permissions") from error
    if not stat.S_ISREG(status.st_mode):
        raise _Unfilled(f"cannot read {name}: it is not a regular file: name another")
    if len(content) > MAX_SECRET_BYTES:
        raise _Unfilled(f"cannot read {name}: it is larger than {MAX_SECRET_BYTES // 1024} KiB: name another")
    try:
        return re.sub(r"\r?\n\Z", "", content.decode()), stat.S_IMODE(status.st_mode)
    except UnicodeDecodeError:  # whose text would quote the secret
        raise _Unfilled(f"cannot read {name}: it is not text in UTF-8: name another") from None
