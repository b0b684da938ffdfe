"""From a file to a configuration: the document, the plugins, the settings, the sinks, the compiled rules.

Every problem is collected before any is reported, each with its place; nothing is half loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, SecretStr, ValidationError

from router import pem, registry
from router.clock import SystemClock
from router.config.alarms import Alarms
from router.config.compile import Compiler
from router.config.differs import Written, written
from router.config.document import Document, Invalid, Problem, Steps, read
from router.config.files import Files
from router.config.include import including
from router.config.problems import fitted, sayable, translated
from router.config.settings import Admin, Server, Settings, Source
from router.config.suggest import did_you_mean
from router.errors import ConfigError, Discreet, PluginError
from router.formats import Manner
from router.formats.anchors import Anchors
from router.hours import Hours
from router.mounts import remote_mount
from router.registry import Kind
from router.routing import RoutingTable
from router.sink import RetrySetting, SinkConfig
from router.store.postgres import Place
from router.store.postgres.place import NO_CLIENT, SCHEMES, has_client

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_SQLITE = re.compile(r"sqlite:///[^?#]+")
#: The keys that decide where a call goes; their hash is kept with every event.
_RULE_KEYS = ("timezone", "words", "always", "never", "routes", "otherwise")

#: What a plugin may raise: no traceback for who wrote the file, and no end of a router that reloads.
_BUGS = (Exception, SystemExit, GeneratorExit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One good configuration."""

    file: Path
    #: What the router is called.
    name: str
    data: Path
    #: The file of the store, unless that is in PostgreSQL.
    database: Path
    postgres: Place | None
    zone: ZoneInfo
    language: Literal["de", "en"]
    keep_events: timedelta | None
    keep_quarantine: timedelta | None
    keep_seen: timedelta | None
    #: Bytes that one source may have in quarantine.
    quarantine_size: int
    #: Bytes of the store's disk that no call is taken into.
    reserve: int
    server: Server
    admin: Admin
    sources: Mapping[str, Source]
    #: How the bodies of each source are read.
    manners: Mapping[str, Manner]
    sinks: Mapping[str, SinkConfig]
    table: RoutingTable
    retry: RetrySetting
    alarms: Alarms
    #: The working time of `alarms.silent_after`.
    hours: Hours
    kinds: Mapping[str, Kind]
    #: The local plugin files, as they are named.
    plugins: tuple[str, ...]
    #: For comparing with another: see `differs`.
    written: Written
    #: What it was read from.
    files: Files
    #: The sinks that `${…}` was filled in.
    filled: frozenset[str]
    warnings: tuple[Problem, ...]

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.file.parent


def load(
    file: Path,
    environ: Mapping[str, str] = os.environ,
    now: datetime | None = None,
    *,
    files: Files | None = None,
    after: Config | None = None,
) -> Config:
    """The configuration in this file. Raises `ConfigError`, one problem a line: file:line:column: path: what to do.

    `now` is when certificates should be valid; None: now. `files` gets to know what is read, also where this fails.
    Plugins run once in a process: `after` is the configuration in force, whose kinds of sinks these are.
    """
    file, files = file.absolute(), files or Files()
    text = text_of(file, files)
    try:
        document = including(read(text, file.name, file.parent, environ, files), file.parent, environ, files)
    except Invalid as error:
        raise ConfigError(str(error)) from None
    return _Loader(document, file, environ, now or SystemClock().now(), files, after).config()


def text_of(file: Path, files: Files) -> str:
    """The text of routes.yaml. Raises `ConfigError`."""
    try:
        return files.text(file)
    except FileNotFoundError:
        message = f"{file.name}: there is no such file in {file.parent}; `aftercall init` writes one to begin with"
        raise ConfigError(message) from None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file.name}: cannot be read as UTF-8 text: {getattr(error, 'strerror', None) or error}"
        raise ConfigError(message) from None


def database(store: str | None, data: Path, folder: Path) -> Path:
    """The file that `store` names, or the usual one. Raises `ValueError` where it names neither that nor PostgreSQL."""
    if store is None or store.partition(":")[0] in SCHEMES:
        return data / "aftercall.db"
    if not _SQLITE.fullmatch(store):  # it may have a password in it, so it is not quoted
        raise Discreet(
            "is no store; write sqlite:/// and a file, like sqlite:///data/aftercall.db, or postgresql://user@host/database"
        )
    return folder / store.removeprefix("sqlite:///")


