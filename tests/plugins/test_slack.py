from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from pydantic import ValidationError
from slack_sdk.models.blocks import Block as SlackBlock

from router import MARK, Delivery, HttpAnswer, HttpClient, Part, Rate, Rejected, SinkConfig, Unavailable, utf16
from router.event import ActionItem, Segment, SmallTalk, SmartAnswer, Speaker
from router.sample import hostile_event
from router.testing import (
    Answer,
    CapturedLog,
    FakeEndpoint,
    MessageContract,
    bare_event,
    hostile_deliveries,
    make_delivery,
    make_event,
    sink_context,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

slack = import_module("router.plugins.slack")

HOOK = "https://hooks.slack.com/services/T0123/B0123/s3cr3t"
TOKEN = "xoxb-0123-4567-abcdef"
LOOPBACK = "127.0.0.0/8"
UNESCAPED = re.compile(r"[<>]|&(?!(?:amp|lt|gt);)")
FIRST = "C0123ABCD:1710000000.000100"


# --- a Slack that keeps its rules ---


class BadBlocksError(Exception):
    """What Slack would not take, for whoever reads the test's output."""


def demand(good: object, what: object) -> None:
    if not good:
        raise BadBlocksError(str(what)[:200])


def check_text_object(text: dict[str, Any], most: int) -> None:
    demand(text.keys() == {"type", "text", "emoji"}, text)
    demand((text["type"], text["emoji"]) == ("plain_text", False), text)
    demand(0 < utf16(text["text"]) <= most and text["text"].strip(), text)
    demand(not UNESCAPED.search(text["text"]), text)


def check_section(section: dict[str, Any]) -> None:
    demand(section.keys() == {"type", "elements"} and section["elements"], section)
    demand(section["type"] == "rich_text_section", section)
    for element in section["elements"]:
        demand(element["type"] in ("text", "link"), element)
        demand(element.keys() - {"style"} == {"type", "text"} | ({"url"} & element.keys()), element)
        demand(("url" in element) is (element["type"] == "link"), element)
        demand(element["text"], element)
        demand(element.get("style", {"bold": True}) == {"bold": True}, element)
        demand(re.match(r"https?://[^/]|mailto:|tel:", element.get("url", "tel:")), element)
    demand(sum(utf16(element["text"]) for element in section["elements"]) <= 3000, "a section of over 3,000")


def check_block(block: dict[str, Any]) -> None:
    match block:
        case {"type": "header", "text": text}:
            check_text_object(text, 150)
            demand("\n" not in text["text"], text)
        case {"type": "context", "elements": [element]}:
            check_text_object(element, 3000)
        case {"type": "rich_text", "elements": [_, *_] as elements}:
            for element in elements:
                if element["type"] == "rich_text_list":
                    demand(element.keys() == {"type", "style", "elements"} and element["elements"], element)
                    demand(element["style"] == "bullet", element)
                for section in element["elements"] if element["type"] == "rich_text_list" else [element]:
                    check_section(section)
        case _:
            demand(False, block)
    demand(block.keys() <= {"type", "text", "elements"}, block)


def texts(value: Any) -> Iterator[str]:
    """Every text that is shown in blocks."""
    match value:
        case {"text": str(text)}:
            yield text
        case dict():
            yield from chain.from_iterable(map(texts, value.values()))
        case list():
            yield from chain.from_iterable(map(texts, value))


def counted(blocks: list[dict[str, Any]]) -> int:
    """As far as it is known, and a little more: all as JSON, the text as Slack keeps it, and a hundred a block."""
    written = json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))
    return utf16(written.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")) + 100 * len(blocks)


def check_payload(method: str, payload: dict[str, Any]) -> None:
    keys = {"text", "blocks", "mrkdwn", "unfurl_links", "unfurl_media"}
    wanted = {"chat.postMessage": {"channel"}, "chat.update": {"channel", "ts"}, "webhook": set()}[method]
    demand(wanted | {"text"} <= payload.keys() <= keys | wanted | {"thread_ts"}, payload.keys())
    demand("thread_ts" not in payload or method == "chat.postMessage", method)
    demand((payload["mrkdwn"], payload["unfurl_links"], payload["unfurl_media"]) == (False, False, False), payload)
    text = payload["text"]
    demand(text.strip() and len(text.encode()) <= 4000, "text")
    demand(not UNESCAPED.search(text) and not re.search(r"@\w", text), text)
    blocks = payload.get("blocks", [])
    demand(len(blocks) <= 50, f"{len(blocks)} blocks")
    for block in blocks:
        check_block(block)
    for block in SlackBlock.parse_all(blocks):
        block.validate_json()
    demand(counted(blocks) <= 13_000, f"{counted(blocks)} characters")


class FakeSlack(FakeEndpoint):
    """Takes what Slack takes, at a webhook and at the API, and remembers why it did not take something."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        #: The messages of its channel, by their time.
        self.shown: dict[str, dict[str, Any]] = {}
        self.answer(self.behave)

    async def behave(self, _request: web.BaseRequest) -> web.Response:
        request = self.requests[-1]
        method = request.path.removeprefix("/api/")
        hook = method.startswith("/services/")
        try:
            demand(request.headers["content-type"] == "application/json; charset=utf-8", request.headers)
            demand(hook or request.headers.get("authorization") == f"Bearer {TOKEN}", "authorization")
            payload = json.loads(request.body)
            check_payload("webhook" if hook else method, payload)
        except Exception as problem:  # noqa: BLE001 - slack_sdk's own errors, too
            self.problems.append(f"{type(problem).__name__}: {problem}")
            return web.Response(status=400, text="invalid_blocks") if hook else said("invalid_blocks")
        if hook:
            return web.Response(text="ok")
        ts = payload.get("ts", f"1710000000.{len(self.requests):06}")
        # What an update does not name stays as it is.
        self.shown[ts] = {**self.shown.get(ts, {}), **payload}
        return web.json_response({"ok": True, "channel": "C0123ABCD", "ts": ts})

    def payloads(self) -> list[dict[str, Any]]:
        return [json.loads(request.body) for request in self.requests]


def said(error: str) -> web.Response:
    return web.json_response({"ok": False, "error": error})


def api_error(error: str, **headers: str) -> Answer:
    return Answer(body=json.dumps({"ok": False, "error": error}).encode(), headers=headers)


def made(**settings: Any) -> SinkConfig:
    config: SinkConfig = slack.SlackConfig.model_validate({"kind": "slack", **settings})
    return config


def by_webhook(endpoint: FakeEndpoint, **settings: Any) -> SinkConfig:
    return made(url=endpoint.url("/services/T0123/B0123/s3cr3t"), allow_networks=LOOPBACK, **settings)


def by_token(endpoint: FakeEndpoint, **settings: Any) -> SinkConfig:
    return made(token=TOKEN, channel="C0123ABCD", api=endpoint.url("/api"), allow_networks=LOOPBACK, **settings)


@pytest.fixture
async def far() -> AsyncIterator[FakeSlack]:
    async with FakeSlack() as far:
        yield far


async def post(config: SinkConfig, *deliveries: Delivery, log: CapturedLog | None = None) -> str | None:
    """Deliver them; the remote id of the last one."""
    remote_id = None
    async with config.open(sink_context(Path(), log=log)) as sink:
        for delivery in deliveries or (make_delivery(),):
            remote_id = await sink.deliver(delivery)
    return remote_id


class SlackContract(MessageContract):
    @pytest.fixture
    async def endpoint(self) -> AsyncIterator[FakeEndpoint]:
        async with FakeSlack() as endpoint:
            yield endpoint
            assert endpoint.problems == []


class TestSlackByWebhook(SlackContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        return by_webhook(endpoint)


class TestSlackByToken(SlackContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        return by_token(endpoint)


# --- what is sent ---


async def test_a_message_is_a_header_a_rich_text_and_a_small_line(far: FakeSlack) -> None:
    await post(by_webhook(far))
    (payload,) = far.payloads()
    header, rich, context = payload["blocks"]
    assert header["text"]["text"] == "Rückfrage zur Rechnung"
    text, tasks, items, note, noted = rich["elements"]
    line = "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386"
    assert text["elements"][0] == {"type": "text", "text": line}
    assert text["elements"][1]["text"].startswith("\n\nFrau Brückner")
    assert tasks["elements"] == [{"type": "text", "text": "\nAufgaben", "style": {"bold": True}}]
    assert [list(texts(item)) for item in items["elements"]] == [["Tarifoptionen per E-Mail senden"]]
    assert (list(texts(note)), list(texts(noted))) == (["\nNotiz"], ["Tarif L anbieten."])
    small = "KI-Zusammenfassung, kann Fehler enthalten · Regel everything"
    assert context["elements"] == [{"type": "plain_text", "text": small, "emoji": False}]
    assert payload["text"] == f"Rückfrage zur Rechnung\n{line}"
    assert far.problems == []


def wordy(times: int) -> Delivery:
    """A call that says too much in every part."""
    long = "Wort & <Satz> " * times
    event = make_event(
        headline=long, summary=long, note=long,
        transcript=tuple(Segment(Speaker.CALLER, 0, 1, "Ja. " * 20) for _ in range(times // 8)),
        action_items=tuple(ActionItem(None, text) for text in ("x", long, *"y" * (times // 8))),
        smart_answers=tuple(SmartAnswer(None, "Wer?", "Niemand.") for _ in range(times // 8)),
        small_talk=(SmallTalk(None, long, long),),
    )  # fmt: skip
    return make_delivery(event=event)


async def test_no_combination_of_parts_is_refused(far: FakeSlack) -> None:
    """Of a call that says the worst in every part, and of one that says too much in each."""
    parts = list(Part)
    hostile, long = make_delivery(event=hostile_event()), wordy(150)
    for send in chain.from_iterable(combinations(parts, count) for count in range(len(parts) + 1)):
        await post(by_webhook(far, send=send), *([hostile] if len(send) % 4 else [hostile, long]))
    assert far.problems == []
    assert len(far.requests) > 256


@pytest.mark.case("SLK-04")
async def test_no_length_is_refused(far: FakeSlack) -> None:
    """And what there is room for is used."""
    for times in (10, 100, 1_000, 9_000):
        await post(by_webhook(far, send=list(Part)), wordy(times))
    assert far.problems == []
    assert all(counted(payload["blocks"]) > 10_000 for payload in far.payloads()[1:])
    assert all(MARK in payload["blocks"][0]["text"]["text"] for payload in far.payloads()[1:])


async def test_no_case_is_refused_with_every_part(far: FakeSlack) -> None:
    await post(by_token(far, send=list(Part), numbers="full"), *hostile_deliveries())
    assert far.problems == []


@pytest.mark.parametrize(
    "text",
    [
        "<!channel> <!here> <!everyone> <!subteam^S1> <@U123> <#C1> @channel @here",
        "<https://evil.example|mehr> https://evil.example a@b.example #general :tada: <!date^1^{date}|x>",
        "&lt;!channel&gt; &amp; *fett* _kursiv_ ~weg~ `code` ```\n> Zitat\n• Punkt",
    ],
)
@pytest.mark.case("SLK-01", "SLK-03")
async def test_what_a_call_says_is_text_and_nothing_else(text: str, far: FakeSlack) -> None:
    """SLK-01, SLK-03: in rich text as it is, escaped once elsewhere; no element but text."""
    event = make_event(headline=text, summary=text, action_items=(ActionItem(None, text),), note=None)
    await post(by_webhook(far), make_delivery(event=event))
    (payload,) = far.payloads()
    header, rich, _ = payload["blocks"]
    line = " ".join(text.split())
    escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert header["text"]["text"] == escaped
    assert payload["text"].split("\n")[0].replace("\u2060", "") == escaped
    said, _, items = rich["elements"]
    assert "".join(list(texts(said))[1:]) == f"\n\n{text}"
    assert list(texts(items)) == [line]
    assert '"link"' not in json.dumps(rich)
    assert far.problems == []


@pytest.mark.case("SLK-04")
async def test_a_text_is_cut_with_a_mark_after_it_was_escaped(far: FakeSlack) -> None:
    """SLK-04: never within an entity or an emoji."""
    event = make_event(headline="&" * 190, summary="<👩‍👩‍👧>" * 9000, note="kurz")
    await post(by_webhook(far), make_delivery(event=event))
    header, rich, context = far.payloads()[0]["blocks"]
    assert header["text"]["text"] == "&amp;" * 29 + MARK
    summary = "".join(chain.from_iterable(texts(element) for element in rich["elements"][:-4]))
    assert re.fullmatch(r".*\n\n(<?👩‍👩‍👧>?)+…", summary)
    assert counted(far.payloads()[0]["blocks"]) > 10_000
    assert "".join(texts(rich["elements"][-1])) == "kurz"
    assert "Fehler" in context["elements"][0]["text"]
    assert far.problems == []


async def test_a_long_text_is_parted_and_nothing_of_it_lost(far: FakeSlack) -> None:
    words = " ".join(f"Wort{number}" for number in range(1000))
    await post(by_webhook(far), make_delivery(event=make_event(summary=words)))
    said = "\n".join(texts(far.payloads()[0]["blocks"]))
    assert [word for word in said.split() if word.startswith("Wort")] == words.split()
    assert far.problems == []


async def test_an_item_of_a_list_is_cut_by_itself(far: FakeSlack) -> None:
    event = make_event(action_items=(ActionItem(None, "ä " * 2500), ActionItem(None, "kurz")))
    await post(by_webhook(far), make_delivery(event=event))
    long, short = far.payloads()[0]["blocks"][1]["elements"][2]["elements"]
    assert list(texts(long)) == ["ä " * 1499 + "ä" + MARK]
    assert list(texts(short)) == ["kurz"]
    assert far.problems == []


async def test_links_and_bold_are_those_of_the_template(far: FakeSlack) -> None:
    template = (
        "# [{{ title }}](https://crm.example/)\n**Wer** [im CRM](https://crm.example/?q={{ event.summary }}) da\n"
        "- [Tel](tel:{{ event.caller.e164 }})\n-# klein [mehr](https://crm.example/)\n\n-# klein"
    )
    await post(by_webhook(far, template=template, numbers="full"), make_delivery(event=make_event(summary="a b|>c")))
    header, rich, context = far.payloads()[0]["blocks"]
    assert header["text"]["text"] == "Rückfrage zur Rechnung"
    section, items, small = rich["elements"]
    assert section["elements"] == [
        {"type": "text", "text": "Wer", "style": {"bold": True}},
        {"type": "text", "text": " "},
        {"type": "link", "url": "https://crm.example/?q=a%20b%7C%3Ec", "text": "im CRM"},
        {"type": "text", "text": " da"},
    ]
    assert items["elements"][0]["elements"] == [{"type": "link", "url": "tel:+4915228817386", "text": "Tel"}]
    assert small["elements"][1]["url"] == "https://crm.example/"
    assert context["elements"][0]["text"] == "klein"
    assert far.problems == []


@pytest.mark.parametrize(
    "template",
    [
        "{% for n in range(200) %}# {{ title }}\n{{ event.note }}\n-# {{ event.note }}\n{% endfor %}",
        "{% for n in range(40) %}-# {{ event.summary or title }}\n\n{% endfor %}",
        "[x](https://crm.example/{{ event.summary }})",
        "{% for n in range(90) %}[x](https://crm.example/{{ event.note }}{{ n }}{{ event.note }}) {{ title }}\n\n{% endfor %}",
        "{% for n in range(900) %}- {{ n }}\n{% endfor %}",
        "{% for n in range(82) %}## Kopf\n{{ event.note or title }}\n{% endfor %}",
    ],
)
async def test_no_template_makes_a_message_that_is_refused(template: str, far: FakeSlack) -> None:
    event = make_event(summary="Wort <&> " * 2000, note="n" * 400)
    await post(by_webhook(far, template=template), make_delivery(event=event))
    assert far.problems == []


# --- revisions ---


def revision(**changes: Any) -> Delivery:
    return make_delivery(event=make_event(revision=2), follows=FIRST, **changes)


async def test_the_remote_id_is_channel_and_time(far: FakeSlack) -> None:
    assert await post(by_token(far)) == "C0123ABCD:1710000000.000001"
    assert await post(by_webhook(far)) is None
    assert far.requests[0].path == "/api/chat.postMessage"
    assert far.payloads()[0]["channel"] == "C0123ABCD"


async def test_an_update_answers_in_the_thread_of_the_first_message(far: FakeSlack) -> None:
    await post(by_token(far, revisions="mark"), revision())
    (payload,) = far.payloads()
    assert far.requests[0].path == "/api/chat.postMessage"
    assert (payload["channel"], payload["thread_ts"]) == tuple(FIRST.split(":"))
    assert payload["text"].startswith("Rückfrage zur Rechnung (aktualisiert)\n")
    assert "Fassung 2" in json.dumps(payload["blocks"])
    assert far.problems == []


async def test_where_a_channel_is_named_its_updates_go_where_its_id_says(far: FakeSlack) -> None:
    config = by_token(far, revisions="mark").model_copy(update={"channel": "#sales"})
    await post(config, replace(revision(), follows="C0THERONE:1710000000.000100"))
    assert far.payloads()[0]["channel"] == "C0THERONE"


async def test_an_update_replaces_the_first_message_where_that_is_asked_for(far: FakeSlack) -> None:
    await post(by_token(far, revisions="mark", updates="replace"), revision())
    assert far.requests[0].path == "/api/chat.update"
    assert (far.payloads()[0]["channel"], far.payloads()[0]["ts"]) == tuple(FIRST.split(":"))
    assert far.problems == []


async def test_an_older_revision_replaces_no_newer_one(far: FakeSlack) -> None:
    """Held by a retry, and overtaken: nothing is sent, and the log says so. In a thread it is an answer like any other."""
    log = CapturedLog()
    late = replace(revision(), superseded=True)
    for follows in (FIRST, None):
        config = by_token(far, revisions="mark", updates="replace")
        assert await post(config, replace(late, follows=follows), log=log) == follows
    assert far.requests == []
    assert [(level, event) for level, event, _ in log.lines] == [("info", "delivery.superseded")] * 2
    await post(by_token(far, revisions="mark"), late)
    assert far.payloads()[0]["thread_ts"] == FIRST.split(":")[1]


@pytest.mark.parametrize("updates", ["thread", "replace"])
@pytest.mark.parametrize("word", [*slack._NO_FIRST])
async def test_where_the_first_message_is_gone_an_update_is_a_new_one(word: str, updates: str, far: FakeSlack) -> None:
    far.answer(api_error(word), far.behave)
    assert await post(by_token(far, revisions="mark", updates=updates), revision()) == "C0123ABCD:1710000000.000002"
    assert far.requests[1].path == "/api/chat.postMessage"
    assert far.payloads()[1]["channel"] == "C0123ABCD"
    assert "thread_ts" not in far.payloads()[1]


@pytest.mark.parametrize(
    ("settings", "delivery"),
    [
        ({"revisions": "send"}, revision()),
        ({"revisions": "mark"}, make_delivery(follows=FIRST)),
        ({"revisions": "mark"}, replace(revision(), follows=None)),
        ({"revisions": "mark"}, replace(revision(), follows="data/a.md")),
        ({"revisions": "mark"}, replace(revision(), follows="C0THERONE:1710000000.000100")),
    ],
)
async def test_what_is_no_update_of_a_message_is_a_new_one(
    settings: dict[str, Any], delivery: Delivery, far: FakeSlack
) -> None:
    await post(by_token(far, **settings), delivery)
    assert far.payloads()[0]["channel"] == "C0123ABCD"
    assert "thread_ts" not in far.payloads()[0]


async def test_an_update_by_webhook_is_a_new_message(far: FakeSlack) -> None:
    assert await post(by_webhook(far, revisions="mark"), revision()) is None
    assert "(aktualisiert)" in far.payloads()[0]["text"]


# --- what Slack answers ---


async def failure(config: SinkConfig, *answers: Answer, far: FakeSlack) -> Unavailable | Rejected:
    far.answer(*answers)
    with pytest.raises((Unavailable, Rejected)) as caught:
        await post(config)
    assert f"127.0.0.1:{far.port} " in str(caught.value)
    assert not re.search(r"services|s3cr3t|xoxb-0", str(caught.value))
    error = caught.value
    assert isinstance(error, Unavailable | Rejected)
    return error


VERDICTS = [
    *((word, Unavailable, True) for word in slack._TO_MEND),
    *((word, Rejected, True) for word in slack._GONE),
    *((word, Unavailable, True) for word in slack._BUSY),
    *((word, Unavailable, False) for word in slack._FAILED),
    *((word, Rejected, False) for word in (*slack._WRONG, *slack._WRONG_BLOCKS)),
]


def test_the_tables_hold_the_words_that_are_known() -> None:
    """Those that Slack's pages name, each in the table where it belongs."""
    table = {word: (kind, lane) for word, kind, lane in VERDICTS}
    for word in ("no_service", "no_team", "channel_not_found", "action_prohibited", "user_not_found", "invalid_token",
                 "posting_to_general_channel_denied", "invalid_auth", "token_revoked", "token_expired", "missing_scope",
                 "account_inactive", "not_in_channel", "restricted_action"):  # fmt: skip
        assert table[word] == (Unavailable, True)
    for word in ("invalid_payload", "no_text", "too_many_attachments", "msg_too_long", "invalid_blocks"):
        assert table[word] == (Rejected, False)
    for word in ("fatal_error", "internal_error", "request_timeout", "rollup_error", "update_failed"):
        assert table[word] == (Unavailable, False)
    assert table["channel_is_archived"] == table["is_archived"] == (Rejected, True)
    for word in ("ratelimited", "service_unavailable", "external_channel_migrating"):
        assert table[word] == (Unavailable, True)
    assert "is_inactive" in slack._NO_FIRST


@pytest.mark.parametrize(("word", "kind", "lane"), VERDICTS)
@pytest.mark.case("SLK-06")
async def test_each_word_of_slack_has_its_meaning(word: str, kind: type, lane: bool, far: FakeSlack) -> None:
    """SLK-06: at a webhook with any status, at the API with 200."""
    for status in (200, 400, 404):
        error = await failure(by_webhook(far), Answer(status=status, body=word.encode()), far=far)
        assert (isinstance(error, kind), error.whole_lane) == (True, lane)
        assert word in str(error)
    error = await failure(by_token(far), api_error(word), far=far)
    assert (isinstance(error, kind), error.whole_lane) == (True, lane)
    assert word in str(error)


@pytest.mark.parametrize(
    ("answer", "kind", "lane"),
    [
        (Answer(status=400, body=b"something_new"), Rejected, False),
        (Answer(status=403, body=b"something_new"), Unavailable, False),
        (Answer(status=404, body=b"<html>not found</html>"), Unavailable, False),
        (Answer(status=410, body=b"gone"), Rejected, True),
        (Answer(status=500), Unavailable, False),
        (Answer(status=429), Unavailable, True),
        (Answer(status=302, body=b"ok"), Unavailable, False),
        (Answer(body=b"<!doctype html><title>Anmelden</title>"), Unavailable, True),
    ],
)
async def test_what_is_not_known_is_left_to_the_status(answer: Answer, kind: type, lane: bool, far: FakeSlack) -> None:
    error = await failure(by_webhook(far), answer, far=far)
    assert (isinstance(error, kind), error.whole_lane) == (True, lane)
    assert "something_new" not in str(error)
    assert "Anmelden" not in str(error)


async def test_an_error_that_is_not_known_is_said_to_be_one(far: FakeSlack) -> None:
    for config, answer in (
        (by_webhook(far), Answer(body=b"something_new")),
        (by_webhook(far), api_error("something_new")),
        (by_token(far), api_error("something_new")),
    ):
        error = await failure(config, answer, far=far)
        assert isinstance(error, Unavailable)
        assert not error.whole_lane
        assert "answered with an error that this version of aftercall does not know" in str(error)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"[" * 60_000, b"<html>", b"{}", b'{"ok": 1}', b'{"error": ["x"]}', b"\xff"]
)
async def test_the_api_has_the_message_only_if_it_says_so(body: bytes, far: FakeSlack) -> None:
    assert isinstance(await failure(by_token(far), Answer(body=body), far=far), Unavailable)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"7", b'"ok"', b"{}", b'{"ok": false}', b'{"success": false}', b'{"ok": false, "x": 1}',
        b'{"error": null}', b'{"error": ["x"]}', b"<html>", b"OK, but no",
    ],
)  # fmt: skip
async def test_a_webhook_that_does_not_say_that_it_has_the_message_is_asked_again(body: bytes, far: FakeSlack) -> None:
    error = await failure(by_webhook(far), Answer(body=body), far=far)
    assert isinstance(error, Unavailable)
    assert str(error).endswith("answered 200, but not that it has the message: check `url`")


