"""Signed vCons: read from what is signed, believed where an anchor vouches for it, and never fooled by what stands beside."""

from __future__ import annotations

import base64
import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certificates import ENDS, Identity, authority, identity
from router import formats
from router.audio import without_audio
from router.config import load
from router.errors import ConfigError, Unreadable
from router.event import Trust
from router.formats import Manner, anchors
from router.formats.anchors import Anchors
from support import CASES

needs_cases = pytest.mark.skipif(not (CASES / "vcons").is_dir(), reason="the shared cases are not here")

NOW = datetime(2026, 11, 22, tzinfo=UTC)
VCON = {"uuid": "019f", "subject": "wahr", "parties": [{"tel": "+4915228817386"}], "dialog": []}


def b64(data: Any) -> str:
    given = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(given).rstrip(b"=").decode()


def der(chain: tuple[x509.Certificate, ...]) -> list[str]:
    return [base64.b64encode(one.public_bytes(Encoding.DER)).decode() for one in chain]


def sign(owner: Identity, algorithm: str, data: bytes) -> bytes:
    key: Any = owner.key
    digest = {"384": SHA384(), "512": SHA512()}.get(algorithm[2:], SHA256())
    if algorithm.startswith("RS"):
        return bytes(key.sign(data, padding.PKCS1v15(), digest))
    if algorithm.startswith("PS"):
        return bytes(key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
    if algorithm.startswith("ES"):
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        half = (key.key_size + 7) // 8
        return r.to_bytes(half) + s.to_bytes(half)
    return bytes(key.sign(data))


def signed(
    owner: Identity | None = None,
    payload: Any = VCON,
    algorithm: str = "RS256",
    *,
    protected: dict[str, Any] | None = None,
    header: dict[str, Any] | None = None,
    **beside: Any,
) -> dict[str, Any]:
    """The general form: `alg` is protected, the certificates stand beside it."""
    owner = owner or identity("rsa")
    head = b64({"alg": algorithm} | (protected or {}))
    body = b64(payload)
    signature = {
        "protected": head,
        "header": {"x5c": der(owner.chain)} | (header or {}),
        "signature": b64(sign(owner, algorithm, f"{head}.{body}".encode())),
    }
    return {"payload": body, "signatures": [signature], **beside}


def anchored(*certificates: x509.Certificate, only_verified: bool = False) -> Manner:
    return Manner(anchors=Anchors(certificates or authority().chain), only_verified=only_verified)


def trust(body: dict[str, Any], manner: Manner | None = None, now: datetime = NOW) -> tuple[str, str]:
    """What is said of it, and why."""
    found = formats.find(body, manner or anchored(), now)
    remarks = [remark for remark in found.remarks if remark.startswith("the signature")]
    return found.call.trust.value, " ".join(remarks).removeprefix("the signature is not verified: ")


# ------------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("payload", [VCON, gzip.compress(json.dumps(VCON).encode())], ids=["plain", "gzip"])
def test_a_signed_vcon_is_read_from_its_payload(payload: Any) -> None:
    found = formats.find(signed(payload=payload))
    assert (found.format, found.call.headline, found.call.trust) == ("vcon", "wahr", Trust.UNVERIFIED)
    assert found.raw == VCON


@pytest.mark.parametrize(
    "beside",
    [
        {"subject": "gelogen", "parties": [{"tel": "+4930"}], "vcon": "0.4.0", "uuid": "other"},
        {"call": {"id": "1", "caller": "2", "callee": "3"}, "channel": {}, "summary": "gelogen", "callHeadline": "x"},
    ],
    ids=["vcon", "sipgate"],
)
def test_a_clear_copy_beside_the_signature_is_never_read(beside: dict[str, Any]) -> None:
    assert formats.find(signed(**beside), anchored(), NOW).call == formats.find(signed(), anchored(), NOW).call
    assert formats.find(signed(**beside)).explained()["also"] == []


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("not base64!", "whose payload is no base64url"),
        ("", "whose payload is not JSON"),
        (b64(b"\xff\xfe\xfd"), "whose payload is not text"),
        (b64(gzip.compress(b"{}")[:-3]), "whose payload is a gzip that is damaged"),
        (b64(b"[" * 300 + b"]" * 300), "whose payload is nested deeper"),
        (b64(b"[]"), "a signature around something that is no vCon"),
        (b64(b"7"), "a signature around something that is no vCon"),
        (b64({"call": {"id": "1"}}), "a signature around something that is no vCon: there is neither"),
        (b64({"payload": "", "signatures": []}), "a signed vCon inside a signed one"),
        (b64({"vcon": "0.4.0", "critical": ["consent"]}), "demands an extension 'consent'"),
    ],
)
def test_what_is_signed_but_no_vcon_is_refused_in_words(payload: str, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        formats.find({"payload": payload, "signatures": [{}], "parties": [{"tel": "clear"}]})


def test_a_payload_that_unpacks_to_too_much_is_refused() -> None:
    most = 4 * 2**20
    plain = json.dumps(VCON).encode()
    assert formats.find(signed(payload=gzip.compress(plain.ljust(most)))).raw == VCON
    with pytest.raises(Unreadable, match=f"whose payload is a gzip of more than {most} bytes"):
        formats.find(signed(payload=gzip.compress(plain.ljust(most + 1))))


def test_a_recording_in_a_zipped_payload_is_read() -> None:
    """Base64 of sound is packed to three quarters of its size, never to less."""
    sound = base64.b64encode(random.Random(1).randbytes(4 * 2**20)).decode()
    dialog = [{"type": "recording", "mediatype": "audio/wav", "encoding": "base64", "body": sound}]
    payload = gzip.compress(json.dumps(VCON | {"dialog": dialog}).encode(), 1)
    assert formats.find(signed(payload=payload)).call.headline == "wahr"


SEALED: dict[str, dict[str, Any]] = {
    "payload an object": {"payload": VCON, "signatures": [{}]},
    "payload null": {"payload": None, "signatures": [{}]},
    "payload a list": {"payload": ["e30"], "signature": "x"},
    "payload a number": {"payload": 5, "signatures": []},
    "signatures alone": {"signatures": [{"protected": "x", "signature": "y"}]},
    "ciphertext alone": {"ciphertext": "x"},
    "ciphertext a number": {"ciphertext": 7},
}


@pytest.mark.parametrize("seal", SEALED.values(), ids=list(SEALED))
def test_what_looks_sealed_and_cannot_be_opened_is_refused_whatever_stands_beside_it(seal: dict[str, Any]) -> None:
    clear = VCON | {"vcon": "0.4.0", "dialog": [{"type": "recording", "mediatype": "audio/wav", "body": "AAAA"}]}
    for beside in (clear, {"call": {"id": "1"}, "summary": "x", "channel": {}}, {}):
        with pytest.raises(Unreadable, match=r"an encrypted vCon|a signed vCon whose payload is no base64url"):
            formats.find({**beside, **seal})
        assert without_audio({**beside, **seal}) == {**beside, **seal}


def test_a_source_of_another_format_takes_no_sealed_body() -> None:
    """Its clear copy would be read, and the signed payload be the event's `raw`."""
    body = signed(call={"id": "1"}, summary="gelogen")
    with pytest.raises(Unreadable, match="not sipgate, the only format of this source: it is a sealed envelope"):
        formats.find(body, Manner("sipgate"))
    assert formats.find(body, Manner("vcon")).call.headline == "wahr"


# ---------------------------------------------------------------------------------------------------------- verifying


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("rsa", "RS256"),
        ("rsa", "RS384"),
        ("rsa", "RS512"),
        ("rsa", "PS256"),
        ("rsa", "PS384"),
        ("rsa", "PS512"),
        ("ec", "ES256"),
        ("p384", "ES384"),
        ("p521", "ES512"),
        ("ed25519", "EdDSA"),
        ("ed25519", "Ed25519"),
    ],
)
def test_a_signature_whose_certificate_leads_to_an_anchor_is_verified(kind: str, algorithm: str) -> None:
    assert trust(signed(identity(kind), algorithm=algorithm)) == ("verified", "")


