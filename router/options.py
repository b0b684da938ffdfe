"""What several commands share: their options, and the way from these to a configuration or a running router.

Heavy modules are imported where they are needed: a command should answer at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from router.errors import AftercallError, ConfigError

if TYPE_CHECKING:
    from router.config import Config, Known
    from router.config.settings import Admin
    from router.remote import Remote

config_option = click.option(
    "-c",
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("routes.yaml"),
    envvar="AFTERCALL_CONFIG",
    show_default=True,
    show_envvar=True,
    help="The configuration.",
)
url_option = click.option("--url", help="The admin listener to ask, whatever the configuration says.")
token_option = click.option(
    "--token",
    envvar="AFTERCALL_ADMIN_TOKEN",
    show_envvar=True,
    help="Your admin token; left out: that of the configuration.",
)
as_option = click.option(
    "--as",
    "name",
    envvar="AFTERCALL_ADMIN_AS",
    show_envvar=True,
    help="Whose of admin.tokens to send, by its name: the log says who it was.",
)
#: What an answer must have, key by key: a page of a list, and a lane.
ITEMS: Final[Mapping[str, Any]] = {"items": list[dict]}  # type: ignore[type-arg] # as `isinstance` takes it
LANE: Final[Mapping[str, Any]] = {"sink": str, "state": str, "pending": int}

#: What was asked of many came to this.
MANY: Final[Mapping[str, Any]] = {"matched": int, "done": int, "left": list[dict]}  # type: ignore[type-arg]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True, slots=True)
class Reach:
    """How a command gets at the running router, by its options."""

    file: Path
    url: str | None
    token: str | None
    name: str | None

    def router(self, *, warned: bool = True) -> Remote:
        """The one at `url`, or the one that runs with the configuration. Raises `AftercallError`.

        `warned` False: of mistakes elsewhere in the configuration the router itself will speak.
        """
        from router.remote import Remote, local_url

        if self.url is None:
            try:
                admin = known(self.file, "admin", warned=warned).admin
            except ConfigError as error:
                message = (
                    f"{error}\n`--url URL` asks a running router without this file, with `--token` where it wants one"
                )
                raise ConfigError(message) from None
            hint = ": until then, `--url http://…` asks where it was"
            return Remote(local_url(admin.listen), self._token(admin), hint=hint)
        if self.name is not None and self.token is None:
            message = "--as takes a token out of the configuration, which says nothing of --url: give --token"
            raise AftercallError(message)
        return Remote(self.url, self.token)

    def router_of(self, admin: Admin) -> Remote:
        """The one that runs with the configuration. Raises `AftercallError` where it is not clear who asks."""
        from router.remote import Remote, local_url

        return Remote(local_url(admin.listen), self._token(admin))

    def _token(self, admin: Admin) -> str | None:
        """What was given, or what `admin.tokens` has; of several nobody is taken for somebody else."""
        names = list(admin.tokens)
        if self.token is not None:
            return self.token
        if self.name is None and len(names) > 1:
            message = (
                f"admin.tokens has several names, and the log says who asked: write `--as {names[0]}` or another of "
                f"{', '.join(names)} (or set AFTERCALL_ADMIN_AS), or give --token"
            )
            raise AftercallError(message)
        name = self.name or next(iter(names), None)
        if name is not None and name not in admin.tokens:
            from router.config.suggest import did_you_mean

            message = f"--as: no one of admin.tokens is {name!r} {did_you_mean(name, names)}"
            raise AftercallError(message)
        return admin.tokens[name].get_secret_value() if name is not None else None


def reaching(command: Any, *, url: bool = True) -> Any:
    """A command with the options of `Reach`, which it gets as `reach`; `url` False: it needs the configuration."""

    @functools.wraps(command)
    def packed(*, file: Path, token: str | None, name: str | None, url: str | None = None, **given: Any) -> None:
        command(reach=Reach(file, url, token, name), **given)

    for option in (as_option, token_option, *([url_option] if url else ()), config_option):
        packed = option(packed)
    return packed


def asking(command: Any) -> Any:
    """A command that asks a running router, with its options."""
    return click.command()(reaching(json_option(command)))


class Moment(click.ParamType[str]):
    """A time: `2h` is so long ago, anything else is ISO 8601, on this machine's clock where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As the router wants it."""
        from router.scalars import parse_duration

        try:
            if str(value)[-1:].isalpha() and not str(value).endswith("Z"):
                moment = datetime.now(UTC) - parse_duration(value)
            else:
                moment = datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: write 2h (ago), 2026-03-10, or 2026-03-10T08:00", param, ctx)
        return moment.isoformat()


