"""The commands that ask a running router. Each finds the admin listener through routes.yaml, or by --url."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.options import ITEMS, LANE, config_option, json_option, print_json, remote_router, token_option, url_option

if TYPE_CHECKING:
    from router.remote import Answer


def _asking(command: Any) -> Any:
    """The options of every command that asks a running router."""
    for option in (json_option, token_option, url_option, config_option):
        command = option(command)
    return click.command()(command)


@_asking
def status(*, file: Path, url: str | None, token: str | None, as_json: bool) -> None:
    """Show the sums of the store, and every lane."""
    remote = remote_router(file, url, token)
    summary, lanes = remote.get("summary", shape={"deliveries": dict}), remote.get("lanes", shape=ITEMS)["items"]
    if as_json:
        print_json({"summary": summary, "lanes": lanes})
        return
    from router.show import status_text

    click.echo(status_text(summary, lanes))


@_asking
@click.option("--limit", default=20, show_default=True, help="How many.")
@click.option("--full", is_flag=True, help="With EVENT_ID: the body as it came, word for word.")
@click.argument("event_id", required=False)
def events(
    *, file: Path, url: str | None, token: str | None, as_json: bool, limit: int, full: bool, event_id: str | None
) -> None:
    """List the newest events; with EVENT_ID, show one with its deliveries."""
    if full and event_id is None:
        message = "--full goes with the id of an event"
        raise click.UsageError(message)
    remote = remote_router(file, url, token)
    if event_id:
        answer = remote.get("events", event_id, shape={"event": dict}, full="1" if full else None)
        _show_body(answer, full=full and not as_json)
        return
    answer = remote.get("events", shape=ITEMS, limit=str(limit))
    if as_json:
        print_json(answer)
        return
    from router.show import event_rows

    click.echo(event_rows(answer["items"]))


@_asking
@click.option("--state", help="pending, claimed, delivered, dead, replayed or erased.")
@click.option("--sink", help="Only this sink's.")
@click.option("--limit", default=20, show_default=True, help="How many.")
@click.argument("delivery_id", required=False)
def deliveries(
    *, file: Path, url: str | None, token: str | None, as_json: bool, state: str | None, sink: str | None, limit: int,
    delivery_id: str | None,
) -> None:  # fmt: skip
    """List the newest deliveries; with DELIVERY_ID, show one with its attempts."""
    remote = remote_router(file, url, token)
    if delivery_id:
        print_json(remote.get("deliveries", delivery_id, shape={"delivery": dict}))
        return
    answer = remote.get("deliveries", shape=ITEMS, state=state, sink=sink, limit=str(limit))
    _show_deliveries(answer, as_json=as_json)


@_asking
@click.option("--sink", help="Only this sink's.")
@click.option("--limit", default=20, show_default=True, help="How many.")
def dead(*, file: Path, url: str | None, token: str | None, as_json: bool, sink: str | None, limit: int) -> None:
    """List the newest dead letters, with the reason of each."""
    answer = remote_router(file, url, token).get("deliveries", shape=ITEMS, state="dead", sink=sink, limit=str(limit))
    _show_deliveries(answer, as_json=as_json)


@_asking
@click.option("--limit", default=20, show_default=True, help="How many.")
@click.option("--full", is_flag=True, help="With show: the body as it came, word for word.")
@click.argument("action", type=click.Choice(["show"]), required=False)
@click.argument("body_id", required=False)
def quarantine(
    *, file: Path, url: str | None, token: str | None, as_json: bool, limit: int, full: bool, action: str | None,
    body_id: str | None,
) -> None:  # fmt: skip
    """List the bodies that no format could read; `show BODY_ID` outlines one without what was said in it.

    The outline has keys, kinds and lengths, and can be passed on to who should learn to read it.
    """
    if (action is None) != (body_id is None) or (full and action is None):
        message = "write `quarantine show ID`; `quarantine` alone lists the ids"
        raise click.UsageError(message)
    remote = remote_router(file, url, token)
    if body_id is not None:
        _show_body(
            remote.get("quarantine", body_id, shape={"outline": dict}, full="1" if full else None),
            full=full and not as_json,
        )
        return
    answer = remote.get("quarantine", shape=ITEMS, limit=str(limit))
    if as_json:
        print_json(answer)
        return
    from router.show import quarantine_rows

    click.echo(quarantine_rows(answer["items"]))


@_asking
def channels(*, file: Path, url: str | None, token: str | None, as_json: bool) -> None:
    """List the channels seen, with their ids."""
    answer = remote_router(file, url, token).get("channels", shape=ITEMS)
    if as_json:
        print_json(answer)
        return
    from router.show import channel_rows

    click.echo(channel_rows(answer["items"]))


@_asking
@click.option("--sink", help="To this sink instead of the old one.")
@click.argument("delivery_ids", nargs=-1, required=True)
def replay(
    *, file: Path, url: str | None, token: str | None, as_json: bool, sink: str | None, delivery_ids: tuple[str, ...]
) -> None:
    """Owe dead deliveries again: new ones that name the old."""
    remote = remote_router(file, url, token)
    body = {"sink": sink} if sink else None
    for delivery_id in delivery_ids:
        answer = remote.post("deliveries", delivery_id, "replay", shape={"delivery": str}, body=body)
        if as_json:
            print_json(answer)
        else:
            click.echo(f"{delivery_id} is replayed as {answer['delivery']}")


@_asking
@click.argument("sink")
def pause(*, file: Path, url: str | None, token: str | None, as_json: bool, sink: str) -> None:
    """Hold the lane of SINK: what it is owed waits."""
    _show_lane(remote_router(file, url, token).post("lanes", sink, "pause", shape=LANE), as_json=as_json)


@_asking
@click.argument("sink")
def resume(*, file: Path, url: str | None, token: str | None, as_json: bool, sink: str) -> None:
    """Let the lane of SINK go on."""
    _show_lane(remote_router(file, url, token).post("lanes", sink, "resume", shape=LANE), as_json=as_json)


def _show_body(answer: Answer, *, full: bool) -> None:
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


def _show_deliveries(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    from router.show import delivery_rows

    click.echo(delivery_rows(answer["items"]))


def _show_lane(lane: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(lane)
    else:
        click.echo(f"{lane['sink']} is {lane['state']}, {lane['pending']} pending")


#: Every command of this module.
COMMANDS: tuple[click.Command, ...] = (
    status, events, deliveries, dead, quarantine, channels, replay, pause, resume,
)  # fmt: skip
