"""Keys and certificates for tests of signatures: made once, valid from 2020 to 2040."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

ENDS = datetime(2040, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Identity:
    """A key and its certificates, its own first."""

    key: CertificateIssuerPrivateKeyTypes
    chain: tuple[x509.Certificate, ...]

    def pem(self, password: bytes | None = None) -> str:
        """The private key."""
        how = BestAvailableEncryption(password) if password else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how).decode()

    def write(self, file: Path) -> Path:
        """The certificates."""
        file.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in self.chain))
        return file


def certificate(
    subject: CertificateIssuerPrivateKeyTypes, name: str, issuer: Identity | None = None, ends: datetime = ENDS
) -> x509.Certificate:
    """A certificate, signed by `issuer` or by itself."""
    common = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(common)
        .issuer_name(issuer.chain[0].subject if issuer else common)
        .public_key(subject.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    signing = issuer.key if issuer else subject
    return builder.sign(signing, None if isinstance(signing, ed25519.Ed25519PrivateKey) else SHA256())


@cache
def authority() -> Identity:
    """A root of our own."""
    key = ec.generate_private_key(ec.SECP256R1())
    return Identity(key, (certificate(key, "Test authority"),))


@cache
def identity(kind: str, ends: datetime = ENDS) -> Identity:
    """A key of this kind with a certificate from the authority: rsa, ec, short, p384, p521 or ed25519."""
    key: CertificateIssuerPrivateKeyTypes
    match kind:
        case "rsa":
            key = rsa.generate_private_key(65537, 2048)
        case "short":
            key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
        case "ec":
            key = ec.generate_private_key(ec.SECP256R1())
        case "p384":
            key = ec.generate_private_key(ec.SECP384R1())
        case "p521":
            key = ec.generate_private_key(ec.SECP521R1())
        case _:
            key = ed25519.Ed25519PrivateKey.generate()
    root = authority()
    return Identity(key, (certificate(key, "calls.example", root, ends), *root.chain))
