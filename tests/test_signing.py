from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from router.signing import SigningSecret, sign, signing_key

VECTOR = SecretStr("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OTHER = SecretStr("whsec_" + base64.b64encode(bytes(range(64))).decode())


@pytest.mark.case("AUTH-09")
def test_the_known_vector() -> None:
    """AUTH-09: the one that every reference library tests with."""
    headers = sign(
        [VECTOR],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.dictionaries(st.text(), st.text() | st.integers()), st.binary(min_size=24, max_size=64))
def test_the_reference_library_accepts_it(content: dict[str, object], key: bytes) -> None:
    secret = SecretStr("whsec_" + base64.b64encode(key).decode())
    body = json.dumps(content).encode()
    headers = sign([secret], "019cd6df-0000-7000-8000-00000000000d", datetime.now(UTC), body)
    assert Webhook(secret.get_secret_value()).verify(body, headers) == content


@pytest.mark.case("FWD-03")
def test_while_secrets_are_exchanged_either_of_them_verifies() -> None:
    """FWD-03."""
    headers = sign([OTHER, VECTOR], "msg_1", datetime.now(UTC), b"{}")
    assert [entry[:3] for entry in headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
    for secret in (VECTOR, OTHER):
        Webhook(secret.get_secret_value()).verify(b"{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SecretStr("whsec_" + base64.b64encode(b"x" * 24).decode()).get_secret_value()).verify(b"{}", headers)


def test_bytes_that_are_no_text_are_signed_as_they_are() -> None:
    now = datetime.now(UTC)
    assert sign([VECTOR], "m", now, b"\xff\x00") != sign([VECTOR], "m", now, b"\xef\xbf\xbd\x00")


def test_time_is_that_of_the_attempt_in_whole_seconds() -> None:
    now = datetime(2026, 3, 10, 8, 15, 4, 999_999, tzinfo=UTC)
    first, second = (sign([VECTOR], "m", moment, b"") for moment in (now, now + timedelta(seconds=5)))
    assert (first["webhook-timestamp"], second["webhook-timestamp"]) == ("1773130504", "1773130509")
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-signature"] != second["webhook-signature"]


def test_without_a_secret_there_is_the_id_alone() -> None:
    assert sign([], "m", datetime.now(UTC), b"") == {"webhook-id": "m"}


@pytest.mark.parametrize("message_id", ["", "a.b"])
def test_ids_that_would_be_ambiguous_are_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="id of a message"):
        sign([VECTOR], message_id, datetime.now(UTC), b"")


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "begins with whsec_"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with whsec_"),
        (
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
            "begins with whsec_",
        ),
        ("whsec_", "has 0 bytes"),
        ("whsec_!!!", "not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "not base64"),
        ("whsec_ü", "not base64"),
        ("whsec_" + base64.b64encode(b"x" * 23).decode(), "has 23 bytes, not 24 to 64"),
        ("whsec_" + base64.b64encode(b"x" * 65).decode(), "has 65 bytes, not 24 to 64"),
    ],
)
def test_bad_secrets_say_how_to_make_a_good_one(secret: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        signing_key(secret)
    assert "openssl rand -base64 32" in str(caught.value)
    assert len(secret) < 10 or secret[6:] not in str(caught.value)
    with pytest.raises(ValidationError, match=problem):
        TypeAdapter(SigningSecret).validate_python(secret)
