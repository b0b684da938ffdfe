"""`include`: several files are one configuration, and every mistake stands in its own file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from router.config import Config, Files, include, load
from router.errors import ConfigError

HEAD = "sources: {s: {}}\nsinks: {screen: {kind: console}}\ninclude: rules.d/*.yaml\n"

Including = Callable[..., Config]


@pytest.fixture
def including(tmp_path: Path) -> Including:
    """The configuration of routes.yaml (or what stands in for it) and these files of rules.d."""
    (tmp_path / "rules.d").mkdir()

    def run(main: str = HEAD, **included: str) -> Config:
        (tmp_path / "routes.yaml").write_text(main, encoding="utf-8")
        for name, text in included.items():
            (tmp_path / "rules.d" / f"{name}.yaml").write_text(text, encoding="utf-8")
        return load(tmp_path / "routes.yaml", {"DIR": "rules.d"})

    return run


def complaints(including: Including, main: str = HEAD, **included: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        including(main, **included)
    return str(caught.value).split("\n")


def test_what_the_files_say_is_put_together_in_the_order_of_their_names(including: Including) -> None:
    config = including(
        HEAD + "routes: [{name: own, to: screen}]\nalways: screen\nwords: {w: [x]}\n",
        b="routes: [{name: b, when: {text: $w}, to: screen}]\nalways: [more]\n",
        a="routes: [{name: a1, to: screen}, {name: a2, when: {source: t}, to: more}]\nalways: screen\n"
        "sources: {t: {}}\nsinks: {more: {kind: console}}\notherwise: more\n"
        "never: [{name: n, when: {channel: x}, to: all}]\n",
    )
    table = config.table
    assert [route.name for route in table.routes] == ["own", "a1", "a2", "b"]
    assert (table.always, table.otherwise) == (("screen", "more"), ("more",))
    assert (list(config.sources), list(config.sinks)) == (["s", "t"], ["screen", "more"])
    assert [rule.name for rule in table.never] == ["n"]


def test_the_same_rules_are_the_same_wherever_they_stand(including: Including) -> None:
    rules = "routes: [{name: r, to: screen}]\n"
    apart, together = including(HEAD, a=rules), including(HEAD + rules, a="# nothing\n")
    assert apart.table.digest == together.table.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\nroutes:\n  - name: r\n    to: nobody\n", "4:9: routes.0.to: unknown sink 'nobody'"),
        ("always: nobody\n", "1:9: always: unknown sink 'nobody'"),
        ("always: [screen, nobody]\n", "1:18: always.1: unknown sink 'nobody'"),
        ("sinks: {x: {kind: slak}}\n", "1:19: sinks.x.kind: unknown kind 'slak'"),
        ("routes: [{name: r, two: x, to: screen}]\n", "1:20: routes.0.two: unknown key 'two'"),
        ("routes: [{name: own, to: screen}]\n", "1:17: routes.0.name: there is a rule 'own' above"),
        ("words: {w: [x]}\nsinks: {screen: {kind: console}}\n", "2:9: sinks.screen: the name 'screen' is already at"),
        ("data: x\n", "1:1: data: 'data' cannot stand in an included file, routes.yaml alone has it; there can be:"),
        ("routes: {name: r}\n", "1:9: routes: is no list"),
        ("sinks: [x]\n", "1:8: sinks: is no map"),
        ("[x]\n", "1:1: is no map"),
        ("words: [\n", "2:1: a value is missing here"),
        ("sinks: {x: {kind: console, language: '${NO}'}}\n", "1:38: sinks.x.language: the variable NO is not set"),
        ("include: gone.yaml\n", "1:10: include: no file fits this"),
        ("include: {x: y}\n", "1:10: include: is no file"),
        ("include: [[x]]\n", "1:11: include.0: is no file"),
    ],
)
def test_a_mistake_stands_in_its_own_file(including: Including, text: str, said: str) -> None:
    (line,) = complaints(including, HEAD + "routes: [{name: own, to: screen}, {name: two, to: screen}]\n", a=text)
    assert line.startswith(f"rules.d/a.yaml:{said}")


def test_mistakes_of_all_files_are_reported_at_once(including: Including) -> None:
    found = complaints(including, HEAD + "always: nobody\n", b="always: nobody\n", a="always: nobody\n")
    assert [line.partition(" ")[0] for line in found] == [
        "routes.yaml:4:9:",
        "rules.d/a.yaml:1:9:",
        "rules.d/b.yaml:1:9:",
    ]


def test_an_include_that_loops_says_how(including: Including) -> None:
    (line,) = complaints(
        including, HEAD.replace("rules.d/*.yaml", "rules.d/a.yaml"), a="include: rules.d/b.yaml\n",
        b="include: [rules.d/a.yaml]\n",
    )  # fmt: skip
    assert line.startswith(
        "rules.d/b.yaml:1:11: include.0: a file includes itself: rules.d/a.yaml → rules.d/b.yaml → rules.d/a.yaml;"
    )
    (line,) = complaints(including, HEAD.replace("rules.d/*.yaml", "routes.yaml"))
    assert line.startswith("routes.yaml:3:10: include: a file includes itself: routes.yaml → routes.yaml;")


def test_a_file_is_included_once(including: Including, tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to("rules.d/a.yaml")
    (line,) = complaints(including, HEAD.replace("rules.d/*.yaml", "[rules.d/a.yaml, link.yaml]"), a="words: {w: x}\n")
    assert line.startswith("routes.yaml:3:27: include.1: link.yaml is included already, at routes.yaml:3:11;")


def test_a_pattern_that_nothing_fits_is_a_warning_and_hidden_files_do_not_count(
    including: Including, tmp_path: Path
) -> None:
    (tmp_path / "rules.d" / ".a.yaml").write_text("always: nobody\n")
    (warning,) = including().warnings
    assert str(warning).startswith("routes.yaml:3:10: include: no file fits this")


def test_a_name_may_be_filled(including: Including) -> None:
    main = "sources: {s: {}}\nsinks: {screen: {kind: console}}\ninclude: '${DIR}/*.yaml'\n"
    assert including(main, a="always: screen\n").table.always == ("screen",)


def test_what_is_no_file_is_not_opened(including: Including, tmp_path: Path) -> None:
    """A pipe would wait for its writer for ever."""
    os.mkfifo(tmp_path / "rules.d" / "a.yaml")
    (tmp_path / "rules.d" / "b.yaml").mkdir()
    (tmp_path / "rules.d" / "c.yaml").symlink_to("nowhere")
    (tmp_path / "rules.d" / "d.yaml").write_bytes(b"\xff")
    (tmp_path / "rules.d" / "e.yaml").symlink_to("e.yaml")
    for line, (name, said) in zip(
        complaints(including),
        [
            ("a", "it is not a regular file"),
            ("b", "it is not a regular file"),
            ("c", "No such file"),
            ("d", "UTF-8"),
            ("e", ""),
        ],
        strict=True,
    ):
        assert line.startswith(f"routes.yaml:3:10: include: rules.d/{name}.yaml cannot be read: ")
        assert said in line


def test_too_much_is_refused(including: Including, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include, "MAX_FILES", 2)
    (line,) = complaints(including, a="words: {a: x}\n", b="words: {b: x}\n", c="words: {c: x}\n")
    assert line.startswith("routes.yaml:3:10: include: more than 2 files")


def test_files_know_whether_they_have_changed(including: Including, tmp_path: Path) -> None:
    config = including(a="words: {w: x}\n")
    assert config.files.changed() is None
    (tmp_path / "rules.d" / "b.yaml").write_text("words: {v: x}\n")
    seen = config.files.changed()
    assert seen is not None
    assert config.files.changed() == seen, "at rest"
    (tmp_path / "rules.d" / "b.yaml").unlink()
    assert config.files.changed() is None
    (tmp_path / "rules.d" / "a.yaml").write_text("words: {other: x}\n")
    assert config.files.changed() is not None
    files = Files()
    (tmp_path / "rules.d" / "a.yaml").write_text("words: {\n")
    with pytest.raises(ConfigError):
        load(tmp_path / "routes.yaml", {}, files=files)
    assert files.changed() is None
    (tmp_path / "rules.d" / "a.yaml").unlink()
    assert files.changed() is not None


def test_a_chain_of_files_ends_and_says_where(including: Including) -> None:
    files = {f"f{number}": f"include: rules.d/f{number + 1}.yaml\n" for number in range(40)}
    (line,) = complaints(including, HEAD.replace("rules.d/*.yaml", "rules.d/f0.yaml"), **files)
    assert line == (
        "rules.d/f19.yaml:1:10: include: files include each other deeper than 20 levels; name them in routes.yaml instead"
    )
