from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.paths import LONGEST, numbered_name, safe_name, safe_segment


@pytest.mark.parametrize(
    ("text", "segment"),
    [
        ("Support", "Support"),
        ("Dr. Müller & Söhne (Köln)", "Dr. Müller & Söhne (Köln)"),
        ("مبيعات", "مبيعات"),
        # ARC-01: no way up, out, or into an option
        ("../../etc/cron.d/x", "_.._etc_cron.d_x"),
        ("/abs", "_abs"),
        ("..\\..\\x", "_.._x"),
        ("%2e%2e/", "%2e%2e_"),
        ("a/../../b", "a_.._.._b"),
        ("..", "_unknown"),
        (".", "_unknown"),
        ("", "_unknown"),
        (" . ", "_unknown"),
        ("~root", "_root"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("name.", "name"),
        ("a~r2", "a_r2"),
        # ARC-03: devices of Windows
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("COM1", "_COM1"),
        ("COM¹", "_COM¹"),
        ("LPT9.json", "_LPT9.json"),
        ("AUX.", "_AUX"),
        ("con.2026", "_con.2026"),
        ("con .x", "_con .x"),
        ("Console", "Console"),
        # characters that Windows cannot have
        ('a<b>c:d"e|f?g*h', "a_b_c_d_e_f_g_h"),
        ("09:15", "09_15"),
        # invisible, turning and breaking characters
        ("Support \u202enosj.exe", "Support nosj.exe"),
        ("a\u200b\ufeffb\u2066c\u2069", "abc"),
        ("a\r\nb\tc\u2028d\x00e\x85f", "a b c d e f"),
        ("a\ud800b", "a\ufffdb"),
        # one spelling
        ("u\u0308ber", "über"),
        ("  a   b  ", "a b"),
    ],
)
@pytest.mark.case("ARC-01", "ARC-03")
def test_segments(text: str, segment: str) -> None:
    assert safe_segment(text) == segment


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("call_1.md", "call_1.md"),
        (".md", "_unknown.md"),
        ("...md", "_unknown.md"),
        ("nul.json", "_nul.json"),
        ("a/b.md", "a_b.md"),
        ("x.tar.gz", "x.tar.gz"),
        ("none", "none"),
        ("", "_unknown"),
        ("a.md\n", "a.md"),
        ("a\n.md", "a.md"),
        ("a.md/", "a.md_"),
        ("a.ünïcode", "a.ünïcode"),
    ],
)
def test_names_keep_their_suffix(text: str, name: str) -> None:
    assert safe_name(text) == name


@pytest.mark.parametrize("text", ["x" * 255, "x" * 256, "ä" * 128, "💥" * 90, "👩‍👩‍👧" * 30, "a" + "\u0308" * 500])
@pytest.mark.case("ARC-04")
def test_long_names_are_cut_between_characters_and_told_apart_by_a_hash(text: str) -> None:
    """ARC-04."""
    cut, other = safe_name(f"{text}.md"), safe_name(f"{text}y.md")
    assert len(cut.encode()) <= LONGEST
    assert cut != other
    stem, _, mark = cut.removesuffix(".md").rpartition("-")
    assert unicodedata.normalize("NFC", text).replace("\u200d", "").startswith(stem)
    assert int(mark, 16) >= 0
    assert len(mark) == 12


def test_names_up_to_the_limit_are_whole() -> None:
    assert safe_segment("x" * LONGEST) == "x" * LONGEST
    assert safe_name("x" * (LONGEST - 3) + ".md") == "x" * (LONGEST - 3) + ".md"


@given(st.text(st.characters(), max_size=300) | st.text("./\\ ~-:_conul", max_size=20))
@pytest.mark.case("ARC-01")
def test_whatever_comes_in_a_harmless_name_comes_out(text: str) -> None:
    for name in (safe_segment(text), safe_name(text)):
        assert 0 < len(name.encode()) <= LONGEST
        assert not {"/", "\\", "~"} & set(name)
        assert name[0] not in " .-"
        assert name[-1] not in " ."
        assert unicodedata.is_normalized("NFC", name)
        assert not {"Cc", "Cf", "Cs", "Zl", "Zp"} & {unicodedata.category(char) for char in name}
    assert safe_segment(safe_segment(text)) == safe_segment(text)
    assert safe_name(safe_name(text)) == safe_name(text)


@pytest.mark.parametrize(
    ("name", "number", "numbered"),
    [("a.md", 1, "a.md"), ("a.md", 2, "a~r2.md"), ("a", 3, "a~r3"), ("_unknown.json", 12, "_unknown~r12.json")],
)
def test_versions_are_numbered_before_the_suffix(name: str, number: int, numbered: str) -> None:
    assert numbered_name(name, number) == numbered