def test_the_senders_own_certificate_can_be_the_anchor() -> None:
    assert trust(signed(), anchored(identity("rsa").chain[0])) == ("verified", "")


def test_without_anchors_nothing_is_verified_and_nothing_is_remarked() -> None:
    assert trust(signed(), Manner()) == ("unverified", "")


def test_an_unsigned_body_is_unsigned_also_where_there_are_anchors() -> None:
    assert trust(VCON) == ("unsigned", "")


def test_the_flattened_form_is_verified_as_well() -> None:
    general = signed()
    assert trust({"payload": general["payload"], **general["signatures"][0]}) == ("verified", "")


def test_one_good_signature_of_several_is_enough() -> None:
    body = signed()
    body["signatures"] = [{}, {"protected": "x"}, 7, *body["signatures"]]
    assert trust(body) == ("verified", "")


def test_no_more_signatures_are_looked_at_than_anybody_needs() -> None:
    body = signed()
    body["signatures"] = [*[{}] * 7, *body["signatures"]]
    assert trust(body) == ("verified", "")
    body["signatures"] = [{}, *body["signatures"]]
    assert trust(body)[0] == "unverified"


@pytest.mark.parametrize("protected", [{}, {"protected": None}, {"protected": ""}])
def test_a_signature_without_a_protected_header_is_made_over_the_payload_alone(protected: dict[str, Any]) -> None:
    owner, payload = identity("rsa"), b64(VCON)
    signature = b64(sign(owner, "RS256", f".{payload}".encode()))
    header = {"alg": "RS256", "x5c": der(owner.chain)}
    body = {"payload": payload, "signatures": [{"header": header, "signature": signature, **protected}]}
    assert trust(body) == ("verified", "")


