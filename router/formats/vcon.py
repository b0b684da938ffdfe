"""vCon, the conversation container: every draft from before 0.0.1 to core-04, by its fields and never by its version.

Nobody outside has seen sipgate's own vCon, so all that other vendors and libraries write is read as well; the names of
analyses can be extended (`aliases` of a source). What is signed is read from the signed payload.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from router.audio import without_audio
from router.errors import Unreadable
from router.event import Call, Channel, Direction, Trust
from router.formats import items, parts, remainder, seals, sipgate, sipgate_ci
from router.formats.names import Part, part
from router.formats.oddities import look_at_duration, look_at_times
from router.formats.reading import Format, Reading, present
from router.formats.vcon_bounds import bounded
from router.formats.vcon_content import content, prose
from router.formats.vcon_people import People
from router.formats.vcon_said import length, transcript, written

T = TypeVar("T")

NAME: Final = "vcon"

_LISTS: Final = ("parties", "dialog", "analysis", "attachments")
_SIGNS: Final = ("vcon", *_LISTS, "extensions", "critical", "must_support", "redacted", "amended", "appended")
_ENVELOPE: Final = ("payload", "signatures", "signature", "ciphertext", "recipients")
#: Names in `critical` that change nothing about how this is read.
_KNOWN: Final = frozenset({"CC", "wtf_transcription"})
_CRITICAL: Final = ("critical", "must_support", "must_understand")
#: Identifiers that say that there is none.
_NO_ID: Final = re.compile(r"[0\W_]*")
#: Extensions that somebody has written down. Any other name may be somebody's own, and has no place in a log.
_EXTENSIONS: Final = frozenset({
    "CC", "wtf_transcription", "lawful_basis", "consent", "lifecycle", "sip-signaling", "agent_session", "mcp_session",
})  # fmt: skip
#: Attachments with a whole sipgate bundle in them.
_BUNDLE: Final = "sipgate_webhook"
#: Attachments that are read by their own names.
_OURS: Final = frozenset({_BUNDLE, remainder.PURPOSE, "tags"})
#: What the two have to agree on to be about the same call.
_BOTH: Final = ("call_id", "direction", "started_at")
_TIMES: Final = frozenset({"started_at", "ended_at", "duration"})


def signs(body: dict[str, Any]) -> tuple[str, ...]:
    """What only a vCon has; of an envelope, that it is one."""
    return present(body, _ENVELOPE if seals.sealed(body) else _SIGNS)


def lacks(body: dict[str, Any]) -> str | None:
    """A version, or one of its lists."""
    if seals.sealed(body) or isinstance(body.get("vcon"), str) or any(isinstance(body.get(k), list) for k in _LISTS):
        return None
    return f"there is neither a text `vcon` nor a list {', '.join(f'`{name}`' for name in _LISTS)}"


def raw(body: dict[str, Any]) -> Any:
    """What is signed, and no inline audio or video: that stays in the body that is kept."""
    return without_audio(seals.opened(body))


def read(body: dict[str, Any], reading: Reading) -> Call:
    """The call of a vCon. Raises `Unreadable` where it is encrypted, or demands what is not known here."""
    vcon = seals.opened(body)
    if lacking := lacks(vcon):
        message = f"a signature around something that is no vCon: {lacking}"
        raise Unreadable(message)
    _refuse_unknown_demands(vcon)
    call = _call(bounded(vcon, reading), reading)
    if any(named != vcon.get("uuid") for named in seals.named(body)):
        reading.remark("a signature names another uuid than the signed vCon has")
    return replace(call, trust=_trust(body, reading))


def _trust(body: dict[str, Any], reading: Reading) -> Trust:
    if not seals.signed(body):
        return Trust.UNSIGNED
    if reading.manner.anchors is None:
        return Trust.UNVERIFIED
    fault = reading.manner.anchors.verdict(body, reading.now)
    if fault is not None:
        reading.remark(f"the signature is not verified: {fault}")
    return Trust.VERIFIED if fault is None else Trust.UNVERIFIED


def _refuse_unknown_demands(vcon: dict[str, Any]) -> None:
    """Whoever does not know a name in `critical` must not process the vCon (core-04, section 4.1)."""
    for key in _CRITICAL:
        demanded = vcon.get(key) or ()
        for name in [demanded] if isinstance(demanded, str) else demanded if isinstance(demanded, list | dict) else ():
            if name not in _KNOWN if isinstance(name, str) else name is not None:
                shown = f" {name!r}" if isinstance(name, str) and name in _EXTENSIONS else ""
                message = f"a vCon that demands an extension{shown} (in `{key}`) that is not known here"
                raise Unreadable(message)


def _call(vcon: dict[str, Any], reading: Reading) -> Call:
    dialogs = [parts.mapping(dialog) for dialog in _listed(vcon.get("dialog"))]
    analyses = [item for item in _listed(vcon.get("analysis")) if isinstance(item, dict)]
    attached = [item for item in _listed(vcon.get("attachments")) if isinstance(item, dict)]
    named = _named(analyses, "type", reading), _named(attached, "purpose", reading)
    call = _of_parts(vcon, dialogs, *named, tags=_tags(attached), reading=reading)
    bundle = _attached(attached, _BUNDLE)
    if isinstance(bundle, dict) and (sent := _of_bundle(bundle, reading)):
        call = _rather(sent, call, reading)
    return remainder.completed(call, _attached(attached, remainder.PURPOSE))


def _of_bundle(bundle: dict[str, Any], reading: Reading) -> Call | None:
    """The call of sipgate's own body that somebody attached."""
    fitting = [form for form in (sipgate.FORMAT, sipgate_ci.FORMAT) if form.lacks(bundle) is None]
    if not fitting:
        return None
    return max(fitting, key=lambda form: len(form.signs(bundle))).read(bundle, reading)


