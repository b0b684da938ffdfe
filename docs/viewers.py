"""How far sides show what a sink has sent them: small, honest likenesses for the pictures of docs/sinks/.

They take what was really sent, and know no more of a vendor's format than our sinks use. Whatever else comes fails:
a picture must not leave out what people would see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from html import escape, unescape
from typing import Any, Final

from markdown_it import MarkdownIt

from router.testing import Received

Json = dict[str, Any]


class UnknownError(Exception):
    """Something was sent that its viewer does not know; teach it in docs/viewers.py."""

    def __init__(self, what: object) -> None:
        super().__init__(f"{what!r}: {self.__doc__}")


_STYLE: Final = """
* {box-sizing: border-box}
body {margin: 0; padding: 20px 24px; background: #fff; color: #1d1c1d; font: 15px/1.5 'Liberation Sans', sans-serif}
p, ul, ol, h1, h2, h3, pre {margin: 0 0 8px} ul, ol {padding-left: 24px}
a {color: #1264a3; text-decoration: none}
code, pre {font-family: 'DejaVu Sans Mono', monospace; font-size: 12.5px}
.from {display: flex; gap: 10px} .from > .said {flex: 1; min-width: 0}
.face {flex: 0 0 36px; height: 36px; border-radius: 6px; background: #2f6f4f; color: #fff; font-weight: bold;
       text-align: center; line-height: 36px}
.name {font-weight: bold} .time {color: #767676; font-size: 12px; margin-left: 6px; font-weight: normal}
.badge {background: #e4e4e4; color: #555; border-radius: 3px; font-size: 10px; padding: 1px 4px; margin-left: 5px}
.small {color: #616061; font-size: 12.5px} .wrap {white-space: pre-wrap; overflow-wrap: anywhere}
"""


def page(content: str, style: str = "") -> str:
    """A whole page."""
    return (
        f'<!doctype html><html lang="de"><head><meta charset="utf-8"><style>{_STYLE}{style}</style></head>'
        f"<body>{content}</body></html>"
    )


def _message(content: str, *, app: str = "aftercall", time: str = "09:20", badge: str = "APP", face: str = "a") -> str:
    """Who, when, and what was said, as chats have it."""
    mark = f'<span class="badge">{badge}</span>' if badge else ""
    return (
        f'<div class="from"><div class="face">{face}</div><div class="said">'
        f'<div><span class="name">{app}</span>{mark}<span class="time">{time}</span></div>{content}</div></div>'
    )


def _inline(text: str, *, bold: bool = False, italic: bool = False, link: str | None = None) -> str:
    html = escape(text).replace("\n", "<br>")
    html = f"<b>{html}</b>" if bold else html
    html = f"<i>{html}</i>" if italic else html
    return f'<a href="{escape(link)}">{html}</a>' if link else html


def _sent(request: Received) -> Json:
    sent: Json = json.loads(request.body)
    return sent


# --- terminals and files ---


def console(text: str) -> str:
    """A terminal."""
    return page(
        f'<pre class="wrap">$ aftercall serve 2&gt;&gt;aftercall.log\n{escape(text)}</pre>',
        "body {background: #10151c; color: #d7dde5} pre {margin: 0; line-height: 1.6}",
    )


def markdown_file(path: str, text: str) -> str:
    """A file of Markdown: its name, its front matter, its page."""
    _, front, body = text.split("---\n", 2)
    shown = MarkdownIt("commonmark", {"html": False}).render(body)
    return page(
        f'<div class="path">{escape(path)}</div><pre class="front wrap">{escape(front.strip())}</pre>{shown}',
        ".path {background: #f3f4f6; margin: -20px -24px 14px; padding: 8px 24px; font: 12.5px 'DejaVu Sans Mono';"
        " color: #555; border-bottom: 1px solid #ddd} .front {background: #f8f8f4; padding: 8px 10px; color: #555;"
        " border: 1px solid #e6e6dc; border-radius: 4px} h1 {font-size: 22px; margin-top: 14px} h2 {font-size: 16px}",
    )


#: They say nothing about the sink, or only its version.
_OF_THE_CONNECTION = ("host", "user-agent", "accept", "accept-encoding", "content-length")


def request(received: Received) -> str:
    """The request itself, its JSON put in order."""
    headers = "".join(
        f"<span>{escape(name)}:</span> {escape(value)}\n"
        for name, value in received.headers.items()
        if name not in _OF_THE_CONNECTION
    )
    body = json.dumps(json.loads(received.body), ensure_ascii=False, indent=2)
    return page(
        f'<pre class="wrap"><b>{received.method} {escape(received.path)}</b>\n{headers}\n{escape(body)}</pre>',
        "pre {margin: 0; line-height: 1.5; font-size: 11.5px} pre span {color: #8a3ffc}",
    )


def _only(sent: Json, *known: str) -> Json:
    """It, if it has no other keys than these."""
    if unknown := sent.keys() - set(known):
        raise UnknownError(unknown)
    return sent


# --- Slack ---


def slack(received: Received) -> str:
    """Block Kit. `text` is what notifications show, and not seen where there are blocks."""
    content = "".join(map(_slack_block, _sent(received)["blocks"]))
    return page(
        _message(content, app="Anrufe"),
        ".head {font-size: 18px; font-weight: 900; margin: 6px 0} ul {margin: 0} .small {margin-top: 8px}",
    )


def _slack_block(block: Json) -> str:
    match block["type"]:
        case "header":
            return f'<div class="head">{_slack_text(block["text"])}</div>'
        case "context":
            return f'<div class="small">{" ".join(map(_slack_text, block["elements"]))}</div>'
        case "rich_text":
            return "".join(map(_slack_rich, block["elements"]))
        case other:
            raise UnknownError(other)


def _slack_text(text: Json) -> str:
    """`&amp;`, `&lt;` and `&gt;` are what they stand for."""
    if text["type"] != "plain_text":
        raise UnknownError(text["type"])
    return _inline(unescape(text["text"]))


def _slack_rich(element: Json) -> str:
    match element["type"]:
        case "rich_text_section":
            return f"<div>{''.join(map(_slack_span, element['elements']))}</div>"
        case "rich_text_list":
            return f"<ul>{''.join(f'<li>{_slack_rich(item)}</li>' for item in element['elements'])}</ul>"
        case other:
            raise UnknownError(other)


def _slack_span(span: Json) -> str:
    if span["type"] not in ("text", "link"):
        raise UnknownError(span["type"])
    style = _only(span.get("style", {}), "bold")
    return _inline(span["text"], bold=style.get("bold", False), link=span.get("url"))


# --- Teams ---


def teams(received: Received) -> str:
    """An Adaptive Card in the envelope of a message."""
    (attachment,) = _sent(received)["attachments"]
    content = "".join(map(_card_element, attachment["content"]["body"]))
    return page(
        _message(f'<div class="card">{content}</div>', app="Workflows", badge=""),
        "body {background: #f5f5f5} .face {background: #5b5fc7} .Bolder {font-weight: bold}"
        " .card {background: #fff; border: 1px solid #e0e0e0; border-radius: 6px; padding: 6px 16px 14px; margin-top: 4px}"
        " .none {margin: 0} .small {margin-top: 6px; color: inherit; font-size: inherit} .medium {margin-top: 14px}"
        " .Large {font-size: 19px} .Small {font-size: 12.5px} .subtle {color: #616161}",
    )


def _card_element(element: Json) -> str:
    if element["type"] != "RichTextBlock":
        raise UnknownError(element["type"])
    _only(element, "type", "spacing", "inlines")
    return f'<div class="{element["spacing"].lower()}">{"".join(map(_card_run, element["inlines"]))}</div>'


def _card_run(run: Json) -> str:
    _only(run, "type", "text", "size", "weight", "isSubtle", "selectAction")
    looks = f"{run.get('size', '')} {run.get('weight', '')} {'subtle' if run.get('isSubtle') else ''}"
    return f'<span class="{looks}">{_inline(run["text"], link=run.get("selectAction", {}).get("url"))}</span>'


# --- Markdown in chats ---

_CHAT_MARKDOWN: Final = MarkdownIt("commonmark", {"html": False, "breaks": True})


def _chat_markdown(text: str) -> str:
    return str(_CHAT_MARKDOWN.render(text))


def mattermost(received: Received) -> str:
    """A post; attachments are boxes with a bar at their left."""
    sent = _only(_sent(received), "text", "attachments", "channel", "username", "icon_url")
    boxes = (_only(box, "text")["text"] for box in sent.get("attachments", ()))
    content = "".join(f'<div class="box">{_chat_markdown(text)}</div>' for text in boxes)
    return page(
        _message(_chat_markdown(sent["text"]) + content, app="anrufe", badge="BOT"),
        "body {color: #3f4350} .face {border-radius: 50%; background: #1e325c}"
        " .box {border-left: 4px solid #888; padding-left: 12px}",
    )


def discord(received: Received) -> str:
    """Content, then embeds."""
    sent = _only(_sent(received), "content", "embeds", "allowed_mentions")
    content = _chat_markdown(sent["content"])
    for embed in sent["embeds"]:
        _only(embed, "description", "footer")
        footer = escape(embed.get("footer", {}).get("text", ""))
        content += (
            f'<div class="embed">{_chat_markdown(embed.get("description", ""))}<div class="small">{footer}</div></div>'
        )
    return page(
        _message(content, app="Anrufe"),
        "body {background: #313338; color: #dbdee1} a {color: #00a8fc} .face {border-radius: 50%; background: #5865f2}"
        " .name {color: #f2f3f5} .badge {background: #5865f2; color: #fff} .small {color: #b5bac1}"
        " .embed {background: #2b2d31; border-left: 4px solid #1e1f22; border-radius: 4px; padding: 10px 14px;"
        " margin-top: 4px}",
    )


# --- phones ---


def telegram(received: Received) -> str:
    """Text with entities, whose places count UTF-16."""
    sent = _sent(received)
    if "parse_mode" in sent:
        raise UnknownError("parse_mode")
    content = _entities(sent["text"], sent["entities"])
    return page(
        f'<div class="bubble"><div class="name">Anrufe</div>{content}<div class="time">09:20</div></div>',
        "body {background: #cfdcc7} .bubble {background: #fff; border-radius: 14px 14px 14px 4px; padding: 8px 12px;"
        " max-width: 92%; box-shadow: 0 1px 1px #0002} .name {color: #3a8a5c} .time {text-align: right; margin: 0}"
        " a {color: #3390ec}",
    )


def _entities(text: str, entities: Iterable[Json]) -> str:
    units = text.encode("utf-16-le")
    html, at = "", 0
    for one in sorted(entities, key=lambda one: int(one["offset"])):
        begin, end, kind = one["offset"] * 2, (one["offset"] + one["length"]) * 2, one["type"]
        if kind not in ("bold", "italic", "text_link") or begin < at:
            raise UnknownError(one)
        inside = _inline(
            units[begin:end].decode("utf-16-le"), bold=kind == "bold", italic=kind == "italic", link=one.get("url")
        )
        html += _inline(units[at:begin].decode("utf-16-le")) + inside
        at = end
    return html + _inline(units[at:].decode("utf-16-le"))


def ntfy(received: Received) -> str:
    """A notification on a phone."""
    sent = _sent(received)
    return _notification(sent["title"], sent["message"], f"ntfy · {sent['topic']}")


def apprise(received: Received) -> str:
    """What apprise hands on as title and text; here as a notification, because each service shows it otherwise."""
    sent = _sent(received)
    return _notification(sent["title"], sent["message"], "Apprise")


def _notification(title: str, text: str, app: str) -> str:
    return page(
        f'<div class="bubble"><div class="small">{escape(app)} · jetzt</div><div class="name">{escape(title)}</div>'
        f'<div class="wrap">{escape(text)}</div></div>',
        "body {background: linear-gradient(160deg, #3a4a6b, #6b5a7d)} .bubble {background: #fffffff2; border-radius: 18px;"
        " padding: 12px 16px} .wrap {font-size: 14.5px}",
    )


#: For each kind that speaks HTTP: what its far side shows.
VIEWERS: Final[dict[str, Callable[[Received], str]]] = {
    "webhook": request,
    "slack": slack,
    "teams": teams,
    "mattermost": mattermost,
    "discord": discord,
    "telegram": telegram,
    "ntfy": ntfy,
}
