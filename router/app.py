"""The composition: one router out of one configuration. One exit stack, one task group, no globals."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from router import formats, http
from router.admin import AdminApi
from router.clock import SystemClock
from router.config.settings import Address
from router.errors import ConfigError
from router.housekeeping import Housekeeping
from router.inbox import Inbox
from router.lanes import Lane
from router.log import logger
from router.metrics import Metrics
from router.operations import Operations
from router.render import Renderer
from router.server import Doors, Ingest
from router.sink import SinkContext
from router.store.sqlite import open_store
from router.tokens import tokens

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.config import Config
    from router.sink import Sink, SinkConfig
    from router.store.base import Store

#: Seconds that attempts in flight may take to finish when the router stops.
GRACE: Final = 10.0
_DESCRIPTORS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Router:
    """A running router."""

    config: Config
    store: Store
    lanes: Mapping[str, Lane]
    inbox: Inbox
    housekeeping: Housekeeping
    #: Where the listeners really listen.
    ingest: Address
    admin: Address
    admin_app: web.Application


@asynccontextmanager
async def running(
    config: Config, *, clock: Clock | None = None, log: FilteringBoundLogger | None = None, grace: float = GRACE
) -> AsyncIterator[Router]:
    """A router, for as long as the context lasts; leaving it stops gracefully.

    Order: what was left behind goes on before anything comes in; at the end nothing comes in before what is in
    flight is finished or released. Raises `ConfigError` and `StoreInUse` with what to do.
    """
    clock = clock or SystemClock()
    log = log or logger()
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        doors = Doors(tokens(config))
        store = await stack.enter_async_context(open_store(config.database, parse=formats.raw))
        sinks = {name: await _opened(stack, config, name, clock, log) for name in config.sinks}
        rows = await store.lanes()
        lanes = {
            name: Lane(
                name,
                settings,
                sinks[name],
                policy=(settings.retry or config.retry).policy(),
                store=store,
                clock=clock,
                log=log,
                metrics=metrics,
                row=rows.get(name),
            )
            for name, settings in config.sinks.items()
        }
        housekeeping = Housekeeping(config, store=store, lanes=lanes, clock=clock, log=log)
        await housekeeping.retake(everything=True)
        operations = Operations(config, store=store, lanes=lanes, metrics=metrics, clock=clock, log=log)
        inbox = Inbox(
            store=store,
            table=config.table,
            manners=config.manners,
            lanes=lanes,
            clock=clock,
            log=log,
            metrics=metrics,
        )

        async def ready() -> bool:
            return not await operations.trouble()

        ingest = Ingest(
            inbox=inbox,
            doors=doors,
            max_body=config.server.max_body,
            ready=ready,
            clock=clock,
            log=log,
            metrics=metrics,
        )
        admin = AdminApi(operations, admin=config.admin, max_body=config.server.max_body, log=log)
        await stack.enter_async_context(_working(lanes, housekeeping, grace))
        admin_app = admin.application()
        admin_runner = web.AppRunner(admin_app, access_log=None, shutdown_timeout=5.0)
        admin_at = await _listening(stack, admin_runner, config.admin.listen, "admin.listen")
        ingest_runner = web.ServerRunner(ingest.server(), shutdown_timeout=5.0)
        ingest_at = await _listening(stack, ingest_runner, config.server.listen, "server.listen")
        log.info("router.started", ingest=str(ingest_at), admin=str(admin_at), sinks=list(lanes))
        yield Router(config, store, lanes, inbox, housekeeping, ingest_at, admin_at, admin_app)
        log.info("router.stopping")
    log.info("router.stopped")


async def serve(config: Config) -> None:
    """Run until SIGTERM or SIGINT."""
    _allow_many_connections()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(config):
        await stop.wait()
        # A second signal means it.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    if left := asyncio.all_tasks() - {asyncio.current_task()}:
        # Everything is closed; only a plugin that ignores its cancellation could keep the process for ever.
        logger().error("router.left_behind", tasks=sorted(task.get_name() for task in left))
        sys.stdout.flush()
        os._exit(0)


def context(config: Config, name: str, settings: SinkConfig, clock: Clock, log: FilteringBoundLogger) -> SinkContext:
    """What a sink is given."""
    return SinkContext(
        name=name,
        http=http.open_client,
        log=log.bind(sink=name),
        clock=clock,
        templates=Renderer(config.zone),
        language=settings.language or config.language,
        timezone=config.zone.key,
        folder=config.folder,
    )


async def _opened(stack: AsyncExitStack, config: Config, name: str, clock: Clock, log: FilteringBoundLogger) -> Sink:
    settings = config.sinks[name]
    try:
        return await stack.enter_async_context(settings.open(context(config, name, settings, clock, log)))
    except ConfigError as error:
        message = f"{config.file.name}: sinks.{name}: {error}"
        raise ConfigError(message) from error


@asynccontextmanager
async def _working(lanes: Mapping[str, Lane], housekeeping: Housekeeping, grace: float) -> AsyncIterator[None]:
    """The loops. A loop that fails is a bug, and stops the router: a lane that stands still must not go unseen."""
    failure: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            for name, lane in lanes.items():
                group.create_task(lane.run(), name=f"lane {name}")
            chores = [
                group.create_task(housekeeping.retake_for_ever(), name="housekeeping retake"),
                group.create_task(housekeeping.purge_for_ever(), name="housekeeping purge"),
            ]
            try:
                yield
            except BaseException as error:
                failure = error
                raise
            finally:
                for chore in chores:
                    chore.cancel()
                await asyncio.gather(*(lane.stop(grace) for lane in lanes.values()))
    except BaseExceptionGroup as errors:
        # What failed in the block, and not in a loop, is nobody's group.
        if failure is not None and errors.exceptions == (failure,):
            raise failure from failure.__cause__
        raise


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
