"""The key of `seen`: what was seen outlives the calls, so it is kept as hashes that mean nothing without this key."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

#: Bytes of a key, and of a hash under it.
LENGTH: Final = 32
_SIZE: Final = 16


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


def made() -> bytes:
    """A new key."""
    return secrets.token_bytes(LENGTH)
