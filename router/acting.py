"""The commands that change something in a running router. Each says what became of it, one by one or of how many."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from router.asking import show_body
from router.errors import AftercallError
from router.options import (
    LANE,
    MANY,
    asking,
    limit_option,
    lines_of,
    of_bodies,
    of_calls,
    of_deliveries,
    print_json,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from router.options import Reach
    from router.remote import Answer, Remote

#: Of many, for one request: it has to be done before the command's patience ends.
_PORTION: Final = 100

_all_option = click.option("--all", "everything", is_flag=True, help="All of them, where no other option says which.")
_dry_option = click.option("--dry-run", is_flag=True, help="Only count.")


@asking
@click.option("--to", help="To this sink instead of the old one.")
@click.option("--ended", is_flag=True, help="Those that were ended, instead of those that nobody has ended.")
@_dry_option
@_all_option
@of_deliveries
@click.argument("delivery_ids", nargs=-1)
def replay(
    *, reach: Reach, as_json: bool, to: str | None, ended: bool, dry_run: bool, everything: bool,
    where: dict[str, str], delivery_ids: tuple[str, ...],
) -> None:  # fmt: skip
    """Owe dead letters again, by their ids or by what fits: new deliveries that name the old.

    What was ended is replayed by its id, or with --ended.
    """
    _refuse_both(delivery_ids, everything or where, dry=dry_run)
    if delivery_ids and ended:
        message = "--ended is about what fits; an id is replayed whether it was ended or not"
        raise click.UsageError(message)
    remote = reach.router()
    if not delivery_ids:
        body = {"where": where, "all": everything, "sink": to, "ended": ended, "dry_run": dry_run}
        _do_many(remote, ("deliveries", "replay"), body, "replayed", as_json=as_json)
    for delivery_id in delivery_ids:
        answer = remote.post("deliveries", delivery_id, "replay", shape={"delivery": str}, body={"sink": to})
        _say(answer, f"{delivery_id} is replayed as {answer['delivery']}", as_json=as_json)


@asking
@click.option("--reason", "why", required=True, help="Why; shown with the dead letter.")
@click.option(
    "--dead", is_flag=True, help="Dead letters instead of pending deliveries: nobody is told of them any more."
)
@click.option("--orphaned", is_flag=True, help="Only those whose sink is configured no longer.")
@_dry_option
@_all_option
@of_deliveries
@click.argument("delivery_ids", nargs=-1)
def end(
    *, reach: Reach, as_json: bool, why: str, dead: bool, orphaned: bool,
    dry_run: bool, everything: bool, where: dict[str, str], delivery_ids: tuple[str, ...],
) -> None:  # fmt: skip
    """Give pending deliveries up, or let dead letters rest, by their ids or by what fits.

    What was pending is a dead letter then. No alarm speaks of what is ended; it can still be replayed, by its id or with --ended.
    """
    _refuse_both(delivery_ids, everything or orphaned or where, dry=dry_run)
    remote = reach.router()
    if not delivery_ids:
        body = {
            "where": where,
            "all": everything,
            "reason": why,
            "dead": dead,
            "orphaned": orphaned,
            "dry_run": dry_run,
        }
        _do_many(remote, ("deliveries", "end"), body, "ended", as_json=as_json)
    for delivery_id in delivery_ids:
        answer = remote.post("deliveries", delivery_id, "end", shape={"state": str}, body={"reason": why})
        _say(answer, f"{delivery_id} is ended", as_json=as_json)


@asking
@click.option("--unrouted", is_flag=True, help="Only those that the routing failed for.")
@_dry_option
@_all_option
@of_calls
@click.argument("event_ids", nargs=-1)
def route(
    *, reach: Reach, as_json: bool, unrouted: bool, dry_run: bool, everything: bool,
    where: dict[str, str], event_ids: tuple[str, ...],
) -> None:  # fmt: skip
    """Route events by today's rules, by their ids or by what fits; no sink gets an event twice."""
    _refuse_both(event_ids, everything or unrouted or where, dry=dry_run)
    remote = reach.router()
    if not event_ids:
        of_routing = {"routed": "unrouted"} if unrouted else {}
        _do_many(
            remote,
            ("events", "route"),
            {"where": where | of_routing, "all": everything, "dry_run": dry_run},
            "routed",
            as_json=as_json,
        )
    for event_id in event_ids:
        answer = remote.post("events", event_id, "route", shape={"sinks": list[str]})
        _say(answer, f"{event_id} goes to: {', '.join(answer['sinks']) or 'nobody besides'}", as_json=as_json)