@pytest.mark.parametrize("body", [b'{"success": true}', b'{"result": "success"}', b"", b"OK"])
def test_at_slack_only_ok_is_a_message_that_arrived(body: bytes) -> None:
    sink = slack.Slack(made(url=HOOK), HttpClient, sink_context(Path()))
    assert sink._verdict(HttpAnswer(200, b"ok")) is None
    assert isinstance(sink._verdict(HttpAnswer(200, body)), Unavailable)


@pytest.mark.parametrize(
    "body", [b"ok", b"ok\n", b'{"success": true}', b'{"ok": true}', b'{"success": true, "error": null}']
)
async def test_others_may_take_the_message_in_their_own_words(body: bytes, far: FakeSlack) -> None:
    far.answer(Answer(body=body))
    assert await post(by_webhook(far)) is None
    assert len(far.requests) == 1


@pytest.mark.parametrize("more", [{}, {"channel": 1, "ts": 2}, {"channel": "C1\n", "ts": "1.0"}, {"channel": "C1"}])
async def test_a_message_without_a_usable_id_is_delivered_without_one(more: dict[str, Any], far: FakeSlack) -> None:
    far.answer(Answer(body=json.dumps({"ok": True, **more}).encode()))
    assert await post(by_token(far)) is None


async def test_slack_says_how_long_to_wait(far: FakeSlack) -> None:
    limited = Answer(status=429, headers={"Retry-After": "30"}, body=b"rate_limited")
    for config, answer in (
        (by_webhook(far), limited),
        (by_token(far), api_error("ratelimited", **{"Retry-After": "30"})),
    ):
        error = await failure(config, answer, far=far)
        assert isinstance(error, Unavailable)
        assert (error.retry_after, error.whole_lane) == (timedelta(seconds=30), True)


