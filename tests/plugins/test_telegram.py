from __future__ import annotations

import json
import re
from datetime import timedelta
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from router import Part, Rejected, SinkConfig, Unavailable, utf16
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

telegram = import_module("router.plugins.telegram")

TOKEN = "123456789:AAFabcdefghijklmnopqrstuvwxyz-_12345"
CHAT = "-1001234567890"


def config(**settings: Any) -> SinkConfig:
    given = {"kind": "telegram", "token": TOKEN, "chat": CHAT, **settings}
    made: SinkConfig = telegram.TelegramConfig.model_validate(given)
    return made


def sink_config(endpoint: FakeEndpoint, **settings: Any) -> SinkConfig:
    return config(api=endpoint.url("/"), allow_networks="127.0.0.0/8", **settings)


class BotApi:
    """Takes and refuses messages as the Bot API does."""

    def __init__(self, endpoint: FakeEndpoint) -> None:
        self.endpoint = endpoint
        self.messages = 0
        self.faults: list[str] = []

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        body = json.loads(self.endpoint.requests[-1].body)
        description = self.problem(request, body)
        if description:
            self.faults.append(description)
            return web.json_response({"ok": False, "error_code": 400, "description": description}, status=400)
        self.messages += 1
        result = {"message_id": self.messages, "chat": {"id": int(CHAT)}, "text": body["text"]}
        return web.json_response({"ok": True, "result": result})

    def problem(self, request: web.BaseRequest, body: dict[str, Any]) -> str | None:
        assert request.path == f"/bot{TOKEN}/sendMessage"
        assert request.headers["Content-Type"] == "application/json"
        assert body["link_preview_options"] == {"is_disabled": True}
        assert "parse_mode" not in body
        text = body["text"]
        if not text.strip():
            return "Bad Request: message text is empty"
        if utf16(text) > 4096:
            return "Bad Request: message is too long"
        assert text == text.strip()  # otherwise the server moves everything
        units = text.encode("utf-16-le")
        free, end = "", 0
        assert len(body["entities"]) <= 100
        for entity in body["entities"]:
            assert entity["type"] in {"bold", "italic", "code", "pre", "text_link"}
            assert (entity["type"] == "text_link") is ("url" in entity)
            assert entity["offset"] >= end, "entities overlap"
            free += units[end * 2 : entity["offset"] * 2].decode("utf-16-le")
            end = entity["offset"] + entity["length"]
            assert end <= len(units) // 2
            covered = units[entity["offset"] * 2 : end * 2].decode("utf-16-le")  # fails in the middle of a character
            assert covered.strip()
            if "url" in entity:
                assert re.match(r"https?://[^/]*\.", entity["url"])
            free += covered if entity["type"] in {"bold", "italic"} else "\0"
        free += units[end * 2 :].decode("utf-16-le")
        found = re.findall(
            r"(?:(?<=\W)|^)(?:@[a-zA-Z0-9_]{2,32}\b|/[a-zA-Z0-9_]{1,64}\b(?![/<>])|[#$][^\W\d_]\w*)"
            r"|https?://\S+|[a-z0-9-]+\.(?:de|com|org|example|net)\b|\S+@\w+\.\w\w+|\b\d+\.\d+\.\d+\.\d+\b",
            free,
        )
        return f"alive: {found[:3]}" if found else None


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with FakeEndpoint() as endpoint:
        yield endpoint


async def post(endpoint: FakeEndpoint, delivery: Delivery | None = None, **settings: Any) -> dict[str, Any]:
    """Deliver it; what the far side got."""
    endpoint.answer(BotApi(endpoint))
    async with sink_config(endpoint, **settings).open(sink_context(Path())) as sink:
        await sink.deliver(delivery or make_delivery())
    return body_of(endpoint.requests[-1])


def body_of(request: Received) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(request.body)
    return body


def said(body: dict[str, Any], kind: str) -> list[str]:
    """The pieces of text that are this kind of entity."""
    units = body["text"].encode("utf-16-le")
    return [
        units[entity["offset"] * 2 : (entity["offset"] + entity["length"]) * 2].decode("utf-16-le")
        for entity in body["entities"]
        if entity["type"] == kind
    ]


