"""Figures for Prometheus. No label comes from a call: sinks, sources, formats, states and outcomes only.

Their names are a contract, as the dashboards and alert rules of `deploy/` and of operators are made of them.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from typing_extensions import override

from router.about import version
from router.alarm import Cause
from router.delivery import LaneState, unended
from router.store.effort import Effort

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from router.store.effort import Spread
    from router.store.lines import Room, Summary

#: Where deliveries wait for a sink that is not configured there is no lane; its state has this name.
ORPHANED: Final = "orphaned"
#: The statuses of requests that keep nothing: see `server`.
_REFUSALS: Final = (400, 404, 408, 413, 429, 503)
#: The statuses of requests to the admin listener from somebody who may not ask: see `admin`.
_ADMIN_REFUSALS: Final = (401, 403, 429)

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


_LAG: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the store says of itself at one time.

    `lanes` has the state of each, `backlog` counts by sink and state, `oldest` is for how long each sink's waits.
    """

    summary: Summary
    backlog: Mapping[str, Mapping[str, int]]
    oldest: Mapping[str, timedelta]
    lanes: Mapping[str, str]
    room: Room | None


class Metrics:
    """One router's figures, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._received = Counter(
            "aftercall_received",
            "Bodies taken in, by what became of them.",
            ["source", "result"],
            registry=self.registry,
        )
        self._accepted = Counter(
            "aftercall_events_accepted",
            "Events, by how they were read.",
            ["source", "format"],
            registry=self.registry,
        )
        self._refused = Counter(
            "aftercall_requests_refused", "Requests to the ingest listener that kept nothing, by status.", ["status"],
            registry=self.registry,
        )  # fmt: skip
        self._admin_refused = Counter(
            "aftercall_admin_refused", "Requests to the admin listener that were refused, by status.", ["status"],
            registry=self.registry,
        )  # fmt: skip
        self._accept_seconds = Histogram(
            "aftercall_accept_seconds", "From a complete body to its commit.", buckets=_SECONDS, registry=self.registry
        )
        self._attempts = Counter(
            "aftercall_attempts", "Attempts, by outcome.", ["sink", "outcome"], registry=self.registry
        )
        self._attempt_seconds = Histogram(
            "aftercall_attempt_seconds", "How long attempts took.", ["sink"], buckets=_SECONDS, registry=self.registry
        )
        self._delivered_seconds = Histogram(
            "aftercall_delivered_seconds", "From acceptance to delivery.", ["sink"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._sums = Gauge("aftercall_events", "Sums of the store.", ["sum"], registry=self.registry)
        self._deliveries = Gauge("aftercall_deliveries", "Deliveries, by state.", ["state"], registry=self.registry)
        self._backlog = Gauge(
            "aftercall_backlog",
            "Deliveries of each sink that are pending or claimed.",
            ["sink"],
            registry=self.registry,
        )
        self._dead = Gauge(
            "aftercall_dead_letters",
            "Dead letters of each sink that nobody has ended.",
            ["sink"],
            registry=self.registry,
        )
        self._oldest = Gauge(
            "aftercall_oldest_pending_seconds",
            "How long ago the oldest delivery that is still owed to each sink was accepted.",
            ["sink"],
            registry=self.registry,
        )
        self._lane = Gauge(
            "aftercall_lane_state",
            "1 for the state that each sink's lane is in, 0 for the others.",
            ["sink", "state"],
            registry=self.registry,
        )
        self._ready = Gauge("aftercall_ready", "1 where a call could be stored now, else 0.", registry=self.registry)
        self._holding = Gauge("aftercall_holding", "1 where nothing is sent (serve --hold).", registry=self.registry)
        # Without a label value there is no sample: what cannot be known is missing, and not 0.
        self._database = Gauge("aftercall_store_bytes", "Size of the database.", ["file"], registry=self.registry)
        self._disk = Gauge("aftercall_disk_bytes", "Disk of the store.", ["space"], registry=self.registry)
        self._lag = Histogram(
            "aftercall_loop_lag_seconds", "How late the event loop was.", buckets=_LAG, registry=self.registry
        )
        self._blocked = Counter(
            "aftercall_loop_blocked", "Times that the event loop stood still for a second or more, by the sink that kept it.",
            ["sink"], registry=self.registry,
        )  # fmt: skip
        self._alarms = Gauge(
            "aftercall_alarms", "What is wrong with the router itself, by cause.", ["cause"], registry=self.registry
        )
        self.alarmed({})
        self._looks_failed = Counter(
            "aftercall_alarms_failed", "Times that nobody could look for alarms, for a bug.", registry=self.registry
        )
        build = Gauge(
            "aftercall_build_info", "1; the labels say what runs.", ["version", "python"], registry=self.registry
        )
        build.labels(version(), platform.python_version()).set(1)
        self._efforts = _Efforts()
        self.registry.register(self._efforts)

        self._reload_failed = Gauge(
            "aftercall_reload_failed", "1 where the last reload was refused, else 0.", registry=self.registry
        )
        self._reloaded = Gauge(
            "aftercall_reload_success_timestamp_seconds", "When the configuration in force was read.",
            registry=self.registry,
        )  # fmt: skip

    def reloaded(self, at: datetime, sources: Iterable[str], sinks: Iterable[str]) -> None:
        """What was read at this time is in force, with these sources and sinks.

        All that is counted by them is there from now on: what first appears as 1 is no increase to who asks for one.
        """
        self._reload_failed.set(0)
        self._reloaded.set(at.timestamp())
        for status in _REFUSALS:
            self._refused.labels(str(status))
        for status in _ADMIN_REFUSALS:
            self._admin_refused.labels(str(status))
        for source in sources:
            for result in ("event", "duplicate", "quarantined"):
                self._received.labels(source, result)
        self._blocked.labels("")
        for sink in sinks:
            self._blocked.labels(sink)
            for outcome in ("delivered", "retry", "refused"):
                self._attempts.labels(sink, outcome)

    def gone(self, sink: str) -> None:
        """A sink is configured no longer, and nothing of it goes on: its series end."""
        for counted in (self._attempts, self._attempt_seconds, self._delivered_seconds, self._blocked):
            counted.remove_by_labels({"sink": sink})

    def reload_refused(self) -> None:
        """The last reload was refused."""
        self._reload_failed.set(1)

    def received(self, source: str, result: str, seconds: float) -> None:
        """A body was taken in: `event`, `duplicate` or `quarantined`."""
        self._received.labels(source, result).inc()
        self._accept_seconds.observe(seconds)

    def accepted(self, source: str, form: str) -> None:
        """A body became an event, read as this format."""
        self._accepted.labels(source, form).inc()

    def refused(self, status: int) -> None:
        """A request was answered with this status, and nothing was kept."""
        self._refused.labels(str(status)).inc()

    def admin_refused(self, status: int) -> None:
        """Somebody who may not ask the admin listener was answered with this status."""
        self._admin_refused.labels(str(status)).inc()

    def attempted(self, sink: str, outcome: str, seconds: float, age: float | None) -> None:
        """An attempt ended; `age` is the time since acceptance where it was delivered."""
        self._attempts.labels(sink, outcome).inc()
        self._attempt_seconds.labels(sink).observe(seconds)
        if age is not None:
            self._delivered_seconds.labels(sink).observe(age)

    def lagged(self, seconds: float) -> None:
        """The event loop came so much later than it was asked to."""
        self._lag.observe(seconds)

    def blocked(self, sink: str) -> None:
        """The event loop stood still, kept by this sink; empty where nobody knows."""
        self._blocked.labels(sink).inc()

    def alarmed(self, active: Mapping[Cause, int]) -> None:
        """So many alarms are active."""
        for cause in Cause:
            self._alarms.labels(cause.value).set(active.get(cause, 0))

    def alarms_failed(self) -> None:
        """A look for alarms failed."""
        self._looks_failed.inc()

    def show(
        self, *, stored: Stored | None, effort: Effort, ready: bool, holding: bool, accept: str
    ) -> tuple[bytes, str]:
        """Everything as text for a scrape, and its content type. `stored` None: the store cannot be asked."""
        self._ready.set(ready)
        self._holding.set(holding)
        self._efforts.effort = effort
        # Sinks come and go, and what is not known any more is not as it was.
        for gauge in (
            self._sums, self._deliveries, self._backlog, self._dead, self._oldest, self._lane, self._database, self._disk,
        ):  # fmt: skip
            gauge.clear()
        if stored is not None:
            self._set(stored)
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _set(self, stored: Stored) -> None:
        for name in ("received", "events", "duplicates", "quarantined", "purged", "routed", "unmatched", "unrouted"):
            self._sums.labels(name).set(getattr(stored.summary, name))
        for state, count in stored.summary.deliveries.items():
            self._deliveries.labels(state).set(count)
        for sink in {*stored.backlog, *stored.lanes}:
            states = stored.backlog.get(sink, {})
            self._backlog.labels(sink).set(states.get("pending", 0) + states.get("claimed", 0))
            self._dead.labels(sink).set(unended(states))
            self._oldest.labels(sink).set(stored.oldest.get(sink, timedelta(0)).total_seconds())
        for sink, state in stored.lanes.items():
            for known in (*LaneState, ORPHANED):
                self._lane.labels(sink, known).set(known == state)
        if (room := stored.room) is not None:
            self._database.labels("database").set(room.database)
            self._database.labels("log").set(room.log)
            self._database.labels("reserve").set(room.reserve)
            self._disk.labels("free").set(room.free)
            self._disk.labels("total").set(room.disk)


class _Efforts(Collector):
    """What the engine counted itself, on a thread that knows no Prometheus."""

    def __init__(self) -> None:
        self.effort = Effort()

    @override
    def collect(self) -> Iterator[HistogramMetricFamily]:
        effort = self.effort
        yield _family("aftercall_store_commit_seconds", "How long commits took.", effort.commit_seconds)
        yield _family("aftercall_store_commit_writes", "Writes that shared a commit.", effort.commit_writes)


def _family(name: str, what: str, spread: Spread) -> HistogramMetricFamily:
    buckets = [("+Inf" if bound == inf else str(bound), count) for bound, count in spread.cumulated()]
    return HistogramMetricFamily(name, what, buckets=buckets, sum_value=spread.total)
