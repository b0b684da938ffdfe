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

from chats import every_choice_of_parts, vendor
from router import Part, Rate, Rejected, SinkConfig, Unavailable
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

teams = import_module("router.plugins.teams")

PATH = "/workflows/w0rkfl0w/triggers/manual/paths/invoke?api-version=1&sig=t0ken"


def config(url: str = f"https://prod-1.westeurope.logic.azure.com{PATH}", **settings: Any) -> SinkConfig:
    made: SinkConfig = teams.TeamsConfig.model_validate({"kind": "teams", "url": url, **settings})
    return made


#: https://adaptivecards.io/explorer: of each element, what ours may have.
RUN: dict[str, set[Any]] = {
    "type": {"TextRun"},
    "size": {"Large", "Small"},
    "weight": {"Bolder"},
    "isSubtle": {True},
}


def wrong_with(request: Received) -> str | None:
    """The envelope of the workflow's template, and an Adaptive Card in it in which nothing is Markdown."""
    if request.headers["content-type"] != "application/json" or request.path != PATH or len(request.body) > 20_000:
        return "the request"
    sent = json.loads(request.body)
    match sent:
        case {"type": "message", "attachments": [{"contentType": kind, "contentUrl": None, "content": card}], **rest}:
            if rest or kind != "application/vnd.microsoft.card.adaptive":
                return "the attachment"
        case _:
            return "the envelope"
    match card:
        case {"type": "AdaptiveCard", "version": "1.4", "msteams": {"width": "Full"}, "body": [_, *_] as body, **rest}:
            if rest.keys() != {"$schema"}:
                return "the card"
        case _:
            return "the card"
    return next((f"{element}"[:200] for element in body if not good(element)), None)


def good(element: dict[str, Any]) -> bool:
    """Whether it is a line of plain text."""
    match element:
        case {"type": "RichTextBlock", "spacing": "None" | "Small" | "Medium", "inlines": [_, *_] as runs, **rest}:
            return not rest and all(map(good_run, runs))
    return False


def good_run(run: dict[str, Any]) -> bool:
    rest = {key: value for key, value in run.items() if key not in ("text", "selectAction")}
    action = run.get("selectAction", {"type": "Action.OpenUrl", "url": "https://crm.example"})
    return (
        bool(run["text"])
        and not re.search(r"\n|\{\{(DATE|TIME)", run["text"])
        and all(value in RUN[key] for key, value in rest.items())
        and action.keys() == {"type", "url"}
        and action["url"].startswith("https://crm.example")
    )


def accepted() -> web.Response:
    return web.Response(status=202)


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEndpoint]:
    async with vendor(wrong_with, accepted) as endpoint:
        yield endpoint


class TestTeams(MessageContract):
    @pytest.fixture
    async def endpoint(self) -> AsyncIterator[FakeEndpoint]:
        async with vendor(wrong_with, accepted) as endpoint:
            yield endpoint

    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        return config(endpoint.url(PATH), allow_networks=["127.0.0.0/8"])


async def post(endpoint: FakeEndpoint, delivery: Delivery | None = None, **settings: Any) -> list[dict[str, Any]]:
    """Deliver it; the lines of the card that Teams got."""
    made = config(endpoint.url(PATH), allow_networks="127.0.0.0/8", **settings)
    async with made.open(sink_context(Path())) as sink:
        assert await sink.deliver(delivery or make_delivery()) is None
    body: list[dict[str, Any]] = json.loads(endpoint.requests[-1].body)["attachments"][0]["content"]["body"]
    return body


def texts(body: list[dict[str, Any]]) -> list[str]:
    return ["".join(run["text"] for run in line["inlines"]) for line in body]


# --- what is sent ---


async def test_a_message(endpoint: FakeEndpoint) -> None:
    body = await post(endpoint)
    assert texts(body) == [
        "Rückfrage zur Rechnung",
        "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386",
        "Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.",
        "Aufgaben",
        "• Tarifoptionen per E-Mail senden",
        "Notiz",
        "Tarif L anbieten.",
        "KI-Zusammenfassung, kann Fehler enthalten · Regel everything",
    ]
    looks = [{key: line["inlines"][0].get(key) for key in ("size", "weight", "isSubtle")} for line in body]
    assert looks[0] == {"size": "Large", "weight": "Bolder", "isSubtle": None}
    assert looks[3] == {"size": None, "weight": "Bolder", "isSubtle": None}
    assert [line["spacing"] for line in body[2:]] == ["Small", "Medium", "None", "Medium", "None", "Medium"]
    assert looks[-1] == {"size": "Small", "weight": None, "isSubtle": True}