def _rather(sent: Call, around: Call, reading: Reading) -> Call:
    """What sipgate sent, and where that says nothing what the vCon around it does. Times go together."""
    empty = Call()
    said = {name for name in Call.__dataclass_fields__ if getattr(sent, name) != getattr(empty, name)}
    odd = [
        name
        for name in _BOTH
        if name in said and getattr(around, name) not in (getattr(empty, name), getattr(sent, name))
    ]
    if odd:
        reading.remark(f"the body of sipgate in it and the vCon itself differ in {', '.join(odd)}; sipgate's counts")
    taken = said | _TIMES if said & _TIMES else said
    return replace(around, **{name: getattr(sent, name) for name in taken})


Named = dict[Part, list[dict[str, Any]]]


def _of_parts(
    vcon: dict[str, Any],
    dialogs: list[dict[str, Any]],
    analyses: Named,
    attached: Named,
    *,
    tags: dict[str, str],
    reading: Reading,
) -> Call:
    calls = [dialog for dialog in dialogs if dialog.get("type") not in ("transfer", "recording-set")]
    people = People.of(vcon.get("parties"), calls)
    started_at, ended_at, duration = _times(vcon, dialogs, reading)
    both = {name: [*analyses.get(name, ()), *attached.get(name, ())] for name in {*analyses, *attached}}

    def words(name: Part) -> str | None:
        return next((said for item in both.get(name, ()) if (said := prose(content(item)))), None)

    def listed(name: Part, reader: Callable[[Any], tuple[T, ...]]) -> tuple[T, ...]:
        return next((found for item in both.get(name, ()) if (found := reader(content(item)))), ())

    return Call(
        call_id=_call_id(vcon, dialogs, tags),
        direction=_direction(vcon, dialogs, tags, people),
        caller=people.number(people.caller),
        callee=people.number(people.callee),
        started_at=started_at,
        ended_at=ended_at,
        duration=duration,
        channel=_channel(dialogs, tags, people),
        headline=parts.text(vcon.get("subject")) or words("headline"),
        summary=words("summary"),
        note=words("note"),
        transcript=transcript(
            analyses.get("transcript", ()), attached.get("transcript", ()), dialogs, people, started_at, duration
        ),
        action_items=listed("action_items", items.action_items),
        smart_answers=listed("smart_answers", items.smart_answers),
        small_talk=listed("small_talk", items.small_talk),
        participants=tuple(people.colleagues()),
    )