@pytest.mark.parametrize("word", slack._WRONG_BLOCKS)
async def test_of_blocks_that_slack_does_not_take_the_text_is_left(word: str, far: FakeSlack) -> None:
    """Its limits are not all written down; better short than dead. The log says that it was."""
    log = CapturedLog()
    far.answer(api_error(word), far.behave)
    assert await post(by_token(far), log=log) == "C0123ABCD:1710000000.000002"
    first, second = far.payloads()
    assert {**second, "blocks": first["blocks"]} == first
    ((level, event, fields),) = log.lines
    assert (level, event, fields["delivery_id"]) == ("warning", "delivery.shortened", make_delivery().id)
    assert word in fields["reason"]
    assert far.problems == []


@pytest.mark.parametrize("word", slack._WRONG_BLOCKS)
async def test_the_text_that_is_left_of_an_update_stands_below_no_old_blocks(word: str, far: FakeSlack) -> None:
    """Slack keeps a message's blocks where an update names none."""
    config = by_token(far, revisions="mark", updates="replace")
    first = await post(config)
    assert first is not None
    far.answer(api_error(word), far.behave)
    again = replace(revision(), follows=first, event=make_event(revision=2, headline="Doch nicht"))
    assert await post(config, again) == first
    (message,) = far.shown.values()
    assert (message["blocks"], message["text"].split("\n")[0]) == ([], "Doch nicht (aktualisiert)")
    assert far.problems == []


