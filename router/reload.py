"""Reloading: the files are read and checked whole, what they need is opened, and then they are in force in one step.

A reload that is refused changes nothing, and is seen: in the log, the metrics, `status`, and by who observes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, NoReturn

from router.apart import Apart
from router.attempt import is_our_cancellation
from router.config import Differs, Files, differs, load
from router.errors import AftercallError, ConfigError
from router.failpoints import Failpoint, reached
from router.tokens import doors

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.config import Config
    from router.doors import Doors
    from router.metrics import Metrics
    from router.store.base import Store
    from router.ways import Change, InForce, Ways

#: How often the files are looked at. They are read when two looks see the same: a file that is still being written
#: is not.
LOOK_EVERY: Final = timedelta(seconds=2)
#: Seconds that reading and checking may take; a plugin's own check could hang.
LOAD_DEADLINE: Final = 60.0
#: What of the two listeners a reload changes; everything else needs a restart.
_LIVE: Final = {"server": frozenset({"public_url", "trusted_proxies"}), "admin": frozenset({"tokens", "hosts"})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """What a reload did."""

    at: datetime
    added: tuple[str, ...]
    changed: tuple[str, ...]
    #: Sinks that are not there any more, and how many deliveries wait for each.
    gone: Mapping[str, int]
    #: What else is different, by key of routes.yaml: sources, words and rules.
    rules: Mapping[str, Differs]
    #: Keys whose changes count after a restart.
    restart: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadState:
    """How reloading stands. `reason` None: what is in force is what was last read."""

    #: When the configuration in force was read.
    loaded_at: datetime
    #: The last reload was refused, and why; the text may have several lines.
    refused_at: datetime | None = None
    reason: str | None = None
    restart: tuple[str, ...] = ()
    #: Of what is in force.
    warnings: tuple[str, ...] = ()
    #: What the reload that put it in force changed, by key of routes.yaml; nothing since the start.
    changes: Mapping[str, Differs] = field(default_factory=dict)


class Reload:
    """Reloads one router's configuration."""

    def __init__(
        self,
        ways: Ways,
        *,
        store: Store,
        open_doors: Callable[[Doors], None],
        environ: Mapping[str, str],
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: Metrics,
    ) -> None:
        """`open_doors` is given who may come in from now on; it must not wait."""
        self.state = ReloadState(loaded_at=clock.now(), warnings=tuple(map(str, ways.now.config.warnings)))
        #: Called after each reload, whether it was refused or not.
        self.observers: list[Callable[[ReloadState], None]] = []
        #: How often the files were looked at.
        self.looks = 0
        self._ways = ways
        self._store = store
        self._open_doors = open_doors
        self._environ = environ
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._files = ways.now.config.files
        self._asked = asyncio.Event()
        #: One after the other; the second of two reads what is there by then.
        self._turn = asyncio.Lock()
        #: A reload was refused because of the one before, and not because of what the files say.
        self._owed = False
        #: Plugins check their own part, and may hang.
        self._reading = Apart("aftercall-reload")
        metrics.reloaded(self.state.loaded_at, ways.now.config.sources, ways.now.lanes)

    @property
    def reading(self) -> bool:
        """Whether the files are being read, also where a plugin's check hangs and nobody waits any more."""
        return self._reading.busy

    def ask(self) -> None:
        """Reload soon; for signals."""
        self._asked.set()

    async def watch(self) -> NoReturn:
        """Reload when asked to, when a file has changed and is at rest, and when what was in the way is over."""
        before: object | None = None
        while True:
            await self._clock.wait(self._asked, self._clock.now() + LOOK_EVERY)
            asked = self._asked.is_set()
            self._asked.clear()
            changed = await asyncio.to_thread(self._files.changed)
            at_rest = changed is not None and changed == before
            if asked or (not self.reading if self._owed else at_rest):
                with suppress(AftercallError):  # it was reported
                    await self.reload(asked=asked)
                changed = None
            before = changed
            self.looks += 1

    async def reload(self, *, asked: bool = True) -> Reloaded:
        """Put in force what the files say now. Raises `ConfigError` or `StoreError`, and nothing is changed then.

        `asked` False: nobody did, files have changed. Then it takes away no rules of files that are gone as a whole.
        """
        async with self._turn:
            try:
                return await self._reload(asked=asked)
            except AftercallError as error:
                self._refused(str(error))
                raise
            except BaseException as error:  # a plugin may raise anything, also what would end the process
                if is_our_cancellation(error):
                    raise
                self._log.error("config.failed", exc_info=error)
                message = f"a bug, here or in a plugin ({type(error).__name__}); the traceback is in the log"
                self._refused(message)
                raise ConfigError(message) from error

    async def _reload(self, *, asked: bool) -> Reloaded:
        before, at = self._ways.now, self._clock.now()
        if self.reading:
            self._owed = True
            message = (
                "the reading of the configuration before this one is not over; it may hang in a plugin's own check. "
                "The files are read once that ends; restart the router if it does not"
            )
            raise ConfigError(message)
        self._owed = False
        self._files = Files()
        try:
            async with asyncio.timeout(LOAD_DEADLINE):
                read = await self._reading.run(
                    partial(load, before.config.file, self._environ, at, files=self._files, after=before.config)
                )
        except TimeoutError:
            message = f"reading the configuration takes longer than {LOAD_DEADLINE:g} seconds; a plugin may hang"
            raise ConfigError(message) from None
        if not asked and (emptied := read.files.emptied(before.config.files)):
            raise ConfigError(_vanished(before.config.file.name, emptied))
        config, restart = without_restart(before.config, read)
        known = await asyncio.to_thread(doors, config)
        change = await self._ways.prepare(config)
        try:
            done = await self._described(before, change, at, restart)
        except BaseException:
            await change.close()
            raise
        # Nothing waits between these two: no call sees the sources of one configuration and the rules of another.
        self._ways.take(change)
        reached(Failpoint.IN_RELOAD)
        self._open_doors(known)
        self._report(done)
        return done

    async def _described(self, before: InForce, change: Change, at: datetime, restart: tuple[str, ...]) -> Reloaded:
        gone = [name for name in before.lanes if name not in change.ways]
        backlog = await self._store.backlog() if gone else {}
        owed = {name: backlog.get(name, {}) for name in gone}
        return Reloaded(
            at=at,
            added=tuple(name for name in change.opened if name not in before.lanes),
            changed=tuple(name for name in change.opened if name in before.lanes),
            gone={name: states.get("pending", 0) + states.get("claimed", 0) for name, states in owed.items()},
            rules=differs(before.config.written, change.config.written),
            restart=restart,
            warnings=tuple(map(str, change.config.warnings)),
        )

    def _report(self, done: Reloaded) -> None:
        sinks = Differs(added=done.added, changed=done.changed, gone=tuple(done.gone))
        changes = ({"sinks": sinks} if sinks else {}) | dict(done.rules)
        self.state = ReloadState(loaded_at=done.at, restart=done.restart, warnings=done.warnings, changes=changes)
        rules = {key: _named(one) for key, one in done.rules.items()} or None
        self._log.info(
            "config.reloaded", added=list(done.added), changed=list(done.changed), gone=list(done.gone), rules=rules
        )
        for sink, count in done.gone.items():
            if count:
                self._log.warning("sink.gone", sink=sink, deliveries=count)
        for warning in done.warnings:
            self._log.warning("config.warned", warning=warning)
        if done.restart:
            self._log.warning("config.needs_restart", keys=list(done.restart))
        self._metrics.reloaded(done.at, self._ways.now.config.sources, self._ways.now.lanes)
        self._tell()

    def _refused(self, reason: str) -> None:
        self.state = replace(self.state, refused_at=self._clock.now(), reason=reason)
        self._log.error("config.refused", reason=reason)
        self._metrics.reload_refused()
        self._tell()

    def _tell(self) -> None:
        for observer in self.observers:
            try:
                observer(self.state)
            except Exception as error:  # noqa: BLE001 - who looks on decides nothing
                self._log.error("config.failed", exc_info=error)


