"""Whose signatures count: the certificates that a source trusts, and what they say to a signed body.

Needs the package cryptography, which is there where anchors were loaded. A signature counts where its certificate is
an anchor or leads to one. Certificates that a header only links to are not fetched; revocation is not asked for.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from router.errors import Unreadable
from router.formats import body as bodies
from router.formats import parts
from router.formats.seals import decoded

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

#: More signatures or certificates than anybody needs.
_MOST: Final = 8
#: Ways up to an anchor that are tried, and certificates that are looked at to find them.
_MOST_WAYS: Final = 8
_MOST_STEPS: Final = 64
_SHORTEST_RSA: Final = 2048
#: Extensions that may be critical: key usage, alternative name, basic constraints, extended key usage.
_KNOWN: Final = frozenset({"2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.37"})
#: What a certificate may be for, if it says so: any use, e-mail, code. One for web servers vouches for a host alone.
_USES: Final = frozenset({"2.5.29.37.0", "1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.3"})
_NAME_CONSTRAINTS: Final = "2.5.29.30"
#: Hashes with which certificates can be forged.
_BROKEN: Final = frozenset({"md5", "sha1"})
_CURVES: Final = {"ES256": ("secp256r1", 32), "ES384": ("secp384r1", 48), "ES512": ("secp521r1", 66)}


class Untrusted(Exception):
    """Why a signature does not count, in words that quote nothing of it."""


@dataclass(frozen=True, slots=True, repr=False)
class Anchors:
    """The certificates that are trusted."""

    certificates: tuple[Certificate, ...]

    def verdict(self, sealed: Mapping[str, Any], now: datetime | None) -> str | None:
        """Why none of the signatures counts; None: one of them does."""
        faults = []
        for signature in list(_signatures(sealed))[:_MOST]:
            try:
                self._check(str(sealed.get("payload")), signature, now)
            except Untrusted as error:
                faults.append(str(error))
            except Exception:  # noqa: BLE001 - strangers write certificates; what fails proves nothing
                faults.append("its certificate cannot be read")
            else:
                return None
        return faults[0] if faults else "there is none"

    def _check(self, payload: str, signature: Mapping[str, Any], now: datetime | None) -> None:
        protected = _protected(signature)
        beside = parts.mapping(signature.get("header"))
        if "crit" in protected or "crit" in beside:
            raise Untrusted("it demands something of its reader (crit)")
        algorithm, chain = (_agreed(protected, beside, name) for name in ("alg", "x5c"))
        if isinstance(algorithm, str) and algorithm.casefold() == "none":
            raise Untrusted("it is no signature at all (alg none)")
        certificates = _certificates(chain)
        self._lead_to_an_anchor(certificates, now)
        value = decoded(str(signature.get("signature")))
        signed = f"{signature.get('protected') or ''}.{payload}".encode("utf-8", "replace")
        _verify(certificates[0], algorithm, value or b"", signed)

    def _lead_to_an_anchor(self, chain: Sequence[Certificate], now: datetime | None) -> None:
        """Raises `Untrusted` unless a way leads up from the first certificate that holds; else with the first fault."""
        _allows(chain[0], "digital_signature")
        fault = None
        for way in itertools.islice(self._ways(chain), _MOST_WAYS):
            try:
                self._holds(way, now)
            except Untrusted as error:
                fault = fault or error
            else:
                return
        raise fault or Untrusted("its certificate leads to none of the anchors")

    def _ways(self, chain: Sequence[Certificate]) -> Iterator[tuple[Certificate, ...]]:
        """From the first certificate up, each issued by the next, to one that is trusted; shortest first.

        There can be several: a root that was renewed has the name and the key of the old one.
        """
        others = list(dict.fromkeys(chain[1:]))
        issues = cache(_issued)
        ways: deque[tuple[Certificate, ...]] = deque([(chain[0],)])
        for _ in range(_MOST_STEPS):
            if not ways:
                return
            way = ways.popleft()
            here = way[-1]
            if here in self.certificates:
                yield way
                continue
            yield from ((*way, anchor) for anchor in self.certificates if issues(anchor, here))
            ways.extend((*way, one) for one in others if one not in way and issues(one, here))

    def _holds(self, way: Sequence[Certificate], now: datetime | None) -> None:
        """Raises `Untrusted` unless everything on the way is as it has to be. The last one is an anchor."""
        for depth, certificate in enumerate(way):
            _is_valid(certificate, now)
            _is_strong(certificate)
            if depth:
                _is_authority(certificate, depth - 1, anchor=certificate in self.certificates)
            if depth or len(way) > 1:  # what was named as an anchor itself may sign, whatever it was issued for
                _is_for_signing(certificate)


def _signatures(sealed: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Those of the general form, or the one of the flattened form."""
    several = sealed.get("signatures")
    if several is None:
        yield dict(sealed)
    else:
        yield from parts.items(several)


