"""Who may come in: which token opens which source, and from where. Pure; a reload puts new doors in."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from router import proxies
from router.targets import Address, Network


class Doors:
    """Of one configuration. Every comparison takes the same time, also for a source that is not there."""

    def __init__(
        self,
        tokens: Mapping[str, tuple[str, ...]],
        *,
        allow_from: Mapping[str, Sequence[Network]] | None = None,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self._digests = {name: tuple(map(_digest, values)) for name, values in tokens.items()}
        self._allow_from = allow_from or {}
        self._trusted_proxies = tuple(trusted_proxies)
        self._decoy = (_digest(""),)

    def token(self, source: str, token: str) -> int | None:
        """Which of the source's tokens this is, from 1; None where it is none."""
        given = _digest(token)
        known = self._digests.get(source)
        fits = [hmac.compare_digest(given, digest) for digest in known or self._decoy]
        return fits.index(True) + 1 if known is not None and any(fits) else None

    def lets_in(self, source: str, address: Address | None) -> bool:
        """Whether the source takes calls from there. An address that nobody knows is let in where all are."""
        allowed = self._allow_from.get(source)
        return not allowed or (address is not None and proxies.within(address, allowed))

    def is_proxy(self, address: Address) -> bool:
        """Whether it is a trusted proxy."""
        return proxies.within(address, self._trusted_proxies)

    def address(self, peer: str | None, x_forwarded_for: Sequence[str], forwarded: Sequence[str]) -> Address | None:
        """Where a request comes from, given its headers of these names: see `proxies.address`."""
        return proxies.address(peer, self._trusted_proxies, ",".join(x_forwarded_for), ",".join(forwarded))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
