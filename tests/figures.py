"""Every metric with its labels, as the router has them: what documents, dashboards and alert rules may name."""

from __future__ import annotations

from prometheus_client import Counter

from router.metrics import Metrics


def labels() -> dict[str, tuple[str, ...]]:
    """The labels of each metric, by its name in queries; histograms have their own name here."""
    registry = Metrics().registry
    found: dict[str, tuple[str, ...]] = {}
    for collector in registry._collector_to_names:
        declared = getattr(collector, "_labelnames", ())
        for metric in collector.collect():
            name = f"{metric.name}_total" if isinstance(collector, Counter) else metric.name
            found[name] = tuple(declared)
    return found


def series() -> dict[str, frozenset[str]]:
    """The labels of each time series that a query may name; those of histograms too."""
    histograms = {metric.name for metric in Metrics().registry.collect() if metric.type == "histogram"}
    found: dict[str, frozenset[str]] = {}
    for name, declared in labels().items():
        if name in histograms:
            found |= {f"{name}_bucket": frozenset((*declared, "le"))}
            found |= {f"{name}_{part}": frozenset(declared) for part in ("sum", "count")}
        else:
            found[name] = frozenset(declared)
    return found
