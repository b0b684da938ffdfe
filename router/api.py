"""What the admin API does, endpoint by endpoint. HTTP, and who may ask, is the listener's business (`admin`)."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
from typing import TYPE_CHECKING, Any, Final

from router import answers, questions
from router.alarm import Alarm
from router.delivery import DeliveryState
from router.endpoint import Asked, Endpoint, Said
from router.event import plain
from router.excerpt import outgoing
from router.inbox import Unread
from router.openapi import document
from router.operations import LaneLine
from router.outline import media_type, outline
from router.reload import Reloaded, ReloadState
from router.repairs import Many, Repairs
from router.sink import Numbers
from router.store.lines import ChannelLine, DeliveryLine, EventLine, Page, QuarantineLine, Summary, Wanted
from router.store.values import Duplicate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from router.operations import Operations

_API: Final = "/api/v1"

#: Who asks whether the router is ready needs no token, so the reason is not told.
_REFUSED: Final = (
    "configuration: the last reload was refused, and the one before is in force; `aftercall status` says why"
)


class Api:
    """The handlers, over what the router can do."""

    def __init__(self, operations: Operations, log: FilteringBoundLogger) -> None:
        self._operations = operations
        self._log = log
        self._document: dict[str, Any] | None = None
        self.endpoints: tuple[Endpoint, ...] = (
            Endpoint("GET", "/healthz", self.healthz, bytes),
            Endpoint("GET", "/readyz", self.readyz, answers.Ready, otherwise=503),
            Endpoint("GET", "/metrics", self.metrics, bytes),
            *_looking(self),
            *_putting_right(self),
        )

    def _repairs(self, asked: Asked) -> Repairs:
        return Repairs(self._operations, self._log.bind(who=asked.who))

    async def _wanted(self, which: questions.OfTimes) -> Wanted:
        """For the store. Raises `Unknown` for a name that nothing has: it is misspelled."""
        wanted = which.wanted()
        await self._operations.refuse_misspelled(wanted)
        return wanted

    async def _which(self, asked: Asked) -> Wanted:
        """Of many, for the store; and for the log's line, also where it fails."""
        asked.noted.update(asked.body.noted())
        return await self._wanted(asked.body.where)

    # --- looking ---

    async def healthz(self, _: Asked) -> Said:
        """Say that the process is alive."""
        return Said(b"")

    async def readyz(self, _: Asked) -> Said:
        """Say whether a call could be stored now, and what is wrong: why not, or that what the files say is not in force."""
        trouble = await self._operations.trouble()
        refused = [] if self._operations.reload_state.reason is None else [_REFUSED]
        routers, remarks = self._operations.routers_seen()
        answer = {
            "ready": not trouble,
            "trouble": trouble + refused + remarks,
            "holding": self._operations.holding,
            "routers": routers,
        }
        return Said(answer, 503 if trouble else 200)

    async def metrics(self, asked: Asked) -> Said:
        """Everything for a scrape."""
        text, content_type = await self._operations.metrics(asked.accept)
        return Said(text, content_type=content_type)

    async def openapi(self, _: Asked) -> Mapping[str, Any]:
        """This document."""
        if self._document is None:
            self._document = await asyncio.to_thread(document, self.endpoints)
        return self._document

    async def summary(self, _: Asked) -> Summary:
        """The sums of the store, in one snapshot."""
        return await self._operations.store.summary()

    async def events(self, asked: Asked) -> Page[EventLine]:
        """Events, newest first; nothing that was said."""
        query: questions.EventsAsked = asked.query
        return await self._operations.store.events(
            routed=query.routed, wanted=await self._wanted(query), after=query.after, limit=query.limit
        )

    async def event(self, asked: Asked) -> dict[str, Any]:
        """One event, what was decided about it, and its deliveries; what was said, only where that is asked for."""
        stored, deliveries = await self._operations.event(asked.where["id"])
        answer = {
            "event": plain(stored.event if asked.query.full else outgoing(stored.event, (), Numbers.MASKED)),
            "routed": stored.routed,
            "routes": stored.routes,
            "rules": stored.rules,
            "duplicates": stored.duplicates,
            "duplicate_at": stored.duplicate_at,
            "deliveries": deliveries,
        }
        if not asked.head:
            self._log.info("event.shown", who=asked.who, path=asked.path)
        return self._shown(asked, answer, stored.body)

    async def deliveries(self, asked: Asked) -> Page[DeliveryLine]:
        """Deliveries, newest first."""
        query: questions.DeliveriesAsked = asked.query
        return await self._operations.store.deliveries(
            state=query.state,
            event_id=query.event,
            wanted=await self._wanted(query),
            after=query.after,
            limit=query.limit,
        )

    async def delivery(self, asked: Asked) -> dict[str, Any]:
        """One delivery with its attempts."""
        line, attempts = await self._operations.delivery(asked.where["id"])
        return {"delivery": line, "attempts": attempts}

    async def quarantine(self, asked: Asked) -> Page[QuarantineLine]:
        """Bodies that no format could read, newest first; not their bytes."""
        query: questions.BodiesAsked = asked.query
        return await self._operations.store.quarantined(
            wanted=await self._wanted(query), after=query.after, limit=query.limit
        )

    async def quarantined(self, asked: Asked) -> dict[str, Any]:
        """The outline of a body that no format could read; its bytes only where they are asked for. The log says who."""
        kept = await self._operations.quarantined(asked.where["id"])
        answer = {
            **dataclasses.asdict(kept.line),
            "content_type": kept.content_type if asked.query.full else media_type(kept.content_type),
            # Not on the loop: a large body takes seconds.
            "outline": await asyncio.to_thread(outline, kept.body),
        }
        if not asked.head:
            self._log.info("quarantine.shown", who=asked.who, path=asked.path)
        return self._shown(asked, answer, kept.body)

    def _shown(self, asked: Asked, answer: dict[str, Any], body: bytes) -> dict[str, Any]:
        """With the body as it came where that is asked for: who saw it is in the log, and nobody who did not."""
        if not asked.query.full or asked.head:
            return answer
        self._log.info("body.shown", who=asked.who, path=asked.path)
        return answer | _as_text(body)

    async def lanes(self, _: Asked) -> Page[LaneLine]:
        """Every lane, and every sink that is gone and something is still owed to."""
        return Page(tuple(await self._operations.lanes()))

    async def routers(self, _: Asked) -> dict[str, Any]:
        """Every router of this store: which is alive, what is in force there, and who keeps house for all."""
        items, remarks = await self._operations.routers()
        return {"items": items, "remarks": remarks}

    async def channels(self, _: Asked) -> Page[ChannelLine]:
        """Every channel seen, most recent call first."""
        return Page(tuple(await self._operations.store.channels()))

    async def alarms(self, _: Asked) -> Page[Alarm]:
        """What is wrong with the router itself."""
        return Page(await self._operations.alarms())

    async def reload_state(self, _: Asked) -> ReloadState:
        """How reloading stands."""
        return self._operations.reload_state

    async def explain(self, asked: Asked) -> dict[str, Any]:
        """Say what would become of a call, and why; nothing is kept or sent."""
        # Not on the loop: a large body takes seconds.
        return await asyncio.to_thread(self._operations.explain, asked.body, asked.query.source)

    # --- putting right ---

    async def replay(self, asked: Asked) -> dict[str, str]:
        """Owe a dead letter again, to its sink or another: a new delivery that names the old one."""
        new = await self._repairs(asked).replay(asked.where["id"], sink=asked.body.sink)
        asked.noted["delivery_id"] = new
        return {"delivery": new, "replay_of": asked.where["id"]}

    async def replay_many(self, asked: Asked) -> Many:
        """Owe dead letters again: those of a page of what fits."""
        ask: questions.ReplayMany = asked.body
        replayed = self._repairs(asked).replay_many(
            await self._which(asked), sink=ask.sink, ended=ask.ended, **_page(ask)
        )
        return _noted(asked, await replayed)

    async def end(self, asked: Asked) -> dict[str, str]:
        """Give a pending delivery up, or let a dead letter rest: nobody is told of it any more."""
        await self._repairs(asked).end(asked.where["id"], asked.body.reason)
        return {"delivery": asked.where["id"], "state": DeliveryState.DEAD}

    async def end_many(self, asked: Asked) -> Many:
        """End pending deliveries or dead letters: those of a page of what fits."""
        ask: questions.EndMany = asked.body
        ended = self._repairs(asked).end_many(
            await self._which(asked), ask.reason, dead=ask.dead, orphaned=ask.orphaned, **_page(ask)
        )
        return _noted(asked, await ended)

    async def read_again(self, asked: Asked) -> dict[str, Any]:
        """Read a quarantined body by what the router is set to now: it becomes an event, or stays with the reason."""
        receipt = await self._repairs(asked).read_again(asked.where["id"])
        if isinstance(receipt, Unread):
            return {"quarantined": receipt.quarantine_id, "reason": receipt.reason}
        asked.noted["event_id"] = receipt.event_id
        if isinstance(receipt, Duplicate):
            return {"event": receipt.event_id, "duplicate": True, "deliveries": 0}
        return {"event": receipt.event_id, "revision": receipt.revision, "deliveries": receipt.deliveries}

    async def read_many_again(self, asked: Asked) -> Many:
        """Read quarantined bodies again: those of a page of what fits."""
        ask: questions.ReadMany = asked.body
        return _noted(asked, await self._repairs(asked).read_many_again(await self._which(asked), **_page(ask)))

    async def end_body(self, asked: Asked) -> dict[str, str]:
        """Let a quarantined body rest: it stays, and nobody is told of it any more."""
        await self._repairs(asked).end_body(asked.where["id"], asked.body.reason)
        return {"quarantined": asked.where["id"], "ended": asked.body.reason}

    async def end_bodies(self, asked: Asked) -> Many:
        """End quarantined bodies: those of a page of what fits."""
        ask: questions.EndBodies = asked.body
        return _noted(asked, await self._repairs(asked).end_bodies(await self._which(asked), ask.reason, **_page(ask)))

    async def route(self, asked: Asked) -> dict[str, Any]:
        """Route an event by today's rules: it is owed to whom it never was owed to."""
        again = await self._repairs(asked).route(asked.where["id"])
        asked.noted["sinks"] = list(again.sinks)
        return {"event": asked.where["id"], **dataclasses.asdict(again)}

    async def route_many(self, asked: Asked) -> Many:
        """Route events again: those of a page of what fits."""
        ask: questions.RouteMany = asked.body
        routed = self._repairs(asked).route_many(await self._which(asked), routed=ask.where.routed, **_page(ask))
        return _noted(asked, await routed)

    async def pause(self, asked: Asked) -> LaneLine:
        """Hold a lane: what it is owed waits."""
        return await self._operations.pause(asked.where["sink"])

    async def resume(self, asked: Asked) -> LaneLine:
        """Let a lane go on, also after the far side said that it is gone."""
        return await self._operations.resume(asked.where["sink"])

    async def reload(self, _: Asked) -> Reloaded:
        """Put in force what the files say now; where anything is wrong, nothing changes."""
        return await self._operations.reload()