def test_a_header_that_names_another_vcon_is_remarked() -> None:
    """It is not signed: whoever finds a vCon by it finds the wrong one."""
    remark = "a signature names another uuid than the signed vCon has"
    assert formats.find(signed(header={"uuid": VCON["uuid"]})).remarks == ()
    assert formats.find(signed(header={"uuid": "other"})).remarks == (remark,)
    flat = signed(header={"uuid": 7})
    assert formats.find({"payload": flat["payload"], **flat["signatures"][0]}).remarks == (remark,)
    assert formats.find(VCON | {"header": {"uuid": "other"}}).remarks == ()


def test_header_names_that_stand_in_both_headers_are_tolerated_where_they_agree() -> None:
    """The working group's own examples have them, against RFC 7515."""
    chain = der(identity("rsa").chain)
    assert trust(signed(protected={"x5c": chain, "typ": "JWT"}, header={"alg": "RS256"})) == ("verified", "")
    assert trust(signed(header={"alg": "RS512"})) == ("unverified", "its two headers disagree (alg)")


def changed(change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> dict[str, Any]:
    body = signed()
    change(body, body["signatures"][0])
    return body


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            changed(lambda b, _: b.update(payload=b64(VCON | {"subject": "gelogen"}))),
            "it is wrong: this was not signed",
        ),
        (changed(lambda _, s: s.update(signature="")), "it is wrong"),
        (changed(lambda _, s: s.update(signature=None)), "it is wrong"),
        (changed(lambda _, s: s.update(signature="!!")), "it is wrong"),
        (changed(lambda _, s: s.update(protected=b64({"alg": "RS256", "x": 1}))), "it is wrong"),
        (changed(lambda _, s: s.update(protected=7)), "its protected header cannot be read"),
        (
            changed(lambda _, s: s.update(protected=b64(gzip.compress(b'{"alg":"RS256"}')))),
            "its protected header cannot",
        ),
        (changed(lambda _, s: s.update(protected=b64(b"[]"))), "its protected header cannot be read"),
        (changed(lambda _, s: s.update(header=None)), "it comes without its certificate"),
        (changed(lambda _, s: s.update(header={"x5u": "https://example.com/"})), "it comes without its certificate"),
        (changed(lambda _, s: s.update(header={"x5c": ["AAAA"]})), "its certificate cannot be read"),
        (changed(lambda _, s: s.update(header={"x5c": [None, {}]})), "its certificate cannot be read"),
        (changed(lambda b, _: b.update(signatures=[])), "there is none"),
        (changed(lambda b, _: b.update(signatures="x")), "it comes without its certificate"),
        (signed(header={"crit": ["b64"], "b64": False}), "it demands something of its reader"),
        (signed(protected={"alg": "none"}), "it is no signature at all (alg none)"),
        (signed(protected={"alg": "HS256"}), "its algorithm and its key do not go together"),
        (signed(protected={"alg": "ES256"}), "its algorithm and its key do not go together"),
        (signed(protected={"alg": 7}), "its algorithm and its key do not go together"),
        (signed(identity("short")), "its certificate, or one above it, has a key that proves too little"),
        (signed(identity("short"), algorithm="PS256"), "its certificate, or one above it, has a key that proves too"),
        (signed(identity("p384"), algorithm="ES256"), "its algorithm and its key do not go together"),
        (signed(identity("p521"), algorithm="ES384"), "its algorithm and its key do not go together"),
        (signed(protected={"crit": ["b64"], "b64": False}), "it demands something of its reader"),
        (signed(protected={"crit": []}), "it demands something of its reader"),
        (
            signed(identity("ec"), algorithm="ES256", header={"x5c": der(identity("rsa").chain)}),
            "its algorithm and its",
        ),
    ],
)
def test_a_signature_that_proves_nothing_is_unverified_and_the_call_is_taken(body: dict[str, Any], why: str) -> None:
    said, reason = trust(body)
    assert said == "unverified"
    assert reason.startswith(why)


