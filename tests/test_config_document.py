"""`router.config.document`: what a YAML file says, where it says it, and what is wrong with it."""

import time
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from router.config import Files, document
from router.config.document import Data, Document, Invalid, Problem

FOLDER = Path("/nowhere")


def read(text: str, folder: Path = FOLDER, **environ: str) -> Document:
    return document.read(text, "routes.yaml", folder, environ, Files())


def complaints(text: str, folder: Path = FOLDER, **environ: str) -> list[str]:
    """What is wrong, without the name of the file; one problem an item."""
    with pytest.raises(Invalid) as caught:
        read(text, folder, **environ)
    lines = str(caught.value).split("\n")
    assert lines == [str(problem) for problem in caught.value.problems]
    return [line.removeprefix("routes.yaml:") for line in lines]


@pytest.fixture(params=[yaml.CSafeLoader, yaml.SafeLoader])
def _either_parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "_LOADER", request.param)


both_parsers = pytest.mark.usefixtures("_either_parser")


# ------------------------------------------------------------------------------------------------------------- data


@pytest.mark.parametrize(
    "scalar", ["no", "on", "22:30", "0123", "1_000", "2026-01-01", "1e3", "+4930901820", "0x1F", ".inf", "=", "true"]
)
@both_parsers
@pytest.mark.case("CFG-06")
def test_a_scalar_is_its_text_as_written(scalar: str) -> None:
    assert read(f"a: {scalar}\nb: [{scalar}]\n{scalar}: x").data == {"a": scalar, "b": [scalar], scalar: "x"}


@pytest.mark.parametrize("scalar", ["", "~", "null"])
@both_parsers
def test_a_plain_nothing_is_none_and_a_quoted_one_is_text(scalar: str) -> None:
    assert read(f"a: {scalar}\nb: '{scalar}'\nc: \"{scalar}\"").data == {"a": None, "b": scalar, "c": scalar}


def test_a_key_is_always_text() -> None:
    assert read("~: a\n1: b\n? \n: c\n").data == {"~": "a", "1": "b", "": "c"}


def test_block_scalars_byte_order_mark_and_windows_line_ends_read_as_yaml_says() -> None:
    assert read("\ufeffa: |\r\n  x\r\n  y\r\nb: >-\r\n  x\r\n  y\r\n").data == {"a": "x\ny\n", "b": "x y"}


def test_an_alias_repeats_its_anchor_as_data_of_its_own() -> None:
    data = read("a: &a {x: [1]}\nb: *a").data
    assert data == {"a": {"x": ["1"]}, "b": {"x": ["1"]}}
    assert isinstance(data, dict)
    assert data["a"] is not data["b"]


def test_an_alias_of_text_can_be_a_key() -> None:
    assert read("a: &a x\n*a : y\n").data == {"a": "x", "x": "y"}


def test_a_merged_key_can_be_overridden_and_the_first_of_several_maps_wins() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {z: 3, <<: [*a, *b], w: 3}\nd: {<<: *a}\ne: {'<<': text}\n"
    assert read(text).data == {
        "a": {"x": "1", "y": "1"},
        "b": {"y": "2", "z": "2"},
        "c": {"x": "1", "y": "1", "z": "3", "w": "3"},
        "d": {"x": "1", "y": "1"},
        "e": {"<<": "text"},
    }


# ------------------------------------------------------------------------------------------------------------ places


SINKS = """\
# ümlaut 😀
defaults: &people
  language: de
  give_up: 12h
sinks:
  ops: {kind: slack, "url": "${URL}"}
  boss:
    <<: *people
    give_up: 1h
  copy: *people
always:
  - ops
  - ä: 😀
    ö: |
      text
"""


