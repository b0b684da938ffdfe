from __future__ import annotations

import base64
import json
import re
from datetime import timedelta
from email.header import decode_header
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from router import Part, Rejected, SinkConfig, Unavailable, utf8
from router.testing import (
    Answer,
    FakeEndpoint,
    MessageContract,
    hostile_deliveries,
    make_delivery,
    make_event,
    sink_context,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from router import Delivery

ntfy = import_module("router.plugins.ntfy")

TOPIC = "aftercall-Zk3vPq9wLm2x"
TOKEN = "tk_AgQdq7mVBoFD37zQVN29RhuMzNIz2"


def config(**settings: Any) -> SinkConfig:
    made: SinkConfig = ntfy.NtfyConfig.model_validate({"kind": "ntfy", "topic": TOPIC, **settings})
    return made


def sink_config(endpoint: FakeEndpoint, **settings: Any) -> SinkConfig:
    return config(server=endpoint.url(""), allow_networks="127.0.0.0/8", **settings)


class Server:
    """Takes and refuses messages as ntfy does: server.go, `transformBodyJSON` and `handlePublishBody`."""

    def __init__(self, endpoint: FakeEndpoint) -> None:
        self.endpoint = endpoint
        self.faults: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        problem = self.problem(request, self.endpoint.requests[-1].body)
        if problem:
            self.faults.append(problem)
            return web.json_response({"code": 40000, "http": 400, "error": problem}, status=400)
        return web.json_response({"id": f"id{len(self.endpoint.requests)}", "event": "message"})

    def problem(self, request: web.BaseRequest, sent: bytes) -> str | None:
        body = json.loads(sent)
        if request.path != "/":
            return "published as it is, not as JSON"
        if len(sent) >= 2 * 4096:
            return "JSON body too large"
        if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", body["topic"]):
            return "topic invalid"
        if utf8(body["message"]) >= 4096:
            return "becomes an attachment"
        if not body["message"].strip():
            return "becomes 'triggered'"
        if utf8(body["title"]) > 1024 or utf8(",".join(body.get("tags", ()))) > 512:
            return "title or tags too large"
        if "\n" in body["title"] or decode_header(body["title"])[0][1]:
            return "title is read as a header"
        if utf8(json.dumps(body, ensure_ascii=False)) > 4000:
            return "cut by Google"
        return "markdown" if body.get("markdown") else None


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with FakeEndpoint() as endpoint:
        yield endpoint


async def post(endpoint: FakeEndpoint, delivery: Delivery | None = None, **settings: Any) -> dict[str, Any]:
    """Deliver it; what the far side got."""
    endpoint.answer(Server(endpoint))
    async with sink_config(endpoint, **settings).open(sink_context(Path())) as sink:
        assert await sink.deliver(delivery or make_delivery()) == f"id{len(endpoint.requests)}"
    body: dict[str, Any] = json.loads(endpoint.requests[-1].body)
    return body


class TestNtfy(MessageContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        endpoint.answer(Server(endpoint))
        return sink_config(endpoint, token=TOKEN)


# --- what is sent ---


async def test_a_message_as_people_see_it(endpoint: FakeEndpoint) -> None:
    body = await post(endpoint)
    assert body == {
        "topic": TOPIC,
        "title": "Rückfrage zur Rechnung",
        "message": (
            "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386\n\n"
            "- Tarifoptionen per E-Mail senden\n\n"
            "Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.\n\n"
            "Notiz\nTarif L anbieten.\n\n"
            "KI-Zusammenfassung, kann Fehler enthalten"
        ),
        "priority": 3,
        "markdown": False,
    }


@pytest.mark.parametrize("length", range(9))
async def test_every_combination_of_parts_of_every_hostile_call_is_taken(length: int, endpoint: FakeEndpoint) -> None:
    server = Server(endpoint)
    endpoint.answer(server)
    deliveries = list(hostile_deliveries())
    sent = 0
    for parts in combinations(Part, length):
        # Every call in the ends of the range, and by turns in between.
        chosen = deliveries if length in {0, 8} else deliveries[sent % 11 :: 11]
        async with sink_config(endpoint, send=[part.value for part in parts]).open(sink_context(Path())) as sink:
            for delivery in chosen:
                assert await sink.deliver(delivery)
                sent += 1
    assert server.faults == []
    assert len(endpoint.requests) == sent > 0


@pytest.mark.parametrize(
    "text", ["x" * 63_000, '"' * 63_000, "\\" * 9000, "👩‍👩‍👧" * 5000, "wort " * 5000, "ä\n" * 9000]
)
async def test_a_long_message_is_cut_with_a_mark(text: str, endpoint: FakeEndpoint) -> None:
    event = make_event(headline=text, summary=text, note=text)
    body = await post(
        endpoint, make_delivery(event=event), template="# {{ title }}\n{{ event.summary }}\n{{ event.note }}"
    )
    assert body["title"].endswith("…")
    assert body["message"].endswith("…")
    assert len(endpoint.requests[-1].body) > 3000


async def test_a_template_of_a_title_alone_still_says_something(endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, template="# {{ title }}")
    assert (body["title"], body["message"]) == ("Rückfrage zur Rechnung", "Rückfrage zur Rechnung")


async def test_encoded_words_stay_what_they_are(endpoint: FakeEndpoint) -> None:
    title = "=?utf-8?q?x=0ABcc:_v@x.example?="
    body = await post(endpoint, make_delivery(event=make_event(headline=title)))
    assert body["title"] == "= ?utf-8?q?x=0ABcc:_v@x.example?="


async def test_what_the_operator_wants_goes_along(endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, priority=5, tags=["telephone_receiver", "büro"], click="https://crm.example.com/")
    assert (body["priority"], body["click"]) == (5, "https://crm.example.com/")
    assert body["tags"] == ["telephone_receiver", "büro"]


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({}, None),
        ({"token": TOKEN}, f"Bearer {TOKEN}"),
        ({"user": "anna", "password": "ü:x"}, "Basic " + base64.b64encode("anna:ü:x".encode()).decode()),
    ],
)
async def test_logins(settings: dict[str, Any], header: str | None, endpoint: FakeEndpoint) -> None:
    await post(endpoint, **settings)
    assert endpoint.requests[-1].headers.get("authorization") == header