def _looking(api: Api) -> tuple[Endpoint, ...]:
    return (
        Endpoint("GET", f"{_API}/openapi.json", api.openapi, dict[str, Any]),
        Endpoint("GET", f"{_API}/summary", api.summary, Summary),
        Endpoint("GET", f"{_API}/events", api.events, Page[EventLine], questions.EventsAsked),
        Endpoint("GET", f"{_API}/events/{{id}}", api.event, answers.EventShown, questions.Looking),
        Endpoint("GET", f"{_API}/deliveries", api.deliveries, Page[DeliveryLine], questions.DeliveriesAsked),
        Endpoint("GET", f"{_API}/deliveries/{{id}}", api.delivery, answers.DeliveryShown),
        Endpoint("GET", f"{_API}/quarantine", api.quarantine, Page[QuarantineLine], questions.BodiesAsked),
        Endpoint("GET", f"{_API}/quarantine/{{id}}", api.quarantined, answers.BodyShown, questions.Looking),
        Endpoint("GET", f"{_API}/lanes", api.lanes, Page[LaneLine]),
        Endpoint("GET", f"{_API}/routers", api.routers, answers.Routers),
        Endpoint("GET", f"{_API}/channels", api.channels, Page[ChannelLine]),
        Endpoint("GET", f"{_API}/alarms", api.alarms, Page[Alarm]),
        Endpoint("GET", f"{_API}/reload", api.reload_state, ReloadState),
        Endpoint("POST", f"{_API}/explain", api.explain, answers.Explained, questions.Explaining, bytes),
    )