@pytest.mark.parametrize(
    ("path", "value", "key"),
    [
        ((), (2, 1), (2, 1)),
        (("sinks",), (6, 3), (5, 1)),
        (("sinks", "ops"), (6, 8), (6, 3)),
        (("sinks", "ops", "kind"), (6, 15), (6, 9)),
        (("sinks", "ops", "url"), (6, 29), (6, 22)),
        (("sinks", "boss", "language"), (3, 13), (3, 3)),
        (("sinks", "boss", "give_up"), (9, 14), (9, 5)),
        (("sinks", "copy"), (10, 9), (10, 3)),
        (("sinks", "copy", "give_up"), (4, 12), (4, 3)),
        (("always", 0), (12, 5), (12, 5)),
        (("always", 1, "ä"), (13, 8), (13, 5)),
        (("always", 1, "ö"), (14, 8), (14, 5)),
        (("sinks", "ops", "missing"), (6, 8), (6, 3)),
        (("sinks", "ops", "kind", "deeper", 3), (6, 15), (6, 9)),
        (("always", 2), (12, 3), (11, 1)),
        (("always", "0"), (12, 3), (11, 1)),
        (("missing", "far", "away"), (2, 1), (2, 1)),
    ],
)
@both_parsers
def test_every_value_and_key_has_its_place(path: document.Steps, value: tuple[int, int], key: tuple[int, int]) -> None:
    read_document = read(SINKS, URL="https://example.com")
    assert (read_document.place(path), read_document.place(path, key=True)) == (value, key)


def test_written_is_the_text_before_it_was_filled() -> None:
    read_document = read(SINKS, URL="hunter2")
    assert read_document.written(("sinks", "ops", "url")) == "${URL}"
    assert read_document.written(("sinks", "boss", "language")) == "de"
    assert read_document.written(("sinks", "ops")) is None
    assert read_document.written(("sinks", "ops", "missing")) is None
    assert read_document.written(("sinks", "ops", "url", "missing")) is None


def test_the_repr_tells_no_secret() -> None:
    assert "hunter2" not in repr(read(SINKS, URL="hunter2"))


def test_a_problem_says_file_line_column_path_and_what() -> None:
    problem = read(SINKS, URL="").problem(("sinks", "ops", "kind"), "unknown kind 'slak'")
    assert problem == Problem("routes.yaml", 6, 15, ("sinks", "ops", "kind"), "unknown kind 'slak'")
    assert str(problem) == "routes.yaml:6:15: sinks.ops.kind: unknown kind 'slak'"
    assert str(read("a: 1").problem((), "is wrong")) == "routes.yaml:1:1: is wrong"
    assert str(read("- a: 1").problem((0, "a"), "is wrong", key=True)) == "routes.yaml:1:3: 0.a: is wrong"


def test_a_problem_is_one_line_whatever_the_key() -> None:
    assert complaints('"a\\nb\\e[2J\\u202E": ${X}') == [
        "1:20: a\\nb\\x1b[2J\\u202e: the variable X is not set: export it, or keep it in a file: '${file:/path}'"
    ]


# ------------------------------------------------------------------------------------------------------------ errors


TAG = "tags are not known here: remove it, or put text that begins with '!' in quotes"
TAB = "a tab stands where YAML wants spaces: indent with spaces"
COLON = "a ':' cannot stand here: put text that has ': ' in it in quotes, or mend the indentation"
MISFIT = "this does not fit what stands before it: mend the indentation or the quotes"
QUOTE = "text that begins with '*', '&', '>' or '|' must be in quotes"
KEY = "a key must be text: put text that begins with '{' or '[' in quotes"
ANCHOR = "no anchor of this name above: add it, or put text that begins with '*' in quotes"
MERGE = "'<<' takes a map or a list of maps, as in `<<: *name`"
EMPTY = "1:1: the file is empty: write sources, sinks and routes, or begin with `aftercall init`"
NESTED = "nested deeper than 100 levels: make it flatter"
MANY = "more than 100,000 keys and values up to here, repeated ones too: use fewer aliases"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nfoo\nb: 2", "2:1: this is no 'key: value': add the ': ', or mend the indentation"),
        ("a: b: c", f"1:5: {COLON}"),
        ("ä: 😀: c", f"1:5: {COLON}"),
        ("a: 1\n  b: 2", f"2:4: {COLON}"),
        ("a:\n  b: 1\n c: 2", f"3:2: {MISFIT}"),
        ("a: 'don't'", f"1:9: {MISFIT}"),
        ("- a\nb: 1", f"2:1: {MISFIT}"),
        ('x: 1\na: "x\nb: 2\n', "2:4: the quotes that begin at 2:4 are not closed: close them"),
        ("a: [1, 2\nb: 3", "2:2: the list or map that begins at 1:4 is not closed: add the missing ',' or bracket"),
        ("x: 1\na: {b: 1", "2:4: the list or map that begins at 2:4 is not closed: add the missing ',' or bracket"),
        ("a: - b", "1:4: a list item cannot stand here: begin it on a line of its own"),
        ("a: @x", "1:4: text cannot begin with this character: put it in quotes"),
        ("a: *kündig*", f"1:4: {QUOTE}"),
        ("duration: >= 5m", f"1:11: {QUOTE}"),
        ("a: ]", "1:4: a value is missing here: write it, or put text that begins with this character in quotes"),
        ("{a: 1} b", "1:8: nothing can follow here, the one value of this file has ended: mend what stands before"),
        ("%YAML 3.0\n---\na: 1", "1:1: this is not valid YAML: mend it, or remove it"),
        ("a: {url: ${URL}}", "1:11: a '${…}' between brackets must be in quotes"),
        ("a: !foo!bar x", f"1:4: {TAG}"),
    ],
)
@both_parsers
def test_broken_syntax_is_told_in_plain_words_and_alone(text: str, problem: str) -> None:
    assert complaints("# ${missing}\n" + text)[0].partition(":")[0] == str(int(problem.partition(":")[0]) + 1)
    assert complaints(text) == [problem]


