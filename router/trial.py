"""One sample call through one sink, for `aftercall test-sink`: what a real call would do, without the router."""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Final

from router import formats
from router.attempt import attempt
from router.clock import SystemClock
from router.delivery import Delivered, Delivery
from router.errors import AftercallError, ConfigError
from router.event import Event
from router.formats import body as bodies
from router.ids import new_id
from router.log import logger
from router.opening import context

if TYPE_CHECKING:
    from datetime import datetime

    from router.config import Config


_MARK: Final = "TEST aftercall"


async def trial(config: Config, name: str) -> str:
    """Send it; says what happened. Raises `AftercallError` with the reason where it did not arrive."""
    clock, log = SystemClock(), logger()
    settings = config.sinks[name]
    delivery = sample(name, clock.now())
    try:
        async with settings.open(context(config, name, clock, log)) as sink:
            outcome = await attempt(sink, delivery, settings.timeout, log)
    except ConfigError as error:
        if name in config.filled:
            raise ConfigError(error.discreetly()) from None
        raise
    if isinstance(outcome, Delivered):
        where = outcome.remote_id or settings.recipient() or "the far side"
        return f"delivered to {where}"
    message = f"not delivered: {outcome.reason}"
    raise AftercallError(message)


def sample(sink: str, now: datetime) -> Delivery:
    """The call that `aftercall init` writes, marked as a test wherever a person or a program would look.

    The body is marked too: a webhook passes on that, and a CRM must not take it for a call.
    """
    raw = json.loads((resources.files("router") / "starter" / "call.json").read_bytes())
    for text in ("callHeadline", "summary"):
        raw[text] = f"{_MARK}: {raw[text]}"
    raw["call"]["id"] = f"test-{new_id(now)}"
    # It is over now: a message about a call of last year would say that it is late.
    end = int(now.timestamp() * 1000)
    raw["call"] |= {"startTime": end - 1000 * raw["call"]["duration"], "endTime": end}
    raw["channel"] = {"id": "test", "name": _MARK}
    body = json.dumps(raw, ensure_ascii=False, indent=2).encode()
    form, call = formats.read(bodies.parse(body).value)
    event = Event.of(call, id=new_id(now), sequence=0, source="test", format=form, received_at=now, revision=1, raw=raw)
    return Delivery(id=new_id(now), sink=sink, event=event, body=body, content_type="application/json")
