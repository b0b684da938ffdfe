"""What commands print for people. Text from a call is data here too: one line, no control characters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from router.presence import SHORT
from router.text import cut, one_line

if TYPE_CHECKING:
    from router.backup import Backup

#: Characters of a cell; longer texts are cut.
_WIDEST = 100
#: Names that are listed.
_MOST_NAMES = 20
_PARTS = (
    "headline", "summary", "note", "transcript", "action_items", "smart_answers", "small_talk", "participants",
)  # fmt: skip


def columns(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with aligned columns; `nothing` where there is no row."""
    cells = [[cut(one_line("" if cell is None else str(cell)), _WIDEST) for cell in row] for row in rows]
    if not cells:
        return "nothing"
    widths = [max(len(row[at]) for row in [list(heads), *cells]) for at in range(len(heads))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [heads, *cells])
    return "\n".join(line.rstrip() for line in lines)


def local_time(moment: str | None) -> str | None:
    """A time of the router's as the clock on this machine's wall shows it."""
    return None if moment is None else f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"


def visible(text: str) -> str:
    """A text as it is, but for what would do something to a terminal."""
    return "".join(char if char in "\n\t" or char.isprintable() else "\ufffd" for char in text)


def explanation(answer: dict[str, Any]) -> str:
    """Why a call goes where it goes."""
    event = answer["event"]
    lines = [
        one_line(
            f"call {event['call_id'] or 'without id'} · {event['direction']} · channel {event['channel']['name'] or 'none'}"
            f" · {event['trust']}"
        ),
        *_format(answer["format"]),
        f"parts: {_parts(event)}",
    ]
    for rule in answer["never"]:
        if rule["matched"]:
            lines += ["", f"never {one_line(rule['name'])}: keeps it from {_listed(rule['to'])}"]
            lines += _findings(rule["conditions"], 1)
    for route in answer["routes"]:
        verdict = "fires" if route["fired"] else "matches, but an earlier route stopped" if route["matched"] else "no"
        lines += ["", f"route {one_line(route['name'])}: {verdict}"]
        lines += _findings(route["conditions"], 1)
    sinks = [f"{sink} (always)" if sink in answer["always"] else sink for sink in answer["sinks"]]
    return "\n".join([*lines, "", f"goes to: {_listed(sinks)}"])


def _format(form: dict[str, Any]) -> Iterable[str]:
    """As what it was read, why, and what was odd."""
    yield one_line(f"read as {form['name']}: {form['why']}")
    for other in form["also"]:
        yield f"  also possible was {one_line(other['name'])}: {one_line(other['why'])}"
    for remark in form["remarks"]:
        yield f"  ! {one_line(remark)}"
    if form["unread"]:
        names = ", ".join(cut(one_line(name), _WIDEST) for name in form["unread"][:_MOST_NAMES])
        yield f"  ! not read, as their names are no parts known here (name them under `aliases`): {names}"


def _parts(event: dict[str, Any]) -> str:
    """Which parts it has, and how many entries."""
    found = {name: event[name] for name in _PARTS if event[name]}
    return (
        ", ".join(f"{name} ({len(has)})" if isinstance(has, list | tuple) else name for name, has in found.items())
        or "none"
    )


def _findings(conditions: Iterable[dict[str, Any]], depth: int) -> Iterable[str]:
    marks = {True: "✓", False: "✗", None: "?"}
    for found in conditions:
        has = f"   (the call: {cut(one_line(found['found']), _WIDEST)})" if found["found"] else ""
        # An `unless` that holds is what stands in the way.
        unless, good = ("unless ", found["held"] is False) if found.get("unless") else ("", found["held"])
        yield f"{'  ' * depth}{marks[good]} {unless}{one_line(found['condition'])}{has}"
        yield from _findings(found.get("conditions", ()), depth + 1)