async def test_lines_paragraphs_and_links(endpoint: FakeEndpoint) -> None:
    link = "[Kunde {{ event.headline }}](https://crm.example/?q={{ event.caller.e164 }})"
    template = f"# {{{{ title }}}}\n\n{{{{ event.summary }}}}\n\n**Zum** {link}"
    delivery = make_delivery(event=make_event(summary="eins\nzwei\n\ndrei", headline="[x](y)"))
    body = await post(endpoint, delivery, template=template, numbers="full")
    assert [(line["spacing"], text) for line, text in zip(body, texts(body), strict=True)][1:] == [
        ("Small", "eins"),
        ("None", "zwei"),
        ("Small", "drei"),
        ("Small", "Zum Kunde [x](y)"),
    ]
    assert body[-1]["inlines"][0] == {"type": "TextRun", "text": "Zum", "weight": "Bolder"}
    assert body[-1]["inlines"][-1]["selectAction"] == {
        "type": "Action.OpenUrl",
        "url": "https://crm.example/?q=%2B4915228817386",
    }


@pytest.mark.parametrize("settings", [{}, {"send": tuple(Part)}, {"template": "{{ facts }}\n\n- {{ event.note }}"}])
async def test_no_call_breaks_a_rule(settings: dict[str, Any], endpoint: FakeEndpoint) -> None:
    made = config(endpoint.url(PATH), allow_networks="127.0.0.0/8", **settings)
    async with made.open(sink_context(Path())) as sink:
        for delivery in hostile_deliveries():
            assert await sink.deliver(delivery) is None, delivery.id


async def test_every_choice_of_parts_is_taken(endpoint: FakeEndpoint) -> None:
    for send in every_choice_of_parts():
        await post(endpoint, send=send)


async def test_text_of_a_call_is_shown_as_it_was_said(endpoint: FakeEndpoint) -> None:
    said = '**a** _b_ [c](https://evil.example) <at>Jana</at> - d 1. e \\ `f` "g" {{x}} {{DATE(2026-03-10T08:00:00Z)}}'
    body = await post(endpoint, make_delivery(event=make_event(summary=said)))
    assert texts(body)[2].replace("\u2060", "") == said
    assert "{\u2060{DATE(" in texts(body)[2]
    assert "{{x}}" in texts(body)[2]


@pytest.mark.parametrize("said", ["x" * 90_000, "\U0001f600" * 90_000, '"\\' * 45_000, "a\n" * 45_000])
async def test_long_texts_are_cut_with_a_mark(said: str, endpoint: FakeEndpoint) -> None:
    body = await post(endpoint, make_delivery(event=make_event(summary=said, note=said, headline="kurz")))
    assert 19_000 < len(endpoint.requests[-1].body) <= 20_000
    lines = texts(body)
    assert len([line for line in lines if line.endswith("…")]) == 2
    assert lines[0] == "kurz"
    assert lines[-1].startswith("KI-Zusammenfassung")


# --- what comes back ---


@pytest.mark.parametrize(
    ("status", "code", "kind", "whole_lane", "reason"),
    [
        (401, "DirectApiAuthorizationRequired", Unavailable, True, "`Anyone`"),
        (401, "DirectApiInvalidAuthorizationScheme", Unavailable, True, "`Anyone`"),
        (401, "MisMatchingOAuthClaims", Unavailable, True, "`Anyone`"),
        (400, "WorkflowTriggerIsNotEnabled", Unavailable, True, "turned off"),
        (400, "TriggerInputSchemaMismatch", Unavailable, True, "waits for something else"),
        (404, "WorkflowNotFound", Unavailable, True, "no such workflow"),
        (400, "Brückner", Rejected, False, "answered 400"),
        (400, ["x"], Rejected, False, "answered 400"),
        (413, None, Rejected, False, "answered 413"),
        (429, None, Unavailable, True, "answered 429"),
        (502, "NoResponse", Unavailable, True, "answered 502"),
    ],
)
async def test_what_refusals_mean(
    status: int,
    code: object,
    kind: type[Rejected | Unavailable],
    whole_lane: bool,
    reason: str,
    endpoint: FakeEndpoint,
) -> None:
    body = json.dumps({"error": {"code": code, "message": "Brückner t0ken state 'Disabled'"}})
    endpoint.answer(Answer(status=status, body=body.encode()))
    with pytest.raises(kind, match=reason) as caught:
        await post(endpoint)
    assert isinstance(caught.value, Rejected | Unavailable)
    assert caught.value.whole_lane is whole_lane
    assert "127.0.0.1" in str(caught.value)
    assert not re.search("Brückner|t0ken", str(caught.value))


