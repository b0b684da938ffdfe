"""Sink `teams`: posts each call to a channel or chat of Microsoft Teams, by a workflow that waits for webhook requests."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Final, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import model_validator

from router import (
    Alarm,
    Block,
    Delivery,
    Discreet,
    HttpAnswer,
    HttpClient,
    HttpSinkConfig,
    HttpUrl,
    Line,
    MessageSinkConfig,
    Notice,
    Rate,
    Rejected,
    Sink,
    SinkConfig,
    SinkContext,
    Span,
    Style,
    Unavailable,
    check_url,
    exact_json,
    fitted,
    hookimpl,
    host_of,
    unconfirmed,
)

#: Bytes of a body. Microsoft says 28 KB, of the message as Teams keeps it; 21 KB were measured to be taken.
BUDGET: Final = 20_000

#: Office 365 connectors: https://devblogs.microsoft.com/microsoft365dev/retirement-of-office-365-connectors-within-microsoft-teams/
_CONNECTOR = re.compile(r"(.+\.)?webhook\.office\.com|outlook\.office(365)?\.com", re.IGNORECASE)
_WORKFLOW = re.compile(r".+\.(logic\.azure\.com|powerplatform\.com)", re.IGNORECASE)
#: What "Copy link" of a channel gives.
_LINK = re.compile(r"teams\.(microsoft|live|cloud\.microsoft)(\.com)?", re.IGNORECASE)
_HOW = "make a workflow in Teams (Workflows > Send webhook alerts to a channel), and write its URL"


class TeamsConfig(MessageSinkConfig, HttpSinkConfig):
    """Posts each call to a channel or chat of Microsoft Teams."""

    carries_alarms: ClassVar[bool] = True

    kind: Literal["teams"]
    url: HttpUrl
    """The URL of a workflow, from the Workflows app in Teams or from Power Automate."""
    rate: Rate | None = Rate(1, timedelta(seconds=1))
    """How many attempts may begin in which time, like `1/s`; Teams takes four a second."""

    @model_validator(mode="after")
    def _fits(self) -> TeamsConfig:
        check_url(self.url, self.allow_networks)
        url = urlsplit(self.url.get_secret_value())
        host = url.hostname or ""
        if _CONNECTOR.fullmatch(host):
            message = f"`url` is that of an Office 365 connector ({host}), which Microsoft has retired; {_HOW}"
            raise Discreet(message, instead=message.replace(f" ({host})", ""))
        if _LINK.fullmatch(host):
            message = f"`url` is a link to a channel or a page of Teams ({host}), which takes no messages; {_HOW}"
            raise Discreet(message, instead=message.replace(f" ({host})", ""))
        if _WORKFLOW.fullmatch(host) and not parse_qs(url.query).get("sig"):
            message = "`url` has no `sig=…`: copy all of it, and let `Anyone` trigger the workflow"
            raise Discreet(message)
        return self

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A client of its own."""
        async with self.client(context) as client:
            yield Teams(self, client, context)

    def recipient(self) -> str:
        """The host: path and query are a secret."""
        return host_of(self.url)


class Teams:
    """One workflow."""

    def __init__(self, config: TeamsConfig, client: HttpClient, context: SinkContext) -> None:
        self._url = config.url.get_secret_value()
        self._host = config.recipient()
        self._resume = f"then `aftercall resume {context.name}`"
        self._client = client
        self._writer = config.writer(context)

    async def deliver(self, delivery: Delivery) -> None:
        """Post it. A workflow takes a request before it does anything with it: what fails then, only Teams knows."""
        await self._post(self._writer.write(delivery))

    async def alarm(self, alarm: Alarm) -> None:
        """Post it."""
        await self._post(self._writer.alarm(alarm))

    async def _post(self, notice: Notice) -> None:
        body = exact_json(_posted(notice))
        await self._client.post(self._url, body, {"Content-Type": "application/json"}, verdict=self._verdict)

    def _verdict(self, answer: HttpAnswer) -> Unavailable | Rejected | None:
        """By the code that Power Automate names, or by what it says of Teams, also with a status of 200."""
        if matched := _TEAMS_SAID.search(answer.body):
            reason = f"{self._host}: Teams answered {matched[1].decode()}"
            return Rejected(reason) if matched[1] in _REFUSED else Unavailable(reason, whole_lane=True)
        error = answer.json().get("error")
        code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, None)
        if code == _OFF and "'Deleted'" in str(message):
            return Rejected(f"{self._host}: the workflow was deleted; {_HOW}, {self._resume}", whole_lane=True)
        if isinstance(code, str) and code in _MENDABLE:
            return Unavailable(f"{self._host}: {_MENDABLE[code]}", whole_lane=True)
        if answer.status == _GONE:
            return Rejected(f"{self._host} answered 410: the workflow is gone; {_HOW}, {self._resume}", whole_lane=True)
        if 200 <= answer.status <= 299 and answer.body.lstrip()[:1] == b"<":  # noqa: PLR2004 - statuses
            return unconfirmed(self._host, answer)
        return None


