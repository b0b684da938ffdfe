"""Sink `console`: a line on standard output for each call, and nothing of what was said unless that is asked for."""

from __future__ import annotations

import asyncio
import os
import select
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import ClassVar, Literal

from pydantic import model_validator

from router import (
    Alarm,
    Delivery,
    Discreet,
    Event,
    PeopleSinkConfig,
    Sink,
    SinkConfig,
    SinkContext,
    Unavailable,
    Wording,
    alarm_notice,
    duration,
    hookimpl,
    markdown_page,
    outgoing,
)


class ConsoleConfig(PeopleSinkConfig):
    """Writes one line for each call to standard output: when, who with whom, how long, which event."""

    carries_alarms: ClassVar[bool] = True

    kind: Literal["console"]
    content: bool = False
    """Write the call as a page, with the parts in `send`, instead of the line."""

    @model_validator(mode="after")
    def _fits(self) -> ConsoleConfig:
        if "send" in self.model_fields_set and not self.content:
            message = "`send` goes with `content: true`; the line has nothing of what was said"
            raise Discreet(message)
        return self

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A descriptor of its own: two sinks may wait for the same pipe."""
        descriptor = _descriptor()
        try:
            yield Console(self, Wording.of(context), descriptor)
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def recipient(self) -> str:
        """Where it goes."""
        return "stdout"

    def parts(self) -> tuple[str, ...]:
        """Nothing of what was said is on the line."""
        return super().parts() if self.content else ()


def _descriptor() -> int | None:
    """None where standard output is closed, or something that is no file (a test's capture)."""
    with suppress(AttributeError, ValueError, OSError):
        return os.dup(sys.stdout.fileno())
    return None


class Console:
    """Standard output."""

    def __init__(self, config: ConsoleConfig, wording: Wording, descriptor: int | None) -> None:
        self._config = config
        self._wording = wording
        self._descriptor = descriptor
        self._one_at_a_time = asyncio.Lock()
        self._torn = False

    async def deliver(self, delivery: Delivery) -> None:
        """Write it. A pipe that nobody reads keeps this attempt waiting, and not the router."""
        event = outgoing(delivery.event, self._config.send, self._config.numbers)
        await self._show(markdown_page(event, self._wording) if self._config.content else self._line(event))

    async def alarm(self, alarm: Alarm) -> None:
        """A line: when it began or was over, and what."""
        time = self._wording.moment(alarm.cleared or alarm.since)
        await self._show(f"{time}  {alarm_notice(alarm, self._wording).title}")

    async def _show(self, text: str) -> None:
        async with self._one_at_a_time:
            try:
                await self._write(f"{text}\n")
            except OSError as error:
                message = f"standard output: {error.strerror}"
                raise Unavailable(message, whole_lane=True) from error

    def _line(self, event: Event) -> str:
        time = self._wording.moment(event.started_at or event.received_at)
        length = "–" if event.duration is None else duration(event.duration)
        mark = f"  ({self._wording.label('updated')})" if event.revision > 1 else ""
        return f"{time}  {self._wording.way(event)}  {length}  {event.id}{mark}"

    async def _write(self, text: str) -> None:
        if self._descriptor is None:
            if sys.stdout is None or sys.stdout.closed:
                message = "standard output is closed"
                raise Unavailable(message, whole_lane=True)
            sys.stdout.write(text)
            return
        # What an attempt left unfinished when it was called off ends here.
        left = memoryview((("\n" if self._torn else "") + text).encode(errors="replace"))
        while left:
            await _writable(self._descriptor)
            with suppress(BlockingIOError):
                left = left[os.write(self._descriptor, left[: select.PIPE_BUF]) :]
                self._torn = bool(left)


async def _writable(descriptor: int) -> None:
    """Wait until PIPE_BUF bytes can be written without blocking; asked last right before they are."""
    loop = asyncio.get_running_loop()
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    while not poll.poll(0):
        ready = asyncio.Event()
        loop.add_writer(descriptor, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(descriptor)


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `console`."""
    return [ConsoleConfig]
