"""An event as a vCon (draft-ietf-vcon-vcon-core-04), for archives and for other people's tools. Pure.

`parties[0]` called and `parties[1]` was called. The call itself is a recording without content, because its media is
not here. What the call was about is in analyses, a person's note and the tags are attachments. Nothing is in it that
the event does not say. The table of all fields is in docs/formats.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Collection, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from router import formats
from router.about import NAME
from router.event import Direction, Event, Number, NumberKind, Participant, Speaker
from router.excerpt import outgoing
from router.formats import parts as tolerant
from router.formats import remainder
from router.sink import Numbers, Part

#: Deprecated by the draft, and still what many readers look for; the schema takes no other value.
VERSION: Final = "0.4.0"
#: `role`, `interaction_id` and `interaction_type` are of draft-ietf-vcon-cc-extension.
_CONTACT_CENTRE: Final = "CC"

_DIALLED: Final = re.compile(r"\+?[0-9 ()/.\-]*[0-9][0-9 ()/.\-]*")
_CALLER, _CALLEE = 0, 1
#: Who made the analyses: vendor and product, by the format that the event was read from.
_MAKERS: Final = {
    "sipgate": ("sipgate", "AI Assistant"),
    "sipgate-ci": ("sipgate", "Conversational Intelligence"),
}


def as_vcon(
    event: Event, send: Collection[Part] | None = None, numbers: Numbers = Numbers.FULL, *, bundle: bool = False
) -> dict[str, Any]:
    """The event as a vCon with these parts only (None: with all); the same event makes the same vCon.

    `bundle` attaches the body that sipgate sent, unknown fields and all, but only where nothing is left out.
    """
    left = outgoing(event, send, numbers)
    bundle = bundle and send is None and numbers is Numbers.FULL
    selection = (None if send is None else sorted(set(send)), numbers, bundle)
    document: dict[str, Any] = {"vcon": VERSION, "uuid": _uuid(event, event.revision, selection)}
    if left.direction is not Direction.UNKNOWN or left.call_id or left.participants:
        document["extensions"] = [_CONTACT_CENTRE]
    document["created_at"] = timestamp(_over(left))
    if event.revision > 1:
        document["updated_at"] = timestamp(event.received_at)
        document["amended"] = {"uuid": _uuid(event, event.revision - 1, selection)}
    if left.headline:
        document["subject"] = left.headline
    document["parties"] = _parties(left)
    document["dialog"] = [_dialog(left, len(document["parties"]))]
    document["analysis"] = list(_analyses(left, *_maker(event)))
    document["attachments"] = list(_attachments(left, bundle=bundle))
    return _complete({name: value for name, value in document.items() if value != []}, left)


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC: milliseconds, or microseconds where there are any."""
    timespec = "microseconds" if moment.microsecond % 1000 else "milliseconds"
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def _uuid(event: Event, revision: int, selection: tuple[Any, ...]) -> str:
    """Version 8 (RFC 9562, section 5.8): a hash of what makes this vCon, and of nothing that a revision may change.

    That is source, call id (or content, where there is none), revision, and what was left out: a vCon that says less
    is another one. The draft would have a time in front, like version 7 has; but then nobody could say what the vCon of
    the revision before is called once a revision corrects the start.
    """
    known = [event.call_id] if event.call_id else ["content", _digest(event)]
    named = json.dumps([NAME, "vcon", event.source, *known, revision, *selection]).encode()
    bits = int.from_bytes(hashlib.sha256(named).digest()[:16])
    return str(uuid.UUID(int=bits & ~(0xF << 76 | 0b11 << 62) | 0x8 << 76 | 0b10 << 62))