def receipt_text(
    receipt: dict[str, Any], deliveries: Sequence[dict[str, Any]], lanes: Iterable[dict[str, Any]] = ()
) -> str:
    """What became of a call that was sent."""
    if "quarantined" in receipt:
        return f"kept in quarantine as {receipt['quarantined']}: {one_line(receipt['reason'])}"
    if receipt.get("duplicate"):
        return f"a duplicate of event {receipt['event']}: nothing is sent again"
    head = f"kept as event {receipt['event']}, revision {receipt['revision']}, {receipt['deliveries']} deliveries"
    return "\n".join([head, delivery_rows(deliveries, lanes)]) if deliveries else head


def status_text(summary: dict[str, Any], lanes: Iterable[dict[str, Any]]) -> str:
    """The sums, and the lanes."""
    sums = "  ".join(f"{name} {count}" for name, count in summary.items() if name != "deliveries")
    deliveries = "  ".join(f"{name} {count}" for name, count in summary["deliveries"].items())
    rows = (
        (lane["sink"], lane["kind"], lane["state"], lane["pending"], lane["claimed"], _dead(lane), local_time(lane["next_at"]),
         lane["reason"])
        for lane in lanes
    )  # fmt: skip
    heads = ("SINK", "KIND", "STATE", "PENDING", "CLAIMED", "DEAD", "NEXT TRY", "REASON")
    return f"{sums}\ndeliveries: {deliveries}\n\n{columns(heads, rows)}"


def _dead(lane: dict[str, Any]) -> str:
    ended = f" and {lane['ended']} ended" if lane["ended"] else ""
    return f"{lane['dead'] - lane['ended']}{ended}"


def reload_state(state: dict[str, Any]) -> str:
    """Which configuration is in force, and what stands in the way of another."""
    lines = [f"configuration of {local_time(state['loaded_at'])}"]
    if state["reason"] is not None:
        lines.append(f"  ! the reload at {local_time(state['refused_at'])} was refused, and changed nothing:")
        lines += [f"    {one_line(line)}" for line in state["reason"].splitlines()]
    lines += [f"  the reload changed {line}" for line in _changes(state["changes"])]
    lines += [f"  ! {one_line(warning)}" for warning in state["warnings"][:_MOST_NAMES]]
    if more := state["warnings"][_MOST_NAMES:]:
        lines.append(f"  ! … and {len(more)} more; `aftercall check` shows all")
    return "\n".join([*lines, *_restart(state["restart"])])


def _changes(changes: dict[str, dict[str, Any]]) -> Iterable[str]:
    """What a reload changed, a line for each key: how many names, and which."""
    for key, one in changes.items():
        parts = [
            f"{len(one[what])} {what}: {_listed(map(repr, one[what][:_MOST_NAMES]))}"
            + (f" and {len(one[what]) - _MOST_NAMES} more" if len(one[what]) > _MOST_NAMES else "")
            for what in ("added", "changed", "gone")
            if one[what]
        ]
        yield f"{one_line(key)}: {'; '.join([*parts, *(['others in another order'] if one['moved'] else [])])}"


def reloaded(answer: dict[str, Any]) -> str:
    """What a reload did."""
    lines = [f"{warning} (a warning)" for warning in map(one_line, answer["warnings"])]
    changes = [f"sinks {what}: {_listed(answer[what])}" for what in ("added", "changed") if answer[what]]
    lines.append("; ".join(["reloaded", *changes]))
    for sink, count in answer["gone"].items():
        waiting = f"{count} deliveries wait for it, until it is back or they are ended" if count else "nothing waits"
        lines.append(f"  sink {one_line(sink)} is gone: {waiting}")
    lines += [f"  {line}" for line in _changes(answer["rules"])]
    return "\n".join([*lines, *_restart(answer["restart"])])


def _restart(keys: Sequence[str]) -> list[str]:
    return [f"  ! after a restart only: {_listed(keys)}"] if keys else []


def backup_text(backup: Backup) -> str:
    """What is in a backup."""
    summary = backup.summary
    owed = summary.deliveries["pending"] + summary.deliveries["claimed"]
    return (
        f"wrote {backup.file}, {backup.size} bytes, and verified it: {summary.events} events, "
        f"{summary.quarantined} quarantined, {owed} deliveries owed, {summary.deliveries['dead']} dead\n"
        f"in it: {_listed(backup.members)}. It holds calls and secrets: keep it as safe as the router."
    )


