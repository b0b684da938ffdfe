"""The admin listener: who may ask, and HTTP to and from what `api` answers to people and scripts.

Reached from this machine only, unless tokens are set. A browser is kept out where another site sent it: the Host
must be ours, an Origin must be ours, and Sec-Fetch-Site must not say cross-site; a command line sends none of these.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import BaseModel, ValidationError

from router import proxies
from router.about import NAME
from router.api import Api
from router.endpoint import Asked, Endpoint, Said
from router.errors import ConfigError, Conflict, StoreError, Unknown, Unreadable
from router.excerpt import exact_json
from router.questions import Question
from router.strangers import Strangers

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from structlog.typing import FilteringBoundLogger

    from router.config.settings import Admin
    from router.operations import Operations

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: Asked by supervisors, which have no token.
_OPEN: Final = frozenset({"/healthz", "/readyz"})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
#: What the log's line about a request has besides.
_NOTED: Final = web.RequestKey("noted", dict[str, Any])
_CODES: Final = {404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "too_large"}
#: What ids look like, and where one stands in a path.
_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PLACE: Final = re.compile(r"\{(\w+)\}")
#: Seconds; a body that is not complete by then is not coming.
BODY_DEADLINE: Final = 10.0


class AdminApi:
    """The listener, over what the router can do."""

    def __init__(self, operations: Operations, *, max_body: int, log: FilteringBoundLogger) -> None:
        self._api = Api(operations, log)
        self._operations = operations
        self._max_body = max_body
        self._log = log
        #: A browser page or a script with an old token asks often; nobody guesses a token at this pace.
        self._strangers = Strangers(allowed=300)
        #: The first time in a minute is worth a line in the log.
        self._noticed = Strangers(allowed=0)

    @property
    def _admin(self) -> Admin:
        return self._operations.config.admin

    def application(self) -> web.Application:
        """As aiohttp wants it."""
        app = web.Application(middlewares=[self._guard], client_max_size=self._max_body)
        # What is done to many stands where an id could, and has no GET: an Allow header must not name one.
        words = "|".join(sorted({one.path.rpartition("/")[2] for one in self._api.endpoints if "{" not in one.path}))
        for one in self._api.endpoints:
            answer = self._answering(one)
            route = web.get if one.method == "GET" else web.post
            path = one.path.replace("{id}", f"{{id:(?!(?:{words})$)[^/]+}}")
            app.add_routes([route(path, answer, name=one.name)])
        app.on_response_prepare.append(_harden)
        return app

    # --- who may ask ---

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        who = None
        request[_NOTED] = {}
        try:
            refusal = self._refusal(request)
            if refusal is None:
                who = self._who(request)
                refusal = self._unauthorized(request, who)
            if refusal is not None:
                slow = self._turned_away(request, refusal.status)
                self._operations.figures.admin_refused(refusal.status if slow is None else slow.status)
                if slow is not None:
                    return slow
            response = refusal or await handler(request)
        except web.HTTPException as error:
            response = _error(error.status, _CODES.get(error.status, "bad_request"), error.reason)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except Unknown as error:
            response = _error(404, "not_found", str(error))
        except Unreadable as error:
            response = _error(422, "unreadable", f"this body would go to quarantine: {error}")
        except ConfigError as error:
            response = _error(422, "refused", str(error))
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
                "admin.acted" if done else "admin.refused",
                who=who,
                action=request.match_info.route.name,
                path=self._shown(request),
                status=response.status,
                **request[_NOTED],
            )
        return response

    def _shown(self, request: web.Request) -> str | None:
        """The path with what is ours in it: somebody's number may have been written where an id belongs."""
        resource = request.match_info.route.resource
        if resource is None:
            return None
        found = {name: value if self._is_ours(value) else "…" for name, value in request.match_info.items()}
        return _PLACE.sub(lambda place: found[place[1]], resource.canonical)

    def _is_ours(self, value: str) -> bool:
        return _ID.fullmatch(value) is not None or value in self._operations.by_sink

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

    def _turned_away(self, request: web.Request, status: int) -> web.Response | None:
        """What is answered to who was refused too often; each address is told once a minute, so that nobody fills the log."""
        remote, now = request.remote or "", self._operations.clock.now()
        address = proxies.parsed(remote)
        network = None if address is None else proxies.network_of(address)
        if self._noticed.wrong(remote, now) == 1:
            self._log.warning("stranger.refused", listener="admin", network=network, status=status)
        over = self._strangers.wrong(remote, now)
        if over == 1:
            self._log.warning("stranger.slowed_down", listener="admin", network=network)
        if not over:
            return None
        response = _error(429, "too_many", "too many requests were refused; wait a minute")
        response.headers["Retry-After"] = "60"
        return response

    def _unauthorized(self, request: web.Request, who: str | None) -> web.Response | None:
        if not self._admin.tokens or who is not None or request.path in _OPEN:
            return None
        response = _error(401, "unauthorized", "send `Authorization: Bearer` with one of admin.tokens")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    # --- from HTTP and back ---

    def _answering(self, endpoint: Endpoint) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            asked = Asked(
                who=self._who(request),
                where=request.match_info,
                path=request.path,
                query=_query(request, endpoint.query),
                body=await _body(request, endpoint.body),
                head=request.method == "HEAD",
                accept=request.headers.get("Accept", ""),
                noted=request[_NOTED],
            )
            said = await endpoint.handler(asked)
            if not isinstance(said, Said):
                said = Said(said)
            status = said.status or endpoint.status
            if endpoint.answers is not bytes:
                return _json(said.value, status)
            headers = {"Content-Type": said.content_type} if said.content_type else None
            return web.Response(body=said.value, status=status, headers=headers)

        return answer


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


