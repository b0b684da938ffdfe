"""The key of `seen`: what was seen outlives the calls, so it is kept as hashes that mean nothing without this key."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING

from router.errors import StoreError
from router.store.sqlite import folder
from router.store.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

KEY_FILE = "seen.key"
_LENGTH = 32
_SIZE = 16


@dataclass(frozen=True, slots=True, repr=False)
class SeenKey:
    """Hashes under the key, one purpose apart from the other."""

    key: bytes

    def call(self, call_id: str | None, digest: bytes) -> bytes:
        """What stands for a call: its id, or its content where it has none."""
        if call_id is None:
            return self._hash(b"content alone", digest)
        return self._hash(b"call id", call_id.encode())

    def digest(self, digest: bytes) -> bytes:
        """What stands for a content."""
        return self._hash(b"content", digest)

    def proof(self) -> bytes:
        """What the database keeps, to know the key again."""
        return self._hash(b"proof", b"")

    def _hash(self, purpose: bytes, data: bytes) -> bytes:
        return hashlib.blake2b(data, key=self.key, digest_size=_SIZE, person=purpose).digest()


def load(connection: sqlite3.Connection, data: Path) -> SeenKey:
    """The key of this data folder, made where nothing was ever seen.

    Raises `StoreError` where something was, and the key is missing or another: every call would count as new.
    """
    path = data / KEY_FILE
    needed = bool(connection.execute(SQL["any_seen"]).fetchone()[0])
    if not path.exists():
        if needed:
            message = f"{path} is missing, and without it every known call would be taken for a new one: restore it"
            raise StoreError(message)
        folder.create(path, secrets.token_bytes(_LENGTH))
    content = path.read_bytes()
    if len(content) != _LENGTH:
        message = f"{path} is damaged ({len(content)} bytes instead of {_LENGTH}): restore it"
        raise StoreError(message)
    key = SeenKey(content)
    known = connection.execute(SQL["seen_key"]).fetchone()
    if known is None or not compare_digest(known["proof"], key.proof()):
        if needed:
            message = f"{path} is not the key that the database was filled with: restore the two together"
            raise StoreError(message)
        connection.execute(SQL["begin"])
        connection.execute(SQL["forget_seen_key"])
        connection.execute(SQL["set_seen_key"], {"proof": key.proof()})
        connection.execute(SQL["commit"])
    return key
