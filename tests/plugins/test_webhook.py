from __future__ import annotations

import base64
import json
import ssl
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook

from certificates import authority, identity
from router import AlarmSink, ConfigError, Numbers, Part, Rejected, SinkConfig, Unavailable, as_vcon, plain
from router.errors import Unreadable
from router.event import Trust
from router.formats import Manner, find
from router.formats.anchors import Anchors
from router.testing import (
    Answer,
    FakeEndpoint,
    ManualClock,
    Received,
    SinkContract,
    make_alarm,
    make_delivery,
    make_event,
    sink_context,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from router import Delivery

webhook = import_module("router.plugins.webhook")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
LOOPBACK = "127.0.0.0/8"
NOT_YOURS = (
    "Host", "content-length", "Connection", "TE", "Transfer-Encoding", "Upgrade", "Webhook-Id", "webhook-signature",
    "Proxy-Authorization", "Expect",
)  # fmt: skip


def config(url: str = "https://crm.example/calls", **settings: Any) -> SinkConfig:
    made: SinkConfig = webhook.WebhookConfig.model_validate({"kind": "webhook", "url": url, **settings})
    return made


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with FakeEndpoint() as endpoint:
        yield endpoint


async def post(endpoint: FakeEndpoint, delivery: Delivery | None = None, **settings: Any) -> Received:
    """Deliver it; what the far side got."""
    made = config(endpoint.url("/calls"), allow_networks=LOOPBACK, **settings)
    async with made.open(sink_context(Path())) as sink:
        assert await sink.deliver(delivery or make_delivery()) is None
    return endpoint.requests[-1]


class TestWebhook(SinkContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        url = endpoint.url("/hook-token-123?key=abcdef").replace("://", "://user:passw0rd@")
        return config(url, allow_networks=[LOOPBACK], secret=SECRET, headers={"X-Api-Key": "s3cr3t"})


class TestWebhookOfEvents(SinkContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        return config(endpoint.url("/"), allow_networks=[LOOPBACK], body="event", secrets=[SECRET, NEW_SECRET])


class TestWebhookOfSignedVcons(SinkContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint, tmp_path: Path) -> SinkConfig:
        return config(endpoint.url("/"), allow_networks=[LOOPBACK], body="vcon", secret=SECRET, sign=signing(tmp_path))


def signing(folder: Path) -> dict[str, str]:
    owner = identity("rsa")
    return {"key": owner.pem(), "certificates": str(owner.write(folder / "chain.pem"))}


# --- what is sent ---


@pytest.mark.case("JSON-01")
async def test_the_received_bytes_go_on_as_they_came(endpoint: FakeEndpoint) -> None:
    body = b'{ "b": 1.0,\n"id": 123456789012345678901234567890, "x": "\xff" }'
    request = await post(endpoint, make_delivery(body=body, content_type="application/vcon+json; charset=utf-8"))
    assert request.body == body
    assert request.headers["content-type"] == "application/vcon+json; charset=utf-8"


@pytest.mark.parametrize("content_type", [None, "", " ", "text/x\r\nX-Evil: 1", "text/ü", "\x00"])
async def test_without_a_usable_content_type_it_is_json(content_type: str | None, endpoint: FakeEndpoint) -> None:
    request = await post(endpoint, make_delivery(content_type=content_type))
    assert request.headers["content-type"] == "application/json"
    assert "x-evil" not in request.headers


RECORDING = {"type": "recording", "mediatype": "audio/x-wav", "encoding": "base64url", "body": "UklGRg"}


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_received_vcon_goes_without_its_audio(size: int, endpoint: FakeEndpoint) -> None:
    """FWD: nobody asked for a recording of megabytes; what else was said of it stays."""
    vcon = {"uuid": "u", "dialog": [{**RECORDING, "body": "UklGRg" * size, "duration": 3}], "x": 2**100}
    request = await post(endpoint, make_delivery(body=json.dumps(vcon).encode(), content_type="application/vcon"))
    silent = {"type": "recording", "mediatype": "audio/x-wav", "duration": 3}
    assert json.loads(request.body) == {**vcon, "dialog": [silent]}
    assert request.headers["content-type"] == "application/vcon"


async def test_audio_goes_where_it_is_wanted(endpoint: FakeEndpoint) -> None:
    body = json.dumps({"dialog": [RECORDING]}, indent=7).encode()
    assert (await post(endpoint, make_delivery(body=body), strip_audio=False)).body == body
    event = make_event(raw={"dialog": [RECORDING]})
    for strip in (True, False):
        request = await post(endpoint, make_delivery(event=event), body="event", strip_audio=strip)
        assert ("body" in json.loads(request.body)["raw"]["dialog"][0]) is not strip


async def test_vcons_go_without_the_body_they_came_from(endpoint: FakeEndpoint) -> None:
    event = make_event(raw={"secret": "Hinterzimmer"})
    request = await post(endpoint, make_delivery(event=event, content_type="text/x"), body="vcon")
    assert json.loads(request.body) == as_vcon(event)
    assert b"Hinterzimmer" not in request.body
    assert request.headers["content-type"] == "application/json"
    request = await post(endpoint, body="vcon", headers={"Content-Type": "application/vcon"})
    assert request.headers["content-type"] == "application/vcon"


async def test_of_a_vcon_only_the_chosen_parts_go(endpoint: FakeEndpoint) -> None:
    request = await post(endpoint, body="vcon", send=["headline"], numbers="masked")
    assert json.loads(request.body) == as_vcon(make_event(), [Part.HEADLINE], Numbers.MASKED)
    assert b"28817386" not in request.body


async def test_a_signed_vcon_goes_as_a_json_web_signature(endpoint: FakeEndpoint, tmp_path: Path) -> None:
    request = await post(endpoint, body="vcon", sign=signing(tmp_path))
    signed = json.loads(request.body)
    assert signed.keys() == {"payload", "signatures"}
    assert json.loads(base64.urlsafe_b64decode(signed["payload"] + "==")) == as_vcon(make_event())


async def test_what_was_signed_is_verified_where_its_authority_is_an_anchor(
    endpoint: FakeEndpoint, tmp_path: Path
) -> None:
    signed = json.loads((await post(endpoint, body="vcon", sign=signing(tmp_path))).body)
    manner = Manner(anchors=Anchors(authority().chain), only_verified=True)
    found = find(signed, manner, ManualClock().now())
    assert found.call == replace(find(as_vcon(make_event())).call, trust=Trust.VERIFIED)
    signed["payload"] = signed["payload"][:-4]
    with pytest.raises(Unreadable):
        find(signed, manner, ManualClock().now())


async def test_a_key_that_is_none_is_found_when_the_sink_is_opened(tmp_path: Path) -> None:
    made = config(body="vcon", sign={"key": "hunter2", "certificates": "chain.pem"})
    with pytest.raises(ConfigError, match=r"sign\.key"):
        async with made.open(sink_context(tmp_path)):
            pass


async def test_events_go_as_json(endpoint: FakeEndpoint) -> None:
    event = make_event(raw={"id": 2**100})
    request = await post(endpoint, make_delivery(event=event, content_type="text/x"), body="event")
    assert json.loads(request.body) == plain(event)
    assert request.headers["content-type"] == "application/json"


async def test_of_an_event_only_the_chosen_parts_go(endpoint: FakeEndpoint) -> None:
    request = await post(endpoint, body="event", send=["headline"], numbers="masked")
    sent = json.loads(request.body)
    assert sent["headline"] == "Rückfrage zur Rechnung"
    assert (sent["summary"], sent["transcript"], sent["raw"]) == (None, [], None)
    assert sent["caller"] == {"raw": "+49 152 …386", "e164": None, "kind": "e164"}
    assert sent.keys() == plain(make_event()).keys()


@pytest.mark.case("DED-06")
async def test_the_id_is_that_of_the_delivery_on_every_attempt(endpoint: FakeEndpoint) -> None:
    """DED-06: the id stays; time and signature are those of the attempt."""
    clock = ManualClock()
    made = config(endpoint.url(), allow_networks=LOOPBACK, secret=SECRET)
    endpoint.answer(Answer(status=500), Answer())
    async with made.open(sink_context(Path(), clock=clock)) as sink:
        with pytest.raises(Unavailable):
            await sink.deliver(make_delivery())
        clock.advance(timedelta(hours=5))
        await sink.deliver(make_delivery(attempt=2))
    first, second = (request.headers for request in endpoint.requests)
    assert first["webhook-id"] == second["webhook-id"] == make_delivery().id
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 5 * 3600
    assert first["webhook-signature"] != second["webhook-signature"]


@pytest.mark.parametrize("body", ["received", "event"])
@pytest.mark.case("FWD-03")
async def test_a_receiver_can_verify_what_it_gets(
    body: str, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FWD-03: with either secret, over the very bytes that were sent."""
    request = await post(endpoint, body=body, secrets=[NEW_SECRET, SECRET])
    for secret in (SECRET, NEW_SECRET):
        verifier = Webhook(secret)
        expected = verifier.sign(request.headers["webhook-id"], ManualClock().now(), request.body.decode())
        assert expected in request.headers["webhook-signature"].split(" ")


async def test_without_a_secret_there_is_no_signature(endpoint: FakeEndpoint) -> None:
    request = await post(endpoint)
    assert [name for name in request.headers if name.startswith("webhook-")] == ["webhook-id"]


@pytest.mark.case("FWD-04")
async def test_own_headers_go_along_and_nothing_else_does(endpoint: FakeEndpoint) -> None:
    """FWD-04."""
    headers = {"Authorization": "Bearer t", "X-Api-Key": "k", "content-type": "application/x-call"}
    request = await post(endpoint, headers=headers)
    assert set(request.headers) == {
        "host", "user-agent", "accept", "accept-encoding", "content-length", "content-type", "webhook-id",
        "authorization", "x-api-key",
    }  # fmt: skip
    assert (request.headers["authorization"], request.headers["x-api-key"]) == ("Bearer t", "k")
    assert request.headers["content-type"] == "application/x-call"


async def test_the_table_of_statuses_applies(endpoint: FakeEndpoint) -> None:
    for status, kind in ((410, Rejected), (422, Rejected), (503, Unavailable), (301, Unavailable)):
        endpoint.answer(Answer(status=status))
        with pytest.raises(kind):
            await post(endpoint)


async def test_an_authority_of_ones_own_is_found_beside_the_file(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with FakeEndpoint(ssl_context=context) as endpoint:
        made = config(endpoint.url(), allow_networks=LOOPBACK, ca_file="ca.pem")
        async with made.open(sink_context(tmp_path)) as sink:
            await sink.deliver(make_delivery())
        assert len(endpoint.requests) == 1


# --- the configuration ---


def test_the_record_says_where_it_went_and_what() -> None:
    assert config("https://user:pw@crm.example:8443/t0ken?x=y").recipient() == "crm.example:8443"
    assert config().parts() == ("received",)
    assert config(body="event").parts() == ("received",)
    assert config(body="event", send=["note", "summary"]).parts() == ("note", "summary")
    assert config(body="event", send=[]).parts() == ()
    assert "summary" in config(body="event", numbers="masked").parts()
    assert set(config(body="vcon").parts()) == set(Part)
    assert config(body="vcon", send=["note"]).parts() == ("note",)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "crm.example"}, "https:// or http:// and a host"),
        ({"url": "ftp://crm.example"}, "https:// or http:// and a host"),
        (
            {"url": "http://10.1.2.3/x"},
            r"10.1.2.3, which is not public; if that is meant, write allow_networks: \[10.1.2.3/32\]",
        ),
        ({"url": "http://localhost:9000/"}, r"allow_networks: \[127.0.0.1/32\]"),
        ({"url": "http://127.1/"}, "four decimal numbers"),
        ({"url": "http://169.254.169.254/", "allow_networks": ["0.0.0.0/0"]}, "never allowed"),
        ({"allow_networks": ["10.1.2.3/16"]}, "write 10.1.0.0/16"),
        ({"secret": "hunter2"}, "begins with whsec_"),
        ({"secrets": []}, "at least 1 item"),
        ({"secret": SECRET, "secrets": [SECRET]}, "write one of them"),
        ({"send": ["note"]}, "goes with `body: event`"),
        ({"numbers": "masked"}, "goes with `body: event`"),
        ({"body": "raw"}, "'received', 'event' or 'vcon'"),
        ({"body": "event", "sign": {"key": "k", "certificates": "c.pem"}}, "goes with `body: vcon`"),
        ({"body": "vcon", "sign": {"key": "hunter2"}}, "certificates"),
        ({"headers": {"a b": "x"}}, "no name of a header"),
        ({"headers": {"X\r\nY": "x"}}, "no name of a header"),
        ({"headers": {"": "x"}}, "no name of a header"),
        ({"headers": {"X": "a\r\nY: b"}}, "line breaks"),
        ({"headers": {"X": "a\x00"}}, "line breaks"),
        ({"headers": {"X": "ü"}}, "ASCII"),
        ({"headers": {"X": ""}}, "is empty"),
        ({"headers": {"x": "1", "X": "2"}}, "there twice"),
        *(({"headers": {name: "x"}}, "written by the router itself") for name in NOT_YOURS),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        config(**settings)
    assert "hunter2" not in str(caught.value)


def test_networks_may_be_written_alone() -> None:
    assert config("http://10.1.2.3/", allow_networks="10.1.0.0/16").recipient() == "10.1.2.3"
    assert config("http://localhost/", allow_networks=["127.0.0.0/8"]).recipient() == "localhost"


async def test_an_alarm_is_json_with_a_type_a_key_and_a_signature(tmp_path: Path) -> None:
    alarm = make_alarm(subject="crm", count=2)
    async with FakeEndpoint() as endpoint:
        made = config(endpoint.url(), allow_networks=["127.0.0.0/8"], secret=SECRET)
        async with made.open(sink_context(tmp_path)) as sink:
            assert isinstance(sink, AlarmSink)
            await sink.alarm(alarm)
            over = replace(alarm, cleared=alarm.since + timedelta(hours=1))
            await sink.alarm(over)
            await sink.alarm(replace(over, unwatched=True))
    raised, cleared, ended = endpoint.requests
    assert json.loads(raised.body) == {
        "type": "alarm.raised",
        "timestamp": "2026-03-10T08:20:21Z",
        "data": {
            "cause": "down",
            "subject": "crm",
            "since": "2026-03-10T08:20:21Z",
            "count": 2,
            "cleared": None,
            "unwatched": False,
            "router": "",
        },
    }
    assert raised.headers["webhook-id"] == alarm.key
    assert raised.headers["webhook-signature"]
    assert [json.loads(one.body)["type"] for one in (cleared, ended)] == ["alarm.cleared", "alarm.ended"]
