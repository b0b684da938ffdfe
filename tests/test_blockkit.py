from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from router import MARK, slack_blocks, slack_escaped, utf16
from router.markup import as_value, parse

if TYPE_CHECKING:
    from collections.abc import Iterator


def blocks(template: str) -> list[dict[str, Any]]:
    return slack_blocks(parse(template))


def texts(value: Any) -> Iterator[str]:
    match value:
        case {"text": str(text)}:
            yield text
        case dict():
            yield from chain.from_iterable(map(texts, value.values()))
        case list():
            yield from chain.from_iterable(map(texts, value))


def weight(found: list[dict[str, Any]]) -> int:
    """As Slack counts, as far as that is known: the JSON with the text escaped, and 240 a block to be on the safe side."""
    return utf16(slack_escaped(json.dumps(found, ensure_ascii=False, separators=(",", ":")))) + 240 * len(found)


def test_each_block_is_one_of_slacks_or_a_part_of_one_rich_text() -> None:
    found = blocks("# Titel\n\nZeile\nnoch eine\n\n**Absatz**\n## Aufgaben\n- eins\n- zwei\n\nDanach\n\n-# klein")
    assert [block["type"] for block in found] == ["header", "rich_text", "context"]
    assert found[0]["text"] == {"type": "plain_text", "text": "Titel", "emoji": False}
    assert found[2]["elements"] == [{"type": "plain_text", "text": "klein", "emoji": False}]
    kinds = [element["type"] for element in found[1]["elements"]]
    assert kinds == ["rich_text_section", "rich_text_section", "rich_text_list", "rich_text_section"]
    said, heading, items, after = found[1]["elements"]
    assert "".join(texts(said)) == "Zeile\nnoch eine\n\nAbsatz"
    assert said["elements"][-1]["style"] == heading["elements"][0]["style"] == {"bold": True}
    assert (list(texts(heading)), list(texts(items)), list(texts(after))) == (
        ["\nAufgaben"],
        ["eins", "zwei"],
        ["\nDanach"],
    )


def test_text_is_escaped_in_text_objects_only() -> None:
    said = "<!here> & *a* :tada:"
    header, rich, small = blocks(f"# {as_value(said)}\n\n{as_value(said)}\n\n-# {as_value(said)}")
    assert list(texts(rich)) == [said]
    assert list(texts(header)) == list(texts(small)) == ["&lt;!here&gt; &amp; *a* :tada:"]


def test_a_link_is_one_of_the_template_and_small_print_with_one_is_text() -> None:
    (rich,) = blocks(
        "Siehe [hier](https://crm.example/?q=" + as_value("a b") + ")\n\n-# und [da](https://crm.example/)"
    )
    link, small = rich["elements"][0]["elements"][1], rich["elements"][1]["elements"][-1]
    assert link == {"type": "link", "url": "https://crm.example/?q=a%20b", "text": "hier"}
    assert small == {"type": "link", "url": "https://crm.example/", "text": "da"}


@pytest.mark.parametrize("text", ["Wort " * 9_000, "& " * 9_000, "😀" * 9_000, "x" * 63_000])
def test_what_there_is_room_for_is_used_and_no_more(text: str) -> None:
    """All blocks take 12,000: about 13,200 are refused, and nobody knows how exactly Slack counts."""
    for template in (as_value(text), f"# Titel\n\n{as_value(text)}\n\n-# klein"):
        found = blocks(template)
        assert 11_200 < weight(found) <= 12_000
        assert MARK in "".join(texts(found))


@pytest.mark.parametrize(("template", "most"), [("# {}", 150), ("-# {}", 3_000), ("- {}", 3_000)])
def test_what_is_cut_by_itself_has_its_own_limit(template: str, most: int) -> None:
    for text in ("x" * 9_000, "&" * 9_000):
        (written,) = texts(blocks(template.format(as_value(text))))
        length = utf16(slack_escaped(written) if template == "- {}" else written)
        assert most - 5 < length <= most


def test_a_long_text_is_parted_and_nothing_of_it_lost() -> None:
    words = [f"Wort{number}" for number in range(1000)]
    (rich,) = blocks(as_value(" ".join(words)))
    parts = ["".join(texts(section)) for section in rich["elements"]]
    assert len(parts) > 1
    assert all(utf16(part) <= 3_000 for part in parts)
    assert "\n".join(parts).split() == words


@pytest.mark.parametrize(
    "template",
    [
        "# a\n\nb\n\n" * 900,
        "- x\n" * 5_000,
        "-# k\n\nb\n\n" * 900,
        "## Kopf\nText\n" * 900,
        "# " + "&" * 150 + "\n\n" * 90,
    ],
)
def test_there_are_never_too_many_blocks(template: str) -> None:
    found = blocks(template)
    assert 0 < len(found) <= 50
    assert weight(found) <= 12_000


def test_an_empty_document_has_no_blocks() -> None:
    assert slack_blocks(()) == []
