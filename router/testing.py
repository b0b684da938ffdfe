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
`far_side = False`. A sink whose configuration is a `MessageSinkConfig` passes `MessageContract`, which is that and more.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from router import formats, registry
from router.alarm import Alarm, Cause
from router.delivery import Delivery
from router.errors import Rejected, Unavailable, Unreadable
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
    make_alarm,
    make_delivery,
    make_event,
    settle,
    sink_context,
)
from router.formats import body as bodies
from router.message import MessageSinkConfig
from router.people import Wording
from router.sample import bare_event
from router.sink import AlarmSink, Numbers, Part, Revisions, SinkConfig, SinkContext

__all__ = [
    "HANG",
    "RESET",
    "Answer",
    "Behaviour",
    "CapturedLog",
    "FakeEndpoint",
    "ManualClock",
    "MessageContract",
    "Received",
    "SinkContract",
    "bare_event",
    "eventually",
    "hostile_deliveries",
    "make_alarm",
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

    async def test_alarms_are_carried_where_the_configuration_says_so(
        self, config: SinkConfig, context: SinkContext
    ) -> None:
        """Every one, raised and cleared, whatever its subject is called."""
        async with config.open(context) as sink:
            assert isinstance(sink, AlarmSink) is config.carries_alarms
            if isinstance(sink, AlarmSink):
                for alarm in _alarms():
                    assert await sink.alarm(alarm) is None  # type: ignore[func-returns-value] # a plugin's may

    async def test_a_far_side_that_is_away_is_unavailable_to_alarms(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """As it is to deliveries; the router tries again."""
        self._skip_without_far_side()
        if not config.carries_alarms:
            return
        config = await self.take_down(config, endpoint)
        async with config.open(context) as sink:
            assert isinstance(sink, AlarmSink)
            with pytest.raises(Unavailable):
                await sink.alarm(make_alarm())

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


#: What a call says in each of its parts, in words that stand nowhere else.
_WORDS: Final[Mapping[Part, tuple[str, ...]]] = {
    Part.HEADLINE: ("Apfelernte",),
    Part.SUMMARY: ("Birnenkompott",),
    Part.ACTION_ITEMS: ("Dattelpalme", "Erdbeerfeld"),
    Part.NOTE: ("Feigenblatt",),
    Part.SMART_ANSWERS: ("Granatapfel", "Heidelbeere"),
    Part.TRANSCRIPT: ("Ingwerwurzel", "Johannisbeere"),
    Part.SMALL_TALK: ("Kirschkern", "Limettensaft"),
    Part.PARTICIPANTS: ("Mandelkuchen",),
}


def _wordy_event(**changes: Any) -> Event:
    """A call that says `_WORDS`."""
    words = _WORDS
    topic, description = words[Part.SMALL_TALK]
    parts: dict[str, Any] = {
        "headline": words[Part.HEADLINE][0],
        "summary": words[Part.SUMMARY][0],
        "action_items": tuple(ActionItem(None, word) for word in words[Part.ACTION_ITEMS]),
        "note": words[Part.NOTE][0],
        "smart_answers": (SmartAnswer(None, *words[Part.SMART_ANSWERS]),),
        "transcript": tuple(Segment(Speaker.CALLER, None, None, word) for word in words[Part.TRANSCRIPT]),
        "small_talk": (SmallTalk(None, topic, description),),
        "participants": (Participant(None, words[Part.PARTICIPANTS][0]),),
        "raw": {"call": " ".join(word for part in Part for word in words[part])},
    }
    return make_event(**parts | changes)


class MessageContract(SinkContract):
    """What every sink has to do that writes messages to people: its configuration is a `MessageSinkConfig`.

    Override `read` where the far side is sent anything but JSON or plain text.
    """

    async def read(self, endpoint: FakeEndpoint) -> str:
        """All that people could read of what has come so far, decoded: as the vendor's own programs would show it."""
        return "\n".join(text for request in endpoint.requests for text in _strings(request.body))

    async def _sent(
        self,
        config: SinkConfig,
        context: SinkContext,
        endpoint: FakeEndpoint,
        delivery: Delivery | None = None,
        **settings: object,
    ) -> str:
        """One delivery with these settings; what people could read of it."""
        async with config.model_copy(update=settings).open(context) as sink:
            await sink.deliver(delivery or make_delivery(event=_wordy_event()))
        return await self.read(endpoint)

    # --- what is sent ---

    async def test_messages_are_made_from_a_template(self, config: SinkConfig) -> None:
        """This suite is about those that are."""
        assert isinstance(config, MessageSinkConfig)

    async def test_a_message_says_what_was_asked_for_by_default(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """Headline, summary, action items and note; nothing else of what was said."""
        default = type(config).model_fields["send"].default
        assert default == (Part.HEADLINE, Part.SUMMARY, Part.ACTION_ITEMS, Part.NOTE)
        assert _words_in(await self._sent(config, context, endpoint, send=default)) == _words_of(*default)

    @pytest.mark.parametrize("part", [pytest.param(part, id=part.value) for part in Part])
    async def test_each_part_brings_its_words_and_no_other(
        self, part: Part, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """And the record of the delivery says which it was."""
        text = await self._sent(config, context, endpoint, send=(part,))
        assert _words_in(text) == _words_of(part)
        assert config.model_copy(update={"send": (part,)}).parts() == (part.value,)

    async def test_all_parts_go_together(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """Where all of them are named."""
        assert _words_in(await self._sent(config, context, endpoint, send=tuple(Part))) == _words_of(*Part)
        assert config.model_copy(update={"send": tuple(Part)}).parts() == tuple(part.value for part in Part)

    async def test_without_any_part_the_call_itself_is_told(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """On which channel, and with whom; none of its words."""
        text = await self._sent(config, context, endpoint, send=())
        assert _words_in(text) == set()
        assert "Support" in text
        assert "386" in text

    @pytest.mark.parametrize("headline", ["Apfelernte", None])
    @pytest.mark.parametrize("numbers", [pytest.param(numbers, id=numbers.value) for numbers in Numbers])
    async def test_numbers_leave_as_the_configuration_says(
        self,
        numbers: Numbers,
        headline: str | None,
        config: SinkConfig,
        context: SinkContext,
        endpoint: FakeEndpoint,
    ) -> None:
        """Also where a title is made of them."""
        delivery = make_delivery(event=_wordy_event(headline=headline))
        text = await self._sent(config, context, endpoint, delivery, numbers=numbers)
        digits = "".join(filter(str.isdecimal, text))
        assert ("4915228817386" in digits) is (numbers is Numbers.FULL)
        assert ("…386" in text) is (numbers is Numbers.MASKED)
        if numbers is Numbers.MASKED:
            assert "28817386" not in digits
            assert "23125014" not in digits

    @pytest.mark.parametrize("hours", [1, 3])
    async def test_a_late_call_says_so(
        self,
        hours: int,
        config: SinkConfig,
        context: SinkContext,
        endpoint: FakeEndpoint,
    ) -> None:
        """And one of the last hour does not."""
        event = _wordy_event()
        clock = ManualClock((event.ended_at or event.received_at) + timedelta(hours=hours))
        text = await self._sent(config, replace(context, clock=clock), endpoint, make_delivery(event=event))
        assert ("3 Stunden" in text) is ("Stunde" in text) is (hours > 1)

    @pytest.mark.parametrize("revisions", [pytest.param(revisions, id=revisions.value) for revisions in Revisions])
    @pytest.mark.parametrize("revision", [1, 2])
    async def test_a_revision_is_marked_where_that_is_asked_for(
        self, revision: int, revisions: Revisions, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """And not the first one, which is none."""
        delivery = make_delivery(event=_wordy_event(revision=revision))
        text = await self._sent(config, context, endpoint, delivery, revisions=revisions)
        assert ("aktualisiert" in text.casefold()) is (revision == 2 and revisions is Revisions.MARK)  # noqa: PLR2004
        assert "Birnenkompott" in text

    async def test_the_language_is_that_of_the_context(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """In what stands around the words of the call."""
        delivery = make_delivery(event=_wordy_event(revision=2, headline=None))
        english = replace(context, language="en", clock=ManualClock(delivery.event.received_at + timedelta(hours=3)))
        text = await self._sent(config, english, endpoint, delivery, revisions=Revisions.MARK, send=tuple(Part))
        for german, word in (("aktualisiert", "updated"), ("stunden", "3 hours"), ("anruf", "call"), ("eing", "inb")):
            assert word in text.casefold()
            assert german not in text.casefold()

    # --- templates ---

    async def test_a_template_of_ones_own_is_used(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """Instead of the built-in one."""
        template = "# {{ title }}\n\nNelkenduft {{ event.note }}"
        text = await self._sent(config, context, endpoint, template=template)
        assert "Nelkenduft Feigenblatt" in text
        assert _words_in(text) == _words_of(Part.HEADLINE, Part.NOTE)

    async def test_a_template_that_fails_for_a_call_is_rejected(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """With the line, and without a word of the call; and nothing is sent."""
        with pytest.raises(Rejected, match=r"template: line 2\b") as caught:
            await self._sent(config, context, endpoint, template="# {{ title }}\n{{ event.summary.nothing.there }}")
        assert _words_in(str(caught.value)) == set()
        assert _words_in(await self.read(endpoint)) == set()

    async def test_a_call_of_which_nothing_is_known_is_told_too(
        self, config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """That somebody called."""
        assert "unbekannt" in await self._sent(config, context, endpoint, make_delivery(event=bare_event()))

    # --- alarms ---

    @pytest.mark.parametrize("language", ["de", "en"])
    async def test_an_alarm_says_what_whom_and_since_when(
        self, language: Literal["de", "en"], config: SinkConfig, context: SinkContext, endpoint: FakeEndpoint
    ) -> None:
        """In the language of the context, also where the sink has a template of its own; and which router says so."""
        if not config.carries_alarms:
            return
        own = config.model_copy(update={"template": "# {{ title }}"})
        alarm, wording = (
            make_alarm(Cause.DEAD, subject="Vertrieb", count=37, router="ber1"),
            Wording(language, context.timezone),
        )
        async with own.open(replace(context, language=language)) as sink:
            assert isinstance(sink, AlarmSink)
            await sink.alarm(alarm)
            await sink.alarm(replace(alarm, cleared=alarm.since + timedelta(days=1)))
        text = await self.read(endpoint)
        raised, cleared = ("Alarm", "Entwarnung") if language == "de" else ("Alarm", "All clear")
        for piece in (raised, cleared, "ber1", "Vertrieb", "37", wording.date(alarm.since)):
            assert piece in text


def _alarms() -> Iterator[Alarm]:
    """One of every cause, raised, cleared and ended, and each with a name that somebody may have thought of."""
    for cause in Cause:
        for subject in ("", "crm", *HOSTILE_TEXTS):
            alarm = make_alarm(cause, subject=subject, count=3, router=subject)
            yield alarm
        yield replace(alarm, cleared=alarm.since + timedelta(hours=1))
        yield replace(alarm, cleared=alarm.since + timedelta(hours=1), unwatched=True)


def _words_of(*parts: Part) -> set[str]:
    return {word for part in parts for word in _WORDS[part]}


def _words_in(text: str) -> set[str]:
    return {word for word in _words_of(*Part) if word.casefold() in text.casefold()}


def _strings(body: bytes) -> Iterator[str]:
    """All texts of a JSON document; the text itself where it is none."""
    try:
        waiting = [json.loads(body)]
    except ValueError:
        yield body.decode(errors="replace")
        return
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting[:0] = [*value, *value.values()]
        elif isinstance(value, list):
            waiting[:0] = value


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
