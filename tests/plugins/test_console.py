from __future__ import annotations

import asyncio
import fcntl
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from router import AlarmSink, SinkConfig, Unavailable
from router.event import Channel, Direction, Number
from router.testing import SinkContract, bare_event, make_alarm, make_delivery, make_event, settle, sink_context

if TYPE_CHECKING:
    from collections.abc import Iterator

console = import_module("router.plugins.console")

LINE = "2026-03-10 09:15:04+01:00  +49 152 …386 → Support  5:12  019cd6de-e2a0-7000-8000-000000000001\n"


def config(**settings: Any) -> SinkConfig:
    made: SinkConfig = console.ConsoleConfig.model_validate({"kind": "console", **settings})
    return made


async def shown(capfd: pytest.CaptureFixture[str], *deliveries: Any, **settings: Any) -> str:
    async with config(**settings).open(sink_context(Path())) as sink:
        for delivery in deliveries or (make_delivery(),):
            assert await sink.deliver(delivery) is None
    return capfd.readouterr().out


class TestConsole(SinkContract):
    far_side = False

    @pytest.fixture
    def config(self) -> SinkConfig:
        return config()


class TestConsoleWithContent(SinkContract):
    far_side = False

    @pytest.fixture
    def config(self) -> SinkConfig:
        return config(content=True, send=["transcript"])


async def test_one_line_says_when_who_how_long_and_which(capfd: pytest.CaptureFixture[str]) -> None:
    assert await shown(capfd) == LINE


@pytest.mark.parametrize(
    ("changes", "piece"),
    [
        ({"direction": Direction.OUTBOUND}, "  Support → +49 302 …014  "),
        ({"direction": Direction.UNKNOWN}, "  +49 152 …386 – Support  "),
        ({"duration": None}, "  –  "),
        ({"channel": Channel()}, "  +49 152 …386 → +49 302 …014  "),
        ({"started_at": None}, "2026-03-10 09:20:21+01:00  "),
        ({"revision": 2}, "000001  (aktualisiert)\n"),
    ],
)
async def test_the_line_bears_what_is_missing_or_odd(
    changes: dict[str, Any], piece: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert piece in await shown(capfd, make_delivery(event=make_event(**changes)))


async def test_numbers_can_be_shown(capfd: pytest.CaptureFixture[str]) -> None:
    assert "+49 1522 8817386 → Support" in await shown(capfd, numbers="full")


async def test_a_call_cannot_write_a_second_line(capfd: pytest.CaptureFixture[str]) -> None:
    text = "Support\r\n2026-03-16 ERROR forged\x1b[31m\u2028\u202e"
    out = await shown(capfd, make_delivery(event=make_event(channel=Channel(text, text), caller=Number(text))))
    assert out.count("\n") == len(out.splitlines()) == 1
    assert not set("\x1b\r\u202e") & set(out)


async def test_nothing_of_what_was_said_is_on_the_line(capfd: pytest.CaptureFixture[str]) -> None:
    event = make_event(headline="s3cr3t", summary="s3cr3t", note="s3cr3t", raw="s3cr3t")
    assert "s3cr3t" not in await shown(capfd, make_delivery(event=event))
    assert config().parts() == ()


async def test_content_is_a_page_with_the_parts_that_were_chosen(capfd: pytest.CaptureFixture[str]) -> None:
    out = await shown(capfd, content=True, send=["summary"])
    assert [line for line in out.splitlines() if line.startswith("#")] == [
        "# Anruf +49 152 …386 → Support",
        "## Zusammenfassung",
    ]
    assert config(content=True, send=["summary"]).parts() == ("summary",)
    assert "headline" in config(content=True).parts()


async def test_a_call_of_nothing_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    out = await shown(capfd, make_delivery(event=bare_event()))
    assert out == f"2026-03-10 09:21:21+01:00  unbekannt – unbekannt  –  {bare_event().id}\n"


def test_parts_without_content_are_a_mistake() -> None:
    with pytest.raises(ValidationError, match="goes with `content: true`"):
        config(send=["summary"])
    assert config().recipient() == "stdout"


# --- standard output ---


@contextmanager
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard output is a pipe of one page; its reading end. No fixture: pytest puts its own back before the test."""
    reading, writing = os.pipe()
    if sys.platform == "linux":
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reading, "rb"), os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        yield reading
        monkeypatch.undo()


def read_until(descriptor: int, end: bytes, count: int = 1) -> bytes:
    read = b""
    while read.count(end) < count:
        read += os.read(descriptor, 65536)
    return read


async def test_a_pipe_that_nobody_reads_keeps_only_its_attempt_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    page = make_delivery(event=make_event(summary="x" * 200_000))
    with pipe(monkeypatch) as reading:
        async with config(content=True).open(sink_context(Path())) as sink:
            tasks = [asyncio.create_task(sink.deliver(page)) for _ in range(2)]
            await settle()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(result) for result in results] == [asyncio.CancelledError] * 2
            reader = asyncio.create_task(asyncio.to_thread(read_until, reading, b"ENDE"))
            await sink.deliver(make_delivery(event=make_event(summary="ENDE")))
        # What was torn ends with its line, and the next one is whole.
        assert b"x\n---\nevent: " in await reader


async def test_two_sinks_may_wait_for_the_same_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    page = make_delivery(event=make_event(summary="~" * 20_000))
    with pipe(monkeypatch) as reading:
        async with (
            config(content=True).open(sink_context(Path())) as one,
            config(content=True).open(sink_context(Path())) as two,
        ):
            tasks = [asyncio.create_task(sink.deliver(page)) for sink in (one, two)]
            await settle()
            reader = asyncio.create_task(asyncio.to_thread(read_until, reading, b"~", 40_000))
            await asyncio.gather(*tasks)
            await reader


async def test_a_closed_pipe_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with pipe(monkeypatch) as reading:
        nobody = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nobody, reading)  # closes the pipe's end
        os.close(nobody)
        async with config().open(sink_context(Path())) as sink:
            with pytest.raises(Unavailable, match="standard output: Broken pipe") as caught:
                await sink.deliver(make_delivery())
    assert caught.value.whole_lane


async def test_a_full_disk_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as stream:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdout", stream)
        async with config().open(sink_context(Path())) as sink:
            with pytest.raises(Unavailable, match="standard output: No space left"):
                await sink.deliver(make_delivery())
        monkeypatch.undo()


async def test_a_file_is_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        async with config().open(sink_context(Path())) as sink:
            await sink.deliver(make_delivery())
        monkeypatch.undo()
    assert (tmp_path / "out").read_text("utf-8") == LINE


async def test_no_standard_output_at_all_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    async with config().open(sink_context(Path())) as sink:
        with pytest.raises(Unavailable, match="standard output is closed"):
            await sink.deliver(make_delivery())


async def test_what_replaces_standard_output_is_written_to(capsys: pytest.CaptureFixture[str]) -> None:
    async with config().open(sink_context(Path())) as sink:
        await sink.deliver(make_delivery())
    assert capsys.readouterr().out == LINE


async def test_an_alarm_is_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    alarm = make_alarm(subject="crm")
    async with config().open(sink_context(Path())) as sink:
        assert isinstance(sink, AlarmSink)
        await sink.alarm(alarm)
        await sink.alarm(replace(alarm, cleared=alarm.since + timedelta(hours=1)))
    assert capfd.readouterr().out == (
        "2026-03-10 09:20:21+01:00  Alarm: crm nimmt nichts an\n"
        "2026-03-10 10:20:21+01:00  Entwarnung: crm nimmt wieder an\n"
    )
