"""What hostile neighbours cost: the time in which a call is taken in, and the router's memory, alone and beside them.

`python bench/hostile.py [--calls 2000]`. The router is a process of its own, with three webhooks: good ones answer as
they should, hostile ones with 100 MB, with a byte a second, and never. The sender of honest calls is this process; each
kind of hostile one is another. On a machine with few cores they take each other's time too, so that what is printed is
more than the router's own share.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp

from bodies import body
from measures import SPAWN
from programs import TOKEN, aftercall, free_port

NUMBERS = itertools.count()


# --- who is hostile: each runs for ever, in a process of its own ---


async def slow_heads(port: int) -> None:
    """Connections that say half a head, a byte at a time."""

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"POST /in/sipgate/x HTTP/1.1\r\nX: ")
                while not writer.transport.is_closing():
                    writer.write(b"x")
                    await asyncio.sleep(1)
            await asyncio.sleep(0.2)

    await asyncio.gather(*(one() for _ in range(700)))


async def slow_bodies(port: int) -> None:
    """Somebody with the token whose bodies trickle."""

    async def one() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(f"POST /in/sipgate/{TOKEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode())
                while not writer.transport.is_closing():
                    writer.write(b" ")
                    await asyncio.sleep(0.5)
            await asyncio.sleep(0.2)

    await asyncio.gather(*(one() for _ in range(200)))


async def wrong_tokens(port: int) -> None:
    """Somebody who guesses, 500 times a second."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as client:
        for number in itertools.count():
            with contextlib.suppress(aiohttp.ClientError, OSError):
                async with client.post(f"http://127.0.0.1:{port}/in/sipgate/wrong-{number}", data=b"{}") as answer:
                    await answer.read()
            await asyncio.sleep(1 / 500)


async def friendly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A sink as it should be."""
    while True:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A sink that answers 100 MB."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    for _ in range(1600):
        writer.write(b"x" * 62_500)
        await writer.drain()


async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A sink that answers a byte a second."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


async def silence(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """A sink that does not answer."""
    await reader.read()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
GOOD: tuple[Handler, ...] = (friendly, friendly, friendly)
BAD: tuple[Handler, ...] = (flood, trickle, silence)
SENDERS: tuple[Callable[[int], Coroutine[Any, Any, None]], ...] = (slow_heads, slow_bodies, wrong_tokens)


def be_hostile(port: int, at: int) -> None:
    asyncio.run(SENDERS[at](port))


def answer(ports: list[int], acts: tuple[Handler, ...]) -> None:
    async def serve() -> None:
        for port, act in zip(ports, acts, strict=True):

            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, act: Handler = act) -> None:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await act(reader, writer)
                writer.transport.abort()

            await asyncio.start_server(handle, "127.0.0.1", port)
        await asyncio.Event().wait()

    asyncio.run(serve())


# --- what is measured ---


async def times(port: int, calls: int, pause: float) -> list[float]:
    """Seconds for each call, one after the other."""
    found = []
    async with aiohttp.ClientSession() as client:
        for _ in range(calls):
            data = body(next(NUMBERS), time.monotonic_ns())
            began = time.perf_counter()
            try:
                async with client.post(f"http://127.0.0.1:{port}/in/sipgate/{TOKEN}", data=data) as answered:
                    if answered.status == 202:
                        found.append(time.perf_counter() - began)
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(pause)
    return found


def measured(name: str, senders: list[int], sinks: tuple[Handler, ...], calls: int, pause: float) -> float:
    """Print one line; the p99 in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        ports = [free_port() for _ in sinks]
        others = [SPAWN.Process(target=answer, args=(ports, sinks), daemon=True)]
        others[0].start()
        with aftercall(Path(folder), ports) as router:
            for at in senders:
                others.append(SPAWN.Process(target=be_hostile, args=(router.port, at), daemon=True))
                others[-1].start()
            time.sleep(5)
            asyncio.run(times(router.port, 50, 0))
            found = asyncio.run(times(router.port, calls, pause))
            p99 = quantiles(found, n=100)[98]
            print(
                f"{name:14} taken in {len(found):5} of {calls}   median {median(found) * 1000:6.1f} ms   "
                f"p99 {p99 * 1000:6.1f} ms   memory at most {router.memory.peak:.0f} MiB",
                flush=True,
            )
            for process in others:
                process.kill()
                process.join()
    return p99


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2000, help="calls for each line")
    parser.add_argument("--pause", type=float, default=0.005, help="seconds between two of them")
    given = parser.parse_args()
    unloaded = measured("unloaded", [], GOOD, given.calls, given.pause)
    everybody = list(range(len(SENDERS)))
    beside = [(act.__name__, [at], GOOD) for at, act in enumerate(SENDERS)]
    for name, senders, sinks in (*beside, ("sinks", [], BAD), ("all of them", everybody, BAD)):
        p99 = measured(name, senders, sinks, given.calls, given.pause)
        print(f"{'':14} {p99 / unloaded:.1f} times the p99 of unloaded", flush=True)


if __name__ == "__main__":
    main()
