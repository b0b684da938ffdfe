"""Sink `slack`: posts a message about each call to a channel, by an incoming webhook or as an app with a token.

How a message is written stands in router/blockkit.py. `parse` and `link_names` are never set: they would look for names.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr, model_validator

from router import (
    Alarm,
    Delivery,
    Discreet,
    Document,
    HttpAnswer,
    HttpClient,
    HttpSinkConfig,
    HttpUrl,
    Message,
    MessageSinkConfig,
    Rate,
    Rejected,
    Revisions,
    Sink,
    SinkConfig,
    SinkContext,
    Unavailable,
    check_url,
    exact_json,
    hookimpl,
    host_of,
    slack_blocks,
    slack_escaped,
    unconfirmed,
)

# --- what Slack answers: docs.slack.dev/reference/methods/chat.postMessage#errors, …/chat.update, and for webhooks
# docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors ---

_NEW_URL = "make a new webhook in Slack and write its URL into the configuration"
_TOKEN = "write a token that is valid into the configuration; Slack shows it under OAuth & Permissions (xoxb-…)"  # noqa: S105
_INVITE = "check the channel's id, and invite the app to the channel (/invite)"
_ADMIN = "ask an administrator of the workspace to allow it"
_SCOPE = "give the app the scope chat:write and install it again"

#: What somebody can mend: nothing is lost until then.
_TO_MEND: Final = {
    "no_service": _NEW_URL, "no_active_hooks": _NEW_URL, "invalid_token": _NEW_URL, "user_not_found": _NEW_URL,
    "no_team": _NEW_URL, "team_disabled": _NEW_URL, "channel_not_found": _INVITE, "not_in_channel": _INVITE,
    "invalid_auth": _TOKEN, "not_authed": _TOKEN, "token_revoked": _TOKEN, "token_expired": _TOKEN,
    "account_inactive": _TOKEN, "not_allowed_token_type": _TOKEN, "missing_scope": _SCOPE, "no_permission": _ADMIN,
    "action_prohibited": _ADMIN, "posting_to_general_channel_denied": _ADMIN, "restricted_action": _ADMIN,
    "restricted_action_read_only_channel": _ADMIN, "restricted_action_thread_only_channel": _ADMIN,
    "access_denied": _ADMIN, "accesslimited": _ADMIN, "ekm_access_denied": _ADMIN, "enterprise_is_restricted": _ADMIN,
    "org_login_required": _ADMIN, "team_access_not_granted": _ADMIN, "messages_tab_disabled": _ADMIN,
}  # fmt: skip
#: The channel is closed for good.
_GONE: Final = ("channel_is_archived", "is_archived")
#: It is busy or away; or it failed by itself.
_BUSY: Final = (
    "ratelimited", "rate_limited", "message_limit_exceeded", "service_unavailable", "external_channel_migrating",
)  # fmt: skip
_FAILED: Final = (
    "fatal_error", "internal_error", "request_timeout", "rollup_error", "team_added_to_org", "update_failed",
)  # fmt: skip
#: The message is wrong; or its blocks are.
_WRONG: Final = (
    "invalid_payload", "invalid_json", "json_not_object", "invalid_arguments", "invalid_form_data", "invalid_charset",
    "no_text", "missing_text_or_fallback_or_attachments", "msg_too_long", "too_many_attachments",
)  # fmt: skip
_WRONG_BLOCKS: Final = ("invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long")
#: There is no message (any more) that could be answered or written anew.
_NO_FIRST: Final = (
    "message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed", "cannot_reply_to_message",
    "restricted_action_thread_locked", "restricted_action_non_threadable_channel", "is_inactive",
)  # fmt: skip

#: What an error looks like, also one that is in no table.
_WORD: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
_SLACK: Final = re.compile(r"(.+\.)?slack(-gov)?\.com", re.IGNORECASE)
_CHANNEL_ID: Final = re.compile(r"[CG][A-Z0-9]{6,}")
_REMOTE_ID: Final = re.compile(r"([A-Z][A-Z0-9]+):([0-9]+\.[0-9]+)")


def _token(token: SecretStr) -> SecretStr:
    if re.fullmatch(r"(xoxe\.)?xoxb-[!-~]+", token.get_secret_value()):
        return token
    found = re.match(r"(?:xoxe\.)?(xoxp|xapp|xoxe|xoxa|xoxc|xoxs)-", token.get_secret_value())
    what = f"begins with {found[1]}-, and is not the token of the app's bot" if found else "is no token of a Slack app"
    message = f"{what}; that begins with xoxb-, and Slack shows it under OAuth & Permissions as Bot User OAuth Token"
    raise Discreet(message)


def _channel(channel: str) -> str:
    if re.fullmatch(r"#?[^\s#@<>,:]{1,80}", channel):
        return channel
    message = (
        'is no channel; write its id like C0123ABCD (at the bottom of its details), or its name in quotes: "#sales"'
    )
    raise Discreet(message)


def _webhook(url: SecretStr) -> SecretStr:
    """Elsewhere than at Slack, others that take Slack's messages may be found under any URL."""
    host, parts = host_of(url), urlsplit(url.get_secret_value())
    if not _SLACK.fullmatch(host):
        return url
    if re.fullmatch(r"https://hooks\.[^/]+/services/[^/]+/[^/]+/[^/]+/?", url.get_secret_value(), re.IGNORECASE):
        return url
    if parts.path.startswith(("/triggers/", "/workflows/")):
        message = "starts a workflow, which takes no messages; make an incoming webhook instead"
    elif parts.scheme.lower() == "http" and re.fullmatch(r"/services/[^/]+/[^/]+/[^/]+/?", parts.path):
        message = "begins with http://, where a webhook of Slack begins with https://"
        raise Discreet(message)
    else:
        message = f"is no webhook but a page of {host}; make an incoming webhook"
    message += ", whose URL is like https://hooks.slack.com/services/T…/B…/…"
    raise Discreet(message, instead=message.replace(f"a page of {host}", "a page"))


