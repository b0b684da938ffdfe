"""How claims end, as columns of any engine. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from router.delivery import Again, Dead, DeliveryState, Done
from router.store.rows import micros, packed
from router.store.values import DAMAGED, LONGEST_CLAIM, LOST, POISON, POISON_AFTER, Retaken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from router.delivery import Decision
    from router.store.rows import Row
    from router.store.values import Claim, Settlement


def fence(claim: Claim) -> dict[str, Any]:
    """What a claim is known by."""
    return {"id": claim.delivery.id, "event_id": claim.delivery.event.id, "attempt": claim.delivery.attempt}


def settled(claim: Claim, settlement: Settlement) -> dict[str, Any]:
    """What an attempt came to."""
    return {
        **fence(claim),
        "started_at": micros(settlement.started_at),
        "now": micros(settlement.now),
        "outcome": settlement.outcome,
        "recipient": settlement.recipient,
        "parts": packed(settlement.parts) if settlement.parts else None,
        **_decided(settlement.decision, settlement.now),
    }


def buried(damaged: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A claim (as of `fence`) that cannot be delivered because its event is damaged."""
    more = {"started_at": None, "now": micros(now), "outcome": "refused", "recipient": None, "parts": None}
    return {**damaged, **more, **_decided(Dead(DAMAGED), now)}


def losing(now: datetime, *, over: datetime, left_behind: bool) -> dict[str, Any]:
    """What is asked of claims that are taken back."""
    return {
        "now": micros(now),
        "over": micros(over),
        "left_behind": left_behind,
        "reason": LOST,
        "poison": POISON,
        "poison_after": POISON_AFTER,
    }


def moving(before: datetime, now: datetime) -> dict[str, Any]:
    """What is asked of what waits, when the clock is set from one to the other."""
    return {"before": micros(before), "now": micros(now), "running": micros(min(before, now + LONGEST_CLAIM))}


def retaken(rows: Sequence[Row]) -> Retaken:
    """What became of the claims of these rows."""
    return Retaken(
        sinks=frozenset(row["sink"] for row in rows if row["state"] == DeliveryState.PENDING),
        lost=len(rows),
        poison=tuple((row["sink"], row["id"]) for row in rows if row["state"] == DeliveryState.DEAD),
    )


def _decided(decision: Decision, now: datetime) -> dict[str, Any]:
    row: dict[str, Any] = {"due": None, "held": False, "spent": 0, "reason": None, "remote_id": None}
    match decision:
        case Done(remote_id):
            return row | {"state": DeliveryState.DELIVERED.value, "settled_at": micros(now), "remote_id": remote_id}
        case Again(at, reason, spent, held):
            again = {"state": DeliveryState.PENDING.value, "settled_at": None, "due": micros(at), "reason": reason}
            return row | again | {"spent": int(spent), "held": held}
        case Dead(reason):
            return row | {"state": DeliveryState.DEAD.value, "settled_at": micros(now), "reason": reason}
        case _:
            assert_never(decision)