def _putting_right(api: Api) -> tuple[Endpoint, ...]:
    def post(path: str, handler: Any, answer: Any, body: Any = None, status: int = 200) -> Endpoint:
        return Endpoint("POST", f"{_API}/{path}", handler, answer, body=body, status=status)

    return (
        post("deliveries/replay", api.replay_many, Many, questions.ReplayMany),
        post("deliveries/{id}/replay", api.replay, answers.Replayed, questions.Replay, 202),
        post("deliveries/end", api.end_many, Many, questions.EndMany),
        post("deliveries/{id}/end", api.end, answers.Ended, questions.End),
        post("quarantine/replay", api.read_many_again, Many, questions.ReadMany),
        post("quarantine/{id}/replay", api.read_again, answers.ReadAgain),
        post("quarantine/end", api.end_bodies, Many, questions.EndBodies),
        post("quarantine/{id}/end", api.end_body, answers.EndedBody, questions.End),
        post("events/route", api.route_many, Many, questions.RouteMany),
        post("events/{id}/route", api.route, answers.Routed),
        post("lanes/{sink}/pause", api.pause, LaneLine),
        post("lanes/{sink}/resume", api.resume, LaneLine),
        post("reload", api.reload, Reloaded),
    )


def _page(ask: questions.ToMany) -> dict[str, Any]:
    return {"after": ask.after, "limit": ask.limit, "dry": ask.dry_run}


def _noted(asked: Asked, many: Many) -> Many:
    """How many, for the log's line."""
    asked.noted.update(matched=many.matched, done=many.done)
    return many


def _as_text(body: bytes) -> dict[str, str]:
    """Bytes as JSON can have them."""
    try:
        return {"body": body.decode(), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "encoding": "base64"}
