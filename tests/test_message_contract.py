"""The contract of sinks that write messages: one sink that keeps it, and the mistakes that it finds."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pytest

from router import (
    Delivery,
    HttpUrl,
    MessageSinkConfig,
    Networks,
    Numbers,
    Part,
    Revisions,
    Sink,
    SinkContext,
    plain_text,
)
from router.errors import Rejected
from router.sink import HttpClient
from router.testing import FakeEndpoint, MessageContract, sink_context

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Postcards(MessageSinkConfig):
    """Writes postcards."""

    kind: Literal["test-postcards"]
    url: HttpUrl
    """Where they go."""
    allow_networks: Networks = ()
    """Networks that may be reached besides public addresses."""
    fault: ClassVar[str] = ""

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """The sink."""
        if self.fault == "speaks German only":
            context = replace(context, language="de")
        async with context.http(allow_networks=self.allow_networks) as client:
            yield Postbox(_with_fault(self), context, client)


def _with_fault(config: Postcards) -> Postcards:
    """What a sink might get wrong."""
    wrong: dict[str, dict[str, Any]] = {
        "sends small talk": {"send": (*config.send, Part.SMALL_TALK)},
        "sends always the same": {"send": (Part.HEADLINE, Part.SUMMARY, Part.ACTION_ITEMS, Part.NOTE)},
        "leaves the note out": {"send": tuple(part for part in config.send if part is not Part.NOTE)},
        "shows numbers": {"numbers": Numbers.FULL},
        "masks always": {"numbers": Numbers.MASKED},
        "marks nothing": {"revisions": Revisions.SEND},
        "marks all": {"revisions": Revisions.MARK},
        "uses its own text": {"template": None},
    }
    return config.model_copy(update=wrong.get(config.fault, {}))


class Postbox:
    def __init__(self, config: Postcards, context: SinkContext, client: HttpClient) -> None:
        self.config, self.client = config, client
        self.writer = config.writer(context)
        self.template = config.template

    async def deliver(self, delivery: Delivery) -> None:
        fault = self.config.fault
        try:
            message = self.writer.write(delivery)
        except Rejected as error:
            if fault == "quotes the call":
                message_ = f"{error}: {delivery.event.summary}"
                raise Rejected(message_) from None
            if fault == "sends it anyway":
                await self._post(delivery.event.summary or "")
            raise
        text = plain_text(message.document)
        if fault == "titles with the number":
            text += delivery.event.caller.raw
        if fault == "is never late":
            text = text.replace("3 Stunden", "")
        if fault == "is always late":
            text += "3 Stunden"
        if fault == "says nothing of an empty call" and not delivery.event.channel.name:
            text = ""
        if fault == "hides who called":
            text = text.replace("386", "").replace("Support", "")
        await self._post(text)

    async def _post(self, text: str) -> None:
        body = json.dumps({"blocks": [{"text": text}], "n": 1}).encode()
        await self.client.post(self.config.url.get_secret_value(), body, {})


def postcards(endpoint: FakeEndpoint) -> Postcards:
    settings = {"kind": "test-postcards", "url": endpoint.url("/s3cr3t"), "allow_networks": "127.0.0.0/8"}
    return Postcards.model_validate(settings)


class TestPostcards(MessageContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> Postcards:
        return postcards(endpoint)


FAULTS: list[tuple[str, str, dict[str, Any]]] = [
    ("sends small talk", "test_a_message_says_what_was_asked_for_by_default", {}),
    ("leaves the note out", "test_a_message_says_what_was_asked_for_by_default", {}),
    ("sends always the same", "test_each_part_brings_its_words_and_no_other", {"part": Part.SUMMARY}),
    ("sends always the same", "test_all_parts_go_together", {}),
    ("sends small talk", "test_without_any_part_the_call_itself_is_told", {}),
    ("hides who called", "test_without_any_part_the_call_itself_is_told", {}),
    ("shows numbers", "test_numbers_leave_as_the_configuration_says", {"numbers": Numbers.MASKED, "headline": None}),
    ("shows numbers", "test_numbers_leave_as_the_configuration_says", {"numbers": Numbers.MASKED, "headline": "x"}),
    ("titles with the number", "test_numbers_leave_as_the_configuration_says", {"numbers": Numbers.MASKED, "headline": "x"}),
    ("masks always", "test_numbers_leave_as_the_configuration_says", {"numbers": Numbers.FULL, "headline": None}),
    ("is never late", "test_a_late_call_says_so", {"hours": 3}),
    ("is always late", "test_a_late_call_says_so", {"hours": 1}),
    ("marks nothing", "test_a_revision_is_marked_where_that_is_asked_for", {"revision": 2, "revisions": Revisions.MARK}),
    ("marks all", "test_a_revision_is_marked_where_that_is_asked_for", {"revision": 2, "revisions": Revisions.SEND}),
    ("speaks German only", "test_the_language_is_that_of_the_context", {}),
    ("uses its own text", "test_a_template_of_ones_own_is_used", {}),
    ("quotes the call", "test_a_template_that_fails_for_a_call_is_rejected", {}),
    ("sends it anyway", "test_a_template_that_fails_for_a_call_is_rejected", {}),
    ("uses its own text", "test_a_template_that_fails_for_a_call_is_rejected", {}),
    ("says nothing of an empty call", "test_a_call_of_which_nothing_is_known_is_told_too", {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "test", "arguments"), FAULTS, ids=[f"{fault}-{n}" for n, (fault, _, _) in enumerate(FAULTS)]
)
async def test_the_contract_finds_a_sink_that(
    fault: str, test: str, arguments: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(test, arguments, tmp_path)
    monkeypatch.setattr(Postcards, "fault", fault)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await run(test, arguments, tmp_path)


async def run(test: str, arguments: dict[str, Any], folder: Path) -> None:
    """One test of the contract, as pytest would run it."""
    async with FakeEndpoint() as endpoint:
        given = {"config": postcards(endpoint), "context": sink_context(folder), "endpoint": endpoint}
        await getattr(MessageContract(), test)(**given, **arguments)


async def test_the_contract_is_for_configurations_with_a_template() -> None:
    console = import_module("router.plugins.console").ConsoleConfig(kind="console")
    with pytest.raises(AssertionError):
        await MessageContract().test_messages_are_made_from_a_template(console)