def _digest(event: Event) -> str:
    content = event.id if event.raw is None else json.dumps(event.raw, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _over(event: Event) -> datetime:
    """When the call was over: known to the same instant whenever the vCon is made."""
    if event.ended_at:
        return event.ended_at
    if event.started_at:
        return event.started_at + timedelta(seconds=event.duration or 0)
    return event.received_at


def _ours(event: Event) -> int:
    """The party that is the company's."""
    return _CALLER if event.direction is Direction.OUTBOUND else _CALLEE


def _parties(event: Event) -> list[dict[str, Any]]:
    parties = [_party(event.caller), _party(event.callee)]
    colleagues = list(event.participants)
    if event.direction is not Direction.UNKNOWN:
        ours = parties[_ours(event)]
        if colleagues and "name" not in ours:
            ours |= _colleague(colleagues.pop(0))
        if event.channel.name:
            ours["dept"] = event.channel.name
        for index, party in enumerate(parties):
            party["role"] = "agent" if index == _ours(event) else "customer"
    return parties + [{**_colleague(person), "role": "agent"} for person in colleagues]


def _party(number: Number) -> dict[str, Any]:
    """Numbers bare, without `tel:`, which some readers refuse; of a caller nobody knows, nothing."""
    if number.kind is NumberKind.ANONYMOUS:
        return {"name": "anonymous"}
    if number.e164:
        return {"tel": number.e164}
    if re.match("sips?:", number.raw, re.IGNORECASE):
        return {"sip": number.raw}
    if _DIALLED.fullmatch(number.raw):
        return {"tel": number.raw}
    return _named(number.raw)


def _named(name: str | None) -> dict[str, Any]:
    return {"name": name, "validation": "none"} if name else {}


def _colleague(person: Participant) -> dict[str, Any]:
    return {**_named(person.name), **({"uuid": person.id} if person.id else {})}


def _dialog(event: Event, parties: int) -> dict[str, Any]:
    """The call: a recording whose media is not here, or, where it came to nothing, an incomplete one."""
    nothing = event.duration == 0 and not event.transcript
    dialog: dict[str, Any] = {"type": "incomplete", "disposition": "failed"} if nothing else {"type": "recording"}
    if event.started_at:
        dialog["start"] = timestamp(event.started_at)
    if event.duration is not None:
        dialog["duration"] = _seconds(event.duration)
    dialog["parties"] = list(range(parties))
    if event.format in _MAKERS:
        dialog["application"] = "sipgate"
    if event.call_id:
        dialog["interaction_id"] = event.call_id
    if event.direction is not Direction.UNKNOWN:
        dialog["interaction_type"] = event.direction.value
    return dialog


def _seconds(value: float) -> float:
    """Whole seconds as an integer."""
    return int(value) if value == int(value) else value


def _analyses(event: Event, vendor: str, product: str | None) -> Iterator[dict[str, Any]]:
    made = {"dialog": 0, "vendor": vendor, **({"product": product} if product else {})}
    if event.summary:
        yield {"type": "summary", **made, "mediatype": "text/plain", "encoding": "none", "body": event.summary}
    lists: dict[str, tuple[str, list[dict[str, Any]]]] = {
        "transcript": ("sipgate-transcriptions-1", list(_said(event))),
        "action_items": ("sipgate-action-items-1", _items(event.action_items)),
        "small_talk": ("sipgate-small-talk-1", _items(event.small_talk)),
        "smart_answers": ("sipgate-smart-answers-1", _items(event.smart_answers)),
    }
    for name, (schema, body) in lists.items():
        if body:
            shape = {"schema": schema, "mediatype": "application/json", "encoding": "json"}
            yield {"type": name, **made, **shape, "body": body}


def _maker(event: Event) -> tuple[str, str | None]:
    """Vendor and product. The newer webhook says which language model it was."""
    vendor, product = _MAKERS.get(event.format, ("unknown", None))
    assist = tolerant.mapping(tolerant.mapping(event.raw).get("assist"))
    model = tolerant.text(tolerant.mapping(assist.get("provider")).get("llm"))
    return vendor, f"{product} ({model})" if product and model else product


def _said(event: Event) -> Iterator[dict[str, Any]]:
    """The transcript, in the shape of the working group's own examples: times are absolute."""
    for segment in event.transcript:
        said: dict[str, Any] = {}
        if segment.speaker is not Speaker.OTHER:
            said["parties"] = _CALLER if segment.speaker is Speaker.CALLER else _CALLEE
        if segment.start is not None and event.started_at:
            start = _microseconds(segment.start)
            said["start"] = timestamp(event.started_at + timedelta(microseconds=start))
            if segment.end is not None and (length := _microseconds(segment.end) - start) >= 0:
                said["duration"] = _seconds(length / 1_000_000)
        yield {**said, "text": segment.text}


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _items(items: Collection[Any]) -> list[dict[str, Any]]:
    return [{name: value for name, value in asdict(item).items() if value is not None} for item in items]


def _attachments(event: Event, *, bundle: bool) -> Iterator[dict[str, Any]]:
    if event.note:
        yield _attachment(event, "note", event.note)
    tags = {
        "direction": event.direction.value if event.direction is not Direction.UNKNOWN else None,
        "channel": event.channel.name,
        "channel_id": event.channel.id,
    }
    if written := [f"{name}:{value}" for name, value in tags.items() if value]:
        yield _attachment(event, "tags", written)
    if bundle and event.raw is not None and event.format in _MAKERS:
        yield _attachment(event, "sipgate_webhook", event.raw)


def _attachment(event: Event, purpose: str, body: Any) -> dict[str, Any]:
    text = isinstance(body, str)
    return {
        "purpose": purpose,
        "start": timestamp(_over(event)),
        "party": _ours(event),
        "dialog": 0,
        "mediatype": "text/plain" if text else "application/json",
        "encoding": "none" if text else "json",
        "body": body,
    }


def _complete(document: dict[str, Any], event: Event) -> dict[str, Any]:
    """The vCon, and attached to it what our own reader would not get out of it."""
    _, read = formats.read(document, "vcon")
    if rest := remainder.remainder(event, read):
        attachments = [*document.get("attachments", ()), _attachment(event, remainder.PURPOSE, rest)]
        return {**document, "attachments": attachments}
    return document
