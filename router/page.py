r"""A call as a page of Markdown, for archives that people read. Pure.

Text from a call is data. It is written so that CommonMark, with GitHub's extensions (tables, strikethrough, bare
links, math), shows it as it was said and makes nothing of it: no heading, list, quote, fence, table, link, HTML or
emphasis, and no end of the front matter.

* Every piece of text is a block of its own; only a summary, a note and an answer keep their line breaks.
* Where a line begins, what could open a block is escaped; blanks in front go (four of them would be code).
* Inside a line, `\`, backticks, `_` between words, `[`, `|` and `~` get a backslash, `://` and `www.` too, and `<`
  and `&…;` become entities, so that a reader which knows only HTML is safe as well.
* `*` and `$` mean something only in pairs: the first of a block stays, so that `{{7*7}}` can be found as it was said.
* Characters that turn a line around (U+202A to U+202E) go everywhere, and every invisible one from titles and names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from router.event import Event
from router.people import Wording, duration
from router.text import one_line


def markdown_page(event: Event, wording: Wording) -> str:
    """The page: front matter, title, and a section for each part that there is. See `outgoing` for leaving parts out."""
    return (
        "\n\n".join((_front_matter(event, wording), f"# {_title(event, wording)}", *_sections(event, wording))) + "\n"
    )


def _title(event: Event, wording: Wording) -> str:
    # A `#` at the end would be taken for the closing sequence of the heading.
    return re.sub(r"(#+)$", r"\\\1", escaped(wording.title(event)))


def _front_matter(event: Event, wording: Wording) -> str:
    values: dict[str, Any] = {
        "event": event.id,
        "call": event.call_id,
        "revision": event.revision,
        "source": event.source,
        "direction": event.direction.value,
        "channel": event.channel.name,
        "channel_id": event.channel.id,
        "caller": event.caller.e164 or event.caller.raw,
        "callee": event.callee.e164 or event.callee.raw,
        "started_at": event.started_at and wording.local(event.started_at).isoformat(timespec="seconds"),
        "ended_at": event.ended_at and wording.local(event.ended_at).isoformat(timespec="seconds"),
        "duration": event.duration,
        "trust": event.trust.value,
    }
    lines = {key: one_line(value) if isinstance(value, str) else value for key, value in values.items()}
    written = {key: value for key, value in lines.items() if value not in (None, "")}
    text = yaml.safe_dump(written, allow_unicode=True, sort_keys=False, width=2**30)
    return f"---\n{text}---"


def _sections(event: Event, wording: Wording) -> Iterator[str]:
    parts: dict[str, Iterable[str]] = {
        "summary": paragraphs(event.summary or ""),
        "action_items": _items(one_line(item.text) for item in event.action_items),
        "note": paragraphs(event.note or ""),
        "smart_answers": _items(
            "\n".join(filter(None, (one_line(answer.question or ""), answer.answer))) for answer in event.smart_answers
        ),
        "transcript": _transcript(event, wording),
        "small_talk": _items(
            ": ".join(filter(None, (one_line(talk.topic or ""), one_line(talk.description or ""))))
            for talk in event.small_talk
        ),
        "participants": _items(one_line(person.name or person.id or "") for person in event.participants),
    }
    for name, blocks in parts.items():
        if text := "\n\n".join(blocks):
            yield f"## {wording.label(name)}\n\n{text}"


def _transcript(event: Event, wording: Wording) -> Iterator[str]:
    for segment in event.transcript:
        said = _inline(one_line(segment.text))
        if said:
            time = "" if segment.start is None else f"[{_clock(segment.start)}] "
            yield f"{time}{wording.speaker(segment.speaker)}: {said}"


def _clock(seconds: float) -> str:
    """`00:12`: two digits at least, so that lines stand below each other."""
    return duration(seconds).rjust(5, "0")


def _items(texts: Iterable[str]) -> Iterator[str]:
    """A list, as one block; lines after an item's first are indented, and so belong to it."""
    if items := [block.replace("\n", "\n  ") for text in texts if (block := escaped(text))]:
        yield "\n".join(f"- {item}" for item in items)


def paragraphs(text: str) -> list[str]:
    """Text as blocks of Markdown: one for each of its paragraphs."""
    groups: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.strip():
            groups[-1].append(line)
        else:
            groups.append([])
    return [block for group in groups if (block := escaped("\n".join(group)))]


def escaped(text: str) -> str:
    """Text as one block of Markdown that shows it as it is: line breaks stay, blank lines go."""
    lines = [line for piece in _TURNING.sub("", text).splitlines() if (line := piece.strip())]
    return "  \n".join(map(_at_the_start, _inline("\n".join(lines)).split("\n")))


_TURNING = re.compile("[\u202a-\u202e]")
#: Escaped wherever they stand. `_` inside a word is none (call_id).
_SPECIAL = re.compile(r"[\\`\[|~]|(?<![^\W_])_|_(?![^\W_])")
_ENTITY = re.compile(r"&(?=#?\w{1,32};)")
#: What GitHub makes a link of without being asked.
_LINK = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
#: What may open a block, or underline a heading: bullets, rules, headings, quotes, tables, fences, numbers.
_OPENING = re.compile(r"[-+*=#>:]|\d{1,9}(?=[.)])")


def _inline(text: str) -> str:
    """One block's text, its meaning inside a line taken away."""
    text = _ENTITY.sub("&amp;", _SPECIAL.sub(r"\\\g<0>", text)).replace("<", "&lt;")
    text = _LINK.sub(r"\\\g<0>", text)
    for char in "*$":
        first, found, rest = text.partition(char)
        text = first + found + rest.replace(char, f"\\{char}")
    return text


def _at_the_start(line: str) -> str:
    """One line, its meaning as the beginning of a block taken away."""
    if matched := _OPENING.match(line):
        at = matched.end() if matched[0].isdigit() else 0
        return f"{line[:at]}\\{line[at:]}"
    return line
