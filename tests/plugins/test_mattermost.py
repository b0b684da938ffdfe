from __future__ import annotations

import html
import json
import re
import ssl
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from aiohttp import web
from pydantic import ValidationError

from chats import every_choice_of_parts, foreign_markup, shown, vendor
from router import Part, Rejected, SinkConfig, Unavailable
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

mattermost = import_module("router.plugins.mattermost")

PATH = "/hooks/t0kenabc123"


def config(url: str = f"https://chat.example{PATH}", **settings: Any) -> SinkConfig:
    made: SinkConfig = mattermost.MattermostConfig.model_validate({"kind": "mattermost", "url": url, **settings})
    return made


def wrong_with(request: Received) -> str | None:
    """https://developers.mattermost.com/integrate/webhooks/incoming, and nothing in it that a call could mean."""
    sent = json.loads(request.body)
    if request.headers["content-type"] != "application/json" or request.path != PATH:
        return "the request"
    if not sent.keys() <= {"text", "attachments", "channel", "username", "icon_url"} or not sent["text"].strip():
        return "the fields"
    texts = [sent["text"], *(attachment["text"] for attachment in sent.get("attachments", ()))]
    if not all(texts) or sum(map(len, texts)) > 16_383:
        return "the lengths"
    return next((f"{found!r} in a text" for text in texts if (found := meant(text))), None)


#: What Mattermost finds once Markdown is done with (webapp/channels/src/utils/text_formatting.tsx, emoticons.tsx).
FOUND = re.compile(
    r"(?:\B|\b_+)@[a-z0-9.\-_]+|\B~[a-z0-9.\-_]+|(?:^|\W)#[^\W\d]|:[a-z0-9_+-]*[a-z+][a-z0-9_+-]*:|:(?:100|1234):"
    r"|\w@[\w.-]+\.\w{2,5}|[a-z][a-z\d.+-]{0,20}:(?:/{1,3}|[^\W_]|%)|www\d{0,3}\.|[\w.-]\.[^\W\d_]{2,4}/|:[)(DPp]",
    re.IGNORECASE,
)


def meant(text: str) -> str | set[str] | None:
    """What Mattermost would make of it, besides what is bold and lists."""
    if found := re.search(r"<|\$|^=|^(\*\*)?[-*_ ]{3,}(\*\*)?$", text, re.MULTILINE):  # `<!here>`; formulas; rules
        return found[0]
    for seen in (shown(text), html.unescape(shown(text))):
        if found := FOUND.search(seen.replace("**", "")):
            return found[0]
    unescaped = re.sub(r"\\[`*{}\[\]()#+\-.!_>|~]", "", text)  # marked knows no others
    return "\\" if "\\" in unescaped else foreign_markup(text) - {"entity"} or None


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with vendor(wrong_with, lambda: web.Response(text="ok")) as endpoint:
        yield endpoint


class TestMattermost(MessageContract):
    @pytest.fixture
    async def endpoint(self) -> AsyncIterator[FakeEndpoint]:
        async with vendor(wrong_with, lambda: web.Response(text="ok")) as endpoint:
            yield endpoint

    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        return config(endpoint.url(PATH), allow_networks=["127.0.0.0/8"], channel="vertrieb", username="Telefon")


async def post(endpoint: FakeEndpoint, delivery: Delivery | None = None, **settings: Any) -> dict[str, Any]:
    """Deliver it; what Mattermost got."""
    made = config(endpoint.url(PATH), allow_networks="127.0.0.0/8", **settings)
    async with made.open(sink_context(Path())) as sink:
        assert await sink.deliver(delivery or make_delivery()) is None
    sent: dict[str, Any] = json.loads(endpoint.requests[-1].body)
    return sent


# --- what is sent ---


async def test_a_message(endpoint: FakeEndpoint) -> None:
    assert await post(endpoint) == {
        "text": "**Rückfrage zur Rechnung**",
        "attachments": [
            {
                "text": "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386\n\n"
                "Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.\n\n"
                "**Aufgaben**\n- Tarifoptionen per E-Mail senden\n\n**Notiz**\nTarif L anbieten.\n\n"
                "KI-Zusammenfassung, kann Fehler enthalten · Regel everything"
            }
        ],
    }


async def test_it_goes_where_and_by_whom_it_is_told(endpoint: FakeEndpoint) -> None:
    named: dict[str, Any] = {"channel": "@jana", "username": "Anrufe", "icon_url": "https://example.com/ohr.png"}
    sent = await post(endpoint, template="# {{ title }}", **named)
    assert sent == {"text": "**Rückfrage zur Rechnung**", **named}


@pytest.mark.parametrize(
    "settings", [{}, {"send": tuple(Part)}, {"template": "{{ event.summary }}\n\n- {{ event.note }}\n\n{{ facts }}"}]
)
async def test_no_call_breaks_a_rule(settings: dict[str, Any], endpoint: FakeEndpoint) -> None:
    made = config(endpoint.url(PATH), allow_networks="127.0.0.0/8", **settings)
    async with made.open(sink_context(Path())) as sink:
        for delivery in hostile_deliveries():
            assert await sink.deliver(delivery) is None, delivery.id


async def test_every_choice_of_parts_is_taken(endpoint: FakeEndpoint) -> None:
    for send in every_choice_of_parts():
        await post(endpoint, send=send)