_GONE = 410
#: https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using#rate-limiting-for-connectors
_TEAMS_SAID = re.compile(rb"Microsoft Teams endpoint returned HTTP error (\d{3})")
_REFUSED: Final = frozenset({b"400", b"413"})
_OFF = "WorkflowTriggerIsNotEnabled"
_SIGN_IN = "the workflow wants a sign-in; let `Anyone` trigger it, and write the URL that it has then"
_MENDABLE: Final = {
    _OFF: "the workflow is turned off; turn it on in Power Automate",
    "DirectApiAuthorizationRequired": _SIGN_IN,
    "DirectApiInvalidAuthorizationScheme": _SIGN_IN,
    "MisMatchingOAuthClaims": _SIGN_IN,
    "TriggerInputSchemaMismatch": f"the workflow waits for something else; {_HOW}",
    "WorkflowNotFound": f"there is no such workflow; {_HOW}",
}


# --- how it is written ---


def _posted(notice: Notice) -> dict[str, Any]:
    """An Adaptive Card in the envelope that workflows pass on; nothing in it is read as Markdown.

    https://learn.microsoft.com/adaptive-cards/schema-explorer/text-run: the text of a run is plain, and a `TextBlock`,
    whose text is not, is used nowhere. Mentions take an entity that no card of ours has.
    """
    title, rest = notice.headed()
    possible = tuple(replace(block, lines=block.lines[:_MOST_LINES]) for block in (title, *rest))
    document = fitted(possible, BUDGET - len(exact_json(_envelope([]))), _size)
    body: list[dict[str, Any]] = []
    below_heading = False
    for block in document:
        first, *more = _elements(block)
        body += [first | {"spacing": "None"} if below_heading else first, *more]
        below_heading = block.style is Style.HEADING
    return _envelope(body)


#: More than there is room for, half of them empty: what is beyond costs time only.
_MOST_LINES: Final = 600


def _envelope(body: list[dict[str, Any]]) -> dict[str, Any]:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": body,
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _size(block: Block) -> int:
    """Bytes of its JSON; the brackets around stand for the comma behind."""
    return len(exact_json(list(_elements(block))))


_LOOKS: Final[dict[Style, dict[str, Any]]] = {
    Style.TITLE: {"size": "Large", "weight": "Bolder"},
    Style.HEADING: {"weight": "Bolder"},
    Style.TEXT: {},
    Style.ITEMS: {},
    Style.FINE_PRINT: {"size": "Small", "isSubtle": True},
}


def _elements(block: Block) -> Iterator[dict[str, Any]]:
    """One for each line, as not every client breaks lines inside of one."""
    spacing = "Medium" if block.style in (Style.HEADING, Style.FINE_PRINT) else "Small"
    for line in block.lines:
        if line:
            yield {"type": "RichTextBlock", "spacing": spacing, "inlines": list(_runs(block.style, line))}
        spacing = "None" if line else "Small"


def _runs(style: Style, line: Line) -> Iterator[dict[str, Any]]:
    if style is Style.ITEMS:
        yield {"type": "TextRun", "text": "• "}
    for span in line:
        yield _run(span, _LOOKS[style])


def _run(span: Span, looks: dict[str, Any]) -> dict[str, Any]:
    run = {"type": "TextRun", "text": _FUNCTION.sub("{\u2060{", span.text), **looks}
    if span.bold:
        run["weight"] = "Bolder"
    if span.link:
        run["selectAction"] = {"type": "Action.OpenUrl", "url": span.link}
    return run


#: `{{DATE(…)}}` would be filled in: https://learn.microsoft.com/adaptive-cards/authoring-cards/text-features. The word
#: joiner in between is seen by nobody.
_FUNCTION = re.compile(r"\{\{(?=DATE|TIME)")


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `teams`."""
    return [TeamsConfig]