@asking
@limit_option
@click.option("--full", is_flag=True, help="With show: the body as it came, word for word.")
@_dry_option
@_all_option
@of_bodies
@click.option("--reason", "why", help="With end: why.")
@click.argument("action", type=click.Choice(["show", "replay", "end"]), required=False)
@click.argument("body_ids", nargs=-1)
def quarantine(
    *, reach: Reach, as_json: bool, limit: int, full: bool, dry_run: bool,
    everything: bool, where: dict[str, str], why: str | None, action: str | None, body_ids: tuple[str, ...],
) -> None:  # fmt: skip
    """List the bodies that no format could read; `show BODY_ID`, `replay` or `end` them.

    `show` outlines one: keys, kinds and lengths and nothing that was said, to be passed on to who should learn to read
    it. `replay` reads them once more; `end --reason WHY` lets them rest, and no alarm speaks of them. Both take ids,
    --all, or --source, --since and --until.
    """
    if (action == "show" and len(body_ids) != 1) or (full and action != "show"):
        message = "write `quarantine show ID`; `quarantine` alone lists the ids"
        raise click.UsageError(message)
    if action not in ("replay", "end") and (dry_run or everything):
        message = "--dry-run and --all go with `quarantine replay` and `quarantine end`"
        raise click.UsageError(message)
    if (action == "end") is not bool(why):
        message = "write `quarantine end --reason WHY`"
        raise click.UsageError(message)
    if action in ("replay", "end"):
        _refuse_both(body_ids, everything or where, dry=dry_run)
    remote = reach.router()
    if action == "show":
        answer = remote.get("quarantine", body_ids[0], shape={"outline": dict}, full="1" if full else None)
        show_body(answer, full=full and not as_json)
    elif action is None:
        _show_bodies(lines_of(remote, "quarantine", limit=limit, **where), as_json=as_json)
    elif action == "end" and not body_ids:
        body = {"where": where, "all": everything, "reason": why, "dry_run": dry_run}
        _do_many(remote, ("quarantine", "end"), body, "ended", as_json=as_json)
    elif action == "end":
        for body_id in body_ids:
            answer = remote.post("quarantine", body_id, "end", shape={"ended": str}, body={"reason": why})
            _say(answer, f"{body_id} is ended", as_json=as_json)
    elif not body_ids:
        _do_many(
            remote,
            ("quarantine", "replay"),
            {"where": where, "all": everything, "dry_run": dry_run},
            "read",
            as_json=as_json,
        )
    else:
        _read_again(remote, body_ids, as_json=as_json)


def _show_bodies(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    from router.show import quarantine_rows

    click.echo(quarantine_rows(found["items"]))


def _read_again(remote: Remote, body_ids: tuple[str, ...], *, as_json: bool) -> None:
    """Each on its own. Exits with 1 where one of them stays."""
    from router.text import one_line

    stays = False
    for body_id in body_ids:
        answer = remote.post("quarantine", body_id, "replay", shape={})
        stays = stays or "quarantined" in answer
        if "quarantined" in answer:
            said = f"{body_id} stays: {one_line(str(answer['reason']))}"
        elif answer.get("duplicate"):
            said = f"{body_id} is a duplicate of event {answer['event']}"
        else:
            said = f"{body_id} is event {answer['event']}, {answer['deliveries']} deliveries"
        _say(answer, said, as_json=as_json)
    if stays:
        sys.exit(1)


@asking
@click.argument("sink")
def pause(*, reach: Reach, as_json: bool, sink: str) -> None:
    """Hold the lane of SINK: what it is owed waits."""
    _show_lane(reach.router().post("lanes", sink, "pause", shape=LANE), as_json=as_json)


@asking
@click.argument("sink")
def resume(*, reach: Reach, as_json: bool, sink: str) -> None:
    """Let the lane of SINK go on."""
    _show_lane(reach.router().post("lanes", sink, "resume", shape=LANE), as_json=as_json)


@asking
def reload(*, reach: Reach, as_json: bool) -> None:
    """Put in force what routes.yaml says now. A mistake in it changes nothing."""
    from router.show import reloaded

    answer = reach.router(warned=False).post("reload", shape={"gone": dict, "restart": list[str]})
    _say(answer, reloaded(answer), as_json=as_json)


def _show_lane(lane: Answer, *, as_json: bool) -> None:
    _say(lane, f"{lane['sink']} is {lane['state']}, {lane['pending']} pending", as_json=as_json)


def _say(answer: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        click.echo(text)


def _refuse_both(ids: tuple[str, ...], fitting: object, *, dry: bool) -> None:
    """One of the two says which; nothing at all does not mean everything."""
    if ids and dry:
        message = "--dry-run counts what fits, and goes without ids"
        raise click.UsageError(message)
    if bool(ids) == bool(fitting):
        message = "name ids, or say which by options (--all is all of them)"
        raise click.UsageError(message)


def _do_many(remote: Remote, path: tuple[str, ...], body: dict[str, Any], done: str, *, as_json: bool) -> None:
    """Portion by portion, to the end. Exits with 1 where some were left.

    Where a portion fails, what was done before it is said first: the same command again goes on from there.
    """
    from router.show import many_text

    total: dict[str, Any] = {"matched": 0, "done": 0, "left": []}
    after = None
    try:
        while True:
            answer = remote.post(*path, shape=MANY, body={**body, "limit": _PORTION, "after": after})
            for name in total:
                total[name] += answer[name]
            after = answer["next"]
            if after is None:
                break
    except AftercallError:
        if total["done"] or total["left"]:
            click.echo(f"{many_text(done, total, dry=False)}\nand then it failed, with more to do:", err=True)
        raise
    _say(total, many_text(done, total, dry=body["dry_run"]), as_json=as_json)
    if total["left"]:
        sys.exit(1)


#: Every command of this module.
COMMANDS: tuple[click.Command, ...] = (replay, end, route, quarantine, pause, resume, reload)
