"""The admin listener: health, metrics, and the API for people and scripts who look after the router.

Reached from this machine only, unless tokens are set. A browser is kept out where another site sent it: the Host
must be ours, an Origin must be ours, and Sec-Fetch-Site must not say cross-site; a command line sends none of these.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from router.about import NAME
from router.delivery import DeliveryState
from router.errors import Conflict, StoreError, Unknown, Unreadable
from router.event import plain
from router.excerpt import exact_json
from router.outline import media_type, outline

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.config.settings import Admin
    from router.operations import Operations

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Asked by supervisors, which have no token.
_OPEN: Final = frozenset({"/healthz", "/readyz"})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_MOST: Final = 500
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CODES: Final = {404: "not_found", 405: "method_not_allowed"}


class AdminApi:
    """The listener's handlers, over what the router can do."""

    def __init__(self, operations: Operations, *, admin: Admin, max_body: int, log: FilteringBoundLogger) -> None:
        self._operations = operations
        self._admin = admin
        self._max_body = max_body
        self._log = log

    def application(self) -> web.Application:
        """As aiohttp wants it."""
        app = web.Application(middlewares=[self._guard], client_max_size=self._max_body)
        api = "/api/v1"
        app.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get(f"{api}/summary", self._summary),
                web.get(f"{api}/events", self._events),
                web.get(f"{api}/events/{{id}}", self._event),
                web.get(f"{api}/deliveries", self._deliveries),
                web.get(f"{api}/deliveries/{{id}}", self._delivery),
                web.get(f"{api}/quarantine", self._quarantine),
                web.get(f"{api}/quarantine/{{id}}", self._quarantined),
                web.get(f"{api}/lanes", self._lanes),
                web.get(f"{api}/channels", self._channels),
                web.post(f"{api}/deliveries/{{id}}/replay", self._replay),
                web.post(f"{api}/deliveries/{{id}}/end", self._end),
                web.post(f"{api}/lanes/{{sink}}/pause", self._pause),
                web.post(f"{api}/lanes/{{sink}}/resume", self._resume),
                web.post(f"{api}/explain", self._explain),
            ]
        )
        app.on_response_prepare.append(_harden)
        return app

    # --- who may ask ---

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        who = None
        try:
            refusal = self._refusal(request)
            if refusal is None:
                who = self._who(request)
                refusal = self._unauthorized(request, who)
            response = refusal or await handler(request)
        except web.HTTPException as error:
            response = _error(error.status, _CODES.get(error.status, "bad_request"), error.reason)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except Unknown as error:
            response = _error(404, "not_found", str(error))
        except Unreadable as error:
            response = _error(422, "unreadable", f"this body would go to quarantine: {error}")
        except Conflict as error:
            response = _error(409, "conflict", str(error))
        except StoreError as error:
            response = _error(503, "store", str(error))
        except _BadRequest as error:
            response = _error(400, "bad_request", str(error))
        except Exception as error:  # noqa: BLE001 - shown as what it is, without its text
            self._log.error("admin.failed", exc_info=error)
            response = _error(500, "bug", "a bug in aftercall; the traceback is in its log")
        if request.method == "POST":
            done = response.status < web.HTTPBadRequest.status_code
            self._log.info(
                "admin.acted" if done else "admin.refused", who=who, status=response.status, path=request.path
            )
        return response

    def _refusal(self, request: web.Request) -> web.Response | None:
        """Requests that a foreign web page could have made somebody's browser send."""
        hosts = _LOCAL | {self._admin.listen.host.casefold()} | {host.casefold() for host in self._admin.hosts}
        if _host(request.headers.get("Host", "")) not in hosts:
            return _error(403, "host", "this listener is not known by that name; see admin.hosts")
        origin = request.headers.get("Origin")
        if origin is not None and _origin(origin) != request.headers.get("Host"):
            return _error(403, "origin", "requests of other sites are refused")
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            return _error(403, "origin", "requests of other sites are refused")
        return None

    def _who(self, request: web.Request) -> str | None:
        """The name of the token that was sent; every one is compared."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        fitting = [
            name
            for name, token in self._admin.tokens.items()
            if hmac.compare_digest(_bytes(given.strip()), _bytes(token.get_secret_value()))
        ]
        return fitting[0] if fitting and scheme.casefold() == "bearer" else None

    def _unauthorized(self, request: web.Request, who: str | None) -> web.Response | None:
        if not self._admin.tokens or who is not None or request.path in _OPEN:
            return None
        response = _error(401, "unauthorized", "send `Authorization: Bearer` with one of admin.tokens")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    # --- looking ---

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _readyz(self, _: web.Request) -> web.Response:
        trouble = await self._operations.trouble()
        return _json({"ready": not trouble, "trouble": trouble}, 503 if trouble else 200)

    async def _metrics(self, request: web.Request) -> web.Response:
        text, content_type = await self._operations.metrics(request.headers.get("Accept", ""))
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def _summary(self, _: web.Request) -> web.Response:
        return _json(await self._operations.store.summary())

    async def _events(self, request: web.Request) -> web.Response:
        return _json(await self._operations.store.events(**_page(request)))

    async def _event(self, request: web.Request) -> web.Response:
        stored, deliveries = await self._operations.event(request.match_info["id"])
        answer = {
            "event": plain(stored.event),
            "routed": stored.routed,
            "routes": stored.routes,
            "rules": stored.rules,
            "duplicates": stored.duplicates,
            "duplicate_at": stored.duplicate_at,
            "deliveries": deliveries,
        }
        return self._shown(request, answer, stored.body)

    async def _deliveries(self, request: web.Request) -> web.Response:
        query = request.query
        state = query.get("state")
        if state is not None and state not in DeliveryState.__members__.values():
            message = f"state is one of {', '.join(DeliveryState)}"
            raise _BadRequest(message)
        return _json(
            await self._operations.store.deliveries(
                state=DeliveryState(state) if state else None,
                sink=query.get("sink"),
                event_id=query.get("event"),
                **_page(request),
            )
        )

    async def _delivery(self, request: web.Request) -> web.Response:
        line, attempts = await self._operations.delivery(request.match_info["id"])
        return _json({"delivery": line, "attempts": attempts})

    async def _quarantine(self, request: web.Request) -> web.Response:
        return _json(await self._operations.store.quarantined(**_page(request)))

    async def _quarantined(self, request: web.Request) -> web.Response:
        """Its outline; its bytes only where they are asked for."""
        kept = await self._operations.quarantined(request.match_info["id"])
        full = request.query.get("full") == "1"
        answer = {
            **dataclasses.asdict(kept.line),
            "content_type": kept.content_type if full else media_type(kept.content_type),
            # Not on the loop: a large body takes seconds.
            "outline": await asyncio.to_thread(outline, kept.body),
        }
        return self._shown(request, answer, kept.body)

    def _shown(self, request: web.Request, answer: dict[str, Any], body: bytes) -> web.Response:
        """With the body as it came where that is asked for: who saw it is in the log, and nobody who did not."""
        if request.query.get("full") != "1" or request.method == "HEAD":
            return _json(answer)
        response = _json(answer | _as_text(body))
        self._log.info("body.shown", who=self._who(request), path=request.path)
        return response

    async def _lanes(self, _: web.Request) -> web.Response:
        return _json({"items": await self._operations.lanes(), "next": None})

    async def _channels(self, _: web.Request) -> web.Response:
        return _json({"items": await self._operations.store.channels(), "next": None})

    # --- putting right ---

    async def _replay(self, request: web.Request) -> web.Response:
        body = await _body(request)
        new = await self._operations.replay(request.match_info["id"], sink=_text(body, "sink"))
        return _json({"delivery": new, "replay_of": request.match_info["id"]}, 202)

    async def _end(self, request: web.Request) -> web.Response:
        reason = _text(await _body(request), "reason")
        if not reason:
            message = 'say why: {"reason": "…"}'
            raise _BadRequest(message)
        await self._operations.end(request.match_info["id"], reason)
        return _json({"delivery": request.match_info["id"], "state": DeliveryState.DEAD})

    async def _pause(self, request: web.Request) -> web.Response:
        return _json(await self._operations.pause(request.match_info["sink"]))

    async def _resume(self, request: web.Request) -> web.Response:
        return _json(await self._operations.resume(request.match_info["sink"]))

    async def _explain(self, request: web.Request) -> web.Response:
        source = request.query.get("source")
        # Not on the loop: a large body takes seconds.
        return _json(await asyncio.to_thread(self._operations.explain, await _read(request), source))


class _BadRequest(Exception):
    """The request makes no sense; the message says what would."""


def _host(header: str) -> str:
    """The Host header without its port."""
    name = header.strip().casefold()
    return name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]


def _origin(header: str) -> str | None:
    """The host and port of an Origin header; None where it has none."""
    try:
        return urlsplit(header).netloc
    except ValueError:
        return None


def _bytes(text: str) -> bytes:
    """For comparing: total, as headers and environment variables may hold bytes that are no text."""
    return text.encode("utf-8", "surrogatepass")


def _page(request: web.Request) -> dict[str, Any]:
    limit = request.query.get("limit", "50")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= _MOST):
        message = f"limit is a number from 1 to {_MOST}"
        raise _BadRequest(message)
    return {"after": request.query.get("after"), "limit": int(limit)}


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        message = "the body is not complete, or not what its headers say"
        raise _BadRequest(message) from None


async def _body(request: web.Request) -> Mapping[str, Any]:
    """A JSON object, or nothing at all."""
    text = await _read(request)
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        message = "the body is no JSON object"
        raise _BadRequest(message)
    return value


def _text(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is None:
        return None
    # A lone surrogate (a half of an escaped pair) is no text either: nothing could store it.
    if not isinstance(value, str) or _SURROGATE.search(value):
        message = f"{key} is a text"
        raise _BadRequest(message)
    return value


def _as_text(body: bytes) -> dict[str, str]:
    """Bytes as JSON can have them."""
    try:
        return {"body": body.decode(), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "encoding": "base64"}


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=exact_json(value), status=status, content_type="application/json", charset="utf-8")


def _error(status: int, code: str, message: str) -> web.Response:
    return _json({"error": {"code": code, "message": message}}, status)


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = NAME
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
