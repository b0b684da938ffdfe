"""For who writes a sink: the suite that every sink has to pass, and what it takes to write more tests.

It needs pytest and pytest-asyncio. A module of tests for a sink `bell` begins like this:

    from ipaddress import ip_network

    import pytest
    from router.testing import FakeEndpoint, SinkContract, make_delivery, sink_context

    from aftercall_bell import BellConfig


    class TestBell(SinkContract):
        @pytest.fixture
        def config(self, endpoint: FakeEndpoint) -> BellConfig:
            return BellConfig(kind="bell", url=endpoint.url("/ring"), allow_networks=["127.0.0.0/8"])


    @pytest.mark.asyncio
    async def test_it_rings_once(tmp_path):
        async with FakeEndpoint() as endpoint:
            config = BellConfig(kind="bell", url=endpoint.url("/ring"), allow_networks=["127.0.0.0/8"])
            async with config.open(sink_context(tmp_path)) as sink:
                await sink.deliver(make_delivery())
            assert [request.path for request in endpoint.requests] == ["/ring"]

`SinkContract` runs against `endpoint`, a real HTTP server on this machine. A sink whose far side is something else
brings it along in a fixture of its own, and overrides `take_down` and `stall`; one that has none says so with
`far_side = False`.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal, get_args, get_origin
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from router import formats, registry
from router.delivery import Delivery
from router.errors import Unavailable, Unreadable
from router.event import ActionItem, Channel, Event, Number, Participant, Segment, SmallTalk, SmartAnswer, Speaker
from router.fakes import (
    HANG,
    RESET,
    Answer,
    Behaviour,
    CapturedLog,
    FakeEndpoint,
    ManualClock,
    Received,
    eventually,
    make_delivery,
    make_event,
    settle,
    sink_context,
)
from router.formats import body as bodies
from router.sample import bare_event
from router.sink import Part, SinkConfig, SinkContext

__all__ = [
    "HANG",
    "RESET",
    "Answer",
    "Behaviour",
    "CapturedLog",
    "FakeEndpoint",
    "ManualClock",
    "Received",
    "SinkContract",
    "bare_event",
    "eventually",
    "hostile_deliveries",
    "make_delivery",
    "make_event",
    "settle",
    "sink_context",
]

#: What strangers say and name things, if they wish us harm.
HOSTILE_TEXTS = (
    "../../../../etc/cron.d/x", "..", "CON", "-rf ~", "x" * 70_000, "ä" * 300,
    "<script>alert(1)</script>", "[x](javascript:alert(1))", "<!channel> <@U012AB3CD> @here", "---\n# x\n```",
    "{{7*7}} ${7*7} {% for x in [] %} %s {0.__class__}", "=cmd|' /C calc'!A0", "'); DROP TABLE x;--",
    "a\r\nBcc: x@example.org\r\n\r\n<h1>", "=?utf-8?q?x=0ABcc:_v@x.example?=",
    "\u202egpj.exe \u2066x\u2069 \u200b\ufeff", "\x1b[31m\u2028\u2029", "مرحبا שלום 你好 👩‍👩‍👧 e\u0301",
    "a,b\u0661\u0662;\t\"'`\\|*_~$&amp;",
)  # fmt: skip


def hostile_deliveries() -> Iterator[Delivery]:
    """A delivery for each hostile text, which stands wherever text can; one with nothing; the shared cases if here."""
    for number, text in enumerate(HOSTILE_TEXTS):
        event = make_event(
            id=f"019cd6df-0000-7000-8000-{number:012}",
            call_id=text,
            caller=Number(text),
            channel=Channel(text, text),
            headline=text,
            summary=text,
            note=text,
            transcript=(Segment(Speaker.CALLER, 1.0, 2.0, text), Segment(Speaker.OTHER, None, None, text)),
            action_items=(ActionItem(None, text),),
            smart_answers=(SmartAnswer(None, text, text), SmartAnswer(None, text, None)),
            small_talk=(SmallTalk(None, text, text),),
            participants=(Participant(None, text),),
            raw={text: text},
        )
        yield make_delivery(id=f"hostile-{number}", event=event, body=text.encode(), content_type=None)
    yield make_delivery(id="bare", event=bare_event(), body=b"{}")
    for file in sorted(Path("../shared/cases/payloads").glob("**/[0-9]*.json")):
        body = file.read_bytes()
        try:
            parsed = bodies.parse(body)
            form, call = formats.read(parsed.value)
        except Unreadable:
            continue
        event = Event.of(
            call,
            id=file.stem,
            sequence=1,
            source="test",
            format=form,
            received_at=make_event().received_at,
            revision=1,
            raw=parsed.value,
        )
        yield make_delivery(id=file.stem.replace(".", "-"), event=event, body=body)


@pytest.mark.asyncio
class SinkContract:
    """What every sink has to do. Subclass it as `Test…` and override the fixture `config`."""

    #: False: nothing that a delivery needs could ever be away.
    far_side: ClassVar[bool] = True

    @pytest_asyncio.fixture
    async def endpoint(self) -> AsyncIterator[FakeEndpoint]:
        """A far side that speaks HTTP."""
        async with FakeEndpoint() as endpoint:
            yield endpoint

    @pytest.fixture
    def config(self) -> SinkConfig:
        """The sink under test, with a secret in every field that can have one."""
        raise NotImplementedError

    @pytest.fixture
    def context(self, tmp_path: Path) -> SinkContext:
        """What the sink is given."""
        return sink_context(tmp_path)

    async def take_down(self, config: SinkConfig, endpoint: FakeEndpoint) -> SinkConfig:
        """Make the far side go away; the configuration to find it missing with."""
        await endpoint.stop()
        return config

    async def stall(self, config: SinkConfig, endpoint: FakeEndpoint) -> SinkConfig:
        """Make the far side take for ever; the configuration to find that out with."""
        endpoint.answer(HANG)
        return config

    # --- the configuration ---

    async def test_the_kind_is_its_own(self, config: SinkConfig) -> None:
        """`kind: Literal["…"]` with one name, that no other installed sink has."""
        annotation = type(config).model_fields["kind"].annotation
        assert get_origin(annotation) is Literal
        (kind,) = get_args(annotation)
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", kind)
        found = registry.load_kinds().get(kind)
        assert found is None or found.config is type(config)

    async def test_the_schema_describes_every_key(self, config: SinkConfig) -> None:
        """Documents and editors are made from it."""
        schema = type(config).model_json_schema()
        assert (schema.get("description") or "").strip()
        assert [
            name for name, key in schema["properties"].items() if name != "kind" and not key.get("description")
        ] == []

    async def test_the_configuration_is_frozen_and_closed(self, config: SinkConfig) -> None:
        """It may be shared, and a misspelt key is an error."""
        with pytest.raises(ValidationError):
            config.timeout = timedelta(1)  # type: ignore[misc]
        with pytest.raises(ValidationError, match="no_such_key"):
            type(config).model_validate({**config.model_dump(exclude_unset=True), "no_such_key": 1})

    async def test_the_record_of_a_delivery_is_plain(self, config: SinkConfig) -> None:
        """`recipient` and `parts` can be kept for years."""
        assert config.recipient() is None or config.recipient()
        assert set(config.parts()) <= {*Part, "received"}

    async def test_no_secret_shows(self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint) -> None:
        """Neither in a repr, nor in what is kept, logged or raised."""
        shown = [repr(config), str(config), config.model_dump_json(), str(config.recipient())]
        async with config.open(context) as sink:
            shown += [repr(sink), str(sink)]
            await sink.deliver(make_delivery())
        if self.far_side:
            config = await self.take_down(config, endpoint)
            async with config.open(context) as sink:
                with pytest.raises(Unavailable) as caught:
                    await sink.deliver(make_delivery())
            shown.append(str(caught.value))
        shown.append(repr(getattr(context.log, "lines", "")))
        for secret in _secrets(config):
            assert not [text for text in shown if secret in text]

    # --- opening and closing ---

    async def test_nothing_is_left_behind(self, config: SinkConfig, context: SinkContext) -> None:
        """Tasks and descriptors are what they were once the sink is closed."""
        tasks, descriptors = len(asyncio.all_tasks()), _descriptors()
        async with config.open(context) as sink:
            await sink.deliver(make_delivery())
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks and _descriptors() <= descriptors)

    async def test_it_opens_while_the_far_side_is_away(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """A router starts also when a server does not."""
        self._skip_without_far_side()
        config = await self.take_down(config, endpoint)
        async with config.open(context):
            pass

    async def test_a_reload_opens_the_new_one_before_the_old_one_closes(
        self, config: SinkConfig, context: SinkContext
    ) -> None:
        """Two are open for a while, and both deliver."""
        async with config.open(context) as old:
            async with config.open(context) as new:
                await new.deliver(make_delivery(id="new"))
            await old.deliver(make_delivery(id="old"))

    # --- delivering ---

    async def test_deliver_gives_none_or_the_remote_id(self, config: SinkConfig, context: SinkContext) -> None:
        """Also when the same delivery comes a second time, and when many come at once."""
        async with config.open(context) as sink:
            results = [await sink.deliver(make_delivery()), await sink.deliver(make_delivery(attempt=2))]
            results += await asyncio.gather(*(sink.deliver(make_delivery(id=f"id-{n}")) for n in range(10)))
        assert all(result is None or isinstance(result, str) for result in results)

    async def test_whatever_a_call_says_is_delivered(self, config: SinkConfig, context: SinkContext) -> None:
        """Text from a call is data, and no text stops a delivery."""
        async with config.open(context) as sink:
            for delivery in hostile_deliveries():
                result = await sink.deliver(delivery)
                assert result is None or isinstance(result, str), delivery.id

    async def test_a_far_side_that_is_away_is_unavailable(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """With a reason on one line, and no other exception."""
        self._skip_without_far_side()
        config = await self.take_down(config, endpoint)
        async with config.open(context) as sink:
            with pytest.raises(Unavailable) as caught:
                await sink.deliver(make_delivery())
        assert str(caught.value)
        assert "\n" not in str(caught.value)

    async def test_cancellation_passes_through(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """It is the router's timeout, or its end: a sink neither swallows it nor makes it wait."""
        config = await self.stall(config, endpoint)
        async with config.open(context) as sink:
            task = asyncio.create_task(sink.deliver(make_delivery()))
            for _ in range(100):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task}, timeout=5)
            assert task.done()
            assert task.cancelled() or task.exception() is None

    def _skip_without_far_side(self) -> None:
        if not self.far_side:
            pytest.skip("this sink has no far side that could be away")


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208 - counted, not looked at


def _secrets(value: object) -> Iterator[str]:
    """Every secret in a configuration, and of a secret URL each part but the host."""
    match value:
        case SecretStr() | SecretBytes():
            found = value.get_secret_value()
            text = found.decode(errors="replace") if isinstance(found, bytes) else found
            yield text
            if "://" in text:
                parts = urlsplit(text)
                yield from (part for part in (parts.path, parts.query, parts.password) if part and part != "/")
        case BaseModel():
            yield from _secrets(dict(value))
        case Mapping():
            for item in value.values():
                yield from _secrets(item)
        case list() | tuple():
            for item in value:
                yield from _secrets(item)
        case _:
            return