class SlackConfig(MessageSinkConfig, HttpSinkConfig):
    """Posts a message about each call to a Slack channel: by an incoming webhook, or as an app with a token."""

    carries_alarms: ClassVar[bool] = True
    kind: Literal["slack"]
    url: Annotated[HttpUrl, AfterValidator(_webhook)] | None = None
    """An incoming webhook; the channel is part of it."""
    token: Annotated[SecretStr, AfterValidator(_token)] | None = None
    """Instead of `url`: the token of an app (xoxb-…) that may post (scope `chat:write`). Goes with `channel`."""
    channel: Annotated[str, AfterValidator(_channel)] | None = None
    """Where the app posts: the channel's id like C0123ABCD, or its name in quotes."""
    updates: Literal["thread", "replace"] = "thread"
    """With a token and `revisions: mark`: answer the call's first message in a `thread`, or `replace` what it says."""
    api: HttpUrl | None = None
    """Where Slack's API is, if not at https://slack.com/api."""
    rate: Rate | None = Rate(1, timedelta(seconds=1))
    """How many attempts may begin in which time; Slack takes about one message a second for each channel."""

    @model_validator(mode="after")
    def _fits(self) -> SlackConfig:
        message = ""
        if (self.url is None) is (self.token is None):
            message = "write either the `url` of a webhook, or a `token` and a `channel`"
        elif self.token and not self.channel:
            message = (
                '`channel` is missing; write an id like C0123ABCD, or a name in quotes ("#sales": # begins a comment)'
            )
        elif self.url and (self.channel or self.api):
            message = "`channel` and `api` go with a `token`; a webhook has its channel in its `url`"
        elif self.url and "updates" in self.model_fields_set:
            message = "`updates` goes with a `token` and a `channel`: what a webhook posted cannot be found again"
        elif "updates" in self.model_fields_set and self.revisions is not Revisions.MARK:
            message = "`updates` goes with `revisions: mark`"
        if message:
            raise Discreet(message)
        check_url(self.endpoint(), self.allow_networks)
        return self

    def endpoint(self) -> SecretStr:
        """The webhook, or what the names of the API's methods are added to."""
        return self.url or self.api or SecretStr("https://slack.com/api")

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A client of its own."""
        async with self.client(context) as client:
            yield Slack(self, client, context)

    def recipient(self) -> str:
        """The channel as far as it is known, and the host."""
        host = host_of(self.endpoint())
        return f"{self.channel} at {host}" if self.channel else host


class _WrongBlocks(Rejected):
    """Slack does not take the blocks."""


class _NoFirst(Rejected):
    """Slack does not find the call's first message, or lets nobody change it."""


