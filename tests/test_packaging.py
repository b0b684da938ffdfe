"""What is shipped: the wheel's content, and locks that fit pyproject.toml and name no address."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
#: What each lock is made from: the run-time dependencies, or a dependency group.
LOCKS = {
    "run": "requirements.lock",
    "build": "requirements-build.lock",
    "postgres": "requirements-postgres.lock",
    "dev": "requirements-dev.lock",
    "bench": "requirements-bench.lock",
    "deploy": "requirements-deploy.lock",
}

BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"


def setuptools_version() -> Version:
    try:
        return Version(metadata.version("setuptools"))
    except metadata.PackageNotFoundError:
        return Version("0")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built from a copy: a `build` folder left in the checkout would leak into it."""
    if setuptools_version() < Version("77"):
        pytest.skip("setuptools 77 or newer is not installed")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in ("router", "plugins"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = subprocess.run(
        [sys.executable, "-c", BUILD, str(target)], cwd=source, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (file,) = target.iterdir()
    return zipfile.Path(file)


def names(wheel: zipfile.Path) -> set[str]:
    return set(wheel.root.namelist())


def info(wheel: zipfile.Path) -> zipfile.Path:
    (folder,) = (entry for entry in wheel.iterdir() if entry.name.endswith(".dist-info"))
    return folder


def test_the_top_level_is_router_alone(wheel: zipfile.Path) -> None:
    top = {entry.name for entry in wheel.iterdir()}
    assert top == {"router", info(wheel).name}


def test_every_file_of_the_core_and_the_sinks_is_in_it(wheel: zipfile.Path) -> None:
    """A new package has to be named in pyproject.toml, a new kind of file in its package-data."""
    core = {file.relative_to(ROOT).as_posix() for file in (ROOT / "router").rglob("*") if file.is_file()}
    sinks = {f"router/{file.relative_to(ROOT).as_posix()}" for file in (ROOT / "plugins").rglob("*") if file.is_file()}
    expected = {name for name in core | sinks if "__pycache__" not in name}
    assert {name for name in names(wheel) if name.startswith("router/") and not name.endswith("/")} == expected


@pytest.mark.parametrize(
    "name",
    [
        "router/py.typed",
        "router/starter/routes.yaml",
        "router/starter/call.json",
        "router/store/postgres/queries.sql",
        "router/store/postgres/migrations/0001_first.sql",
        "router/store/sqlite/queries.sql",
        "router/store/sqlite/migrations/0001_first.sql",
        "router/plugins/__init__.py",
        "router/plugins/console.py",
        "router/plugins/file.py",
    ],
)
def test_the_wheel_holds(wheel: zipfile.Path, name: str) -> None:
    assert name in names(wheel)


def test_the_wheel_brings_the_command_and_its_licence(wheel: zipfile.Path) -> None:
    assert "aftercall = router.cli:main" in (info(wheel) / "entry_points.txt").read_text("utf-8")
    assert "\nProvides-Extra: vcon\n" in (info(wheel) / "METADATA").read_text("utf-8")
    assert "\nLicense-Expression: Apache-2.0\n" in (info(wheel) / "METADATA").read_text("utf-8")
    assert (info(wheel) / "licenses" / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")


def pins(lock: str) -> dict[str, set[str]]:
    """What a lock holds: names and their versions (more than one where platforms differ)."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([^\s#=]+)==([^\s;]+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def wanted(group: str) -> list[Requirement]:
    """What pyproject.toml asks for, at run time or in a dependency group."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    entries = project["project"]["dependencies"] if group == "run" else project["dependency-groups"][group]
    return [Requirement(entry) for entry in entries if isinstance(entry, str)]


@pytest.mark.parametrize(("group", "lock"), LOCKS.items())
@pytest.mark.case("SUP-01")
def test_a_lock_holds_what_pyproject_asks_for(group: str, lock: str) -> None:
    """Otherwise: make lock."""
    locked = pins(lock)
    unmet = [
        str(wish)
        for wish in wanted(group)
        if not any(version in wish.specifier for version in locked.get(canonicalize_name(wish.name), ()))
    ]
    assert unmet == []


def test_a_group_by_the_name_of_an_extra_asks_for_the_same() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    assert project["dependency-groups"]["postgres"] == project["project"]["optional-dependencies"]["postgres"]


def test_the_tools_run_beside_the_very_versions_that_are_shipped() -> None:
    shipped = pins("requirements.lock") | pins("requirements-build.lock") | pins("requirements-postgres.lock")
    assert {name: version for name, version in pins("requirements-dev.lock").items() if name in shipped} == shipped


@pytest.mark.parametrize("lock", LOCKS.values())
def test_a_lock_has_a_hash_for_every_package_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text("utf-8")
    packages = re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE)[1:]
    assert [package for package in packages if "--hash=sha256:" not in package] == []
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links| @ ", text) == []