def test_a_backslash_that_means_nothing_is_an_error() -> None:
    assert complaints('a: "\\d+"') == ["1:5: there is no such '\\' sequence: write '\\\\', or use single quotes"]


@pytest.mark.parametrize(("text", "at"), [("a:\n\tb: 1", "2:1"), ("a: x\n\tb: y", "2:1"), ("a:\n  - x\n \t- y", "3:2")])
@both_parsers
def test_a_tab_in_the_indentation_gets_a_hint(text: str, at: str) -> None:
    assert complaints(text) == [f"{at}: {TAB}"]


@both_parsers
@pytest.mark.case("CFG-04")
def test_a_duplicate_key_names_both_places_at_any_level() -> None:
    assert complaints("a: 1\nb:\n  - {c: 1, d: 2, 'c': 3}\n\"a\": 2\na: 3") == [
        "3:18: b.0.c: the key 'c' is already at 3:6: keep one of the two",
        "4:1: a: the key 'a' is already at 1:1: keep one of the two",
        "5:1: a: the key 'a' is already at 1:1: keep one of the two",
    ]
    assert complaints("a: &a {}\nb:\n  <<: *a\n  <<: *a") == [
        "4:3: b.<<: the key '<<' is already at 3:3: keep one of the two"
    ]


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [was-here]]",
        "!!python/name:os.system",
        "!!binary aGVsbG8=",
        "!include /etc/passwd",
        "!<tag:example.com,2026:x> y",
        "!!str y",
        "! y",
        "! 'y'",
        "! [y]",
        "!!map {y: z}",
        "!",
    ],
)
@both_parsers
@pytest.mark.case("CFG-03")
def test_a_tag_is_refused_and_nothing_runs(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert complaints(f"a:\n  b: {value}")[0] == f"2:6: a.b: {TAG}"
    assert list(tmp_path.iterdir()) == []


def test_a_tag_on_a_key_is_refused() -> None:
    assert complaints("a: {!x b: 1}") == [f"1:5: a.b: {TAG}"]


def test_no_message_repeats_a_password_without_quotes() -> None:
    text = "a: !hunter2\nb: *hunter2\nc: ${hunter2!}\nd: '${hunter2'\ne: ${X:-hunter2${Y}}\nf: &hunter2\ng: &hunter2\n"
    problems = complaints(text)
    assert [problem.partition(":")[0] for problem in problems] == ["1", "2", "3", "4", "5", "7"]
    assert "hunter2" not in "".join(problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("? [a, b]\n: c", f"1:3: {KEY}"),
        ("a: {{ event.id }}", f"1:5: a: {KEY}"),
        ("- {a: {}, [b]: c}", f"1:11: 0: {KEY}"),
        ("a: &a [1]\n*a : 2", f"2:1: {KEY}"),
        ("a: *nowhere", f"1:4: a: {ANCHOR}"),
        ("- &a 1\n- &a 2", "2:3: 1: this anchor is already at 1:3: rename one of the two"),
        ("x: &a [*a]", "1:8: x.0: this alias stands inside of what it repeats, from 1:4 on: remove it"),
        ("&a {x: {<<: *a}}", "1:13: x.<<: this alias stands inside of what it repeats, from 1:1 on: remove it"),
        ("a: {<<: 1}", f"1:9: a.<<: {MERGE}"),
        ("a: &a 1\nb:\n  <<: [*a]", f"3:7: b.<<: {MERGE}"),
        ("a: 1\n---\nb: 2", "2:1: a second document begins here: remove one of the two"),
        ("---\n---\n", "2:1: a second document begins here: remove one of the two"),
    ],
)
@both_parsers
@pytest.mark.case("CFG-07")
def test_what_yaml_allows_and_we_do_not_is_told_with_its_place(text: str, problem: str) -> None:
    assert complaints(text) == [problem]