class TestTelegram(MessageContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        endpoint.answer(BotApi(endpoint))
        return sink_config(endpoint)


# --- what is sent ---


async def test_a_message_as_people_see_it(endpoint: FakeEndpoint) -> None:
    body = await post(endpoint)
    assert body["text"] == (
        "Rückfrage zur Rechnung\n\n"
        "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386\n\n"
        "Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.\n\n"
        "Aufgaben\n• Tarifoptionen per E-Mail senden\n\n"
        "Notiz\nTarif L anbieten.\n\n"
        "KI-Zusammenfassung, kann Fehler enthalten · Regel everything"
    )
    assert said(body, "bold") == ["Rückfrage zur Rechnung", "Aufgaben", "Notiz"]
    assert said(body, "italic") == ["KI-Zusammenfassung, kann Fehler enthalten · Regel everything"]
    assert said(body, "code") == []
    assert (body["chat_id"], body["disable_notification"]) == (int(CHAT), False)
    assert not {"message_thread_id", "reply_parameters"} & set(body)


@pytest.mark.parametrize("length", range(9))
async def test_every_combination_of_parts_of_every_hostile_call_is_taken(length: int, endpoint: FakeEndpoint) -> None:
    """Nothing in them calls anybody, and nothing can be tapped."""
    server = BotApi(endpoint)
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
    assert server.messages == sent > 0


@pytest.mark.parametrize(
    "word",
    [
        "@anna_b", "(@anna_b)", "<@U1>", "/start", "/start@some_bot", "#alarm", "$USD", "https://evil.example/x?y=1",
        "evil.example", "tg://resolve?domain=x", "t.me/joinchat", "anna@firma.de", "10.1.2.3/x", "münchen.de",
    ],
)  # fmt: skip
async def test_what_telegram_would_make_alive_is_shown_letter_by_letter(word: str, endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, make_delivery(event=make_event(headline=word, summary=f"Bitte {word}, 👩‍👩‍👧 danke.")))
    shown = word.rstrip(")")
    assert f"Bitte {word}, 👩‍👩‍👧 danke." in body["text"]
    assert said(body, "code") == [shown, shown]


def alive_outside(body: dict[str, Any], kinds: set[str]) -> list[str]:
    """What Telegram would make something of, as far as no entity of these kinds covers all of it, in its own units."""
    text: str = body["text"]
    covered = {
        unit
        for entity in body["entities"]
        if entity["type"] in kinds
        for unit in range(entity["offset"], entity["offset"] + entity["length"])
    }
    return [
        found[0]
        for found in telegram._ALIVE.finditer(text)
        if not covered.issuperset(range(utf16(text[: found.start()]), utf16(text[: found.end()])))
    ]


ASTRAL = [
    "😀 Bitte a😀b@😀c.example und #😀tag, 😀😀😀 dann https://evil.example/😀?y=1 😀 /start 😀.",
    "😀😀@anna_b😀 😀evil.example😀 t.me/😀 😀10.1.2.3 " * 9,
    "👩‍👩‍👧 " * 40 + "x@anna_b",
]


@pytest.mark.parametrize("text", ASTRAL)
async def test_what_is_alive_is_covered_to_the_last_unit_beside_emoji(text: str, endpoint: FakeEndpoint) -> None:
    """An emoji is two of the units that Telegram counts: what stands behind one is not to slip out of its cover."""
    event = make_event(headline=f"😀 {text[:60]}", summary=text, note=f"😀 {text}")
    body = await post(endpoint, make_delivery(event=event))
    assert telegram._ALIVE.search(body["text"])
    assert alive_outside(body, {"code"}) == []
    assert said(body, "bold")[-2:] == ["Aufgaben", "Notiz"]


async def test_a_link_of_the_template_covers_its_label_beside_emoji(endpoint: FakeEndpoint) -> None:
    template = "# {{ title }}\n\n😀 [😀 @crm 😀](https://crm.example.com/) 😀 **{{ event.summary }}** [Ende](https://e.example/)"
    body = await post(endpoint, make_delivery(event=make_event(summary=ASTRAL[0])), template=template)
    assert said(body, "text_link") == ["😀 @crm 😀", "Ende"]
    assert alive_outside(body, {"code", "text_link"}) == []


@pytest.mark.parametrize("text", ["z.B. und/oder d.h. 10.03.2026, 09:15 Uhr", "Ja...und dann? 3.5 % / 5 €", "5 @ 3"])
async def test_plain_german_is_left_alone(text: str, endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, make_delivery(event=make_event(summary=text)))
    assert text in body["text"]
    assert said(body, "code") == []


async def test_more_names_than_telegram_counts_are_all_covered(endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, make_delivery(event=make_event(summary="@anna_b " * 150)))
    assert body["entities"] == [{"type": "pre", "offset": 0, "length": utf16(body["text"])}]


@pytest.mark.parametrize("text", ["x" * 63_000, "👩‍👩‍👧" * 5000, "wort " * 5000, "Wörter\n" * 9000])
async def test_a_long_message_is_cut_with_a_mark(text: str, endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, make_delivery(event=make_event(summary=text)))
    assert 4000 < utf16(body["text"]) <= 4096
    assert "…\n\nAufgaben\n• Tarifoptionen" in body["text"]


async def test_links_of_the_template_are_links(endpoint: FakeEndpoint) -> None:
    template = (
        "# {{ title }}\n\n[@crm {{ event.headline }}](https://crm.example.com/?q={{ event.note }}) "
        "[local](http://crm/x) [odd](http://[x/) [long](https://x.example/{{ event.summary }}) [call](tel:{{ event.note }}) **b@{{ event.note }}**"
    )
    event = make_event(headline="@anna_b", note="1 &", summary="x" * 3000)
    body = await post(endpoint, make_delivery(event=event), template=template)
    assert body["text"] == "@anna_b\n\n@crm @anna_b local odd long call (tel:1%20%26) b@1 &"
    links = [entity["url"] for entity in body["entities"] if entity["type"] == "text_link"]
    assert links == ["https://crm.example.com/?q=1%20%26"]
    assert said(body, "text_link") == ["@crm @anna_b"]
    assert said(body, "code") == ["@anna_b", "b@1"]
    assert said(body, "bold") == [" &"]


async def test_an_update_answers_the_message_that_it_belongs_to(endpoint: FakeEndpoint) -> None:
    endpoint.answer(BotApi(endpoint))
    async with sink_config(endpoint, revisions="mark").open(sink_context(Path())) as sink:
        first = await sink.deliver(make_delivery())
        await sink.deliver(make_delivery(event=make_event(revision=2), follows=first))
        await sink.deliver(make_delivery(event=make_event(revision=3), follows="@other/7"))
    assert first == f"{CHAT}/1"
    replies = [body_of(request).get("reply_parameters") for request in endpoint.requests]
    assert replies == [None, {"message_id": 1, "allow_sending_without_reply": True}, None]


async def test_topic_channel_and_silence(endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, chat="@anrufe", thread=7, silent=True)
    assert (body["chat_id"], body["message_thread_id"], body["disable_notification"]) == ("@anrufe", 7, True)


# --- what comes back ---


def refusal(status: int, description: str, **parameters: Any) -> Answer:
    body = {"ok": False, "error_code": status, "description": description, "parameters": parameters}
    return Answer(status=status, body=json.dumps(body).encode())


async def outcome(endpoint: FakeEndpoint, answer: Answer) -> Unavailable | Rejected:
    endpoint.answer(answer)
    async with sink_config(endpoint).open(sink_context(Path())) as sink:
        with pytest.raises((Unavailable, Rejected)) as caught:
            await sink.deliver(make_delivery())
    assert isinstance(caught.value, Unavailable | Rejected)
    assert TOKEN not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "BirneXY" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "description", "advice"),
    [
        (401, "Unauthorized", "@BotFather"),
        (404, "Not Found", "@BotFather"),
        (403, "Forbidden: bot was blocked by the user", "unblock"),
        (403, "Forbidden: bot was kicked from the supergroup chat", "add the bot to the chat again"),
        (403, "Forbidden: bot is not a member of the channel chat", "add the bot to the chat"),
        (403, "Forbidden: bot can't initiate conversation with a user", "send the bot a message first"),
        (403, "Forbidden: bots can't send messages to bots", "the number of a person or a group"),
        (403, "Forbidden: BirneXY", "may not write"),
        (400, "Bad Request: chat not found", "check `chat`"),
        (400, "Bad Request: PEER_ID_INVALID", "check `chat`"),
        (400, "Bad Request: not enough rights to send text messages to the chat", "administrator"),
        (400, "Bad Request: need administrator rights in the channel chat", "administrator"),
        (400, "Bad Request: have no rights to send a message", "administrator"),
        (400, "Bad Request: CHAT_WRITE_FORBIDDEN", "administrator"),
        (400, "Bad Request: CHAT_ADMIN_REQUIRED", "administrator"),
        (400, "Bad Request: CHAT_RESTRICTED", "administrator"),
        (400, "Bad Request: message thread not found", "`thread`"),
        (400, "Bad Request: TOPIC_CLOSED", "`thread`"),
        (400, "Bad Request: TOPIC_DELETED", "`thread`"),
        (400, "Logged out", "`api`"),
        *(
            (400, f"Bad Request: {word}", "check `chat` and `thread`")
            for word in (
                "CHAT_SEND_PLAIN_FORBIDDEN",
                "USER_IS_BLOCKED",
                "INPUT_USER_DEACTIVATED",
                "CHANNEL_PRIVATE",
                "TOPIC_ID_INVALID",
                "ALLOW_PAYMENT_REQUIRED_50",
                "BirneXY",
            )
        ),
    ],
)
async def test_what_somebody_can_mend_holds_the_lane(
    status: int, description: str, advice: str, endpoint: FakeEndpoint
) -> None:
    error = await outcome(endpoint, refusal(status, description))
    assert isinstance(error, Unavailable)
    assert error.whole_lane
    assert advice in str(error)


