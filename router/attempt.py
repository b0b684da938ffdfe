"""One attempt: one timeout, `sink.deliver`, and whatever it raises turned into an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from router.delivery import Delivered, Delivery, Outcome, Refused, Retry
from router.errors import Rejected, Unavailable
from router.failpoints import Failpoint, reached
from router.text import cut, one_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from structlog.typing import FilteringBoundLogger

    from router.alarm import Alarm
    from router.retry import RetryPolicy
    from router.sink import AlarmSink, Sink, SinkConfig

#: Characters of a reason that are kept.
_LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class OpenSink:
    """A sink that is open, and everything that an attempt through it goes by: all of one configuration."""

    sink: Sink
    config: SinkConfig
    policy: RetryPolicy
    #: Kept with each delivery.
    recipient: str | None
    parts: tuple[str, ...]

    @classmethod
    def of(cls, sink: Sink, config: SinkConfig, policy: RetryPolicy) -> Self:
        """With what is kept as text, whatever a plugin's configuration gives."""
        recipient = config.recipient()
        return cls(sink, config, policy, None if recipient is None else str(recipient), tuple(map(str, config.parts())))

    @property
    def kind(self) -> str | None:
        """As routes.yaml has it."""
        return kind_of(self.config)


def kind_of(config: SinkConfig) -> str | None:
    """As routes.yaml has it."""
    return getattr(config, "kind", None)


async def attempt(sink: Sink, delivery: Delivery, limit: timedelta, log: FilteringBoundLogger) -> Outcome:
    """How it ended; `limit` is the time it may take. Raises only CancelledError, and only when this task is being cancelled.

    A plugin may raise anything, also SystemExit or a CancelledError of its own: that is a bug of the sink, which
    costs this delivery one attempt and nobody else anything.
    """
    about = {"sink": delivery.sink, "delivery_id": delivery.id}
    reached(Failpoint.BEFORE_ATTEMPT)
    outcome = await _tried(lambda: sink.deliver(delivery), limit, log, about)
    reached(Failpoint.AFTER_ATTEMPT)
    return outcome


async def told(sink: AlarmSink, alarm: Alarm, limit: timedelta, log: FilteringBoundLogger) -> Outcome:
    """As `attempt`, of an alarm."""
    return await _tried(lambda: sink.alarm(alarm), limit, log, {"cause": alarm.cause, "subject": alarm.subject})


async def _tried(
    act: Callable[[], Awaitable[str | None]], limit: timedelta, log: FilteringBoundLogger, about: Mapping[str, str]
) -> Outcome:
    timer = asyncio.timeout(limit.total_seconds())
    try:
        async with timer:
            remote_id = await act()
    except Unavailable as error:
        retry_after = error.retry_after if isinstance(error.retry_after, timedelta) else None
        return Retry(_reason(error), retry_after, bool(error.whole_lane))
    except Rejected as error:
        return Refused(_reason(error), bool(error.whole_lane))
    except BaseException as error:  # see the docstring
        if timer.expired() and isinstance(error, TimeoutError):
            return Retry(f"no answer within {limit.total_seconds():g} s")
        if is_our_cancellation(error):
            raise
        log.error("sink.failed", **about, exc_info=error)
        return Retry(f"bug in the sink: {type(error).__name__}; the traceback is in the log")
    if remote_id is not None and not isinstance(remote_id, str):
        if isinstance(remote_id, Coroutine):
            remote_id.close()  # that nobody awaited it is told here, and not once more by Python
        log.error("sink.failed", **about, returned=type(remote_id).__name__)
        return Retry(f"bug in the sink: it returned {type(remote_id).__name__}, not None or text")
    return Delivered(None if remote_id is None else _storable(remote_id))


def is_our_cancellation(error: BaseException) -> bool:
    """Whether it is this task that is being cancelled; a plugin may raise a CancelledError of its own."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _reason(error: Exception) -> str:
    """What the sink says, on one line and not too long."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a plugin's exception may do anything
        text = type(error).__name__
    return _storable(text)


def _storable(text: str) -> str:
    """A plugin's text as a store and a log can take it: one line, valid Unicode, not too long."""
    return cut(one_line(str.encode(text, errors="replace").decode()), _LONGEST_REASON)