SAID = (
    "@channel @all @here, @jana.b <!channel> <@U012AB3CD> x@firma.de ~town-square #thema :smile: :+1: :100: :) "
    "https://evil.example/x www.evil.example evil.de/x mailto:x tel:5 **a** __b__ _c_ ~~d~~ `e` $f$ $MM_EMAIL0$ "
    "![g](https://evil.example/g.png) [h](https://evil.example) <https://evil.example> <b>i</b> &lt; &#64;all "
    "C:\\neu \\\\x a_b_c 09:15 1:05:12 |j|k|\n# l\n> m\n- n\n1. o\n---\np\n==\n```q\n```\n[r]: https://evil.example"
)


async def test_text_of_a_call_is_shown_as_it_was_said(endpoint: FakeEndpoint) -> None:
    delivery = make_delivery(event=make_event(headline=SAID, summary=SAID))
    sent = await post(endpoint, delivery, send=["headline", "summary"])
    read = html.unescape(shown(sent["attachments"][0]["text"])).replace("\u2060", "")
    assert f"\n\n{SAID}\n\n" in read
    assert "@\u2060channel @\u2060all" in sent["text"]
    assert "\u2060" not in (await post(endpoint))["attachments"][0]["text"]
    assert "09:15 1:05:12" in sent["attachments"][0]["text"]


async def test_long_texts_are_cut_with_a_mark(endpoint: FakeEndpoint) -> None:
    event = make_event(headline="*" * 5000, summary="<\\😀*" * 30_000, note="kurz")
    template = "# {{ event.headline or title }}\n\n{{ event.summary }}\n\n{{ event.note }}"
    sent = await post(endpoint, make_delivery(event=event), template=template)
    text = sent["attachments"][0]["text"]
    assert 15_900 < len(text) <= 16_000
    assert text.endswith("…\n\nkurz")
    assert sent["text"].endswith("…**")


# --- what comes back ---


@pytest.mark.parametrize(
    ("status", "said", "kind", "whole_lane", "reason"),
    [
        (501, "web.incoming_webhook.disabled.app_error", Unavailable, True, "switched off"),
        (400, "web.incoming_webhook.invalid.app_error", Unavailable, True, "no such webhook"),
        (404, "web.incoming_webhook.channel.app_error", Unavailable, True, "no such channel"),
        (404, "app.channel.get.existing.app_error", Unavailable, True, "channel is gone"),
        (403, "web.incoming_webhook.channel_locked.app_error", Unavailable, True, "leave out channel"),
        (403, "web.incoming_webhook.permissions.app_error", Unavailable, True, "may not write"),
        (400, "web.incoming_webhook.user.app_error", Unavailable, True, "no such user"),
        (
            400,
            "api.post.create_post.can_not_post_to_deleted.error",
            Rejected,
            True,
            "archived; .*, then `aftercall resume",
        ),
        (400, "web.incoming_webhook.text.app_error", Rejected, False, "answered 400"),
        (400, ["x"], Rejected, False, "answered 400"),
        (500, "Brückner", Unavailable, False, "answered 500"),
        (429, None, Unavailable, True, "answered 429"),
    ],
)
async def test_what_refusals_mean(
    status: int,
    said: object,
    kind: type[Rejected | Unavailable],
    whole_lane: bool,
    reason: str,
    endpoint: FakeEndpoint,
) -> None:
    body = {"id": said, "message": "Brückner t0ken", "status_code": status}
    endpoint.answer(Answer(status=status, body=json.dumps(body).encode()))
    with pytest.raises(kind, match=reason) as caught:
        await post(endpoint)
    assert isinstance(caught.value, Rejected | Unavailable)
    assert caught.value.whole_lane is whole_lane
    assert "127.0.0.1" in str(caught.value)
    assert not re.search("Brückner|t0ken", str(caught.value))


@pytest.mark.parametrize("body", [b"<html>t0ken login</html>", b"{}", b'{"ok": true}'])
async def test_only_ok_says_that_it_has_the_message(body: bytes, endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(status=200, body=body))
    with pytest.raises(Unavailable, match=r"answered 200, but not that it has the message: check `url`$") as caught:
        await post(endpoint)
    assert caught.value.whole_lane
    endpoint.answer(Answer(status=200, body=b"ok\n"), Answer(status=200))
    await post(endpoint)
    await post(endpoint)


async def test_a_server_of_ones_own_with_an_authority_of_ones_own(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with FakeEndpoint(ssl_context=context) as endpoint:
        endpoint.answer(Answer(body=b"ok"))
        made = config(endpoint.url(PATH), allow_networks="127.0.0.0/8", ca_file="ca.pem")
        async with made.open(sink_context(tmp_path)) as sink:
            await sink.deliver(make_delivery())
        assert len(endpoint.requests) == 1


# --- the configuration ---


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"url": "https://chat.example/vertrieb/channels/anrufe"}, "is no incoming webhook"),
        ({"url": f"http://10.1.2.3{PATH}"}, r"allow_networks: \[10.1.2.3/32\]"),
        ({"channel": ""}, "is no name of a channel"),
        ({"channel": "Town Square"}, "is no name of a channel; write the one in its URL"),
        ({"channel": "https://chat.example/vertrieb/channels/anrufe"}, "is no name of a channel"),
        ({"channel": "x" * 65}, "is no name of a channel"),
        ({"username": "x" * 65}, "username"),
        ({"icon_url": "ohr.png"}, "is no URL"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        config(**settings)
    assert "t0ken" not in str(caught.value)


def test_the_record_says_where_it_went() -> None:
    assert config().recipient() == "chat.example"
    assert (
        config("https://example.com:8065/chat/hooks/abc", channel="vertrieb").recipient() == "example.com:8065 vertrieb"
    )