def test_a_certificate_counts_only_while_it_is_valid() -> None:
    body = signed()
    assert trust(body, now=datetime(2019, 1, 1, tzinfo=UTC)) == (
        "unverified", "its certificate, or one above it, is not valid yet",
    )  # fmt: skip
    assert trust(body, now=datetime(2041, 1, 1, tzinfo=UTC)) == (
        "unverified", "its certificate, or one above it, has expired",
    )  # fmt: skip
    expired = identity("rsa", datetime(2026, 1, 1, tzinfo=UTC))
    assert trust(signed(expired))[1] == "its certificate, or one above it, has expired"
    assert trust(signed(expired), anchored(expired.chain[0]))[1] == "its certificate, or one above it, has expired"


# ------------------------------------------------------------------------------------------------------------- chains


def made(
    name: str,
    issuer: Identity | None = None,
    *extensions: tuple[x509.ExtensionType, bool],
    key: Any = None,
    ends: datetime = ENDS,
) -> Identity:
    """A key (of the curve P-256) and its certificate, with these extensions and no others."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.chain[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    certificate = builder.sign(issuer.key if issuer else key, SHA256())
    return Identity(key, (certificate, *(issuer.chain if issuer else ())))


def basic(ca: bool, length: int | None = None) -> tuple[x509.ExtensionType, bool]:
    return x509.BasicConstraints(ca=ca, path_length=length), True


def usage(**allowed: bool) -> tuple[x509.ExtensionType, bool]:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in every}), True


def judged(leaf: Identity, *trusted: x509.Certificate) -> tuple[str, str]:
    return trust(signed(leaf, algorithm="ES256"), anchored(*trusted))


def test_a_chain_over_an_authority_between_is_verified() -> None:
    root = made("root", None, basic(True))
    between = made("between", root, basic(True, 0), usage(key_cert_sign=True))
    leaf = made("leaf", between, basic(False), usage(digital_signature=True))
    assert judged(leaf, root.chain[0]) == ("verified", "")
    assert judged(leaf, between.chain[0]) == ("verified", "")
    assert judged(Identity(leaf.key, leaf.chain[:1]), between.chain[0]) == ("verified", "")


def test_a_chain_that_leads_nowhere_is_unverified() -> None:
    stranger = made("leaf", made("root", None, basic(True)))
    assert judged(stranger, *authority().chain) == ("unverified", "its certificate leads to none of the anchors")
    lookalike = made("leaf", made("Test authority", None, basic(True)))
    assert judged(lookalike, *authority().chain) == ("unverified", "its certificate leads to none of the anchors")


def test_nobody_may_issue_certificates_who_is_no_authority() -> None:
    """A customer of the same authority must not be able to sign for others."""
    root = made("root", None, basic(True))
    nobody = "a certificate above its own is of nobody who may issue any"
    for customer in (made("customer", root, basic(False)), made("customer", root)):
        assert judged(made("leaf", customer), root.chain[0]) == ("unverified", nobody)
    shallow = made("between", made("shallow", root, basic(True, 0)), basic(True))
    assert judged(made("leaf", shallow), root.chain[0]) == ("unverified", nobody)
    pinned = made("pinned", root, basic(False))
    assert judged(made("leaf", pinned), pinned.chain[0]) == ("unverified", nobody)
    old = made("old root without extensions")
    assert judged(made("leaf", old), old.chain[0]) == ("verified", "")


def test_a_certificate_has_to_be_for_signing() -> None:
    root = made("root", None, basic(True))
    said = ("unverified", "its certificate, or one above it, is not for that")
    assert judged(made("leaf", root, usage(key_encipherment=True)), root.chain[0]) == said
    between = made("between", root, basic(True), usage(digital_signature=True))
    assert judged(made("leaf", between), root.chain[0]) == said


def test_a_certificate_for_another_use_vouches_for_no_vcon() -> None:
    """Web servers, and who may say that certificates are revoked, have some of the same authorities."""
    said = ("unverified", "its certificate, or one above it, is not for that")
    root = made("root", None, basic(True))
    web, mail, any_use = (
        (x509.ExtendedKeyUsage([use]), True)
        for use in (
            ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.EMAIL_PROTECTION,
            ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
        )
    )  # fmt: skip
    assert judged(made("leaf", root, web), root.chain[0]) == said
    assert judged(made("leaf", root, mail), root.chain[0]) == ("verified", "")
    assert judged(made("leaf", root, any_use), root.chain[0]) == ("verified", "")
    assert judged(made("leaf", made("between", root, basic(True), web)), root.chain[0]) == said
    host = made("root", None, basic(True), web)
    assert judged(made("leaf", host), host.chain[0]) == said
    named = made("leaf", root, web)
    assert judged(named, named.chain[0]) == ("verified", ""), "an operator named this very certificate"


@pytest.mark.parametrize("critical", [True, False])
def test_an_authority_for_certain_names_only_is_not_believed(critical: bool) -> None:
    root = made("root", None, basic(True))
    names = x509.NameConstraints(permitted_subtrees=[x509.DNSName("good.example")], excluded_subtrees=None)
    between = made("between", root, basic(True), (names, critical))
    assert judged(made("leaf", between), root.chain[0])[1].endswith(
        "is for certain names only, which are not compared here"
    )


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - to be refused
        ec.generate_private_key(ec.SECP224R1()),
    ],
    ids=["RSA 1024", "P-224"],
)
def test_every_key_on_the_way_has_to_be_strong(key: Any) -> None:
    said = ("unverified", "its certificate, or one above it, has a key that proves too little")
    root = made("root", None, basic(True))
    assert judged(made("leaf", made("weak", root, basic(True), key=key)), root.chain[0]) == said
    weak = made("weak", None, basic(True), key=key)
    assert judged(made("leaf", weak), weak.chain[0]) == said


def test_of_several_ways_up_one_that_holds_is_enough() -> None:
    """A certificate that was renewed has the name and the key of the old one."""
    past = datetime(2025, 1, 1, tzinfo=UTC)
    new = made("root", None, basic(True))
    old = made("root", None, basic(True), key=new.key, ends=past)
    leaf = made("leaf", new)
    assert judged(leaf, old.chain[0], new.chain[0]) == ("verified", "")
    assert judged(leaf, new.chain[0], old.chain[0]) == ("verified", "")
    assert judged(leaf, old.chain[0]) == ("unverified", "its certificate, or one above it, has expired")
    between = made("between", new, basic(True))
    stale = made("between", new, basic(True), key=between.key, ends=past)
    below = made("leaf", between)
    chain = (below.chain[0], stale.chain[0], between.chain[0])
    assert judged(Identity(below.key, chain), new.chain[0]) == ("verified", "")


def test_authorities_that_vouch_for_each_other_lead_nowhere_soon() -> None:
    key = made("ring").key
    ring = [made("ring", Identity(key, made("ring").chain), basic(True), key=key).chain[0] for _ in range(7)]
    leaf = made("leaf", Identity(key, (ring[0],)))
    assert judged(Identity(leaf.key, (leaf.chain[0], *ring)), *authority().chain)[0] == "unverified"


def test_the_path_length_of_an_anchor_counts() -> None:
    root = made("root", None, basic(True, 0))
    assert judged(made("leaf", root), root.chain[0]) == ("verified", "")
    assert judged(made("leaf", made("between", root, basic(True))), root.chain[0])[0] == "unverified"


def test_a_critical_extension_that_is_not_known_is_not_ignored() -> None:
    root = made("root", None, basic(True))
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
    assert judged(made("leaf", root, (odd, False)), root.chain[0]) == ("verified", "")
    assert judged(made("leaf", root, (odd, True)), root.chain[0])[1].endswith(
        "critical extension that is not known here"
    )


def test_a_certificate_that_is_signed_over_a_broken_hash_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """cryptography makes none with SHA-1 any more, so another hash stands in for it."""
    leaf = made("leaf", made("root", None, basic(True)))
    monkeypatch.setattr(anchors, "_BROKEN", frozenset({"sha256"}))
    assert judged(leaf, leaf.chain[1]) == ("unverified", "its certificate leads to none of the anchors")


@needs_cases
@pytest.mark.parametrize(
    "name", ["ietf-core03__ab_call_ext_rec_signed.json", "ietf-cont01__ab_call_ext_rec_signed.json"]
)
def test_the_working_groups_own_examples_are_verified(name: str) -> None:
    """Their certificates are of version 1, which cannot say that they are authorities: only the next one up can vouch."""
    body = json.loads((CASES / "vcons" / name).read_bytes())
    leaf, between, root = (
        x509.load_der_x509_certificate(base64.b64decode(one)) for one in body["signatures"][0]["header"]["x5c"]
    )
    now = leaf.not_valid_before_utc
    assert trust(body, anchored(leaf), now) == ("verified", "")
    assert trust(body, anchored(between), now) == ("verified", "")
    assert trust(body, anchored(root), now)[0] == "unverified"


# ------------------------------------------------------------------------------------------------------ configuration


def test_a_source_that_requires_signatures_refuses_all_else_with_the_reason() -> None:
    manner = anchored(only_verified=True)
    assert formats.find(signed(), manner, NOW).call.trust is Trust.VERIFIED
    with pytest.raises(Unreadable, match=r"not signed by anyone whom this source trusts$"):
        formats.find(VCON, manner, NOW)
    with pytest.raises(Unreadable, match=r"not signed by anyone whom this source trusts$"):
        formats.find({"call": {}}, manner, NOW)
    wrong = changed(lambda body, _: body.update(payload=b64(VCON | {"x": 1})))
    with pytest.raises(Unreadable, match=r"trusts \(the signature is not verified: it is wrong"):
        formats.find(wrong, manner, NOW)


HEAD = "sources: {{s: {{trust: {trust}}}}}\n"


def configured(folder: Path, trust: str) -> Path:
    file = folder / "routes.yaml"
    file.write_text(HEAD.format(trust=trust), encoding="utf-8")
    return file


def test_anchors_are_files_beside_routes_yaml(tmp_path: Path) -> None:
    authority().write(tmp_path / "a.pem")
    identity("rsa").write(tmp_path / "b.pem")
    config = load(configured(tmp_path, "{anchors: [a.pem, b.pem], required: true}"), {})
    manner = config.manners["s"]
    assert isinstance(manner.anchors, Anchors)
    assert len(manner.anchors.certificates) == 3
    assert manner.only_verified
    assert trust(signed(), manner) == ("verified", "")


def test_an_anchor_may_be_written_by_its_content(tmp_path: Path) -> None:
    authority().write(tmp_path / "a.pem")
    config = load(configured(tmp_path, '{anchors: "${file:a.pem}"}'), {})
    assert trust(signed(), config.manners["s"]) == ("verified", "")


def test_an_anchor_that_has_expired_is_a_warning_with_its_place(tmp_path: Path) -> None:
    identity("rsa", datetime(2021, 1, 1, tzinfo=UTC)).write(tmp_path / "a.pem")
    (warning,) = load(configured(tmp_path, "{anchors: a.pem}"), {}).warnings
    assert str(warning).startswith("routes.yaml:1:32: sources.s.trust.anchors: a certificate has expired (2021-01-01)")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "{anchors: [no.pem]}",
            "routes.yaml:1:33: sources.s.trust.anchors.0: cannot read '{folder}/no.pem': No such file",
        ),
        ("{anchors: empty.pem}", "there is no certificate in PEM in '{folder}/empty.pem'"),
        ("{anchors: []}", "sources.s.trust.anchors: is empty; write at least one"),
        ("{required: true}", "sources.s.trust.anchors: is missing"),
    ],
)
def test_anchors_that_are_none_are_reported_with_their_place(tmp_path: Path, setting: str, said: str) -> None:
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigError) as caught:
        load(configured(tmp_path, setting), {})
    assert said.format(folder=tmp_path) in str(caught.value)


def test_trust_does_not_go_with_a_format_in_which_nothing_is_signed(tmp_path: Path) -> None:
    authority().write(tmp_path / "a.pem")
    (tmp_path / "routes.yaml").write_text("sources: {s: {format: sipgate, trust: {anchors: a.pem}}}\n")
    with pytest.raises(ConfigError, match=r"routes.yaml:1:39: sources.s.trust: goes with `format: vcon`"):
        load(tmp_path / "routes.yaml", {})


def test_anchors_without_cryptography_say_what_to_install(tmp_path: Path) -> None:
    authority().write(tmp_path / "a.pem")
    file = configured(tmp_path, "{anchors: [a.pem]}")
    code = "import sys; sys.modules['cryptography'] = None; from router.config import load; from pathlib import Path\n"
    code += f"try: load(Path({str(file)!r}), {{}})\nexcept Exception as error: print(error)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "sources.s.trust.anchors: needs the package cryptography" in said
    assert "-m pip install cryptography" in said


def test_reading_without_anchors_does_not_import_cryptography() -> None:
    code = "import sys; from router import formats\n"
    code += f"formats.find({signed()!r}); print('cryptography' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "False\n"


@pytest.mark.parametrize("value", [None, 0, "", [], {}, False, "x", [{}]])
@pytest.mark.parametrize("key", ["signatures", "ciphertext", "payload+signature", "payload+protected"])
def test_what_has_the_keys_of_an_envelope_is_never_read_in_clear(key: str, value: object) -> None:
    body = VCON | dict.fromkeys(key.split("+"), value)
    with pytest.raises(Unreadable):
        formats.find(body)
