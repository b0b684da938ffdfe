"""Whether a vCon is sealed: a JSON Web Signature (RFC 7515) or Encryption (RFC 7516). The one definition of it. Pure.

It goes by the keys alone, whatever their values are: what looks sealed and cannot be opened is not read from the clear
copy that may stand beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sealed(body: Mapping[str, Any]) -> bool:
    """Whether this is an envelope, signed or encrypted."""
    return signed(body) or encrypted(body)


def signed(body: Mapping[str, Any]) -> bool:
    """Whether this is a JSON Web Signature, general or flattened, or has a key that only one has beside its payload."""
    return "signatures" in body or ("payload" in body and ("signature" in body or "protected" in body))


def encrypted(body: Mapping[str, Any]) -> bool:
    """Whether this is a JSON Web Encryption."""
    return "ciphertext" in body
