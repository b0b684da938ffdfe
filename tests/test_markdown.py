from __future__ import annotations

from router import Markdown, utf16
from router.markup import as_value, parse

PLAIN = Markdown(lambda text: text.replace("*", "\\*"), len)


def written(template: str, budget: int = 10_000) -> str:
    return PLAIN.write(parse(template), budget)


def test_each_block_is_written_as_chats_read_it() -> None:
    document = "# Titel\n\nZeile\nnoch eine\n\nAbsatz\n## Aufgaben\n- eins\n- **zwei**\n\n-# klein"
    assert written(document) == ("**Titel**\n\nZeile\nnoch eine\n\nAbsatz\n\n**Aufgaben**\n- eins\n- **zwei**\n\nklein")


def test_links_are_those_of_the_template() -> None:
    link = "[Kunde " + as_value("a*b") + "](https://crm.example/?q=" + as_value("+49 (1)") + ")"
    assert written(f"# {link}") == "**[Kunde a\\*b](https://crm.example/?q=%2B49%20%281%29)**"


def test_nothing_of_a_call_opens_a_block() -> None:
    said = as_value("- a\n+ b\n* c\n# d\n> e\n1. f\n12) g\n1 h\n-# i\n---\n+49 221")
    assert written(said) == ("\\- a\n\\+ b\n\\* c\n\\# d\n\\> e\n1\\. f\n12\\) g\n1 h\n\\-# i\n\\---\n\\+49 221")
    assert written("- " + as_value("- a") + "\n- " + as_value("# b")) == "- \\- a\n- \\# b"


def test_what_is_bold_is_so_up_to_its_blanks() -> None:
    assert written("**" + as_value("---") + "** b") == "**\\---** b"
    assert written("**" + as_value(" a ") + "**b") == "**a** b"
    assert written("a **" + as_value(" ") + "** b") == "a   b"


def test_what_is_cut_is_cut_after_its_escapes() -> None:
    text = written(as_value("*" * 5000), budget=1000)
    assert 980 <= len(text) <= 1000
    assert text == "\\*" * ((len(text) - 1) // 2) + "…"


def test_many_blocks_fit_with_the_lines_between_them() -> None:
    document = "\n\n".join(["xy"] * 60)
    assert 50 < len(written(document, budget=150)) <= 150


def test_the_length_is_the_vendors() -> None:
    markdown = Markdown(str, utf16)
    text = markdown.write(parse(as_value("😀" * 1000)), 500)
    assert 490 <= utf16(text) <= 500


def test_an_empty_document_is_an_empty_text() -> None:
    assert PLAIN.write((), 100) == ""