class Slack:
    """One channel."""

    def __init__(self, config: SlackConfig, client: HttpClient, context: SinkContext) -> None:
        self._config = config
        self._client = client
        self._writer = config.writer(context)
        self._log = context.log
        self._host = host_of(config.endpoint())
        self._resume = f"then `aftercall resume {context.name}`"

    async def deliver(self, delivery: Delivery) -> str | None:
        """Post it, or revise the call's first message where that is asked for and the message is still there.

        With `updates: replace`, what a later revision overtook is not sent: it would stand over what is newer.
        """
        if delivery.superseded and self._config.updates == "replace":
            self._log.info("delivery.superseded", delivery_id=delivery.id)
            return delivery.follows
        message = self._writer.write(delivery)
        payload = self._payload(message)
        if message.updated and (first := self._first(delivery)):
            channel, ts = first
            try:
                if self._config.updates == "replace":
                    return await self._send("chat.update", {**payload, "channel": channel, "ts": ts}, delivery.id)
                revised = {**payload, "channel": channel, "thread_ts": ts}
                return await self._send("chat.postMessage", revised, delivery.id)
            except _NoFirst:
                pass
        return await self._send("chat.postMessage", payload, delivery.id)

    async def alarm(self, alarm: Alarm) -> None:
        """Post it."""
        notice = self._writer.alarm(alarm)
        await self._send("chat.postMessage", self._payload_of(notice.title, notice.document), alarm.key)

    def _first(self, delivery: Delivery) -> tuple[str, str] | None:
        """Channel and time of the call's first message; None where it is unknown, or in a channel that is no longer ours."""
        found = _REMOTE_ID.fullmatch(delivery.follows or "")
        configured = self._config.channel
        if not found or not configured or (_CHANNEL_ID.fullmatch(configured) and configured != found[1]):
            return None
        return found[1], found[2]

    def _payload(self, message: Message) -> dict[str, Any]:
        """What is shown, and in `text` what notifications say: of 4,000 bytes, which `chat.update` takes, far from all."""
        title = f"{message.title} ({self._writer.wording.label('updated')})" if message.updated else message.title
        return self._payload_of(f"{title}\n{self._writer.wording.facts(message.event)}", message.document)

    def _payload_of(self, text: str, document: Document) -> dict[str, Any]:
        # Others that take Slack's messages look for @all in it.
        text = slack_escaped(text).replace("@", "@\N{WORD JOINER}")
        blocks = slack_blocks(document)
        channel = {"channel": self._config.channel} if self._config.channel else {}
        return {
            "text": text, "blocks": blocks, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False, **channel
        }  # fmt: skip

    async def _send(self, method: str, payload: dict[str, Any], key: str) -> str | None:
        """The remote id. Of blocks that Slack does not take, the text is left: its limits are not all written down.

        A message that is replaced keeps its blocks where none are named (docs.slack.dev/reference/methods/chat.update).
        """
        try:
            return await self._post(method, payload)
        except _WrongBlocks as error:
            self._log.warning("delivery.shortened", delivery_id=key, reason=str(error))
            text = {name: value for name, value in payload.items() if name != "blocks"}
            return await self._post(method, {**text, "blocks": []} if method == "chat.update" else text)

    async def _post(self, method: str, payload: dict[str, Any]) -> str | None:
        url = self._config.endpoint().get_secret_value()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if self._config.token:
            url = f"{url.rstrip('/')}/{method}"
            headers["Authorization"] = f"Bearer {self._config.token.get_secret_value()}"
        answer = await self._client.post(url, exact_json(payload), headers, verdict=self._verdict)
        if not self._config.token:
            return None
        said = _said(answer.body)
        remote_id = f"{said.get('channel')}:{said.get('ts')}"
        return remote_id if _REMOTE_ID.fullmatch(remote_id) else None

    def _verdict(self, answer: HttpAnswer) -> Unavailable | Rejected | None:
        """The API says with 200 that it failed, and so may others that take Slack's messages."""
        said = _said(answer.body)
        word = str(said.get("error", ""))
        if wrong := _meaning(word, f"{self._host} answered {word}", self._resume):
            return wrong
        strangers = not self._config.token and not _SLACK.fullmatch(self._host)
        if said.get("ok") is True or answer.status >= 300 or (strangers and _taken(said)):  # noqa: PLR2004 - a status
            return None
        if _WORD.fullmatch(word):
            return Unavailable(f"{self._host} answered with an error that this version of aftercall does not know")
        return unconfirmed(self._host, answer, "api" if self._config.token else "url")


def _meaning(word: str, reason: str, resume: str) -> Unavailable | Rejected | None:
    """What an error of Slack's is; None where it is in no table. Nothing that Slack says goes on but such a word."""
    if word in _TO_MEND:
        return Unavailable(f"{reason}; {_TO_MEND[word]}", whole_lane=True)
    if word in _GONE:
        return Rejected(f"{reason}; name another channel, {resume}", whole_lane=True)
    if word in _BUSY or word in _FAILED:
        return Unavailable(reason, whole_lane=word in _BUSY)
    for words, error in ((_WRONG, Rejected), (_WRONG_BLOCKS, _WrongBlocks), (_NO_FIRST, _NoFirst)):
        if word in words:
            return error(reason)
    return None


def _taken(said: dict[str, Any]) -> bool:
    """Whether somebody else's answer can mean that: it says something, and nothing of a failure."""
    return bool(said) and "error" not in said and not any(said.get(name) is False for name in ("ok", "success"))


def _said(body: bytes) -> dict[str, Any]:
    """The API's object. A webhook answers with a word: `{"ok": true}`, or the error; a web page is one, too."""
    text = body.decode(errors="replace").strip()
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return {"ok": True} if text == "ok" else {"error": text} if text else {}
    found = parsed if isinstance(parsed, dict) else {}
    if found.get("error", "") is None:
        del found["error"]
    if "error" in found and not isinstance(found["error"], str):
        found["error"] = ""
    return found


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `slack`."""
    return [SlackConfig]
