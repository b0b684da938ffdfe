"""The commands that show what is in a running router. Each finds the admin listener through routes.yaml, or by --url."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from router.options import (
    ITEMS,
    asking,
    lanes_of,
    limit_option,
    lines_of,
    of_calls,
    of_deliveries,
    print_json,
)

if TYPE_CHECKING:
    from router.options import Reach
    from router.remote import Answer, Remote


@asking
def status(*, reach: Reach, as_json: bool) -> None:
    """Show which configuration is in force, the sums of the store, every lane, the routers beside this one, and what is wrong."""
    remote = reach.router()
    alarms = remote.get("alarms", shape=ITEMS)["items"]
    summary, lanes = remote.get("summary", shape={"deliveries": dict}), remote.get("lanes", shape=ITEMS)["items"]
    state = remote.get("reload", shape={"loaded_at": str, "restart": list[str]})
    routers = remote.get("routers", shape={**ITEMS, "remarks": list[str]})
    if as_json:
        print_json({"summary": summary, "lanes": lanes, "reload": state, "alarms": alarms, "routers": routers})
        return
    from router.show import alarm_rows, reload_state, router_rows, status_text

    click.echo(f"{reload_state(state)}\n{status_text(summary, lanes)}")
    if len(routers["items"]) > 1 or routers["remarks"]:
        click.echo(router_rows(routers))
    if alarms:
        click.echo(alarm_rows(alarms))


@asking
@limit_option
@click.option("--unrouted", is_flag=True, help="Only those that the routing failed for.")
@click.option(
    "--full",
    is_flag=True,
    help="With EVENT_ID: the body as it came, word for word; with --json all that was read, too.",
)
@of_calls
@click.argument("event_id", required=False)
def events(
    *, reach: Reach, as_json: bool, limit: int, unrouted: bool, full: bool,
    where: dict[str, str], event_id: str | None,
) -> None:  # fmt: skip
    """List the newest events; with EVENT_ID, show one with its deliveries, and nothing that was said."""
    if (full and event_id is None) or (event_id is not None and (where or unrouted)):
        message = "--full goes with the id of an event, all else with the list"
        raise click.UsageError(message)
    remote = reach.router()
    if event_id:
        answer = remote.get("events", event_id, shape={"event": dict}, full="1" if full else None)
        show_body(answer, full=full and not as_json)
        return
    found = lines_of(remote, "events", limit=limit, routed="unrouted" if unrouted else None, **where)
    if as_json:
        print_json(found)
        return
    from router.show import event_rows

    click.echo(event_rows(found["items"]))


@asking
@click.option("--state", help="pending, claimed, delivered, dead, replayed or erased.")
@limit_option
@of_deliveries
@click.argument("delivery_id", required=False)
def deliveries(
    *, reach: Reach, as_json: bool, state: str | None, limit: int,
    where: dict[str, str], delivery_id: str | None,
) -> None:  # fmt: skip
    """List the newest deliveries; with DELIVERY_ID, show one with its attempts."""
    remote = reach.router()
    if delivery_id:
        print_json(remote.get("deliveries", delivery_id, shape={"delivery": dict}))
        return
    _show_deliveries(remote, lines_of(remote, "deliveries", limit=limit, state=state, **where), as_json=as_json)


@asking
@limit_option
@click.option("--ended", is_flag=True, help="Those that were ended, instead of those that nobody has ended.")
@of_deliveries
def dead(*, reach: Reach, as_json: bool, limit: int, ended: bool, where: dict[str, str]) -> None:
    """List the newest dead letters that nobody has ended, with the reason of each."""
    remote = reach.router()
    kind = {"state": "dead", "ended": str(ended).lower()}
    _show_deliveries(remote, lines_of(remote, "deliveries", limit=limit, **kind, **where), as_json=as_json)


@asking
def channels(*, reach: Reach, as_json: bool) -> None:
    """List the channels seen, with their ids."""
    answer = reach.router().get("channels", shape=ITEMS)
    if as_json:
        print_json(answer)
        return
    from router.show import channel_rows

    click.echo(channel_rows(answer["items"]))


def show_body(answer: Answer, *, full: bool) -> None:
    """What is known of it as JSON, or its bytes; a terminal gets no control characters of a stranger's."""
    if not full:
        print_json(answer)
        return
    from router.remote import body_of

    body = body_of(answer)
    if sys.stdout.isatty():
        from router.show import visible

        click.echo(visible(body.decode("utf-8", "replace")))
    else:
        click.echo(body, nl=False)


def _show_deliveries(remote: Remote, answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    from router.show import delivery_rows

    click.echo(delivery_rows(answer["items"], lanes_of(remote, answer["items"])))


#: Every command of this module.
COMMANDS: tuple[click.Command, ...] = (status, events, deliveries, dead, channels)
