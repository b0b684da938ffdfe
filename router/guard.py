"""Sockets to allowed addresses only: what `router.targets` decides, put where nothing gets past it.

The socket factory sees the final address of every connection, whatever the URL looked like and whoever looked it up;
the resolver sees all addresses of a name before any of them is tried.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

from router import targets
from router.targets import Network

#: Bytes of an answer that the system keeps for us, so that what is read in one turn of the event loop is not much.
_AT_ONCE: Final = 64 * 1024


class Blocked(OSError):
    """The address is none to go to. An OSError, because that is what aiohttp expects of resolvers and sockets."""


class SocketFactory:
    """Makes sockets for allowed addresses."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    def __call__(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, (literal, *_) = address
        if why := targets.refusal(literal, self._allowed):
            message = f"{literal}, {why}"
            raise Blocked(message)
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _AT_ONCE)
        return made


class Resolver(AbstractResolver):
    """Looks names up in threads of its own: a slow name server keeps its own sink waiting and no other.

    One address that may not be used spoils the whole answer: a name with a public and a private one is a trick, or a
    mistake that would only show sometimes.
    """

    def __init__(self, allowed: Sequence[Network], threads: ThreadPoolExecutor) -> None:
        self._allowed = allowed
        self._threads = threads

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a name."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, _lookup, host, port, family)
        except UnicodeError:
            raise socket.gaierror(socket.EAI_NONAME, "no name can be written like this") from None
        for result in found:
            if why := targets.refusal(result["host"], self._allowed):
                message = f"{host} is {result['host']}, {why}"
                raise Blocked(message)
        return found

    async def close(self) -> None:
        """Nothing is open."""


def _lookup(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    return [
        ResolveResult(
            hostname=host,
            host=_literal(address),
            port=port,
            family=found,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for found, _, protocol, _, address in socket.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    ]


def _literal(address: tuple[Any, ...]) -> str:
    """The address as text; a link-local one of IPv6 with the interface it is on."""
    match address:
        case (host, _, _, scope) if scope:
            return f"{host}%{scope}"
        case (host, *_):
            return str(host)
        case _:
            raise AssertionError