# --- what comes back ---


async def outcome(endpoint: FakeEndpoint, answer: Answer) -> Unavailable | Rejected:
    endpoint.answer(answer)
    async with sink_config(endpoint, token=TOKEN).open(sink_context(Path())) as sink:
        with pytest.raises((Unavailable, Rejected)) as caught:
            await sink.deliver(make_delivery())
    assert isinstance(caught.value, Unavailable | Rejected)
    assert "127.0.0.1" in str(caught.value)
    for hidden in (TOKEN, TOPIC, "BirneXY"):
        assert hidden not in str(caught.value)
    return caught.value


def refusal(status: int, code: object) -> Answer:
    return Answer(status=status, body=json.dumps({"code": code, "http": status, "error": "BirneXY"}).encode())


@pytest.mark.parametrize(
    ("status", "code", "advice", "wait"),
    [
        (400, 40009, "another `topic`", None),
        (400, 40010, "another `topic`", None),
        (401, 40101, "login is wrong", None),
        (403, 40301, "may not write to the topic", None),
        (429, 42908, "messages of this day are used up", timedelta(hours=1)),
        (429, 42909, "too many wrong logins", timedelta(minutes=5)),
        (429, 42901, "429 Too Many Requests", None),
        (401, "x", "check `token`", None),
        (403, None, "check `token`", None),
        (404, 40401, "no ntfy server", None),
        (405, None, "no ntfy server", None),
        (502, 0, "502 Bad Gateway", None),
    ],
)
async def test_what_somebody_can_mend_holds_the_lane(
    status: int, code: object, advice: str, wait: timedelta | None, endpoint: FakeEndpoint
) -> None:
    error = await outcome(endpoint, refusal(status, code))
    assert isinstance(error, Unavailable)
    assert (error.whole_lane, error.retry_after) == (True, wait)
    assert advice in str(error)


@pytest.mark.parametrize(("status", "code"), [(400, 40017), (400, 40014), (400, 40057), (413, 41301), (413, 41303)])
async def test_a_message_that_is_wrong_is_refused(status: int, code: int, endpoint: FakeEndpoint) -> None:
    error = await outcome(endpoint, refusal(status, code))
    assert isinstance(error, Rejected)
    assert not error.whole_lane


async def test_a_page_of_another_server_is_no_answer(endpoint: FakeEndpoint) -> None:
    error = await outcome(endpoint, Answer(body=b"<html>BirneXY"))
    assert isinstance(error, Unavailable)
    assert error.whole_lane
    assert "check `server`" in str(error)


@pytest.mark.parametrize("body", [b"", b'{"id":"x', b'{"id":7}', b'{"id":"a b"}'])
async def test_an_answer_that_breaks_off_is_one(body: bytes, endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(body=body))
    async with sink_config(endpoint).open(sink_context(Path())) as sink:
        assert await sink.deliver(make_delivery()) is None


# --- the configuration ---


def test_the_record_says_where_it_went() -> None:
    assert config().recipient() == "ntfy.sh"
    assert config(server="https://push.example:8443/").recipient() == "push.example:8443"


def test_ntfy_sh_bears_less_than_a_server_of_ones_own() -> None:
    assert str(config().rate) == str(config(server="https://ntfy.sh").rate) == "12/m"
    assert config(server="https://push.example").rate is None
    assert str(config(server="https://push.example", rate="2/s").rate) == str(config(rate="2/s").rate) == "2/s"


def test_a_short_topic_is_fine_where_not_everybody_can_read_it() -> None:
    config(topic="anrufe", token=TOKEN)
    config(topic="anrufe", user="anna", password="x")
    config(topic="anrufe", server="https://push.example")


def test_a_login_may_go_without_tls_where_it_stays_in_the_house() -> None:
    config(topic="anrufe", token=TOKEN, server="http://push.intern", allow_networks="10.0.0.0/8")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"topic": "hunter2"}, "too easy to guess"),
        ({"topic": "hunter2", "server": "https://ntfy.sh."}, "too easy to guess"),
        ({"topic": "hunter2", "server": "https://NTFY.sh/"}, "too easy to guess"),
        ({"topic": "hunter2/x"}, "no topic of ntfy"),
        ({"topic": "x" * 65}, "no topic of ntfy"),
        ({"server": "https://ntfy.sh/hunter2"}, "belongs into `topic`"),
        ({"server": "https://ntfy.sh/?hunter2"}, "belongs into `topic`"),
        ({"server": "https://u:hunter2@ntfy.sh"}, "a login into `token`"),
        ({"server": "http://10.1.2.3"}, "allow_networks"),
        ({"token": "tk_hunter2", "user": "a", "password": "b"}, "write one of them"),
        ({"token": ""}, "begins with tk_"),
        ({"token": "tk_hunter2\r\nX: y"}, "begins with tk_"),
        ({"token": "hunter2"}, "begins with tk_; a password goes with a `user`"),
        ({"token": "tk_hunter2", "server": "http://push.example.com"}, "`server` has no TLS"),
        ({"user": "a", "password": "hunter2", "server": "HTTP://push.example.com"}, "`server` has no TLS"),
        ({"user": "a"}, "go together"),
        ({"password": "hunter2"}, "go together"),
        ({"user": "a:b", "password": "hunter2"}, "colon"),
        ({"priority": 6}, "less than or equal to 5"),
        ({"tags": "a,b"}, "is no tag"),
        ({"click": "crm.example.com"}, "is no address; write all of it"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        config(**settings)
    assert "hunter2" not in str(caught.value)
