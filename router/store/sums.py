"""The sums of promise 3, out of what an engine counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from router.delivery import ENDED, DeliveryState
from router.store.lines import Summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from router.store.rows import Row


def summary(totals: Iterable[Row], deliveries: Iterable[Row]) -> Summary:
    """Of rows with a name and a number `n`, and of rows with a sink, a state and a number."""
    total = Counter[str]()
    for row in totals:
        total[row["name"]] += row["n"]
    states = Counter[str]()
    for row in deliveries:
        states[row["state"]] += row["n"]
    counted = {state.value: states[state.value] for state in DeliveryState}
    counted["purged"] = total["deliveries_purged"]
    events = total["routed"] + total["unmatched"] + total["unrouted"]
    return Summary(
        received=events + total["duplicates"] + total["quarantined"] + total["purged"],
        events=events,
        duplicates=total["duplicates"],
        quarantined=total["quarantined"],
        purged=total["purged"],
        routed=total["routed"],
        unmatched=total["unmatched"],
        unrouted=total["unrouted"],
        deliveries={"created": sum(counted.values()), **counted},
    )


def backlog(deliveries: Iterable[Row], ended: Iterable[Row]) -> dict[str, Mapping[str, int]]:
    """Of rows with a sink, a state and a number, and of rows with a sink and how many of its dead are ended."""
    found: dict[str, dict[str, int]] = {}
    for row in deliveries:
        found.setdefault(row["sink"], {})[row["state"]] = row["n"]
    for row in ended:
        found.setdefault(row["sink"], {})[ENDED] = row["n"]
    return dict(found)
