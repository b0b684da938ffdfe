"""A backup of what a router keeps: one tar, whole and verified, or none. Unpacked, it is a data folder again.

In it are the database, the key of `seen` and the generated tokens, which are of no use without each other. What an
operator wrote (routes.yaml, secrets) or sinks did (an archive) belongs to other backups.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from router.errors import AftercallError, StoreError
from router.store.sqlite import copying, folder, keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from router.config import Known
    from router.store.lines import Summary

_TOKEN_FILE: Final = re.compile(r"token-[A-Za-z0-9_\-]+")
_NO_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
_MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was written, and what is in it."""

    file: Path
    size: int
    members: tuple[str, ...]
    summary: Summary


def back_up(config: Known, file: Path) -> Backup:
    """Write `file`, beside a running router or without one; a file that is there stays as it is.

    The data folder is only read. Raises `AftercallError` with what to do: then there is no such file, nor a part of it.
    """
    try:
        _refuse(config, file)
        with TemporaryDirectory(prefix=".aftercall-backup-", dir=file.absolute().parent) as work:
            return _written(config, file, Path(work))
    except StoreError as error:
        message = f"{file} was not written: {error}"
        raise AftercallError(message) from error
    except OSError as error:
        message = f"{file} was not written: {error.filename or file}: {error.strerror or type(error).__name__}"
        raise AftercallError(message) from error


def _refuse(config: Known, file: Path) -> None:
    if config.postgres is not None:
        message = (
            f"the store is in PostgreSQL ({config.postgres}), which has backups of its own: write one with pg_dump, or see "
            "to it that your server's are made; all that a router needs is in that database and in what you wrote yourself"
        )
        raise AftercallError(message)
    if not config.database.exists():
        message = f"there is no database {config.database}: no router ever ran with this configuration"
        raise AftercallError(message)
    if os.path.lexists(file):
        message = f"{file} is there already, and stays as it is: name another file"
        raise AftercallError(message)
    if not file.absolute().parent.is_dir():
        message = f"there is no folder {file.absolute().parent}: make it, or name another"
        raise AftercallError(message)
    disk = os.statvfs(file.absolute().parent)
    # The copy that is looked at, and the tar with it.
    needed, free = 2 * copying.size(config.database) + _MIB, disk.f_bavail * disk.f_frsize
    if free < needed:
        message = (
            f"{file} was not written: about {needed // _MIB} MiB are needed there for the time being, and "
            f"{free // _MIB} MiB are free"
        )
        raise AftercallError(message)


def _written(config: Known, file: Path, work: Path) -> Backup:
    """The backup, made in `work` beside it, and given its name at the end."""
    copy, draft = work / "database", work / "tar"
    copy.touch(0o600, exist_ok=False)
    copying.copy(config.database, copy)
    copied = copying.verified(copy)
    key = config.database.parent / keys.KEY_FILE
    if not copied.fits(key.read_bytes()):
        message = f"{key} is not the key that the database was filled with: put the right one back first"
        raise AftercallError(message)
    members = {config.database.name: copy, key.name: key} | {token.name: token for token in _tokens(config)}
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, member in members.items():
                _add(tar, name, member, owner=config.database)
        target.flush()
        os.fsync(target.fileno())
    _compare(draft, members)
    _name(draft, file)
    return Backup(file, file.stat().st_size, tuple(members), copied.summary)


def _tokens(config: Known) -> Iterator[Path]:
    """The generated tokens: without them, new ones would be made, and had to be pasted at the phone company."""
    return (path for path in sorted(config.data.iterdir()) if _TOKEN_FILE.fullmatch(path.name) and path.is_file())


def _add(tar: tarfile.TarFile, name: str, member: Path, *, owner: Path) -> None:
    """Whoever owns the database owns what is unpacked, where root does that."""
    entry = tar.gettarinfo(owner, arcname=name)
    status = member.stat()
    entry.size, entry.mtime, entry.mode = status.st_size, int(status.st_mtime), 0o600
    with member.open("rb") as content:
        tar.addfile(entry, content)


def _compare(draft: Path, members: dict[str, Path]) -> None:
    """Raise `AftercallError` where the tar has not what went into it."""
    with tarfile.open(draft) as tar:
        for name, member in members.items():
            written = tar.extractfile(name)
            with member.open("rb") as content:
                same = written and _digest(written) == _digest(content)
            if not same:
                message = f"{name} was not written as it is: check the disk"
                raise AftercallError(message)


def _digest(content: object) -> bytes:
    return hashlib.file_digest(content, "sha256").digest()  # type: ignore[arg-type] # what reads, as tarfile gives it


def _name(draft: Path, file: Path) -> None:
    """Give the draft its name, on stable storage. Raises `FileExistsError` where that is taken meanwhile."""
    try:
        os.link(draft, file)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        draft.rename(file)
    folder.sync(file.absolute().parent)