def machine() -> str:
    """What this machine is called, as far as that can name a router."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname())[:64] or "router"


def postgres(store: str | None, password: SecretStr | None) -> Place | None:
    """The PostgreSQL that `store` names, if it is one. Raises `ValueError` where it is none that there can be."""
    if store is None or store.partition(":")[0] not in SCHEMES:
        return None
    return Place.of(store, None if password is None else password.get_secret_value())


class _Loader:
    """One run of loading."""

    def __init__(
        self,
        document: Document,
        file: Path,
        environ: Mapping[str, str],
        now: datetime,
        files: Files,
        after: Config | None,
    ) -> None:
        self.document = document
        self.file = file
        self.environ = environ
        self.now = now
        self.files = files
        self.after = after
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = list(document.warnings)

    def config(self) -> Config:
        """Everything, or `ConfigError`."""
        data = self.document.data
        settings = self._settings(data)
        kinds = self._kinds(data.get("plugins") if isinstance(data, dict) else None)
        raw = data.get("sinks") if isinstance(data, dict) else None
        sinks = dict(self._sinks(raw, kinds)) if isinstance(raw, dict) and kinds is not None else {}
        if settings is None:
            raise ConfigError(self._report())
        compiler = Compiler(
            words=settings.words,
            sinks=list(settings.sinks),
            sources=list(settings.sources),
            zone=ZoneInfo(settings.timezone),
        )
        rules = {key: data.get(key) for key in _RULE_KEYS} if isinstance(data, dict) else {}
        table = compiler.table(
            routes=settings.routes,
            never=settings.never,
            always=settings.always,
            otherwise=settings.otherwise,
            digest=hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest(),
        )
        compiler.alarms(settings.alarms.to, {name: config.carries_alarms for name, config in sinks.items()})
        compiler.watched(settings.alarms.silent_after)
        hours = compiler.hours(settings.alarms.hours, ("alarms", "hours"))
        self.problems += [self._compiled(path, message) for path, message in compiler.problems]
        self._check(settings)
        manners = {name: self._manner(name, source) for name, source in settings.sources.items()}
        if self.problems:
            raise ConfigError(self._report())
        self.warnings += [self._compiled(path, message) for path, message in compiler.warnings]
        self._look_at_disk(settings)
        folder = self.file.parent
        keep: dict[str, timedelta | None] = {
            name: None if kept == "forever" else kept
            for name, kept in settings.keep
            if name not in ("quarantine_size", "reserve")
        }
        return Config(
            file=self.file,
            name=settings.name or machine(),
            data=folder / settings.data,
            database=self._database(settings),
            postgres=postgres(settings.store, settings.store_password),
            zone=ZoneInfo(settings.timezone),
            language=settings.language,
            keep_events=keep["events"],
            keep_quarantine=keep["quarantine"],
            keep_seen=keep["seen"],
            quarantine_size=settings.keep.quarantine_size,
            reserve=settings.keep.reserve,
            server=settings.server,
            admin=settings.admin,
            sources=settings.sources,
            manners=manners,
            sinks=sinks,
            table=table,
            retry=settings.retry,
            alarms=settings.alarms,
            hours=hours,
            kinds=kinds or {},
            plugins=settings.plugins,
            written=written(settings),
            files=self.files,
            filled=frozenset(name for name in sinks if self.document.was_filled(("sinks", name))),
            warnings=tuple(sorted(set(self.warnings), key=self._order)),
        )

    def _settings(self, data: Any) -> Settings | None:
        """The settings; where keys are wrong, what the others say, so that one run finds every mistake.

        None where a wrong key is one that others refer to, or could be one by another name: they could not be judged.
        """
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            self.problems += translated(error, self.document, Settings)
            wrong = {found["loc"][0] for found in error.errors(include_input=False) if found["loc"]}
        others = Settings.model_fields.keys() - {"sinks", "sources", "words"}
        if not isinstance(data, dict) or not wrong or not wrong <= others:
            return None
        return Settings.model_validate({key: value for key, value in data.items() if key not in wrong})

    def _kinds(self, plugins: Any) -> dict[str, Kind] | None:
        """None where the plugins cannot be loaded: the sinks are not looked at then."""
        if self.after is not None:
            return dict(self.after.kinds)
        named = [plugins] if isinstance(plugins, str) else plugins if isinstance(plugins, list) else []
        files = {at: self.file.parent / name for at, name in enumerate(named) if isinstance(name, str)}
        try:
            return registry.load_kinds(list(files.values()), self.environ)
        except PluginError as error:
            message = " ".join(str(error).split())  # what a plugin raises may have several lines
            steps = next(((at,) for at, file in files.items() if str(file) in message), ())
            self._problem(("plugins", *steps), PluginError(message))
            return None

    def _sinks(self, raw: dict[str, Any], kinds: Mapping[str, Kind]) -> Iterator[tuple[str, SinkConfig]]:
        for name, given in raw.items():
            path: Steps = ("sinks", name)
            if not isinstance(given, dict):
                self._problem(path, Discreet("is no sink; write {kind: …} with the keys of that kind"))
                continue
            kind = given.get("kind")
            if not isinstance(kind, str):
                self._problem(path, f"has no kind; write one {did_you_mean('', kinds, 'installed')}")
            elif kind in kinds:
                try:
                    config = kinds[kind].config.model_validate(given)
                except ValidationError as error:
                    self.problems += translated(error, self.document, kinds[kind].config, path)
                except _BUGS as error:
                    self._problem(path, f"cannot be read: a bug in its kind ({type(error).__name__})")
                else:
                    self._look_at_files(path, config)
                    yield name, config
            else:
                known = did_you_mean(
                    kind, kinds, "installed; new plugins are loaded at a restart" if self.after else "installed"
                )
                instead = f"is no kind of sink {did_you_mean('', kinds, 'installed')}"
                self._problem((*path, "kind"), Discreet(f"unknown kind {kind!r} {known}", instead=instead))

    def _look_at_files(self, path: Steps, config: SinkConfig) -> None:
        try:
            for file in config.files():
                self.files.about_to_read(self.file.parent / file)
            self._ending(path, config.check(self.file.parent))
        except ConfigError as error:
            self._problem((*path, *error.at), error, type(config))
        except _BUGS as error:
            self._problem(path, f"cannot be checked: the kind's own check failed ({type(error).__name__})")

    def _ending(self, path: Steps, ends: datetime | None) -> None:
        if ends is not None and ends <= self.now:
            message = f"a certificate has expired ({ends:%Y-%m-%d}); what is signed with it is not believed any more"
            self.warnings.append(self._compiled(path, Discreet(message)))

    def _manner(self, name: str, source: Source) -> Manner:
        """How the bodies of this source are read."""
        trust = source.trust
        return Manner(
            source.format,
            source.aliases,
            self._anchors(("sources", name, "trust", "anchors"), trust.anchors) if trust else None,
            only_verified=trust is not None and trust.required,
        )

    def _anchors(self, path: Steps, files: Sequence[str]) -> Anchors | None:
        """None where there is a problem."""
        made: list[Certificate] = []
        for at, name in enumerate(files):
            if (named := pem.file(name)) is not None:
                self.files.about_to_read(self.file.parent / named)
            try:
                found = pem.certificates(name, self.file.parent)
            except ConfigError as error:
                self._problem((*path, at), error)
            except ImportError:
                self._problem(path, Discreet(pem.NOT_INSTALLED))
                return None
            else:
                made += found
                self._ending((*path, at), min(one.not_valid_after_utc for one in found))
        return Anchors(tuple(made))

    def _check(self, settings: Settings) -> None:
        """What no single key can know."""
        owners: dict[str, str] = {}
        for name, source in settings.sources.items():
            if source.token is not None and source.tokens is not None:
                self._problem(("sources", name), "has both token and tokens; keep one of the two keys")
            if source.trust is not None and source.format not in (None, "vcon"):
                message = f"goes with `format: vcon`, or without `format`; nothing of {source.format} is signed"
                self._problem(("sources", name, "trust"), message)
            behind = settings.server.listen.loopback and not settings.server.trusted_proxies
            if behind and source.allow_from and not any(network.is_loopback for network in source.allow_from):
                message = (
                    "lets nothing in: server.listen is reached from this machine alone, by a proxy; name the proxy in "
                    "server.trusted_proxies (127.0.0.1), so that it is believed who called it"
                )
                self._problem(("sources", name, "allow_from"), Discreet(message))
            for token in [*(source.tokens or ()), *filter(None, [source.token])]:
                if owners.setdefault(token.get_secret_value(), name) != name:
                    message = f"has a token of source {owners[token.get_secret_value()]!r}; each source has its own"
                    self._problem(("sources", name), message)
        if settings.admin.listen == settings.server.listen and settings.server.listen.port:
            self._problem(("admin", "listen"), Discreet("is where server.listen listens already; choose another port"))
        self._check_store(settings)
        names: dict[str, str] = {}
        for name, token in settings.admin.tokens.items():
            if (first := names.setdefault(token.get_secret_value(), name)) != name:
                message = f"has the secret of {first!r}: the log could not tell the two apart; give each its own"
                self._problem(("admin", "tokens", name), Discreet(message))
        if not settings.admin.listen.loopback and not settings.admin.tokens:
            message = "can be reached from other machines; give admin.tokens a name and a secret"
            self._problem(("admin", "listen"), Discreet(f"{settings.admin.listen} {message}", instead=message))
        keep = settings.keep
        if keep.seen != "forever" and (keep.events == "forever" or keep.seen < keep.events):
            message = (
                "is shorter than keep.events, but a call must be known as long as it is kept; write as long a time"
            )
            self._problem(("keep", "seen"), Discreet(message))
        for at, rule in enumerate(settings.never):
            if "all" in rule.to and len(rule.to) > 1:
                self._problem(("never", at, "to"), "`all` has every sink in it; write `all` alone, or the names alone")

    def _check_store(self, settings: Settings) -> None:
        try:
            self._database(settings)
            place = postgres(settings.store, settings.store_password)
        except ValueError as error:
            self._problem(("store",), error)
            return
        if place is None:
            if settings.store_password is not None:
                self._problem(("store_password",), Discreet("goes with a `store` in PostgreSQL; a file has none"))
            return
        if not has_client():
            self._problem(("store",), Discreet(NO_CLIENT))
        for name, source in settings.sources.items():
            if not (source.token or source.tokens):
                message = (
                    "has no `token`, and all routers of a store in PostgreSQL need the same one: write the output of "
                    "`openssl rand -hex 16` as its `token`"
                )
                self._problem(("sources", name), Discreet(message))

    def _database(self, settings: Settings) -> Path:
        return database(settings.store, self.file.parent / settings.data, self.file.parent)

    def _look_at_disk(self, settings: Settings) -> None:
        if postgres(settings.store, settings.store_password) is not None:
            return
        mount = remote_mount(self._database(settings).parent)
        if mount is not None:
            message = (
                f"the database would be on a network file system ({mount.kind} at {mount.at}): its write-ahead log needs "
                "memory and locks that such a one does not keep, so calls could be lost and the database damaged; "
                "use a folder on a local disk"
            )
            instead = message.replace(f"({mount.kind} at {mount.at})", f"({mount.kind})")
            path = ("data",) if settings.store is None else ("store",)
            self.warnings.append(self._compiled(path, Discreet(message, instead=instead)))

    def _compiled(self, path: Steps, said: str | Exception, model: type[BaseModel] = Settings) -> Problem:
        path = fitted(path, self.document.data)
        base = () if model is Settings else path[:2]
        return self.document.problem(path, sayable(self.document, path, said, model, base))

    def _problem(self, path: Steps, said: str | Exception, model: type[BaseModel] = Settings) -> None:
        self.problems.append(self._compiled(path, said, model))

    def _report(self) -> str:
        return "\n".join(map(str, sorted(set(self.problems), key=self._order)))

    def _order(self, problem: Problem) -> tuple[bool, str, int, int, str]:
        return problem.file != self.document.file, problem.file, problem.line, problem.column, problem.message
