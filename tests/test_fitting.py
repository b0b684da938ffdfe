"""Fitting a message into a budget: what is cut, what goes, what stays; and that nothing exceeds it."""

from __future__ import annotations

import html
import json
import re
from time import process_time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.fitting import MARK, Size, fitted, parted, shortened, utf8, utf16
from router.markup import Block, Document, Span, Style, plain_line, plain_text
from router.text import cut, parting


def block(text: str, style: Style = Style.TEXT, *, bold: bool = False) -> Block:
    return Block(style, tuple((Span(line, bold),) if line else () for line in text.split("\n")))


def text(of: Block) -> str:
    return "\n".join(map(plain_line, of.lines))


def characters(of: Block) -> int:
    return len(text(of))


def escaped_json(of: Block) -> int:
    """As a card would count it: escapes, bytes, and what stands around each block."""
    return utf8(json.dumps({"type": of.style, "text": text(of)})) + 20


def escaped_html(of: Block) -> int:
    lines = (
        "".join(f'<b><a href="{span.link}">{html.escape(span.text)}</a></b>' for span in line) + "<br>"
        for line in of.lines
    )
    return utf16("".join(lines))


SIZES: list[Size] = [characters, lambda of: utf16(text(of)), lambda of: utf8(text(of)), escaped_json, escaped_html]
FAMILY, FLAG, THUMB, E_ACUTE = "👩‍👩‍👧", "🇩🇪", "👍🏽", "e\u0301"

# ---------------------------------------------------------------------------------------------------------------- units


def test_units() -> None:
    assert (utf16("aä👍"), utf8("aä👍")) == (4, 7)
    assert (utf16(""), utf8("")) == (0, 0)
    assert (utf16("\ud83d"), utf8("\ud83d")) == (1, 1)


# ------------------------------------------------------------------------------------------------------------- one block


@pytest.mark.parametrize(
    ("written", "most", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("ab cdef", 4, "ab…"),
        ("abcdef", 1, "…"),
        ("abcdef", 0, "…"),
        ("abcdef", -1, "…"),
        ("ab\n\ncd", 5, "ab…"),
        ("ab\n\ncd", 6, "ab\n\ncd"),
        ("ab\ncde", 5, "ab\nc…"),
        (FAMILY * 3, 7, FAMILY + MARK),
        (FAMILY * 3, 4, MARK),
        (THUMB * 3, 4, THUMB + MARK),
        (FLAG * 3, 4, FLAG + MARK),
        ("x" + FLAG * 3, 4, "x" + FLAG + MARK),
        (E_ACUTE * 3, 4, E_ACUTE + MARK),
        ("a\u200d" * 9, 5, MARK),
    ],
)
def test_a_block_is_cut_with_a_mark(written: str, most: int, shown: str) -> None:
    assert text(shortened(block(written), most, characters)) == shown


def test_what_is_cut_keeps_its_style_and_its_spans() -> None:
    line = (Span("ab", bold=True), Span("cdef", link="tel:1"), Span("gh"))
    cut_ = shortened(Block(Style.ITEMS, (line, line)), 5, characters)
    assert cut_ == Block(Style.ITEMS, ((Span("ab", bold=True), Span("cd…", link="tel:1")),))
    cut_ = shortened(Block(Style.ITEMS, (line, line)), 12, characters)
    assert cut_ == Block(Style.ITEMS, (line, (Span("ab…", bold=True),)))


@given(st.text(max_size=60), st.integers(1, 80), st.sampled_from(SIZES))
def test_a_cut_block_is_the_beginning_of_the_whole(written: str, most: int, size: Size) -> None:
    whole = block(written)
    found = shortened(whole, most, size)
    if size(whole) <= most:
        assert found == whole
    else:
        assert text(found).endswith(MARK)
        assert written.startswith(text(found)[:-1].rstrip())
        assert size(found) <= most or text(found) == MARK


# ----------------------------------------------------------------------------------------------------------------- parts