@pytest.mark.parametrize("text", ["", "\ufeff", "\n\n", "# only a comment", "---\n", "~", "null\n"])
def test_an_empty_file_says_what_to_write(text: str) -> None:
    assert complaints(text) == [EMPTY]


@pytest.mark.parametrize("character", ["\0", "\x07", "\x7f", "\x9f", "\ud800", "\ufffe", "\uffff", "\ufeff"])
@pytest.mark.case("CFG-07")
def test_characters_that_yaml_refuses_are_named(character: str) -> None:
    problem = f"the character U+{ord(character):04X} is not allowed here: remove it"
    assert complaints(f"ä: 1\r\nb: 😀 {character}") == [f"2:6: {problem}"]


@pytest.mark.case("CFG-07")
def test_a_file_over_the_limit_is_refused_by_its_bytes() -> None:
    problem = "1:1: the file is larger than 10 MiB: is it the right one?"
    assert complaints("x" * (10 * 1024 * 1024 + 1)) == [problem]
    assert complaints("ä" * (5 * 1024 * 1024 + 1)) == [problem]
    assert complaints("x" * (50 * 1024 * 1024)) == [problem]
    assert read("x" * (10 * 1024 * 1024)).data is not None


def laughs(levels: int, first: str = "[lol]", each: str = "[{}]") -> str:
    repeats = (each.format(", ".join([f"*a{level}"] * 9)) for level in range(levels - 1))
    return "\n".join(f"a{level}: &a{level} {value}" for level, value in enumerate([first, *repeats]))


@pytest.mark.parametrize(
    ("text", "at"),
    [(laughs(9), "6:40"), (laughs(9, "{x: 1}", "{{<<: [{}]}}"), "6:30"), ("[" + "a," * 100_001, "1:200000")],
)
@pytest.mark.case("CFG-01")
def test_too_many_nodes_are_refused_before_they_are_written_out(text: str, at: str) -> None:
    assert complaints(text) == [f"{at}: {MANY}"]


@pytest.mark.case("CFG-01")
def test_a_billion_laughs_take_no_time() -> None:
    begin = time.perf_counter()
    complaints(laughs(9))
    assert time.perf_counter() - begin < 0.1


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("[" * 3_000 + "]" * 3_000, "1:101"),
        ("[" * 1_000_000, "1:101"),
        ("{" * 3_000, "1:101"),
        ("- " * 3_000, "1:201"),
        ("? " * 3_000, "1:201"),
        ("\n".join(" " * level + "a:" for level in range(3_000)), "101:101"),
        ("a0: &a0 [x]\n" + "\n".join(f"a{level}: &a{level} [*a{level - 1}]" for level in range(1, 300)), "100:12"),
    ],
)
@both_parsers
@pytest.mark.case("CFG-07")
def test_deep_nesting_is_refused_without_recursion(text: str, at: str) -> None:
    assert complaints(text) == [f"{at}: {NESTED}"]


def test_a_hundred_levels_are_fine() -> None:
    assert read("[" * 100 + "]" * 100).data is not None


def test_all_problems_are_told_in_one_pass_in_the_order_of_the_file() -> None:
    assert complaints("a: ${X}\nb: !x 1\nc: {[d]: e}\na: ${Y} ${Z}\nf: {<<: '${X}'}") == [
        "1:4: a: the variable X is not set: export it, or keep it in a file: '${file:/path}'",
        f"2:4: b: {TAG}",
        f"3:5: c: {KEY}",
        "4:1: a: the key 'a' is already at 1:1: keep one of the two",
        "4:4: a: the variable Y is not set: export it, or keep it in a file: '${file:/path}'",
        "4:4: a: the variable Z is not set: export it, or keep it in a file: '${file:/path}'",
        "5:9: f.<<: the variable X is not set: export it, or keep it in a file: '${file:/path}'",
        f"5:9: f.<<: {MERGE}",
    ]


# ----------------------------------------------------------------------------------------------------------- filling


