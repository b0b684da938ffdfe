"""Signed and encrypted vCons: what is in a JSON Web Signature (RFC 7515), and whose signature it is.

What stands in clear beside a signature proves nothing and is never read. Tolerant where that costs nothing: the
working group's own examples have the same header names in both headers, which the RFC forbids.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, Final

from router.envelope import encrypted, sealed, signed
from router.errors import Unreadable
from router.formats import body as bodies

__all__ = ["decoded", "encrypted", "named", "opened", "sealed", "signed"]

#: Bytes that a zipped payload may hold, if that is not less than twice its own size: recordings do not get smaller.
_MOST_UNPACKED: Final = 4 * 2**20
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-]*={0,2}")


def opened(body: dict[str, Any]) -> dict[str, Any]:
    """What is signed; a body that is not sealed is what it is. Raises `Unreadable` where it cannot be opened."""
    if encrypted(body):
        raise Unreadable("an encrypted vCon; aftercall has no key")
    if not signed(body):
        return body
    given = body.get("payload")
    payload = decoded(given) if isinstance(given, str) else None
    if payload is None:
        raise Unreadable("a signed vCon whose payload is no base64url")
    try:
        inner = bodies.value(payload, max(_MOST_UNPACKED, 2 * len(payload)))
    except Unreadable as error:
        message = f"a signed vCon whose payload is {error}"
        raise Unreadable(message) from None
    if isinstance(inner, dict) and signed(inner):
        raise Unreadable("a signed vCon inside a signed one; only one layer is read")
    if not isinstance(inner, dict):
        raise Unreadable("a signature around something that is no vCon")
    return opened(inner)


def named(body: dict[str, Any]) -> Iterator[Any]:
    """The uuids that the headers of its signatures name: for finding a vCon without opening it, and not signed."""
    if not signed(body):
        return
    signatures = body.get("signatures")
    for signature in signatures if isinstance(signatures, list) else [body]:
        header = signature.get("header") if isinstance(signature, dict) else None
        if isinstance(header, dict) and header.get("uuid") is not None:
            yield header["uuid"]


def decoded(text: str) -> bytes | None:
    """The bytes of base64 or base64url, with or without padding; None where it is neither."""
    text = "".join(text.split())
    if not _BASE64.fullmatch(text):
        return None
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        return None
