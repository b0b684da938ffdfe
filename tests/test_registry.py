"""Finding plugins: built-in kinds, entry points of installed packages, local files; and what is wrong with some."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from router.errors import PluginError
from router.registry import DISABLE, Kind, load_kinds
from router.sink import SinkConfig

GOOD = '''
from typing import Literal
from router import SinkConfig, hookimpl

class {name}Config(SinkConfig):
    """Rings a {kind}.

    More about it.
    """
    kind: Literal["{kind}"]

    def open(self, context):
        raise NotImplementedError

@hookimpl
def register_sinks():
    return [{name}Config]
'''
BELL = GOOD.format(name="Bell", kind="bell")
HEAD = "from typing import Literal\nfrom router import SinkConfig, hookimpl\n"
HOOK = "\n@hookimpl\ndef register_sinks():\n    return "


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Modules that a test imports are not there for the next one."""
    before = set(sys.modules)
    yield
    for name in sys.modules.keys() - before:
        if name.startswith("aftercall_"):
            del sys.modules[name]


def local(folder: Path, text: str, name: str = "bell.py") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def installed(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    *,
    module: str = "aftercall_bell",
    entry: str = "bell",
    distribution: str = "aftercall-bell",
) -> None:
    """A distribution as pip would leave it: a module, and metadata with an entry point."""
    site = folder / f"site-{distribution}"
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(text, encoding="utf-8")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[aftercall]\n{entry} = {module}\n")
    monkeypatch.syspath_prepend(site)


def refusal(*files: Path) -> str:
    with pytest.raises(PluginError) as caught:
        load_kinds(files, {})
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------- built in


def test_every_file_of_plugins_is_a_kind_with_a_description() -> None:
    found = load_kinds(environ={})
    files = {file.stem for file in (Path(__file__).parents[1] / "plugins").glob("[!_]*.py")}
    assert files <= {kind.origin.removeprefix("built-in ") for kind in found.values()}
    for name, kind in found.items():
        assert (kind.name, kind.origin.partition(" ")[0]) == (name, "built-in")
        assert issubclass(kind.config, SinkConfig)
        assert kind.description.endswith("."), name
        assert all(field.description or key == "kind" for key, field in kind.config.model_fields.items()), name


def test_a_bare_checkout_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "router.plugins", None)
    assert refusal() == "the built-in sinks are not installed: this is a bare checkout; run make"


# ---------------------------------------------------------------------------------------------------------- local files


def test_a_local_file_adds_its_kind(tmp_path: Path) -> None:
    file = local(tmp_path, BELL)
    bell = load_kinds([file], {})["bell"]
    assert bell == Kind("bell", bell.config, str(file))
    assert bell.description == "Rings a bell."
    assert bell.config(kind="bell").timeout.total_seconds() == 20  # type: ignore[call-arg] # the plugin's own field


def test_a_local_file_may_postpone_its_annotations(tmp_path: Path) -> None:
    """Dataclasses and pydantic look them up in the module, which has to be known by then."""
    text = f"""from __future__ import annotations
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_type_hints
from router import Duration, SinkConfig, hookimpl

@dataclass
class Ring:
    loud: Loudness
    times: ClassVar[int] = 1
    names: list[str] = field(default_factory=list)

class BellConfig(SinkConfig):
    kind: Literal["bell"]
    loudness: Loudness | None = None
    pause: Duration | None = None

    def open(self, context):
        raise NotImplementedError

Loudness = Literal["soft", "loud"]
BellConfig.model_rebuild()
assert get_type_hints(Ring)["loud"] is Loudness
{HOOK}[BellConfig]
"""
    config = load_kinds([local(tmp_path, text)], {})["bell"].config
    made = config.model_validate({"kind": "bell", "loudness": "soft", "pause": "5s"})
    assert made.pause == timedelta(seconds=5)  # type: ignore[attr-defined] # the plugin's own


def test_two_local_files_may_have_the_same_name(tmp_path: Path) -> None:
    one = local(tmp_path, GOOD.format(name="One", kind="one"), "a/ring.py")
    two = local(tmp_path, GOOD.format(name="Two", kind="two"), "b/ring.py")
    found = load_kinds([one, two], {})
    assert {found[name].config.__module__ for name in ("one", "two")} == {
        "aftercall_local.0.ring",
        "aftercall_local.1.ring",
    }
    assert all(sys.modules[found[name].config.__module__].__file__ == found[name].origin for name in ("one", "two"))


def test_a_local_file_shadows_no_module(tmp_path: Path) -> None:
    import email

    load_kinds([local(tmp_path, BELL, "email.py")], {})
    assert sys.modules["email"] is email
    assert str(tmp_path) not in sys.path


def test_loading_again_gives_the_same_kinds(tmp_path: Path) -> None:
    file = local(tmp_path, BELL)
    assert load_kinds([file], {}).keys() == load_kinds([file], {}).keys()


@pytest.mark.parametrize("name", ["nope.py", "folder.py", "bell.txt"])
def test_a_local_plugin_is_a_python_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "bell.txt").write_text(BELL)
    assert refusal(tmp_path / name) == f"plugin {tmp_path / name}: no such Python file"


def test_a_local_file_that_is_named_twice_is_refused(tmp_path: Path) -> None:
    file = local(tmp_path, BELL)
    assert refusal(file, file).startswith(f"plugin {file}: ")


# --------------------------------------------------------------------------------------------------------- entry points


