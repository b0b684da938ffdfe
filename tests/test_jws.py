"""`router.jws`: a vCon under a signature that others can verify, and a configuration that says what it lacks."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_der_x509_certificate
from pydantic import ValidationError

from certificates import Identity, authority, identity
from router import ConfigError, VconSigning, as_vcon, exact_json, sample_event
from router.event import Trust
from router.formats import read
from router.testing import CapturedLog, sink_context

if TYPE_CHECKING:
    from pathlib import Path

    from router import Signer

DOCUMENT = as_vcon(sample_event())


def setting(folder: Path, owner: Identity, **changes: Any) -> VconSigning:
    owner.write(folder / "chain.pem")
    return VconSigning.model_validate({"key": owner.pem(), "certificates": "chain.pem", **changes})


def signer(folder: Path, kind: str = "rsa") -> Signer:
    return setting(folder, identity(kind)).open(sink_context(folder))


def decoded(text: str) -> bytes:
    assert "=" not in text
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def verify(signed: dict[str, Any]) -> Any:
    """As RFC 7515 has it, with the first certificate of `x5c`; what was signed."""
    assert signed.keys() == {"payload", "signatures"}
    (signature,) = signed["signatures"]
    header = signature["header"]
    protected = json.loads(decoded(signature["protected"]))
    assert not header.keys() & protected.keys()
    key = load_der_x509_certificate(base64.b64decode(header["x5c"][0], validate=True)).public_key()
    data, raw = f"{signature['protected']}.{signed['payload']}".encode(), decoded(signature["signature"])
    if protected == {"alg": "RS256"}:
        assert isinstance(key, rsa.RSAPublicKey)
        key.verify(raw, data, PKCS1v15(), SHA256())
    else:
        assert protected == {"alg": "ES256"}
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert len(raw) == 64
        key.verify(encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:])), data, ec.ECDSA(SHA256()))
    return json.loads(decoded(signed["payload"]))


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_what_is_signed_can_be_verified(kind: str, tmp_path: Path) -> None:
    signed = signer(tmp_path, kind).sign(DOCUMENT)
    assert verify(json.loads(exact_json(signed))) == DOCUMENT
    other = {**DOCUMENT, "subject": "Something else"}
    signed["payload"] = base64.urlsafe_b64encode(exact_json(other)).rstrip(b"=").decode()
    with pytest.raises(InvalidSignature):
        verify(signed)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_the_same_vcon_is_signed_with_the_same_bytes(kind: str, tmp_path: Path) -> None:
    """Otherwise an archive would have a second file of it."""
    assert exact_json(signer(tmp_path, kind).sign(DOCUMENT)) == exact_json(signer(tmp_path, kind).sign(DOCUMENT))


def test_the_header_has_the_whole_chain_and_the_uuid(tmp_path: Path) -> None:
    (signature,) = signer(tmp_path).sign(DOCUMENT)["signatures"]
    chain = [load_der_x509_certificate(base64.b64decode(one)) for one in signature["header"]["x5c"]]
    assert chain == list(identity("rsa").chain)
    assert signature["header"]["uuid"] == DOCUMENT["uuid"]


def test_what_is_signed_comes_back_as_the_call_it_was(tmp_path: Path) -> None:
    """Unverified, as long as no source says whom it trusts."""
    form, call = read(signer(tmp_path).sign(DOCUMENT))
    _, bare = read(DOCUMENT)
    assert form == "vcon"
    assert call == replace(bare, trust=Trust.UNVERIFIED)


@pytest.mark.parametrize("kind", ["short", "p384", "ed25519"])
def test_other_keys_are_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="RSA key of 2048 bits at least nor one of the curve P-256"):
        signer(tmp_path, kind)


@pytest.mark.parametrize("key", ["", "hunter2", "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"])
def test_what_is_no_key_is_refused_and_not_quoted(key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sign\.key: (is|there is) no private key in PEM") as caught:
        setting(tmp_path, identity("rsa"), key=key).open(sink_context(tmp_path))
    assert "hunter2" not in str(caught.value)


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sign\.key: the key is encrypted; write one without a password"):
        setting(tmp_path, identity("rsa"), key=identity("rsa").pem(b"hunter2")).open(sink_context(tmp_path))


def test_certificates_have_to_be_those_of_the_key(tmp_path: Path) -> None:
    for problem, chain in (
        ("own first", Identity(identity("rsa").key, identity("rsa").chain[::-1])),
        ("own first", Identity(identity("ec").key, identity("rsa").chain)),
        ("no certificate in PEM", Identity(identity("rsa").key, ())),
    ):
        with pytest.raises(ConfigError, match=problem):
            setting(tmp_path, chain).open(sink_context(tmp_path))
    with pytest.raises(ConfigError, match=r"cannot read .*missing\.pem.*No such file"):
        setting(tmp_path, identity("rsa"), certificates="missing.pem").open(sink_context(tmp_path))


def test_key_and_certificates_are_files_or_their_content(tmp_path: Path) -> None:
    owner = identity("rsa")
    (tmp_path / "key.pem").write_text(owner.pem())
    content = owner.write(tmp_path / "chain.pem").read_text()
    verify(setting(tmp_path, owner, key="key.pem").open(sink_context(tmp_path)).sign(DOCUMENT))
    verify(setting(tmp_path, owner, certificates=content).open(sink_context(tmp_path)).sign(DOCUMENT))


@pytest.mark.parametrize("place", ["key", "certificates"])
@pytest.mark.parametrize("cut", [0, 11, 40])
def test_a_key_in_a_wrong_place_or_shape_is_never_quoted(place: str, cut: int, tmp_path: Path) -> None:
    """With its first line whole, damaged and gone."""
    wrong = identity("ec").pem()[cut:] if place == "certificates" else identity("rsa").pem()[cut:].replace("A", "-")
    with pytest.raises(ConfigError) as caught:
        setting(tmp_path, identity("rsa"), **{place: wrong}).open(sink_context(tmp_path))
    assert not any(line in str(caught.value) for line in wrong.splitlines() if len(line) > 11)


def test_a_file_in_der_is_told_how_to_become_pem(tmp_path: Path) -> None:
    (tmp_path / "der.crt").write_bytes(identity("rsa").chain[0].public_bytes(Encoding.DER))
    with pytest.raises(
        ConfigError, match=r"no certificate in PEM in '.*der\.crt'; it is DER: `openssl x509 -inform der"
    ):
        setting(tmp_path, identity("rsa"), certificates="der.crt").open(sink_context(tmp_path))


def test_an_expired_certificate_is_worth_a_warning(tmp_path: Path) -> None:
    """Calls go on: whether it counts is the receiver's to say."""
    log = CapturedLog()
    expired = identity("rsa", datetime(2021, 1, 1, tzinfo=UTC))
    verify(setting(tmp_path, expired).open(sink_context(tmp_path, log=log)).sign(DOCUMENT))
    assert [event for _, event, _ in log.lines] == ["sink.certificate_expired"]
    log = CapturedLog()
    setting(tmp_path, authority()).open(sink_context(tmp_path, log=log))
    assert log.lines == []


def test_without_cryptography_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=r"sign: needs the package cryptography; .* -m pip install cryptography"):
        setting(tmp_path, identity("rsa")).open(sink_context(tmp_path))


def test_nothing_else_needs_cryptography() -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "from router import as_vcon, sample_event, registry\n"
        "as_vcon(sample_event()); print(*registry.load_kinds(environ={}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "webhook" in done.stdout


def test_the_key_does_not_show(tmp_path: Path) -> None:
    made = setting(tmp_path, identity("rsa"))
    shown = repr(made) + str(made) + made.model_dump_json() + repr(made.open(sink_context(tmp_path)))
    assert "PRIVATE KEY" not in shown
    with pytest.raises(ValidationError) as caught:
        VconSigning.model_validate({"key": identity("rsa").pem(), "certificate": "x"})
    assert "PRIVATE KEY" not in str(caught.value)
