"""Signatures of webhooks: Standard Webhooks 1.0.0, symmetric (v1). Pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

from router.errors import Discreet

PREFIX: Final = "whsec_"
#: Bytes of a secret, as the specification has it.
_SHORTEST, _LONGEST = 24, 64
_MAKE_ONE = f'make one with: echo "{PREFIX}$(openssl rand -base64 32)"'


def signing_key(secret: str) -> bytes:
    """The key in `whsec_` and base64. Raises ValueError, which does not quote the secret, with how to make one."""
    if not secret.startswith(PREFIX):
        message = f"is no signing secret: it begins with {PREFIX}; {_MAKE_ONE}"
        raise Discreet(message)
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        message = f"is no signing secret: what follows {PREFIX} is not base64; {_MAKE_ONE}"
        raise Discreet(message) from None
    if not _SHORTEST <= len(key) <= _LONGEST:
        message = f"is no signing secret: it has {len(key)} bytes, not {_SHORTEST} to {_LONGEST}; {_MAKE_ONE}"
        raise Discreet(message)
    return key


def _checked(secret: SecretStr) -> SecretStr:
    signing_key(secret.get_secret_value())
    return secret


#: What a secret for signing is declared as: it is never printed.
SigningSecret = Annotated[SecretStr, AfterValidator(_checked), Field(json_schema_extra={"pattern": f"^{PREFIX}"})]


def sign(secrets: Iterable[SecretStr], message_id: str, now: datetime, body: bytes) -> dict[str, str]:
    """The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` of one attempt; without a secret the id.

    One signature for each secret, in their order: while a secret is being replaced, a receiver may hold either.
    """
    if not message_id or "." in message_id:
        message = "the id of a message is not empty and has no dot: it would be ambiguous in what is signed"
        raise Discreet(message)
    timestamp = str(int(now.timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    keys = [signing_key(secret.get_secret_value()) for secret in secrets]
    if not keys:
        return {"webhook-id": message_id}
    signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
