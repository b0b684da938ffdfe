"""The part of a store that is the same in every engine: what each call of the contract asks of which function.

An engine has its functions in modules of the same names, `looking` for what is asked, `sending_out` for what lanes do,
`putting_right` for what operators do and `memos` for what routers keep of themselves, each with that engine's connection as
its first argument. How they get one is the engine's business.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from typing_extensions import override

from router.errors import StoreError
from router.store.base import Store
from router.store.lines import ANY
from router.store.rows import claims_of
from router.store.settlements import fence, settled
from router.store.turn import Claiming
from router.store.values import Claims

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from router.delivery import DeliveryState, LaneRow
    from router.store.lines import (
        AttemptLine,
        ChannelLine,
        DeliveryLine,
        EventLine,
        Page,
        QuarantinedBody,
        QuarantineLine,
        Summary,
        Wanted,
    )
    from router.store.values import Claim, Owed, RoutedAgain, RoutedAs, Settlement

T = TypeVar("T")


class Asked(Store):
    """Claims, corrections and questions, done by the modules of an engine."""

    #: The modules.
    _looking: Any
    _putting_right: Any
    _sending_out: Any
    _memos: Any
    #: An event's `raw`, of its body.
    _parse: Callable[[bytes], Any]

    def __init__(self) -> None:
        #: By sink, what claims are known by that nobody was answered for, and their end: whether they are there is not known.
        self._unanswered: dict[str, list[tuple[dict[str, Any], datetime]]] = {}

    @abstractmethod
    async def _look(self, function: Any, **given: Any) -> Any:
        """What this function finds, all in one snapshot."""

    @abstractmethod
    async def _put(self, function: Any, **given: Any) -> Any:
        """What this function comes to, when that is durable."""

    @abstractmethod
    async def _work(self, function: Callable[[], T]) -> T:
        """What this function comes to, beside the event loop."""

    # --- sending out ---

    @override
    async def claim(
        self,
        sink: str,
        *,
        limit: int,
        now: datetime,
        until: datetime,
        probe: bool = False,
        lane: LaneRow | None = None,
        interval: timedelta | None = None,
    ) -> Claims:
        claiming = Claiming(sink=sink, limit=limit, now=now, until=until, probe=probe, lane=lane, interval=interval)
        await self._give_back(sink, now)
        answer: Claims
        try:
            rows, answer = await self._put(self._sending_out.claim, claiming=claiming)
        except StoreError:
            self._unanswered[sink] += [(held, until) for held in claiming.made]
            raise
        self._answered(sink, claiming.made)
        if not rows:
            return answer
        claims, damaged = await self._work(partial(claims_of, rows, until, self._parse))
        if damaged:
            try:
                await self._put(self._sending_out.bury, damaged=damaged, now=now)
            except StoreError:  # they are found again when their claims have run out; the others go out now
                damaged = []
        return replace(answer, claims=claims, damaged=tuple((row["id"], row["event_id"]) for row in damaged))

    async def _give_back(self, sink: str, now: datetime) -> None:
        """Release what nobody was answered for. What is not there may come yet, for as long as it was to be claimed."""
        unanswered = self._unanswered[sink] = [one for one in self._unanswered.get(sink, ()) if one[1] > now]
        if not unanswered:
            return
        try:
            given = await self._put(self._sending_out.give_back, claims=[held for held, _ in unanswered], now=now)
        except StoreError:  # it is tried again with the next claim, which is not kept from being made
            return
        self._answered(sink, [held for (held, _), back in zip(unanswered, given, strict=True) if back])

    def _answered(self, sink: str, claims: list[dict[str, Any]]) -> None:
        """Where nothing came of a claim, a later one is known by the same."""
        unanswered = self._unanswered.get(sink, [])
        unanswered[:] = [one for one in unanswered if one[0] not in claims]

    @override
    async def settle_probe(self, claim: Claim, settlement: Settlement, lane: LaneRow) -> tuple[bool, LaneRow | None]:
        row, now = settled(claim, settlement), settlement.now
        answer: tuple[bool, LaneRow | None] = await self._put(
            self._sending_out.settle_probe, row=row, lane=lane, now=now
        )
        return answer

    @override
    async def release(self, claim: Claim, *, now: datetime) -> bool:
        in_time: bool = await self._put(self._sending_out.release, held=fence(claim), now=now)
        return in_time

    # --- putting right ---

    @override
    async def replay(self, delivery_id: str, *, sink: str | None = None, now: datetime) -> str:
        new: str = await self._put(self._putting_right.replay, delivery_id=delivery_id, sink=sink, now=now)
        return new

    @override
    async def end(self, delivery_id: str, *, reason: str, now: datetime) -> None:
        await self._put(self._putting_right.end, delivery_id=delivery_id, reason=reason, now=now)

    @override
    async def end_quarantined(self, quarantine_id: str, *, reason: str) -> None:
        await self._put(self._putting_right.end_quarantined, quarantine_id=quarantine_id, reason=reason)

    @override
    async def keep_unread(self, quarantine_id: str, *, reason: str) -> None:
        await self._put(self._putting_right.keep_unread, quarantine_id=quarantine_id, reason=reason)

    @override
    async def route_again(
        self, event_id: str, *, routes: Sequence[str], rules: str, owed: Sequence[Owed], now: datetime
    ) -> RoutedAgain:
        decided = {"routes": routes, "rules": rules, "owed": owed}
        again: RoutedAgain = await self._put(self._putting_right.route_again, event_id=event_id, now=now, **decided)
        return again

    # --- looking ---

    @override
    async def summary(self) -> Summary:
        sums: Summary = await self._look(self._looking.summary)
        return sums

    @override
    async def backlog(self) -> dict[str, Mapping[str, int]]:
        states: dict[str, Mapping[str, int]] = await self._look(self._looking.backlog)
        return states

    @override
    async def unread(self) -> int:
        count: int = await self._look(self._looking.unread)
        return count

    @override
    async def oldest(self) -> dict[str, datetime]:
        times: dict[str, datetime] = await self._look(self._looking.oldest)
        return times

    @override
    async def quarantine_sizes(self) -> dict[str, int]:
        sizes: dict[str, int] = await self._look(self._looking.quarantine_sizes)
        return sizes

    @override
    async def events(
        self, *, routed: RoutedAs | None = None, wanted: Wanted = ANY, after: str | None = None, limit: int = 50
    ) -> Page[EventLine]:
        page: Page[EventLine] = await self._look(
            self._looking.events, routed=routed, wanted=wanted, after=after, limit=limit
        )
        return page

    @override
    async def delivery(self, delivery_id: str) -> tuple[DeliveryLine, tuple[AttemptLine, ...]] | None:
        found: tuple[DeliveryLine, tuple[AttemptLine, ...]] | None = await self._look(
            self._looking.delivery, delivery_id=delivery_id
        )
        return found

    @override
    async def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        sink: str | None = None,
        event_id: str | None = None,
        wanted: Wanted = ANY,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[DeliveryLine]:
        if sink is not None:
            wanted = replace(wanted, sink=sink)
        page: Page[DeliveryLine] = await self._look(
            self._looking.deliveries, state=state, event_id=event_id, wanted=wanted, after=after, limit=limit
        )
        return page

    @override
    async def quarantined(
        self, *, wanted: Wanted = ANY, after: str | None = None, limit: int = 50
    ) -> Page[QuarantineLine]:
        page: Page[QuarantineLine] = await self._look(
            self._looking.quarantined, wanted=wanted, after=after, limit=limit
        )
        return page

    @override
    async def quarantined_body(self, quarantine_id: str) -> QuarantinedBody | None:
        found: QuarantinedBody | None = await self._look(self._looking.quarantined_body, quarantine_id=quarantine_id)
        return found

    @override
    async def channels(self) -> Sequence[ChannelLine]:
        lines: Sequence[ChannelLine] = await self._look(self._looking.channels)
        return lines

    @override
    async def heard(self, source: str) -> datetime | None:
        time: datetime | None = await self._look(self._looking.heard, source=source)
        return time

    # --- what routers keep of themselves ---

    @override
    async def memo(self, name: str) -> bytes | None:
        content: bytes | None = await self._look(self._memos.memo, name=name)
        return content

    @override
    async def keep_memo(self, name: str, content: bytes) -> None:
        await self._put(self._memos.keep_memo, name=name, content=content)