async def test_a_deleted_workflow_ends_the_lane(endpoint: FakeEndpoint) -> None:
    message = "Could not execute workflow 'x' trigger 'manual' with state 'Deleted': trigger is not enabled."
    body = json.dumps({"error": {"code": "WorkflowTriggerIsNotEnabled", "message": message}})
    endpoint.answer(Answer(status=400, body=body.encode()))
    with pytest.raises(Rejected, match="was deleted") as caught:
        await post(endpoint)
    assert caught.value.whole_lane


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("said", "kind"),
    [("429", Unavailable), ("503", Unavailable), ("404", Unavailable), ("413", Rejected), ("400", Rejected)],
)
async def test_what_teams_said_counts_also_with_a_status_of_success(
    said: str, kind: type[Rejected | Unavailable], status: int, endpoint: FakeEndpoint
) -> None:
    text = (
        f"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {said} with Context"
    )
    endpoint.answer(Answer(status=status, headers={"Retry-After": "7"}, body=text.encode()))
    with pytest.raises(kind, match=f"127.0.0.1:[0-9]+: Teams answered {said}$") as caught:
        await post(endpoint)
    if isinstance(caught.value, Unavailable):
        assert (caught.value.whole_lane, caught.value.retry_after) == (True, timedelta(seconds=7))


async def test_a_workflow_that_is_gone_ends_the_lane_and_says_what_is_next(endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(status=410, body=b"Br\xc3\xbcckner"))
    with pytest.raises(Rejected, match=r"answered 410: .*make a workflow.*, then `aftercall resume \w+`$") as caught:
        await post(endpoint)
    assert caught.value.whole_lane


@pytest.mark.parametrize("body", [b"<html>t0ken login</html>", b"\r\n <!doctype html>"])
async def test_a_page_is_no_answer_of_a_workflow(body: bytes, endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(status=200, body=body))
    with pytest.raises(Unavailable, match=r"answered 200, but not that it has the message: check `url`$") as caught:
        await post(endpoint)
    assert caught.value.whole_lane


@pytest.mark.parametrize("body", [b"", b"1", b"[]", b'{"error": "x"}', b"\xff", b"[" * 60_000])
async def test_other_answers_of_success_are_one(body: bytes, endpoint: FakeEndpoint) -> None:
    endpoint.answer(Answer(status=200, body=body))
    await post(endpoint)


# --- the configuration ---

GUIDED = "retired; make a workflow in Teams"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://contoso.webhook.office.com/webhookb2/t0ken", GUIDED),
        ("https://WEBHOOK.office.com/webhookb2/t0ken", GUIDED),
        ("https://outlook.office.com/webhook/t0ken", GUIDED),
        ("https://outlook.office365.com/webhook/t0ken", GUIDED),
        ("https://prod-1.westeurope.logic.azure.com/workflows/t0ken", "has no `sig=…`"),
        ("https://default1.2.environment.api.powerplatform.com/powerautomate/t0ken?sig=", "has no `sig=…`"),
        (f"http://10.1.2.3{PATH}", "not public"),
        ("https://teams.microsoft.com/l/channel/19%3at0ken%40thread.tacv2/Anrufe?groupId=x", "is a link to a channel"),
        ("https://teams.cloud.microsoft/l/channel/t0ken", "takes no messages; make a workflow in Teams"),
    ],
)
def test_urls_that_do_not_fit(url: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem) as caught:
        config(url)
    assert "t0ken" not in str(caught.value)


def test_what_is_usual() -> None:
    made = config("https://default1.2.environment.api.powerplatform.com:443/powerautomate/x?api-version=1&sig=abc")
    assert made.recipient() == "default1.2.environment.api.powerplatform.com"
    assert made.rate == Rate(1, timedelta(seconds=1))
    assert config("https://webhook.office.com.example/x").recipient() == "webhook.office.com.example"
