"""Figures for Prometheus. No label comes from a call: sinks, sources, formats and outcomes only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.delivery import LaneState
    from router.store.base import Effort, Summary

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)


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
        self._refused = Counter(
            "aftercall_requests_refused", "Requests to the ingest listener that kept nothing, by status.", ["status"],
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
        self._lane = Gauge(
            "aftercall_lane_open", "1 where the sink's lane is open, else 0.", ["sink"], registry=self.registry
        )
        self._commits = Gauge("aftercall_store_commits", "Commits since the start.", registry=self.registry)
        self._writes = Gauge("aftercall_store_writes", "Writes in these commits.", registry=self.registry)
        self._commit_seconds = Gauge("aftercall_store_commit_seconds", "Time of these commits.", registry=self.registry)

    def received(self, source: str, result: str, seconds: float) -> None:
        """A body was taken in: `event`, `duplicate` or `quarantined`."""
        self._received.labels(source, result).inc()
        self._accept_seconds.observe(seconds)

    def refused(self, status: int) -> None:
        """A request was answered with this status, and nothing was kept."""
        self._refused.labels(str(status)).inc()

    def attempted(self, sink: str, outcome: str, seconds: float, age: float | None) -> None:
        """An attempt ended; `age` is the time since acceptance where it was delivered."""
        self._attempts.labels(sink, outcome).inc()
        self._attempt_seconds.labels(sink).observe(seconds)
        if age is not None:
            self._delivered_seconds.labels(sink).observe(age)

    def show(
        self,
        summary: Summary,
        backlog: Mapping[str, Mapping[str, int]],
        lanes: Mapping[str, LaneState],
        effort: Effort,
        accept: str,
    ) -> tuple[bytes, str]:
        """Everything as text for a scrape, and its content type."""
        for name in ("received", "events", "duplicates", "quarantined", "purged", "routed", "unmatched", "unrouted"):
            self._sums.labels(name).set(getattr(summary, name))
        for state, count in summary.deliveries.items():
            self._deliveries.labels(state).set(count)
        for sink in {*backlog, *lanes}:
            states = backlog.get(sink, {})
            self._backlog.labels(sink).set(states.get("pending", 0) + states.get("claimed", 0))
        for sink, state in lanes.items():
            self._lane.labels(sink).set(state == "open")
        self._commits.set(effort.commits)
        self._writes.set(effort.writes)
        self._commit_seconds.set(effort.commit_seconds)
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
