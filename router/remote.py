"""Asking a running router over HTTP, for the commands. The standard library's client: commands must start quickly."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_args, get_origin
from urllib.parse import quote, urlencode, urlsplit

from router.about import NAME
from router.errors import AftercallError
from router.text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.config.settings import Address

#: Seconds for an answer.
PATIENCE: Final = 15


#: What an answer must have, key by key: a type, or `list[…]` of one.
Shape: TypeAlias = "Mapping[str, Any]"


class Unreachable(AftercallError, ConnectionError):
    """The router could not be reached."""


class Refusal(AftercallError):
    """The router said no, with this status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Stranger(AftercallError):
    """What answers there is no aftercall, or one of another version; check the address of the router."""


class Answer(dict[str, Any]):
    """A JSON object of the router; what it lacks, the router would have sent."""

    def __missing__(self, key: str) -> Any:
        raise Stranger

    def shaped(self, shape: Shape) -> Answer:
        """Itself. Raises `Stranger` where the values, or the items of a list, are not of these types."""
        for key, kind in shape.items():
            value: Any = self[key]
            plain: Any = get_origin(kind)
            if not isinstance(value, kind if plain is None else plain):
                raise Stranger
            inner = get_args(kind)
            if inner and not all(isinstance(item, inner) for item in value):
                raise Stranger
        return self


class Remote:
    """A router's admin listener."""

    def __init__(self, base: str, token: str | None = None, *, hint: str = "") -> None:
        """`hint`: what to do where it cannot be reached."""
        self._hint = hint
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, *path: str, shape: Shape, **query: str | None) -> Answer:
        """The answer to GET /api/v1/…."""
        wanted = urlencode({key: value for key, value in query.items() if value is not None})
        return self._ask("GET", path, f"?{wanted}" if wanted else "").shaped(shape)

    def post(self, *path: str, shape: Shape, body: Mapping[str, Any] | None = None) -> Answer:
        """The answer to POST /api/v1/…."""
        return self._ask("POST", path, "", json.dumps(body or {}).encode()).shaped(shape)

    def _ask(self, method: str, path: tuple[str, ...], query: str, body: bytes | None = None) -> Answer:
        where = "/".join(quote(part, safe="") for part in ("api", "v1", *path))
        try:
            _, answer = ask(method, f"{self._base}/{where}{query}", body, self._headers)
        except Unreachable as error:
            message = f"{error}{self._hint}"
            raise Unreachable(message) from None
        return answer


def body_of(answer: Answer) -> bytes:
    """The body that an answer to `full=1` has."""
    text: str = answer.shaped({"body": str, "encoding": str})["body"]
    return base64.b64decode(text) if answer["encoding"] == "base64" else text.encode()


def local_url(at: Address) -> str:
    """How this machine reaches a listener: one that listens everywhere is asked on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(at.host, at.host)  # noqa: S104 - compared, not listened on
    return f"http://[{host}]:{at.port}" if ":" in host else f"http://{host}:{at.port}"


def ask(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, Answer]:
    """The status and the JSON of a 2xx answer.

    Raises `Unreachable`, `Refusal` with what the router said, or `Stranger` where that is no router. No proxy and no
    redirect is followed, and no message has the URL: it may hold a token.
    """
    where = _origin(url)
    try:
        status, reason, said = _exchange(method, url, body, headers)
    except TimeoutError:
        message = (
            f"who listens at {where} has not answered within {PATIENCE} s: the router is very busy, or hangs, or its "
            "database does; its log says more"
        )
        raise Unreachable(message) from None
    except OSError as error:
        cause = getattr(error, "reason", error)
        why = getattr(cause, "strerror", None) or cause
        message = (
            f"no router answers at {where} ({why}); is `{NAME} serve` running with this configuration? Where `listen` was "
            "changed, that counts after a restart"
        )
        raise Unreachable(message) from None
    except (http.client.InvalidURL, ValueError):  # their texts quote it
        message = f"{where} cannot be asked: the URL or the token has a character that HTTP does not allow there"
        raise AftercallError(message) from None
    except http.client.HTTPException:
        raise Stranger from None
    answer = _object(said)
    if 200 <= status < 300:  # noqa: PLR2004 - 2xx
        if answer is None:
            raise Stranger
        return status, answer
    told = answer.get("error") if answer is not None else None
    detail = told.get("message") if isinstance(told, Answer) else None
    if isinstance(detail, str):
        # What is wrong with a configuration is one mistake a line.
        said_so = "\n".join(map(one_line, detail.splitlines()))
        message = f"the router at {where} answered {status}: {said_so}"
    else:
        # Of its own trouble (5xx) the router says nothing more.
        message = f"{where} answered {status}: {one_line(reason)}" + (f"; is that {NAME}?" if status < 500 else "")  # noqa: PLR2004
    raise Refusal(message, status)


def _origin(url: str) -> str:
    """Scheme, host and port of a URL that can be asked. Raises `AftercallError` for any other."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.username is None and parts.port != 0
    except ValueError:
        good = False
    if not good:
        message = "the URL of the router is none that can be asked: write it like http://127.0.0.1:8081"
        raise AftercallError(message)
    return f"{parts.scheme}://{parts.netloc}"


def _exchange(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, str, bytes]:
    """Status, reason and body of any answer."""
    request = urllib.request.Request(  # noqa: S310 - http or https, as was looked at
        url, data=body, method=method, headers={"User-Agent": NAME, "Content-Type": "application/json", **headers}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    try:
        answer = opener.open(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.reason, answer.read()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: not followed."""


def _object(body: bytes) -> Answer | None:
    """The JSON object that this is; None where it is none."""
    try:
        value = json.loads(body, object_pairs_hook=Answer)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, Answer) else None