@pytest.mark.parametrize(
    ("written", "filled"),
    [
        ("${A}", "one"),
        ("x${A}y${B}z", "xoney${A} [b]: *c # dz"),
        ("${NO:-default}", "default"),
        ("${NO:-a:-b}", "a:-b"),
        ("${NO:-}", ""),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", "default"),
        ("${A:-default}", "one"),
        ("${file:-default}", "default"),
        ("$${A}", "${A}"),
        ("$${", "${"),
        ("$$${A}", "$${A}"),
        ("$kuendigung", "$kuendigung"),
        ("$$x", "$$x"),
        ("$", "$"),
        ("$A", "$A"),
        ("x{A}", "x{A}"),
        ("~${EMPTY}", "~"),
        ("${NULL}", "null"),
    ],
)
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_scalars_are_filled_once_after_parsing(written: str, filled: str, quote: str) -> None:
    data = read(f"a: {quote}{written}{quote}", A="one", B="${A} [b]: *c # d", EMPTY="", NULL="null").data
    assert data == {"a": filled}


def test_keys_are_never_filled() -> None:
    assert read("${A}: ${A}\n${NO}: x", A="one").data == {"${A}": "one", "${NO}": "x"}
    assert read("a: &a ${A}\n*a : x", A="one").data == {"a": "one", "${A}": "x"}


UNCLOSED = "a '${' is not closed: add '}' (no '${' goes inside), or write '$${' for the text '${'"
NAMELESS = "no name in a '${…}': write ${NAME}, ${NAME:-default} or ${file:/path}, or '$${' for '${'"


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("${NO}", "the variable NO is not set: export it, or keep it in a file: '${file:/path}'"),
        ("${", UNCLOSED),
        ("${A", UNCLOSED),
        ("${A:-${B}}", UNCLOSED),
        ("${file:${A}}", UNCLOSED),
        ("${}", NAMELESS),
        ("${ A }", NAMELESS),
        ("${1A}", NAMELESS),
        ("${A-x}", NAMELESS),
        ("${A:x}", NAMELESS),
        ("${Ä}", NAMELESS),
        ("${:-x}", NAMELESS),
        ("${file:}", NAMELESS),
        ("${env:A}", NAMELESS),
    ],
)
@pytest.mark.case("CFG-13")
def test_what_cannot_be_filled_is_an_error(written: str, problem: str) -> None:
    assert complaints(f"sinks:\n  ops: {{url: 'x {written}'}}", A="one", B="two") == [f"2:14: sinks.ops.url: {problem}"]


def test_an_aliased_scalar_that_cannot_be_filled_is_told_once() -> None:
    assert len(complaints("a: &a ${NO}\nb: [*a, *a]")) == 1


def test_a_variable_that_is_not_text_is_an_error() -> None:
    problem = "this cannot be written in UTF-8: mend it, or the variable that fills it"
    assert complaints("a: ${A}", A="caf\udce9") == [f"1:4: a: {problem}"]


def secret_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    file = folder / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    return file


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"x", "x"),
        (b"x\n", "x"),
        (b"x\r\n", "x"),
        (b"x\n\n", "x\n"),
        (b"", ""),
        (b" ${A} \n", " ${A} "),
        (b"x\r", "x\r"),
    ],
)
@pytest.mark.case("CFG-13")
def test_a_secret_file_fills_without_one_newline_at_its_end(tmp_path: Path, content: bytes, secret: str) -> None:
    file = secret_file(tmp_path, content)
    read_document = read(f"a: ${{file:{file}}}\nb: <${{file:secret}}>", tmp_path)
    assert read_document.data == {"a": secret, "b": f"<{secret}>"}
    assert read_document.written(("b",)) == "<${file:secret}>"
    assert read_document.warnings == ()


def test_a_secret_file_that_is_missing_or_no_file_is_an_error(tmp_path: Path) -> None:
    text = '- ${file:gone}\n- ${file:.}\n- ${file:/dev/zero}\n- "${file:x\\0y}"'
    assert complaints(text, tmp_path) == [
        f"1:3: 0: cannot read '{tmp_path}/gone': No such file or directory: mend the path or its permissions",
        f"2:3: 1: cannot read '{tmp_path}': it is not a regular file: name another",
        "3:3: 2: cannot read '/dev/zero': it is not a regular file: name another",
        f"4:3: 3: cannot read '{tmp_path}/x\\x00y': no file can have this name: mend the path or its permissions",
    ]


