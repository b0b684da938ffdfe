"""What several commands share: their options, and the way from these to a configuration or a running router.

Heavy modules are imported where they are needed: a command should answer at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from router.errors import AftercallError

if TYPE_CHECKING:
    from router.config import Config
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
url_option = click.option("--url", help="The admin listener to ask, instead of the one in the configuration.")
token_option = click.option(
    "--token", envvar="AFTERCALL_ADMIN_TOKEN", show_envvar=True, help="The admin token that goes with --url."
)
#: What an answer must have, key by key: a page of a list, and a lane.
ITEMS: Final[Mapping[str, type]] = {"items": list}
LANE: Final[Mapping[str, type]] = {"sink": str, "state": str, "pending": int}

#: What was asked of many came to this.
MANY: Final[Mapping[str, type]] = {"matched": int, "done": int, "left": list}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def asking(command: Any) -> Any:
    """The options of every command that asks a running router."""
    for option in (json_option, token_option, url_option, config_option):
        command = option(command)
    return click.command()(command)


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


def load_config(file: Path) -> Config:
    """The configuration in this file. Raises `ConfigError`."""
    from router.config import load

    return load(file)


def remote_router(file: Path, url: str | None, token: str | None) -> Remote:
    """The router at `url`, or the one that runs with the configuration."""
    from router.remote import Remote

    return Remote(url, token) if url else Remote.of(load_config(file))


def known_source(config: Config, source: str | None) -> str:
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
