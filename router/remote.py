"""Asking a running router over HTTP, for the commands. The standard library's client: commands must start quickly."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from router.about import NAME
from router.errors import AftercallError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.config import Config
    from router.config.settings import Address

#: Seconds.
_PATIENCE: Final = 15


class Unreachable(AftercallError, ConnectionError):
    """The router could not be reached."""


class Refusal(AftercallError):
    """The router said no."""


class Remote:
    """A router's admin listener."""

    def __init__(self, base: str, token: str | None = None) -> None:
        self._base = base.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    @classmethod
    def of(cls, config: Config) -> Remote:
        """The router that runs with this configuration."""
        tokens = [token.get_secret_value() for token in config.admin.tokens.values()]
        return cls(local_url(config.admin.listen), tokens[0] if tokens else None)

    def get(self, *path: str, **query: str | None) -> Any:
        """The answer to GET /api/v1/…."""
        wanted = urlencode({key: value for key, value in query.items() if value is not None})
        return self._ask("GET", path, f"?{wanted}" if wanted else "")

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer to POST /api/v1/…."""
        return self._ask("POST", path, "", json.dumps(body or {}).encode())

    def _ask(self, method: str, path: tuple[str, ...], query: str, body: bytes | None = None) -> Any:
        where = "/".join(quote(part, safe="") for part in ("api", "v1", *path))
        _, answer = ask(method, f"{self._base}/{where}{query}", body, self._headers)
        return answer


def local_url(at: Address) -> str:
    """How this machine reaches a listener: one that listens everywhere is asked on loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(at.host, at.host)  # noqa: S104 - compared, not listened on
    return f"http://[{host}]:{at.port}" if ":" in host else f"http://{host}:{at.port}"


def ask(method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, Any]:
    """The status and the JSON of a 2xx answer; raises `Unreachable`, or `Refusal` with what the router said.

    No proxy and no redirect is followed, and no message has the URL: it may hold a token.
    """
    request = urllib.request.Request(  # noqa: S310 - http or https, from the configuration
        url, data=body, method=method, headers={"User-Agent": NAME, "Content-Type": "application/json", **headers}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())
    where = f"{request.type}://{request.host}"
    try:
        with opener.open(request, timeout=_PATIENCE) as answer:
            return answer.status, _json(answer.read())
    except urllib.error.HTTPError as error:
        said = _json(error.read())
        detail = said.get("error", {}).get("message") if isinstance(said, dict) else None
        message = f"the router at {where} answered {error.code}: {detail or error.reason}"
        raise Refusal(message) from None
    except (urllib.error.URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        said = os.strerror(reason.errno) if isinstance(reason, OSError) and reason.errno else reason
        message = f"no router answers at {where} ({said}); is `{NAME} serve` running with this configuration?"
        raise Unreachable(message) from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: not followed."""


def _json(body: bytes) -> Any:
    try:
        return json.loads(body) if body else {}
    except ValueError:
        return {}
