"""Who guessed at tokens too often: a bounded memory of addresses. Pure; the time is passed in."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(slots=True)
class Strangers:
    """Each address may be wrong `allowed` times in `span`; the longest unseen of `remembered` is forgotten first."""

    allowed: int = 30
    span: timedelta = timedelta(minutes=1)
    remembered: int = 10_000
    _wrong: OrderedDict[str, tuple[datetime, int]] = field(default_factory=OrderedDict)

    def wrong(self, address: str, now: datetime) -> int:
        """This address was wrong again; how often beyond what is allowed."""
        since, count = self._wrong.pop(address, (now, 0))
        if now - since >= self.span or now < since:
            since, count = now, 0
        self._wrong[address] = (since, count + 1)
        if len(self._wrong) > self.remembered:
            self._wrong.popitem(last=False)
        return max(0, count + 1 - self.allowed)