@pytest.mark.parametrize(
    ("written", "most", "pieces"),
    [
        ("abc", 3, ["abc"]),
        ("abcdef", 3, ["abc", "def"]),
        ("ab cd ef", 5, ["ab cd", "ef"]),
        ("a bcdefgh", 5, ["a bcd", "efgh"]),
        ("ab\ncd\nef", 5, ["ab\ncd", "ef"]),
        ("ab cd\nef gh", 9, ["ab cd", "ef gh"]),
        ("ab\n\ncd", 3, ["ab", "cd"]),
        ("ab\n\ncd", 4, ["ab", "cd"]),
        (FLAG * 2 + THUMB, 3, [FLAG, FLAG, THUMB]),
        ("👍" * 2, 0, ["👍", "👍"]),
        ("", 3, [""]),
    ],
)
def test_a_block_is_parted_where_it_reads_well(written: str, most: int, pieces: list[str]) -> None:
    assert [text(piece) for piece in parted(block(written), most, characters)] == pieces


def test_a_long_list_is_parted_between_its_lines() -> None:
    lines = [f"ein Wort {n}" for n in range(100, 200)]
    pieces = [text(piece).split("\n") for piece in parted(block("\n".join(lines)), 100, characters)]
    assert [line for piece in pieces for line in piece] == lines
    assert {len(piece) for piece in pieces[:-1]} == {7}


def test_parts_keep_the_style_and_the_spans() -> None:
    line = (Span("abc ", bold=True), Span("def", link="tel:1"))
    assert list(parted(Block(Style.ITEMS, (line,)), 5, characters)) == [
        Block(Style.ITEMS, ((Span("abc", bold=True),),)),
        Block(Style.ITEMS, ((Span("def", link="tel:1"),),)),
    ]


@given(st.text(max_size=80), st.integers(1, 40), st.sampled_from(SIZES[:3]))
def test_parts_lose_nothing_but_white_space(written: str, most: int, size: Size) -> None:
    pieces = list(parted(block(written), most, size))
    assert re.sub(r"\s", "", "".join(map(text, pieces))) == re.sub(r"\s", "", written)
    for piece in pieces:
        assert size(piece) <= most or len(text(piece)) == 1
        assert piece.lines or not written.strip()


joined = st.lists(st.sampled_from([FAMILY, FLAG, THUMB, E_ACUTE, "❤️", "x", " ", "1️⃣", "ü"]), max_size=30).map("".join)


@given(joined, st.integers(0, 120))
def test_letters_and_emoji_stay_whole(written: str, end: int) -> None:
    """As far as one of them has room."""
    assume(len(written) > 0)
    most = max(end, 8)
    pieces = [text(piece) for piece in parted(block(written), most, characters)]
    found = [*pieces, text(shortened(block(written), most, characters)).removesuffix(MARK), cut(written, most)[:-1]]
    wholes = re.compile(f"(?:{FAMILY}|{FLAG}|{THUMB}|{E_ACUTE}|❤️|1️⃣|[xü ])*")
    assert [piece for piece in found[:-1] if not wholes.fullmatch(piece)] == []
    assert len(written) <= most or wholes.fullmatch(found[-1])


def test_an_odd_half_of_a_flag_is_no_flag() -> None:
    assert [parting("🇩🇪🇫🇷", end) for end in range(5)] == [0, 0, 2, 2, 4]
    assert [parting("x🇩🇪", end) for end in range(4)] == [0, 1, 1, 3]


# ------------------------------------------------------------------------------------------------------------- documents

TITLE, FOOT = block("Titel", Style.TITLE), block("KI, kann irren", Style.FINE_PRINT)


def test_what_fits_stays_as_it_is() -> None:
    document = (TITLE, block("x" * 100), FOOT)
    assert fitted(document, sum(map(characters, document)), characters) is document
    assert fitted((), 0, characters) == ()


def test_the_longest_are_cut_to_the_same_size() -> None:
    document = (TITLE, block("a" * 60), block("b" * 500), block("c" * 900, Style.ITEMS), FOOT)
    found = fitted(document, 5 + 60 + 200 + 200 + 14, characters)
    assert found == (TITLE, document[1], block("b" * 199 + MARK), block("c" * 199 + MARK, Style.ITEMS), FOOT)


def test_labels_are_cut_only_where_they_are_the_text() -> None:
    document = (block("t" * 1000, Style.TITLE), block("a" * 1000), block("f" * 250, Style.FINE_PRINT))
    title, body, foot = fitted(document, 1000, characters)
    assert foot == document[2]
    assert characters(title) == 375
    assert characters(body) == 375
    title, body, foot = fitted(document, 700, characters)
    assert (characters(title), characters(body), foot) == (301, 149, document[2])