def test_an_entry_point_adds_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, BELL)
    assert load_kinds(environ={})["bell"].origin == "bell of aftercall-bell"


@pytest.mark.parametrize(("disabled", "there"), [("bell", False), ("other, bell ,", False), ("bel", True), ("", True)])
def test_an_entry_point_can_be_disabled_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disabled: str, there: bool
) -> None:
    installed(tmp_path, monkeypatch, BELL)
    assert DISABLE == "AFTERCALL_DISABLE_PLUGINS"
    assert ("bell" in load_kinds(environ={DISABLE: disabled})) is there


def test_a_disabled_entry_point_is_not_even_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, "raise RuntimeError")
    assert "bell" not in load_kinds(environ={DISABLE: "bell"})


def test_an_entry_point_that_cannot_be_imported_is_named_with_its_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, monkeypatch, "import no_such_module_anywhere")
    said = refusal()
    assert said == (
        "plugin bell of aftercall-bell cannot be imported: ModuleNotFoundError: No module named 'no_such_module_anywhere'"
    )


# ---------------------------------------------------------------------------------------------------------- duplicates


def test_one_kind_from_two_plugins_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, BELL)
    file = local(tmp_path, BELL)
    assert refusal(file) == f"sink kind 'bell' comes from both bell of aftercall-bell and {file}; remove one"


def test_a_plugin_cannot_take_a_built_in_kind(tmp_path: Path) -> None:
    file = local(tmp_path, GOOD.format(name="My", kind="console"))
    said = refusal(file)
    assert "'console'" in said
    assert "built-in console" in said
    assert str(file) in said


def test_two_distributions_may_use_the_same_entry_point_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, monkeypatch, BELL)
    gong = GOOD.format(name="Gong", kind="gong")
    installed(tmp_path, monkeypatch, gong, module="aftercall_gong", distribution="aftercall-gong")
    found = load_kinds(environ={})
    assert {found[kind].origin for kind in ("bell", "gong")} == {"bell of aftercall-bell", "bell of aftercall-gong"}


# -------------------------------------------------------------------------------------------------------- broken plugins

BROKEN = {
    "def f(:": "SyntaxError: invalid syntax",
    "import no_such_module_anywhere": "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
    "raise ValueError('oh')": "ValueError: oh",
    "raise SystemExit('bye')": "SystemExit: bye",
    "1 / 0": "ZeroDivisionError: division by zero",
    "x = 1": "has no hook; mark its register_sinks with @hookimpl (from router import hookimpl)",
    "def register_sinks():\n    return []": "has no hook; mark its register_sinks with @hookimpl",
    f"{HEAD}{HOOK}None": "register_sinks failed: TypeError: 'NoneType' object is not iterable",
    f"{HEAD}{HOOK}1 / 0": "register_sinks failed: ZeroDivisionError",
    f"{HEAD}{HOOK}[int]": "register_sinks returned int, which is no subclass of SinkConfig",
    f"{HEAD}{HOOK}['bell']": "register_sinks returned a str, which is no subclass of SinkConfig",
    f"{HEAD}{HOOK}[SinkConfig]": "SinkConfig does not define open",
    f"{HEAD}class C(SinkConfig):\n    kind: Literal['bell']\n{HOOK}[C]": "C does not define open",
    f"{HEAD}class C(SinkConfig):\n    def open(self, context): ...\n{HOOK}[C]": "C needs a field `kind: Literal[",
    f"{HEAD}class C(SinkConfig):\n    kind: str\n    def open(self, context): ...\n{HOOK}[C]": "C needs a field `kind",
    f"{HEAD}class C(SinkConfig):\n    kind: Literal['a', 'b']\n    def open(self, context): ...\n{HOOK}[C]": "with one name",
    f"{HEAD}class C(SinkConfig):\n    kind: Literal[1]\n    def open(self, context): ...\n{HOOK}[C]": "with one name",
    f"{HEAD}\n@hookimpl\ndef register_sinks(config):\n    return []": "Argument(s) {'config'} are declared in the hookimpl",
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_plugin_is_named_with_what_is_wrong(tmp_path: Path, text: str) -> None:
    file = local(tmp_path, text)
    said = refusal(file)
    assert said.startswith(f"plugin {file}")
    assert BROKEN[text] in said


def test_an_unknown_hook_is_refused(tmp_path: Path) -> None:
    file = local(tmp_path, f"{BELL}\n@hookimpl\ndef register_formats():\n    return []\n")
    said = refusal(file)
    assert "a hook that aftercall does not have" in said
    assert "register_formats" in said


def test_a_plugin_that_could_not_run_leaves_no_module_behind(tmp_path: Path) -> None:
    refusal(local(tmp_path, "1 / 0"))
    assert not [name for name in sys.modules if name.startswith("aftercall_local.") and name.endswith(".bell")]


def test_a_generator_is_as_good_as_a_list(tmp_path: Path) -> None:
    text = BELL.replace("    return [BellConfig]", "    yield BellConfig")
    assert "bell" in load_kinds([local(tmp_path, text)], {})


def test_a_kind_without_a_docstring_has_no_description(tmp_path: Path) -> None:
    text = f"{HEAD}class C(SinkConfig):\n    kind: Literal['bell']\n    def open(self, context): ...\n{HOOK}[C]"
    assert load_kinds([local(tmp_path, text)], {})["bell"].description == ""
