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
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr

from router.about import NAME
from router.errors import ConfigError
from router.excerpt import exact_json
from router.sink import Setting, SinkContext

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SHORTEST_RSA: Final = 2048


class VconSigning(Setting):
    """The key that vCons are signed with, and the certificates that say whose it is."""

    key: SecretStr
    """The private key in PEM: RSA of 2048 bits at least (RS256), or the curve P-256 (ES256); not encrypted."""
    certificates: Path
    """A PEM file: the key's certificate, then those above it."""

    def open(self, context: SinkContext) -> Signer:
        """What signs. Raises `ConfigError` where key and certificates do not fit, or cryptography is missing."""
        try:
            signer = _signer(self.key.get_secret_value().encode(), context.folder / self.certificates)
        except ImportError as error:
            message = f"sign: the package cryptography is not installed; it comes with: pip install '{NAME}[vcon]'"
            raise ConfigError(message) from error
        if signer.expires <= context.clock.now():
            context.log.warning("sink.certificate_expired", expired=signer.expires.isoformat())
        return signer


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """Signs with one key."""

    algorithm: str
    #: The certificates in DER, the key's own first.
    chain: tuple[bytes, ...]
    #: When the key's certificate ends.
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


def _signer(pem: bytes, certificates: Path) -> Signer:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: it needs a password
        message = 'sign.key: no private key in PEM, or an encrypted one; write the key as it is: "${file:key.pem}"'
        raise ConfigError(message) from error
    sign: Callable[[bytes], bytes]
    match key:
        case rsa.RSAPrivateKey() if key.key_size >= _SHORTEST_RSA:
            algorithm, sign = "RS256", _rs256(key)
        case ec.EllipticCurvePrivateKey() if isinstance(key.curve, ec.SECP256R1):
            algorithm, sign = "ES256", _es256(key)
        case _:
            message = f"sign.key: neither an RSA key of {_SHORTEST_RSA} bits at least nor one of the curve P-256"
            raise ConfigError(message)
    chain = _chain(certificates)
    if chain[0].public_key() != key.public_key():
        message = f"sign.certificates: the first one in {str(certificates)!r} is not that of the key; put it first"
        raise ConfigError(message)
    return Signer(algorithm, tuple(one.public_bytes(Encoding.DER) for one in chain), chain[0].not_valid_after_utc, sign)


def _chain(file: Path) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        message = f"sign.certificates: cannot read {str(file)!r}: {error.strerror}; mend the path or its permissions"
        raise ConfigError(message) from error
    except ValueError as error:
        message = f"sign.certificates: no certificate in PEM in {str(file)!r}"
        raise ConfigError(message) from error


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
