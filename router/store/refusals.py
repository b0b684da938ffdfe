"""Why something cannot be done, in the same words from every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.errors import Conflict, Unknown

if TYPE_CHECKING:
    from router.store.rows import Row


def no_event(event_id: str) -> Unknown:
    """For an event that is not there."""
    return Unknown(f"there is no event {event_id}")


def no_delivery(delivery_id: str) -> Unknown:
    """For a delivery that is not there."""
    return Unknown(f"there is no delivery {delivery_id}")


def not_dead(delivery_id: str, row: Row) -> Conflict:
    """For a replay of this delivery."""
    return Conflict(f"delivery {delivery_id} is {row['state']}: only a dead one can be replayed")


def not_to_be_ended(delivery_id: str, row: Row) -> Conflict:
    """For the end of this delivery."""
    state = "ended already" if row["ended"] else f"{row['state']}: only a pending or a dead one can be ended"
    return Conflict(f"delivery {delivery_id} is {state}")


def not_in_quarantine(quarantine_id: str) -> Conflict:
    """For a body that is not there."""
    return Conflict(
        f"body {quarantine_id} is in quarantine no longer: it was read again meanwhile, or its time was over"
    )


def body_ended(quarantine_id: str) -> Conflict:
    """For a second end of a body."""
    return Conflict(f"body {quarantine_id} is ended already")
