"""The composition: one router out of one configuration. One exit stack, one task group, no globals."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from router import formats, lag
from router.admin import AdminApi
from router.alarms import Alarms
from router.clock import SharedClock, SystemClock
from router.config.settings import Address
from router.connections import BoundedServer, Connections, parser_is_fast
from router.engines import is_new, open_store
from router.errors import ConfigError
from router.heartbeat import Heartbeat
from router.housekeeping import Housekeeping
from router.inbox import Inbox
from router.log import logger
from router.metrics import Metrics
from router.operations import Operations
from router.presence import Presence
from router.reload import Reload
from router.server import Ingest
from router.threads import Threads
from router.timeline import Timeline
from router.tokens import doors, without_token
from router.watching import ClockWatch
from router.ways import Ways

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import JumpingClock
    from router.config import Config
    from router.doors import Doors
    from router.lanes import Lane
    from router.stall import Stall
    from router.store.base import Store

#: Seconds that attempts in flight may take to finish when the router stops.
GRACE: Final = 10.0
#: Seconds that what sinks do on threads may take to end after that.
THREADS_GRACE: Final = 2.0
_DESCRIPTORS: Final = 65_536
#: What ends it.
_ENDS: Final = (signal.SIGTERM, signal.SIGINT)
#: Connections of the admin listener at once, and of one address.
_ADMIN_CONNECTIONS: Final = 100
_ADMIN_EACH: Final = 50


@dataclass(frozen=True, slots=True)
class Router:
    """A running router."""

    #: What it knows of time.
    clock: JumpingClock
    ways: Ways
    reload: Reload
    store: Store
    inbox: Inbox
    housekeeping: Housekeeping
    alarms: Alarms
    presence: Presence
    #: Where the listeners really listen.
    ingest: Address
    admin: Address
    admin_app: web.Application

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self.ways.now.config

    @property
    def lanes(self) -> Mapping[str, Lane]:
        """Its lanes."""
        return self.ways.now.lanes


@asynccontextmanager
async def running(
    config: Config,
    *,
    clock: JumpingClock | None = None,
    log: FilteringBoundLogger | None = None,
    grace: float = GRACE,
    environ: Mapping[str, str] = os.environ,
    hold: bool = False,
    threads: Threads | None = None,
) -> AsyncIterator[Router]:
    """A router, for as long as the context lasts; leaving it stops gracefully. With `hold` it sends nothing.

    Order: what was left behind goes on before anything comes in; at the end nothing comes in before what is in
    flight is finished or released. `threads` are those of the loop, if they are its own. `environ` fills `${…}` at
    reloads. Raises `ConfigError` and `StoreInUse` with what to do.
    """
    clock = clock or SystemClock()
    log = log or logger()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        unmade, fresh = without_token(config), is_new(config)
        way_in = doors(config)
        store = await stack.enter_async_context(open_store(config, parse=formats.raw, log=log))
        clock = clock if store.is_alone else SharedClock(clock)
        presence = Presence(store, clock=clock, rules=config.table.digest, log=log, hold=hold)
        await presence.begin()
        await store.make_ready(now=clock.now())
        _tell_what_was_made(log, config, store=fresh, tokens=unmade, hold=hold)
        timeline = Timeline()
        ways = Ways(
            store=store,
            clock=clock,
            log=log,
            metrics=metrics,
            grace=grace,
            timeline=timeline,
            hold=hold,
            on_gone=lambda sink: None if threads is None else threads.release(sink),
        )
        stack.push_async_callback(ways.close)
        ways.take(await ways.prepare(config))
        watch = ClockWatch(ways, timeline=timeline, store=store, clock=clock, log=log)
        await watch.begin(presence.begin, hold=hold)
        housekeeping = Housekeeping(ways, store=store, clock=clock, log=log, watch=watch)
        await housekeeping.retake(left_behind=True)

        def open_doors(new: Doors) -> None:
            ingest.doors = new

        reload = Reload(
            ways, store=store, open_doors=open_doors, environ=environ, clock=clock, log=log, metrics=metrics
        )
        alarms = Alarms(
            ways,
            store=store,
            clock=clock,
            log=log,
            metrics=metrics,
            timeline=timeline,
            router=config.name,
            file=config.data / "alarms.json",
            hold=hold,
        )
        reload.observers.append(alarms.reloaded)
        reload.observers.append(lambda _: presence.reloaded(ways.now.config.table.digest))
        operations = Operations(
            ways,
            store=store,
            reload=reload,
            alarms=alarms,
            presence=presence,
            metrics=metrics,
            clock=clock,
            log=log,
            timeline=timeline,
            holding=hold,
        )
        inbox = Inbox(ways, store=store, clock=clock, log=log, metrics=metrics)

        async def ready() -> bool:
            return not await operations.trouble()

        ingest = Ingest(
            inbox=inbox,
            doors=way_in,
            max_body=config.server.max_body,
            ready=ready,
            clock=clock,
            log=log,
            metrics=metrics,
        )

        def lagged(stall: Stall) -> None:
            metrics.lagged(stall.seconds)
            if stall.seconds >= lag.BLOCKED:
                metrics.blocked(stall.sink)
            alarms.lagged(stall)

        heartbeat = Heartbeat(ways, ready=ready, clock=clock, log=log, hold=hold)
        admin = AdminApi(operations, max_body=config.server.max_body, log=log)
        stack.enter_context(lag.watching(lagged, log))
        await stack.enter_async_context(_working(ways, housekeeping, reload, alarms, heartbeat, presence))
        admin_app = admin.application()
        admin_at = await _listening(stack, await _bounded(stack, admin_app), config.admin.listen, "admin.listen")
        ingest_runner = web.ServerRunner(ingest.server(), shutdown_timeout=5.0)
        ingest_at = await _listening(stack, ingest_runner, config.server.listen, "server.listen")
        if not parser_is_fast():
            log.warning("http.parser_is_slow", remedy="install a wheel of aiohttp, and unset AIOHTTP_NO_EXTENSIONS")
        log.info("router.started", ingest=str(ingest_at), admin=str(admin_at), sinks=list(config.sinks))
        if hold:
            log.warning("router.holding", hint="calls are taken in and nothing is sent, until a start without --hold")
        yield Router(clock, ways, reload, store, inbox, housekeeping, alarms, presence, ingest_at, admin_at, admin_app)
        log.info("router.stopping")
    log.info("router.stopped")


async def serve(config: Config, *, hold: bool = False) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP reloads."""
    _allow_many_connections()
    threads = Threads()
    asyncio.get_running_loop().set_default_executor(threads)
    run = asyncio.create_task(_until_told(config, hold=hold, threads=threads), name="router")
    # A start may wait, for its name or for the clock: it is given up.
    _on_end(run.cancel)
    try:
        await run
    except asyncio.CancelledError:
        if not run.cancelled():
            raise
        logger().info("router.stopped")
    left = asyncio.all_tasks() - {asyncio.current_task()}
    hanging = threads.left_behind(THREADS_GRACE)
    if left or hanging:
        # Everything is closed; only a plugin that ignores its cancellation, or never ends, could keep the process for ever.
        logger().error("router.left_behind", tasks=sorted(task.get_name() for task in left), threads=hanging)
        sys.stdout.flush()
        os._exit(0)