def _protected(signature: Mapping[str, Any]) -> dict[str, Any]:
    given = signature.get("protected")
    if given in (None, ""):
        return {}
    try:
        header = bodies.value((decoded(given) or b"").decode()) if isinstance(given, str) else None
    except (Unreadable, UnicodeDecodeError):
        header = None
    if not isinstance(header, dict):
        raise Untrusted("its protected header cannot be read")
    return header


def _agreed(protected: dict[str, Any], beside: dict[str, Any], name: str) -> Any:
    """What a header says; RFC 7515 forbids saying it twice, and the working group's own examples do."""
    if name in protected and name in beside and protected[name] != beside[name]:
        message = f"its two headers disagree ({name})"
        raise Untrusted(message)
    return protected.get(name, beside.get(name))


def _certificates(chain: Any) -> list[Certificate]:
    from cryptography.x509 import load_der_x509_certificate

    if not isinstance(chain, list) or not chain:
        raise Untrusted("it comes without its certificate (x5c)")
    return [load_der_x509_certificate(decoded(str(one)) or b"") for one in chain[:_MOST]]


def _issued(issuer: Certificate, subject: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    digest = subject.signature_hash_algorithm
    if digest is not None and digest.name in _BROKEN:
        return False
    try:
        subject.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_valid(certificate: Certificate, now: datetime | None) -> None:
    if now is None or now < certificate.not_valid_before_utc:
        raise Untrusted("its certificate, or one above it, is not valid yet")
    if now > certificate.not_valid_after_utc:
        raise Untrusted("its certificate, or one above it, has expired")
    if any(one.oid.dotted_string == _NAME_CONSTRAINTS for one in certificate.extensions):
        raise Untrusted("its certificate, or one above it, is for certain names only, which are not compared here")
    if any(one.critical and one.oid.dotted_string not in _KNOWN for one in certificate.extensions):
        raise Untrusted("its certificate, or one above it, has a critical extension that is not known here")


def _is_strong(certificate: Certificate) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    match certificate.public_key():
        case rsa.RSAPublicKey(key_size=size) if size >= _SHORTEST_RSA:
            return
        case ec.EllipticCurvePublicKey(curve=curve) if curve.name in {name for name, _ in _CURVES.values()}:
            return
        case ed25519.Ed25519PublicKey():
            return
    raise Untrusted("its certificate, or one above it, has a key that proves too little")


def _is_for_signing(certificate: Certificate) -> None:
    """By its extended key usage; without one it is for everything."""
    from cryptography.x509 import ExtendedKeyUsage, ExtensionNotFound

    try:
        uses = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return
    if not any(use.dotted_string in _USES for use in uses):
        raise Untrusted("its certificate, or one above it, is not for that")


def _is_authority(certificate: Certificate, below: int, *, anchor: bool) -> None:
    """Whether it may issue certificates, with so many authorities below it. An old root that is an anchor says nothing."""
    from cryptography.x509 import BasicConstraints, ExtensionNotFound

    try:
        basic = certificate.extensions.get_extension_for_class(BasicConstraints).value
    except ExtensionNotFound:
        if anchor:
            return
        raise Untrusted("a certificate above its own is of nobody who may issue any") from None
    if not basic.ca or (basic.path_length is not None and basic.path_length < below):
        raise Untrusted("a certificate above its own is of nobody who may issue any")
    _allows(certificate, "key_cert_sign")


def _allows(certificate: Certificate, usage: str) -> None:
    from cryptography.x509 import ExtensionNotFound, KeyUsage

    try:
        allowed = certificate.extensions.get_extension_for_class(KeyUsage).value
    except ExtensionNotFound:
        return
    if not getattr(allowed, usage):
        raise Untrusted("its certificate, or one above it, is not for that")


def _verify(certificate: Certificate, algorithm: Any, signature: bytes, signed: bytes) -> None:
    """Raises `Untrusted` unless the certificate's key made this signature."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

    family, bits = (algorithm[:2], algorithm[2:]) if isinstance(algorithm, str) else ("", "")
    digest = {"256": SHA256(), "384": SHA384(), "512": SHA512()}.get(bits)
    try:
        key = certificate.public_key()
        match key:
            case rsa.RSAPublicKey() if family == "RS" and digest:
                key.verify(signature, signed, padding.PKCS1v15(), digest)
            case rsa.RSAPublicKey() if family == "PS" and digest:
                pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
                key.verify(signature, signed, pss, digest)
            case ec.EllipticCurvePublicKey() if digest and _CURVES.get(str(algorithm), ("",))[0] == key.curve.name:
                half = _CURVES[algorithm][1]
                if len(signature) != 2 * half:
                    raise InvalidSignature
                r, s = (int.from_bytes(part) for part in (signature[:half], signature[half:]))
                key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(digest))
            case ed25519.Ed25519PublicKey() if algorithm in ("EdDSA", "Ed25519"):
                key.verify(signature, signed)
            case _:
                raise Untrusted("its algorithm and its key do not go together")
    except InvalidSignature:
        raise Untrusted("it is wrong: this was not signed, or was changed") from None
    except (ValueError, UnsupportedAlgorithm):
        raise Untrusted("its key cannot be used") from None