@pytest.mark.parametrize("description", ["user is deactivated", "the group chat was deleted"])
async def test_a_chat_that_is_gone_ends_the_lane(description: str, endpoint: FakeEndpoint) -> None:
    error = await outcome(endpoint, refusal(403, f"Forbidden: {description}"))
    assert isinstance(error, Rejected)
    assert error.whole_lane


@pytest.mark.parametrize(
    "description",
    [
        "message is too long", "Text is too long", "message text is empty", "text must be non-empty",
        "can't parse entities: BirneXY", "can't parse MessageEntity: BirneXY", "entity URL 'BirneXY' is invalid",
    ],
)  # fmt: skip
async def test_a_message_that_is_wrong_is_refused(description: str, endpoint: FakeEndpoint) -> None:
    error = await outcome(endpoint, refusal(400, f"Bad Request: {description}"))
    assert isinstance(error, Rejected)
    assert not error.whole_lane
    assert description.partition(":")[0].partition("'")[0].strip().casefold() in str(error)


async def test_a_group_that_was_upgraded_is_named(endpoint: FakeEndpoint) -> None:
    answer = refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-1009)
    error = await outcome(endpoint, answer)
    assert isinstance(error, Unavailable)
    assert error.whole_lane
    assert 'chat: "-1009"' in str(error)