def test_what_would_be_cut_to_nothing_goes_from_the_rear_but_for_the_foot() -> None:
    """As many stay as there is room for, forty characters and a mark each."""
    document = (TITLE, *(block(f"{n:02}" * 50) for n in range(50)), FOOT)
    found = fitted(document, 5 + 10 * 41 + 1 + 14, characters)
    assert [text(each)[:2] for each in found] == ["Ti", *(f"{n:02}" for n in range(10)), MARK, "KI"]
    assert {characters(each) for each in found[1:-2]} == {41}
    assert sum(map(characters, found)) == 430


def test_many_small_blocks_use_the_budget_up() -> None:
    document = (TITLE, *(block("Frage", bold=True) for _ in range(2000)), FOOT)
    found = fitted(document, 4000, characters)
    assert 3990 < sum(map(characters, found)) <= 4000
    assert found[-2:] == (block(MARK), FOOT)


def test_a_foot_is_only_what_stands_at_the_end() -> None:
    document = (TITLE, FOOT, *(block("x" * 100) for _ in range(50)))
    found = fitted(document, 200, characters)
    assert [each.style for each in found] == [Style.TITLE, Style.FINE_PRINT, *[Style.TEXT] * 5]
    assert text(found[-1]) == MARK


@pytest.mark.parametrize(("budget", "shown"), [(60, "x" * 59 + MARK), (2, "x…"), (1, MARK), (0, MARK)])
def test_in_the_end_the_first_block_is_all_there_is(budget: int, shown: str) -> None:
    document = (block("x" * 900, Style.TITLE), block("y" * 900), block("z" * 100, Style.FINE_PRINT))
    assert [text(each) for each in fitted(document, budget, characters)] == [shown]


@pytest.mark.parametrize("size", SIZES)
def test_no_budget_is_exceeded(size: Size) -> None:
    """Whichever it is, as long as a mark has room; and the more of it there is, the more stays."""
    document = (TITLE, *(block(letter * 50 + "\n&ä", bold=True) for letter in "abcdefgh"), FOOT)
    blocks = 0
    for budget in range(size(block(MARK, Style.TITLE)), sum(map(size, document)) + 3, 3):
        found = fitted(document, budget, size)
        assert sum(map(size, found)) <= budget
        assert len(found) >= blocks - 1  # the last one that stays takes the place of the mark
        blocks = len(found)
    assert found == document


documents = st.lists(
    st.builds(block, st.text(min_size=1, max_size=20).map(lambda piece: piece * 9), st.sampled_from(list(Style))),
    min_size=1,
    max_size=8,
).map(tuple)


@settings(max_examples=60)
@given(documents, st.integers(0, 1000), st.sampled_from(SIZES))
def test_a_fitted_document_is_within_its_budget(document: Document, budget: int, size: Size) -> None:
    """Where there is room for a mark. What is left is in its order, and what was cut says so."""
    found = fitted(document, budget, size)
    mark = size(Block(document[0].style, ((Span(MARK),),)))
    assert sum(map(size, found)) <= max(budget, mark)
    rest = list(document)
    for each in found:
        if each == block(MARK) and each not in rest:
            continue
        start = text(each).removesuffix(MARK).rstrip()
        while not (rest[0].style is each.style and text(rest[0]).startswith(start)):
            rest.pop(0)
        whole = rest.pop(0)
        assert each == whole or text(each).endswith(MARK)
    assert found == document or MARK in plain_text(found)


# ----------------------------------------------------------------------------------------------------------------- costs


@pytest.mark.parametrize(
    "written",
    ["x" * 400_000, "x " * 200_000, "x\n" * 20_000, "\u200d" * 400_000, "🇩" * 200_000, "e" + "\u0301" * 300_000],
    ids=["word", "words", "lines", "joiners", "flags", "marks"],
)
def test_a_long_text_takes_no_longer_than_others(written: str) -> None:
    whole = block(written.strip("\n"))
    started = process_time()
    fitted((TITLE, whole, whole), 10_000, escaped_html)
    assert len(list(parted(whole, 3000, characters))) > 12
    assert process_time() - started < 5


def test_many_blocks_take_no_longer_than_others() -> None:
    document = tuple(block("x" * 20 + "\ny") for _ in range(10_000))
    started = process_time()
    fitted(document, 13_000, escaped_html)
    assert process_time() - started < 5