def _query(request: web.Request, question: type[Question]) -> Question:
    if len(request.query) != len(set(request.query)):
        message = "a parameter is given twice"
        raise _BadRequest(message)
    try:
        return question.model_validate(dict(request.query))
    except ValidationError as error:
        raise _BadRequest(_told(error, question)) from None


async def _body(request: web.Request, wanted: type[BaseModel | bytes] | None) -> BaseModel | bytes | None:
    """Of what is wanted; no body at all counts as an empty object."""
    try:
        async with asyncio.timeout(BODY_DEADLINE):
            given = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError):
        message = "the body is not complete, or not what its headers say"
        raise _BadRequest(message) from None
    if wanted is None or issubclass(wanted, bytes):
        return given
    try:
        return wanted.model_validate_json(given or b"{}")
    except ValidationError as error:
        raise _BadRequest(_told(error, wanted)) from None


def _told(error: ValidationError, question: type[BaseModel]) -> str:
    """What is wrong, and where; not what was given."""
    return "; ".join(
        f"{'.'.join(map(str, one['loc'])) or 'the body'}: {_worded(one, question)}"
        for one in error.errors(include_url=False, include_input=False)
    )


def _worded(one: ErrorDetails, question: type[BaseModel]) -> str:
    match one["type"]:
        case "extra_forbidden":
            return f"unknown; there are: {', '.join(sorted(_keys(question, one['loc'][:-1])))}"
        case "value_error":
            return str(one["ctx"]["error"])
        case "timezone_aware":
            return "needs a zone, like 2026-03-10T08:00:00Z"
        case _:
            return one["msg"]


def _keys(question: type[BaseModel], path: Sequence[int | str]) -> Iterable[str]:
    """What there is in a question, or in what stands at `path` in it."""
    for step in path:
        inner = question.model_fields[str(step)].annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ()
        question = inner
    return question.model_fields


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=exact_json(value), status=status, content_type="application/json", charset="utf-8")


def _error(status: int, code: str, message: str) -> web.Response:
    return _json({"error": {"code": code, "message": message}}, status)


async def _harden(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = NAME
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
