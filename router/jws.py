"""Signed vCons: a JSON Web Signature (RFC 7515) around the document, in the general JSON serialisation.

As the draft has it: `alg` is protected, the certificates (`x5c`) and the vCon's uuid stand beside it. The same document
signed with the same key is the same bytes: RSASSA-PKCS1-v1_5 is so by itself, ECDSA by RFC 6979.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr

from router import pem
from router.errors import ConfigError
from router.excerpt import exact_json
from router.sink import Setting, SinkContext

_SHORTEST_RSA: Final = 2048


class VconSigning(Setting):
    """The key that vCons are signed with, and the certificates that say whose it is."""

    key: SecretStr
    """The private key, a PEM file or its content: RSA of 2048 bits at least (RS256), or the curve P-256 (ES256)."""
    certificates: str
    """A PEM file, or its content: the key's certificate, then those above it."""

    def signer(self, folder: Path) -> Signer:
        """What signs. Raises `ConfigError` where key and certificates do not fit, or cryptography is missing."""
        try:
            return _signer(self._key(folder), self._chain(folder))
        except ImportError as error:
            raise ConfigError(pem.NOT_INSTALLED, at=("sign",), instead=pem.NOT_INSTALLED) from error

    def files(self) -> tuple[Path, ...]:
        """Those that are named, of the two. See `SinkConfig.files`."""
        named = (pem.file(self.key.get_secret_value()), pem.file(self.certificates))
        return tuple(file for file in named if file is not None)

    def open(self, context: SinkContext) -> Signer:
        """As `signer`; a certificate that has expired is a warning: what it signed before is still good."""
        signer = self.signer(context.folder)
        if signer.expires <= context.clock.now():
            context.log.warning("sink.certificate_expired", expired=signer.expires.isoformat())
        return signer

    def _key(self, folder: Path) -> Any:
        try:
            return pem.private_key(self.key.get_secret_value(), folder)
        except ConfigError as error:
            raise ConfigError(error.message, at=("sign", "key"), instead=error.instead) from error

    def _chain(self, folder: Path) -> list[Any]:
        try:
            return pem.certificates(self.certificates, folder)
        except ConfigError as error:
            raise ConfigError(error.message, at=("sign", "certificates"), instead=error.instead) from error


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """Signs with one key."""

    algorithm: str
    #: The certificates in DER, the key's own first.
    chain: tuple[bytes, ...]
    #: When the first of the certificates ends.
    expires: datetime
    _sign: Callable[[bytes], bytes]

    def sign(self, document: dict[str, Any]) -> dict[str, Any]:
        """The signed form of a vCon."""
        protected = _base64url(exact_json({"alg": self.algorithm}))
        payload = _base64url(exact_json(document))
        signature = {
            "header": {"x5c": [base64.b64encode(one).decode() for one in self.chain], "uuid": document["uuid"]},
            "protected": protected,
            "signature": _base64url(self._sign(f"{protected}.{payload}".encode())),
        }
        return {"payload": payload, "signatures": [signature]}


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signer(key: Any, chain: list[Any]) -> Signer:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding

    sign: Callable[[bytes], bytes]
    match key:
        case rsa.RSAPrivateKey() if key.key_size >= _SHORTEST_RSA:
            algorithm, sign = "RS256", _rs256(key)
        case ec.EllipticCurvePrivateKey() if isinstance(key.curve, ec.SECP256R1):
            algorithm, sign = "ES256", _es256(key)
        case _:
            message = f"neither an RSA key of {_SHORTEST_RSA} bits at least nor one of the curve P-256"
            raise ConfigError(message, at=("sign", "key"), instead=message)
    if chain[0].public_key() != key.public_key():
        message = "the first certificate is not that of the key; put the key's own first, then those above it"
        raise ConfigError(message, at=("sign", "certificates"), instead=message)
    expires = min(one.not_valid_after_utc for one in chain)
    return Signer(algorithm, tuple(one.public_bytes(Encoding.DER) for one in chain), expires, sign)


def _rs256(key: Any) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    def sign(data: bytes) -> bytes:
        signature: bytes = key.sign(data, PKCS1v15(), SHA256())
        return signature

    return sign


def _es256(key: Any) -> Callable[[bytes], bytes]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        algorithm = ECDSA(SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:  # an OpenSSL before 3.2: every signature is another one, and as good
        algorithm = ECDSA(SHA256())

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, algorithm))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign
