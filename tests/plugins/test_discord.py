from __future__ import annotations

import json
import re
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from chats import every_choice_of_parts, foreign_markup, shown, vendor
from router import Part, Rate, Rejected, SinkConfig, Unavailable, utf16
from router.testing import (
    Answer,
    FakeEndpoint,
    MessageContract,
    Received,
    hostile_deliveries,
    make_delivery,
    make_event,
    sink_context,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from router import Delivery

discord = import_module("router.plugins.discord")

PATH = "/api/webhooks/1186324/t0ken-AbC_123"


def config(url: str = f"https://discord.com{PATH}", **settings: Any) -> SinkConfig:
    made: SinkConfig = discord.DiscordConfig.model_validate({"kind": "discord", "url": url, **settings})
    return made


def wrong_with(request: Received) -> str | None:
    """https://discord.com/developers/docs/resources/webhook#execute-webhook, and nothing in it that a call could mean."""
    sent = json.loads(request.body)
    path, _, query = request.path.partition("?")
    if request.headers["content-type"] != "application/json" or path != PATH or "wait=true" not in query:
        return "the request"
    if set(sent) != {"content", "embeds", "allowed_mentions"} or sent["allowed_mentions"] != {"parse": []}:
        return "the fields, or mentions"
    if not 0 < utf16(sent["content"].strip()) <= 2000 or len(sent["embeds"]) > 1:
        return "the content"
    texts = [sent["content"]]
    for embed in sent["embeds"]:
        description, footer = embed.get("description", ""), embed.get("footer", {"text": ""})["text"]
        if not embed or not embed.keys() <= {"description", "footer"} or not (description or footer):
            return "the embed"
        if utf16(description) > 4096 or utf16(footer) > 2048 or utf16(description + footer) > 6000:
            return "the lengths"
        texts.append(description)
    return next((f"{found!r} in a text" for text in texts if (found := meant(text))), None)


def meant(text: str) -> str | set[str] | None:
    """What Discord would make of it, besides what is bold and lists."""
    left = re.sub(r"\\[^0-9A-Za-z\s]", "\0", text).replace("**", "")
    special = r"[\\*_~`|<\[\]@]|://|:[\w+-]+:|\.gg/|^(#{1,3}|-#|>|>>>|\d+\.|[*+]) "
    found = re.search(special, left, re.MULTILINE)
    return found[0] if found else foreign_markup(text) or None


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with vendor(wrong_with, lambda: web.json_response({"id": "1187", "type": 0})) as endpoint:
        yield endpoint


class TestDiscord(MessageContract):
    @pytest.fixture
    async def endpoint(self) -> AsyncIterator[FakeEndpoint]:
        async with vendor(wrong_with, lambda: web.json_response({"id": "1187"})) as endpoint:
            yield endpoint

    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        return config(endpoint.url(PATH), allow_networks=["127.0.0.0/8"], thread_id="118700000000000001")


async def post(endpoint: FakeEndpoint, delivery: Delivery | None = None, **settings: Any) -> dict[str, Any]:
    """Deliver it; what Discord got."""
    made = config(endpoint.url(PATH), allow_networks="127.0.0.0/8", **settings)
    async with made.open(sink_context(Path())) as sink:
        assert await sink.deliver(delivery or make_delivery()) == "1187"
    sent: dict[str, Any] = json.loads(endpoint.requests[-1].body)
    return sent


# --- what is sent ---


async def test_a_message(endpoint: FakeEndpoint) -> None:
    assert await post(endpoint) == {
        "content": "**Rückfrage zur Rechnung**",
        "embeds": [
            {
                "description": "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386\n\n"
                "Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.\n\n"
                "**Aufgaben**\n- Tarifoptionen per E-Mail senden\n\n**Notiz**\nTarif L anbieten.",
                "footer": {"text": "KI-Zusammenfassung, kann Fehler enthalten · Regel everything"},
            }
        ],
        "allowed_mentions": {"parse": []},
    }


async def test_a_title_alone_needs_no_embed(endpoint: FakeEndpoint) -> None:
    assert (await post(endpoint, template="# {{ title }}"))["embeds"] == []
    small = await post(endpoint, template="# {{ title }}\n\n-# klein")
    assert small["embeds"] == [{"footer": {"text": "klein"}}]


@pytest.mark.parametrize(
    "settings", [{}, {"send": tuple(Part)}, {"template": "{{ event.summary }}\n\n- {{ event.note }}\n\n{{ facts }}"}]
)
async def test_no_call_breaks_a_rule(settings: dict[str, Any], endpoint: FakeEndpoint) -> None:
    made = config(endpoint.url(PATH), allow_networks="127.0.0.0/8", **settings)
    async with made.open(sink_context(Path())) as sink:
        for delivery in hostile_deliveries():
            assert await sink.deliver(delivery) == "1187", delivery.id


async def test_every_choice_of_parts_is_taken(endpoint: FakeEndpoint) -> None:
    for send in every_choice_of_parts():
        await post(endpoint, send=send)


SAID = (
    "@everyone @here <@80351110224678912> <@&1> <#103> <:mm:21> <a:b:3> :smile: <t:1618953630:R> <id:home> </x:1> "
    "**a** __b__ *c* ~~d~~ ||e|| `f` [g](https://evil.example) <https://evil.example> https://evil.example "
    "discord.gg/abc ¯\\_(ツ)_/¯ 09:15 a_b_c C:\\neu\n# h\n> i\n>>> j\n- k\n1. l\n-# m\n```n\n```"
)


async def test_text_of_a_call_is_shown_as_it_was_said(endpoint: FakeEndpoint) -> None:
    sent = await post(
        endpoint, make_delivery(event=make_event(headline=SAID, summary=SAID)), send=["headline", "summary"]
    )
    assert shown(sent["embeds"][0]["description"]).endswith(f"\n\n{SAID}")
    assert "@everyone @here <@80351110224678912>" in shown(sent["content"])
    assert "\\@everyone \\@here \\<\\@80351110224678912>" in sent["content"]
    assert "https\\://evil" in sent["embeds"][0]["description"]


async def test_links_are_those_that_discord_has(endpoint: FakeEndpoint) -> None:
    """Of others it shows the brackets, too: their address stands behind the label, as text."""
    endpoint.answer(Answer(body=b'{"id": "1187"}'))
    template = (
        "# {{ title }} [an](mailto:a_b@example.com)\n\n[Kunde](https://crm.example/?q={{ event.note }}) "
        "**[anrufen](tel:{{ event.caller.e164 }})**\n- [Mail](mailto:a@example.com)\n\n-# [klein](tel:1)"
    )
    sent = await post(
        endpoint, make_delivery(event=make_event(headline="H", note="a b")), template=template, numbers="full"
    )
    assert sent["content"] == "**H** **an (mailto:a\\_b\\@example.com)**"
    (embed,) = sent["embeds"]
    assert embed["description"] == (
        "[Kunde](https://crm.example/?q=a%20b) **anrufen (tel:+4915228817386)**\n\n- Mail (mailto:a\\@example.com)"
    )
    assert embed["footer"]["text"] == "klein (tel:1)"


async def test_the_title_is_as_long_as_notifications_show(endpoint: FakeEndpoint) -> None:
    """Of 2,000 characters; in units of UTF-16, an emoji is two."""
    for text in ("x" * 2_500, "😀" * 2_500):
        sent = await post(
            endpoint,
            template="# {{ event.headline }}{{ title }}",
            delivery=make_delivery(event=make_event(headline=text, summary=text)),
        )
        assert 290 < utf16(sent["content"]) <= 300


async def test_long_texts_are_cut_with_a_mark(endpoint: FakeEndpoint) -> None:
    event = make_event(headline="*" * 5000, summary="😀*" * 30_000, note="kurz")
    sent = await post(
        endpoint,
        make_delivery(event=event),
        template="# {{ event.headline or title }}\n\n{{ event.summary }}\n\n{{ event.note }}",
    )
    description = sent["embeds"][0]["description"]
    assert 3900 < utf16(description) <= 4096
    assert description.endswith("…\n\nkurz")
    assert sent["content"].endswith("…**")
    footer = await post(endpoint, make_delivery(routes=("x" * 5000,)), template="# {{ title }}\n\n-# {{ routes }}")
    assert footer["embeds"][0]["footer"]["text"].endswith("x…")


# --- where to, and what comes back ---


async def test_it_waits_for_the_message_and_keeps_the_rest_of_the_url(endpoint: FakeEndpoint) -> None:
    await post(endpoint, thread_id="42")
    assert endpoint.requests[-1].path == f"{PATH}?wait=true&thread_id=42"
    made = config(endpoint.url(f"{PATH}?thread_id=7&wait=false"), allow_networks="127.0.0.0/8")
    async with made.open(sink_context(Path())) as sink:
        await sink.deliver(make_delivery())
    assert endpoint.requests[-1].path == f"{PATH}?thread_id=7&wait=true"


@pytest.mark.parametrize("body", [b"", b'{"id": 3}', b'{"id": "<x>"}', b'{"id": "11'])
async def test_an_answer_without_an_id_is_one_too(body: bytes, endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(body=body))
    async with config(endpoint.url(PATH), allow_networks="127.0.0.0/8").open(sink_context(Path())) as sink:
        assert await sink.deliver(make_delivery()) is None


@pytest.mark.parametrize(
    ("status", "said", "kind", "whole_lane", "reason"),
    [
        (404, {"code": 10015}, Rejected, True, "the webhook was deleted"),
        (404, {"code": 10003}, Unavailable, True, "look at thread_id"),
        (401, {"code": 50027}, Unavailable, True, "token in the URL"),
        (403, {"code": 50001}, Unavailable, True, "no access"),
        (403, {"code": 50013}, Unavailable, True, "may not write"),
        (403, {"code": 40333}, Unavailable, True, "Cloudflare"),
        (400, {"code": 50083}, Unavailable, True, "archived"),
        (403, {"code": 160005}, Unavailable, True, "locked"),
        (400, {"code": 220001}, Unavailable, True, "forum"),
        (400, {"code": 50006}, Rejected, False, "empty"),
        (400, {"code": 50035}, Rejected, False, "form"),
        (413, {"code": 40005}, Rejected, False, "too large"),
        (403, {"code": 200000}, Rejected, False, "AutoMod"),
        (403, {"code": 200001}, Rejected, False, "AutoMod"),
        (403, {"code": 240000}, Rejected, False, "harmful links"),
        (400, {"code": 50024}, Unavailable, True, "a channel of this kind"),
        (400, {"code": 99999}, Unavailable, False, "answered 99999, a code that this version"),
        (400, {"code": 0}, Rejected, False, "answered 400"),
        (403, {"code": 99999}, Unavailable, False, "answered 403"),
        (500, {"code": 99999}, Unavailable, False, "answered 500"),
        (400, {"code": "50006"}, Rejected, False, "answered 400"),
        (404, {}, Unavailable, False, "answered 404"),
        (500, {"message": "Brückner"}, Unavailable, False, "answered 500"),
        (429, {"retry_after": "soon"}, Unavailable, True, "answered 429"),
        (429, {"retry_after": 1e300}, Unavailable, True, "answered 429"),
    ],
)
async def test_what_refusals_mean(
    status: int,
    said: dict[str, Any],
    kind: type[Rejected | Unavailable],
    whole_lane: bool,
    reason: str,
    endpoint: FakeEndpoint,
) -> None:
    endpoint.answer(Answer(status=status, body=json.dumps({"message": "Brückner t0ken", **said}).encode()))
    with pytest.raises(kind, match=reason) as caught:
        await post(endpoint)
    assert isinstance(caught.value, Rejected | Unavailable)
    assert caught.value.whole_lane is whole_lane
    assert "127.0.0.1" in str(caught.value)
    assert not re.search("Brückner|t0ken", str(caught.value))


@pytest.mark.parametrize(
    "body", [b"<html>t0ken login</html>", b"ok", b'{"message": "t0ken"}', b"[]", b"\xff", b"[" * 60_000]
)
async def test_only_a_message_with_an_id_says_that_it_has_it(body: bytes, endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(status=200, body=body))
    with pytest.raises(Unavailable, match=r"answered 200, but not that it has the message: check `url`$") as caught:
        await post(endpoint)
    assert caught.value.whole_lane


async def test_it_waits_as_long_as_it_is_told(endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(status=429, body=b'{"message": "x", "retry_after": 64.57, "global": true}'))
    with pytest.raises(Unavailable, match="no more messages") as caught:
        await post(endpoint)
    assert (caught.value.retry_after, caught.value.whole_lane) == (timedelta(seconds=64.57), True)


# --- the configuration ---


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "https://discord.com/channels/1/2"}, "is no webhook of Discord"),
        ({"url": f"https://discord.com{PATH}/slack"}, "is no webhook of Discord"),
        ({"url": f"http://127.0.0.1{PATH}"}, "not public"),
        ({"thread_id": "general"}, "is no ID of a thread, which is a number"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        config(**settings)
    assert "t0ken" not in str(caught.value)


def test_what_is_usual() -> None:
    made = config("https://discord.com/api/v10/webhooks/1/abc")
    assert made.recipient() == "discord.com"
    assert made.rate == Rate(30, timedelta(minutes=1))