@pytest.mark.parametrize(
    ("asked", "wait"),
    [(37, timedelta(seconds=37)), (10**9, timedelta(days=1)), (None, None), ("x", None), (-1, None)],
)
async def test_too_many_messages_wait_as_long_as_asked(
    asked: Any, wait: timedelta | None, endpoint: FakeEndpoint
) -> None:
    error = await outcome(endpoint, refusal(429, "Too Many Requests: retry after 37", retry_after=asked))
    assert isinstance(error, Unavailable)
    assert (error.whole_lane, error.retry_after) == (True, wait)


async def test_a_page_of_another_server_is_no_answer(endpoint: FakeEndpoint) -> None:
    error = await outcome(endpoint, Answer(body=b"<html>BirneXY"))
    assert isinstance(error, Unavailable)
    assert error.whole_lane
    assert "check `api`" in str(error)


@pytest.mark.parametrize("body", [b"", b'{"ok":true,"result":{"mess', b'{"ok":true,"result":7}'])
async def test_an_answer_that_breaks_off_is_one(body: bytes, endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(body=body))
    async with sink_config(endpoint).open(sink_context(Path())) as sink:
        assert await sink.deliver(make_delivery()) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"parameters":[1],"description":7}', b"[" * 60_000])
async def test_an_answer_of_no_shape_is_left_to_its_status(body: bytes, endpoint: FakeEndpoint) -> None:
    for status in (400, 500, 502):
        assert isinstance(await outcome(endpoint, Answer(status=status, body=body)), Unavailable)


# --- the configuration ---


def test_the_record_says_where_it_went() -> None:
    assert config().recipient() == f"api.telegram.org {CHAT}"
    assert config(api="https://bots.example:8081/x", chat="@anrufe").recipient() == "bots.example:8081 @anrufe"


def test_a_group_bears_less_than_a_person() -> None:
    rates = [str(config(chat=chat).rate) for chat in (CHAT, "-123456", "@anrufe", "123456")]
    assert rates == ["20/m", "20/m", "20/m", "1/s"]
    assert str(config(chat="123456", rate="2/s").rate) == str(config(chat=CHAT, rate="2/s").rate) == "2/s"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"token": "hunter2"}, "no token of a bot"),
        ({"token": f"bot{TOKEN}/x"}, "no token of a bot"),
        ({"chat": "anrufe"}, "is no chat; write its number"),
        ({"chat": "https://t.me/x"}, "is no chat"),
        ({"chat": "1\n"}, "is no chat"),
        ({"thread": 0}, "greater than or equal to 1"),
        ({"api": "http://10.1.2.3:8081"}, "allow_networks"),
        ({"parse_mode": "HTML"}, "parse_mode"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        config(**settings)
    assert "hunter2" not in str(caught.value)