def _listed(value: Any) -> list[Any]:
    """A list; a single thing counts as a list of one, so that indices hold."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _named(given: list[dict[str, Any]], key: str, reading: Reading) -> Named:
    """Analyses or attachments by the part that their name is one of."""
    found: Named = {}
    for item in given:
        name = part(item.get(key), reading.manner.aliases) or part(item.get("type"), reading.manner.aliases)
        if name is not None:
            found.setdefault(name, []).append(item)
        elif not _OURS & {item.get(one) for one in (key, "type") if isinstance(item.get(one), str)}:
            reading.leave(item.get(key) or item.get("type"))
    return found


def _attached(attached: list[dict[str, Any]], purpose: str) -> Any:
    """The content of the first attachment of this purpose."""
    return next((content(item) for item in attached if purpose in (item.get("purpose"), item.get("type"))), None)


def _tags(attached: list[dict[str, Any]]) -> dict[str, str]:
    """`channel:Sales` and the like, as conserver reads them; the first of a name counts."""
    given = _attached(attached, "tags")
    pairs: Iterator[tuple[Any, Any]]
    if isinstance(given, dict):
        pairs = iter(given.items())
    else:
        written = (item for item in _listed(given) if isinstance(item, str))
        pairs = ((name, value) for name, _, value in (item.partition(":") for item in written))
    found: dict[str, str] = {}
    for name, value in pairs:
        if said := parts.text(value):
            found.setdefault(name.strip().casefold(), said)
    return found


def _call_id(vcon: dict[str, Any], dialogs: list[dict[str, Any]], tags: dict[str, str]) -> str | None:
    """The call's own id, so that it is the same call in every format; else what the vCon is a revision of, or its own."""
    amended = [parts.mapping(vcon.get(key)).get("uuid") for key in ("amended", "appended")]
    candidates = (
        *(dialog.get("interaction_id") for dialog in dialogs),
        tags.get("call_id"),
        *(
            session.get("local") if isinstance(session, dict) else session
            for session in _of_each(dialogs, "session_id")
        ),
        *(dialog.get("message_id") for dialog in dialogs),
        *amended,
        vcon.get("uuid"),
    )
    ids = (parts.text(given) for given in candidates if not isinstance(given, dict))
    return next((found for found in ids if found and not _NO_ID.fullmatch(found)), None)


def _of_each(dialogs: list[dict[str, Any]], key: str) -> Iterator[Any]:
    for dialog in dialogs:
        yield from _listed(dialog.get(key))


def _direction(vcon: dict[str, Any], dialogs: list[dict[str, Any]], tags: dict[str, str], people: People) -> Direction:
    said = (
        *(dialog.get("interaction_type") for dialog in dialogs),
        tags.get("direction"),
        *(parts.mapping(item.get("meta")).get("direction") for item in (vcon, *dialogs)),
    )
    found = (parts.direction(given) for given in said)
    known = next((direction for direction in found if direction is not Direction.UNKNOWN), None)
    if known is None and dialogs and all(written(dialog) and dialog.get("body") for dialog in dialogs):
        return Direction.UNKNOWN  # who writes first in a chat has not always begun it
    return known or people.direction()


def _channel(dialogs: list[dict[str, Any]], tags: dict[str, str], people: People) -> Channel:
    skill = next((said for dialog in dialogs if (said := parts.text(dialog.get("skill")))), None)
    return Channel(tags.get("channel_id"), tags.get("channel") or people.department() or skill)


def _times(
    vcon: dict[str, Any], dialogs: list[dict[str, Any]], reading: Reading
) -> tuple[datetime | None, datetime | None, float | None]:
    """Start, end and duration: of the one dialog, or of all from the first to the last."""
    spans = [(parts.instant(dialog.get("start")), length(dialog)) for dialog in dialogs]
    for dialog in dialogs:
        look_at_times(dialog, ("start", "end"), "dialog", reading)
        look_at_duration(dialog.get("duration"), length(dialog), "dialog", reading)
    started_at = min((start for start, _ in spans if start), default=None)
    meta = parts.mapping(vcon.get("meta"))
    if started_at is None:
        started_at = parts.instant(meta.get("call_started_on"))
    if started_at is None:
        created = parts.instant(vcon.get("created_at")) or parts.instant(vcon.get("created"))
        if created is not None:
            started_at = created
            reading.remark("no part of it has a start; that it was created then stands in for it")
    lengths = [length for _, length in spans if length is not None]
    ends = [start + timedelta(seconds=length or 0) for start, length in spans if start]
    duration = max(lengths, default=None)
    if started_at and ends and (lengths or len(ends) > 1):
        whole = (max(ends) - started_at).total_seconds()
        # Within a microsecond the dialog's own figure is the exact one.
        duration = duration if duration is not None and whole <= duration + 1e-6 else parts.duration(whole, None, None)
    elif duration is None:
        duration = parts.duration(meta.get("duration"), None, None)
    ended_at = started_at + timedelta(seconds=duration) if started_at and duration is not None else None
    return started_at, ended_at, duration


FORMAT: Final = Format(NAME, "vCon, unsigned or signed, of every draft", signs, lacks, read, raw)