def test_a_secret_file_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the system's refusal is made up."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    file = secret_file(tmp_path, b"hunter2")
    monkeypatch.setattr(Path, "open", refuse)
    problem = f"cannot read '{file}': Permission denied: mend the path or its permissions"
    assert complaints("a: ${file:secret}", tmp_path) == [f"1:4: a: {problem}"]


def test_a_secret_file_has_at_most_64_kib_of_text(tmp_path: Path) -> None:
    file = secret_file(tmp_path, b"x" * 65_536)
    assert read("${file:secret}", tmp_path).data == "x" * 65_536
    file.write_bytes("€".encode() * 21_846)
    problem = f"cannot read '{file}': it is larger than 64 KiB: name another"
    assert complaints("a: ${file:secret}", tmp_path) == [f"1:4: a: {problem}"]


def test_a_secret_file_that_is_not_text_is_an_error_that_does_not_quote_it(tmp_path: Path) -> None:
    file = secret_file(tmp_path, b"hunter2\xff")
    with pytest.raises(Invalid) as caught:
        read("a: ${file:secret}", tmp_path)
    assert str(caught.value) == f"routes.yaml:1:4: a: cannot read '{file}': it is not text in UTF-8: name another"


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o400, False), (0o600, False), (0o640, False), (0o644, True), (0o660, True)]
)
@pytest.mark.case("CFG-13")
def test_a_secret_file_that_others_can_read_or_change_gives_a_warning(
    tmp_path: Path, mode: int, *, warned: bool
) -> None:
    file = secret_file(tmp_path, b"x", mode)
    warning = f"routes.yaml:1:8: a.b: others can read or change '{file}' (mode {mode:04o}): chmod 640 it"
    warnings = read('a: {b: "${file:secret}"}', tmp_path).warnings
    assert [str(problem) for problem in warnings] == ([warning] if warned else [])


def test_a_template_is_no_secret(tmp_path: Path) -> None:
    """Who may read it is nobody's concern; what else the file fills is."""
    secret_file(tmp_path, b"{{ title }}", 0o644)
    assert read('a: {template: "${file:secret}"}', tmp_path).warnings == ()
    (warning,) = read('template: {b: "${file:secret}"}', tmp_path).warnings
    assert "(mode 0644)" in str(warning)


# ---------------------------------------------------------------------------------------------------------- any text


def check(text: str) -> None:
    try:
        read_document = document.read(text, "routes.yaml", FOLDER, {"A": "one"}, Files())
    except Invalid as invalid:
        problems, lines = invalid.problems, str(invalid).splitlines()
    else:
        return check_data(read_document, read_document.data, ())
    assert [str(problem) for problem in problems] == lines
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
    return None


def check_data(read_document: Document, data: Data, path: document.Steps) -> None:
    assert min(*read_document.place(path), *read_document.place(path, key=True)) >= 1
    match data:
        case dict():
            for key, value in data.items():
                check_data(read_document, value, (*path, key))
        case list():
            for number, value in enumerate(data):
                check_data(read_document, value, (*path, number))
        case _:
            assert read_document.written(path) is not None
            assert data is None or data.encode() is not None


PIECES = [
    *(
        "a",
        "b",
        ": ",
        "- ",
        "? ",
        "\n",
        "\n  ",
        "\n  - ",
        "\t",
        " ",
        "#",
        "{",
        "}",
        "[",
        "]",
        ",",
        "'",
        '"',
        "|",
        ">-",
        "@",
    ),
    *(
        "&a ",
        "&b ",
        "*a ",
        "*b ",
        "<<: ",
        "!x ",
        "!!str ",
        "! ",
        "%YAML 1.2",
        "%",
        "---\n",
        "...\n",
        "~",
        "null",
        "file:",
    ),
    *(
        "$",
        "${",
        "${A}",
        "${NO}",
        "$${",
        ":-",
        "\\",
        "\\x0",
        "\\U0011",
        "\\ud800",
        "ä",
        "😀",
        "\r",
        "\r\n",
        "\x85",
        "\u2028",
    ),
    *("\ufeff", "\0", "\ud800"),
]
ANY_TEXT = st.lists(st.sampled_from(PIECES), max_size=40).map("".join) | st.text()


@both_parsers
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT)
@example('a: "\\UFFFFFFFF"')
@example('"\\uD800": a')
@example("%YAML " + "9" * 5_000 + ".1\n---\na")
def test_any_text_either_reads_or_is_refused(text: str) -> None:
    check(text)