def _vanished(file: str, emptied: Mapping[str, tuple[str, ...]]) -> str:
    """Why nothing is changed: a folder that was moved, or is being written anew, looks like this."""
    return "\n".join(
        f"{file}: include: no file fits {pattern} any more; what stood in {', '.join(names)} stays in force until there "
        "is one; where it is meant to go, `aftercall reload` takes it away"
        for pattern, names in emptied.items()
    )


def _named(one: Differs) -> dict[str, list[str] | bool]:
    """For the log: what there is of it."""
    found: dict[str, list[str] | bool] = {
        "added": list(one.added),
        "changed": list(one.changed),
        "gone": list(one.gone),
    }
    return {name: names for name, names in ({**found, "moved": one.moved}).items() if names}


def without_restart(old: Config, new: Config) -> tuple[Config, tuple[str, ...]]:
    """The new configuration with what only a restart changes as it was, and the keys of that.

    Raises `ConfigError` where the two together would let strangers in.
    """
    elsewhere = new.database != old.database or new.postgres != old.postgres
    keys = ["name"] if new.name != old.name else []
    keys += ["data"] if new.data != old.data else ["store"] if elsewhere else []
    keys += ["keep.reserve"] if new.reserve != old.reserve else []
    keys += ["plugins"] if new.plugins != old.plugins else []
    for name, live in _LIVE.items():
        mine, theirs = getattr(old, name), getattr(new, name)
        fields = type(mine).model_fields.keys() - live
        keys += sorted(f"{name}.{field}" for field in fields if getattr(mine, field) != getattr(theirs, field))
    config = replace(
        new,
        name=old.name,
        data=old.data,
        database=old.database,
        postgres=old.postgres,
        reserve=old.reserve,
        plugins=old.plugins,
        server=old.server.model_copy(update={key: getattr(new.server, key) for key in _LIVE["server"]}),
        admin=old.admin.model_copy(update={key: getattr(new.admin, key) for key in _LIVE["admin"]}),
    )
    if not config.admin.listen.loopback and not config.admin.tokens:
        message = (
            f"{new.file.name}: admin.tokens: the admin listener is at {config.admin.listen} until a restart, and can "
            "be reached from other machines; keep a token until then"
        )
        raise ConfigError(message)
    return config, tuple(keys)
