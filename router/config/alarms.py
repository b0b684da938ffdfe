"""What routes.yaml may say of alarms."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field, model_validator

from router.config.grammar import TimeSetting, Words
from router.scalars import Duration, OneOrSeveral, Size, between
from router.sink import Setting
from router.targets import HttpUrl, Networks, check_url


class After(Setting):
    """How long something may be wrong before it is an alarm."""

    down: Duration = timedelta(minutes=15)
    """A sink that takes nothing; one that is disabled is an alarm at once."""
    oldest: Duration = timedelta(minutes=30)
    """A delivery that waits, whatever for."""


class WorkingHours(TimeSetting):
    """When calls are to be expected, in the file's time zone."""

    days: Words | None = ("mon-fri",)
    """Days of the week: `mon-fri`, `sat`, or a list."""
    from_: Annotated[str | None, Field(alias="from")] = "08:00"
    """From this time of day."""
    until: str | None = "18:00"
    """Until this time of day (excluded); earlier than `from`: over midnight."""
    holidays: Words | None = None
    """Not on the public holidays of this country or state: codes like `DE-NW`, `AT`, `CH-ZH`."""


class Alarms(Setting):
    """Who is told when something is wrong with the router itself, and from when on."""

    to: Annotated[tuple[str, ...], OneOrSeveral()] = ()
    """Sinks that tell it, every one of them; of a kind that can carry alarms."""
    after: After = After()
    """How long something may be wrong before it is an alarm."""
    silent_after: dict[str, Annotated[Duration, between(timedelta(minutes=1), timedelta(days=30))]] = {}
    """Sources and channels from which calls are expected, by name, and how much working time may pass without any."""
    hours: WorkingHours = WorkingHours()
    """The working time of `silent_after`."""
    disk_free: Size = 2**30
    """Less room on the store's disk is an alarm."""
    heartbeat_url: HttpUrl | None = None
    """Posted to every minute while calls can be stored, for a service that notices when that ends."""
    allow_networks: Networks = ()
    """Networks that `heartbeat_url` may be in, besides public addresses."""

    @model_validator(mode="after")
    def _reaches(self) -> Alarms:
        if self.heartbeat_url is not None:
            check_url(self.heartbeat_url, self.allow_networks)
        return self