# --- the configuration ---


def test_the_record_says_where_it_went() -> None:
    assert made(url=HOOK).recipient() == "hooks.slack.com"
    assert made(token=TOKEN, channel="#sales").recipient() == "#sales at slack.com"
    assert made(url=HOOK).rate == Rate.parse("1/s")
    assert made(url=HOOK).give_up == timedelta(hours=12)


@pytest.mark.parametrize(
    "settings",
    [
        {"url": HOOK},
        {"url": "https://hooks.slack-gov.com/services/T1/B1/x/"},
        {"url": "https://chat.example.com/hooks/abc"},
        {"url": "https://myslack.com/hooks/abc"},
        {"token": TOKEN, "channel": "C0123ABCD", "revisions": "mark", "updates": "replace"},
        {"token": "xoxe.xoxb-1-abc", "channel": "vertrieb-süd", "api": "https://slack-gov.com/api"},
    ],
)
def test_settings_that_fit(settings: dict[str, Any]) -> None:
    made(**settings)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "either the `url` of a webhook, or a `token`"),
        ({"url": HOOK, "token": TOKEN, "channel": "C0123ABCD"}, "either the `url` of a webhook, or a `token`"),
        ({"token": TOKEN}, "`channel` is missing"),
        ({"token": TOKEN, "channel": None}, "# begins a comment"),
        ({"channel": "C0123ABCD"}, "either the `url` of a webhook, or a `token`"),
        ({"url": HOOK, "channel": "C0123ABCD"}, "a webhook has its channel"),
        ({"url": HOOK, "api": "https://slack.com/api"}, "go with a `token`"),
        ({"url": HOOK, "updates": "replace", "revisions": "mark"}, "cannot be found again"),
        ({"token": TOKEN, "channel": "C1", "updates": "thread"}, "goes with `revisions: mark`"),
        ({"token": "hunter2", "channel": "C1"}, "begins with xoxb-"),
        ({"token": "xoxp-1-hunter2", "channel": "C1"}, "begins with xoxp-, and is not the token of the app's bot"),
        ({"token": "xoxe.xoxp-1-hunter2", "channel": "C1"}, "begins with xoxp-, and is not"),
        ({"token": "xoxb-1\r\nX: hunter2", "channel": "C1"}, "begins with xoxb-"),
        ({"token": TOKEN, "channel": "@anna"}, "write its id like C0123ABCD"),
        ({"token": TOKEN, "channel": "https://acme.slack.com/archives/C1"}, "write its id"),
        ({"token": TOKEN, "channel": "a b"}, "write its id"),
        ({"url": "hooks.slack.com/services/hunter2"}, "https:// or http:// and a host"),
        ({"url": "https://app.slack.com/client/T1/hunter2"}, "is no webhook but a page of app.slack.com"),
        ({"url": "https://acme.slack.com/archives/hunter2"}, "is no webhook but a page of acme.slack.com"),
        ({"url": "https://hooks.slack.com/services/T1/hunter2"}, "make an incoming webhook, whose URL"),
        (
            {"url": "http://hooks.slack.com/services/T1/B1/hunter2"},
            "begins with http://, where a webhook of Slack begins with https://",
        ),
        ({"url": "https://hooks.slack.com/triggers/T1/2/hunter2"}, "starts a workflow"),
        ({"url": "https://10.1.2.3/hooks/hunter2"}, "write allow_networks"),
        ({"token": TOKEN, "channel": "C1", "api": "http://localhost/"}, "write allow_networks"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(problem)) as caught:
        made(**settings)
    assert "hunter2" not in str(caught.value)


async def test_a_call_of_which_nothing_is_known(far: FakeSlack) -> None:
    await post(by_webhook(far, send=[], language="en"), make_delivery(event=bare_event(), routes=()))
    assert far.problems == []
    assert far.payloads()[0]["text"].strip()