_OF_BODIES: Final = (
    click.option("--since", type=Moment(), help="Received (deliveries: accepted) then or later: 2h, 2026-03-10T08:00."),
    click.option("--until", type=Moment(), help="Received (deliveries: accepted) before then."),
    click.option("--source", help="Only what came in at this source."),
)
_OF_CALLS: Final = (
    *_OF_BODIES,
    click.option("--channel", help="Only calls on this channel, by id or name."),
    click.option("--direction", type=click.Choice(["inbound", "outbound", "unknown"]), help="Only calls that way."),
    click.option("--route", help="Only calls for which this route fired."),
    click.option("--sink", help="Only what is or was owed to this sink."),
)


def _filtering(options: Sequence[Any]) -> Callable[[Any], Any]:
    """A command with these options; it gets those that were given as `where`."""

    def decorated(command: Callable[..., None]) -> Any:
        @functools.wraps(command)
        def packed(**given: Any) -> None:
            where = {name: given.pop(name) for name in names}
            command(where={name: value for name, value in where.items() if value is not None}, **given)

        for option in reversed(options):
            packed = option(packed)
        names = {parameter.name for parameter in packed.__click_params__[-len(options) :]}  # type: ignore[attr-defined]
        return packed

    return decorated


of_bodies = _filtering(_OF_BODIES)
of_calls = _filtering(_OF_CALLS)
of_deliveries = _filtering(
    (*_OF_CALLS, click.option("--reason-has", "reason", help="Only those whose reason has this."))
)
limit_option = click.option("--limit", default=20, show_default=True, type=click.IntRange(1), help="How many.")


def lines_of(remote: Remote, *path: str, limit: int, **query: str | None) -> dict[str, Any]:
    """The first lines of a list, from as many pages as it takes."""
    items: list[Any] = []
    after = None
    while True:
        page = remote.get(*path, shape=ITEMS, limit=str(min(limit - len(items), 500)), after=after, **query)
        items += page["items"]
        after = page["next"]
        if after is None or len(items) >= limit:
            return {"items": items, "next": after}


def lanes_of(remote: Remote, deliveries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The lanes, where one of these deliveries may be waiting for its own."""
    if not any(line["state"] == "pending" for line in deliveries):
        return []
    lanes: list[dict[str, Any]] = remote.get("lanes", shape=ITEMS)["items"]
    return lanes


def load_config(file: Path) -> Config:
    """The configuration in this file. Raises `ConfigError`."""
    from router.config import load

    return load(file)


def known(file: Path, *keys: str, warned: bool = True) -> Known:
    """The configuration, for a command that needs no more of it than these keys: a mistake elsewhere is a warning.

    Raises `ConfigError`, with all mistakes, where it is one of these that cannot be read.
    """
    from router.config import load, rest

    try:
        return load(file)
    except ConfigError as error:
        try:
            found = rest(file)
            for key in keys:
                getattr(found, key)
        except ConfigError:
            raise error from None
        if not warned:
            return found
        first, *more = str(error).splitlines()
        click.echo(f"{first} (a warning)", err=True)
        if more:
            click.echo(f"… and {len(more)} more; `aftercall check` shows all", err=True)
        return found


def known_source(config: Known, source: str | None) -> str:
    """This source, or the first one. Raises `AftercallError` where there is none of this name."""
    name = source or next(iter(config.sources))
    if name not in config.sources:
        from router.config.suggest import did_you_mean

        message = f"there is no source {name!r} {did_you_mean(name, config.sources)}"
        raise AftercallError(message)
    return name


def print_json(value: Any) -> None:
    """For programs, and for people who look at one thing."""
    from router.excerpt import exact_json

    click.echo(exact_json(value, indent=2).decode())