def router_rows(routers: dict[str, Any]) -> str:
    """The routers of a store, a line each, and what of them does not fit together."""
    rows = (
        (
            f"{line['name']}{' (this one)' if line['here'] else ''}",
            "alive" if line["alive"] else f"last seen {local_time(line['seen_at'])}",
            line["version"],
            line["rules"][:SHORT],
            local_time(line["started_at"]),
            "keeps house" if line["keeps_house"] else "sends nothing (--hold)" if line["holds"] else "",
        )
        for line in routers["items"]
    )
    table = columns(("ROUTER", "STATE", "VERSION", "ROUTES", "STARTED", ""), rows)
    return "\n".join(["", table, *(f"  ! {one_line(remark)}" for remark in routers["remarks"])])


def alarm_rows(items: Iterable[dict[str, Any]]) -> str:
    """Alarms, a line each."""
    rows = (
        (line["cause"], line["subject"], local_time(line["since"]), line["count"], line["router"]) for line in items
    )
    return f"\n{columns(('ALARM', 'ABOUT', 'SINCE', 'COUNT', 'ROUTER'), rows)}"


def event_rows(items: Iterable[dict[str, Any]]) -> str:
    """Events, a line each; nothing that was said."""
    rows = (
        (line["id"], local_time(line["received_at"]), line["source"], line["direction"], line["channel_name"], line["revision"],
         line["routed"], _listed(line["routes"]))
        for line in items
    )  # fmt: skip
    return columns(("EVENT", "RECEIVED", "SOURCE", "DIRECTION", "CHANNEL", "REVISION", "ROUTED", "ROUTES"), rows)


def delivery_rows(items: Iterable[dict[str, Any]], lanes: Iterable[dict[str, Any]] = ()) -> str:
    """Deliveries, a line each; what is pending also says where its lane keeps it waiting."""
    by_sink = {lane["sink"]: lane for lane in lanes}
    rows = []
    for line in items:
        when, why = line["settled_at"] or line["due"], line["reason"]
        lane = by_sink.get(line["sink"]) if line["state"] == "pending" else None
        if lane is not None and (lane["state"] != "open" or lane["reason"]):
            waits = "waits" if lane["state"] == "open" else f"waits for its lane, which is {lane['state']}"
            when = lane["next_at"]
            why = "; ".join(filter(None, (why, f"{waits}: {lane['reason']}" if lane["reason"] else waits)))
        rows.append(
            (line["id"], line["sink"], line["state"], line["attempt"], local_time(when), line["recipient"], why)
        )
    return columns(("DELIVERY", "SINK", "STATE", "ATTEMPT", "SETTLED OR DUE", "RECIPIENT", "REASON"), rows)


def quarantine_rows(items: Iterable[dict[str, Any]]) -> str:
    """Quarantined bodies, a line each; not their bytes."""
    rows = (
        (
            line["id"],
            line["source"],
            local_time(line["received_at"]),
            line["times"],
            line["size"],
            line["ended"] and "yes",
            line["reason"],
        )
        for line in items
    )
    return columns(("BODY", "SOURCE", "RECEIVED", "TIMES", "BYTES", "ENDED", "REASON"), rows)


def channel_rows(items: Iterable[dict[str, Any]]) -> str:
    """Channels, a line each."""
    rows = ((line["name"], line["id"], line["source"], line["calls"], local_time(line["last_at"])) for line in items)
    return columns(("CHANNEL", "ID", "SOURCE", "CALLS", "LAST CALL"), rows)


def many_text(done: str, many: dict[str, Any], *, dry: bool) -> str:
    """How many it was done to, and each that was left."""
    if dry:
        return f"{many['matched']} would be {done}; nothing was done"
    left = [f"  {one['id']}: {one_line(one['message'])}" for one in many["left"]]
    said = f"{many['done']} of {many['matched']} {done}"
    return "\n".join([f"{said}; left as they were:" if left else said, *left])


def _listed(names: str | Iterable[str]) -> str:
    return one_line(names if isinstance(names, str) else ", ".join(names)) or "nobody"