async def _until_told(config: Config, *, hold: bool, threads: Threads) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # what was just read need not be read again
    async with running(config, hold=hold, threads=threads) as router:
        _on_end(stop.set)
        loop.add_signal_handler(signal.SIGHUP, router.reload.ask)
        await stop.wait()
        # A second signal means it.
        for number in _ENDS:
            loop.remove_signal_handler(number)


def _on_end(do: Callable[[], object]) -> None:
    """What is done when the process is told to end."""
    for number in _ENDS:
        asyncio.get_running_loop().add_signal_handler(number, do)


def _tell_what_was_made(
    log: FilteringBoundLogger, config: Config, *, store: bool, tokens: Sequence[str], hold: bool
) -> None:
    """A folder that is not there, or another than was meant, must not pass for a router that keeps nothing yet."""
    data = str(config.data)
    if store:
        log.warning("store.created", data=data, hint="empty: as at a first start. Calls were kept before? See `data`")
    for source in tokens:
        log.warning(
            "token.made", source=source, hint="paste `aftercall url` again: a URL with another token gets a 404"
        )
    if store and hold:
        log.error(
            "router.nothing_restored",
            data=data,
            hint="--hold is for restores, and there was no store: stop, and unpack the backup there",
        )


@asynccontextmanager
async def _working(
    ways: Ways,
    housekeeping: Housekeeping,
    reload: Reload,
    alarms: Alarms,
    heartbeat: Heartbeat,
    presence: Presence,
) -> AsyncIterator[None]:
    """The loops. A loop that fails is a bug, and stops the router: a lane that stands still must not go unseen."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            ways.start(group)
            chores = [
                group.create_task(housekeeping.retake_for_ever(), name="housekeeping retake"),
                group.create_task(housekeeping.purge_for_ever(), name="housekeeping purge"),
                group.create_task(reload.watch(), name="reload"),
                group.create_task(alarms.watch(), name="alarms"),
                group.create_task(heartbeat.beat_for_ever(), name="heartbeat"),
                group.create_task(presence.beat_for_ever(), name="presence"),
            ]
            try:
                yield
            except BaseException as error:
                failure = error
                raise
            finally:
                for chore in chores:
                    chore.cancel()
                await asyncio.gather(ways.stop(), alarms.stop())
    except BaseExceptionGroup as errors:
        # What failed in the block, and not in a loop, is nobody's group.
        if failure is not None and errors.exceptions == (failure,):
            raise failure from failure.__cause__
        raise


async def _bounded(stack: AsyncExitStack, app: web.Application) -> web.ServerRunner:
    """The admin listener, its connections bounded."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    server = BoundedServer.around(cast("web.Server", runner.server), Connections(_ADMIN_CONNECTIONS, _ADMIN_EACH))
    return web.ServerRunner(server, shutdown_timeout=5.0)


async def _listening(stack: AsyncExitStack, runner: web.BaseRunner, at: Address, key: str) -> Address:
    """Listen; where it really listens (port 0 is any free one)."""
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, at.host, at.port).start()
    except OSError as error:
        message = f"{key}: cannot listen on {at}: {_reason(error)}; {_advice(error)}"
        raise ConfigError(message) from error
    host, port = runner.addresses[0][:2]
    return Address(host, port)


def _reason(error: OSError) -> str:
    """The system's own words; asyncio wraps them in some of its own."""
    return os.strerror(error.errno) if error.errno else str(error)


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "stop what listens there, or choose another port"
    return "choose an address of this machine, and a port that you may open"


def _allow_many_connections() -> None:
    """The usual limit of 1,024 descriptors is a convention from when programs could not count further."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
