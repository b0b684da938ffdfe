"""Failpoints: what arms one, what does not, and that nothing else can."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from router import failpoints
from router.errors import ConfigError
from router.failpoints import VARIABLE, Failpoint, arm, reached

ROOT = Path(__file__).parents[1]

ROUTES = 'server: {listen: "127.0.0.1:0"}\nadmin: {listen: "127.0.0.1:0"}\nsources: {sipgate: {}}\nsinks: {one: {kind: console}}\n'


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, int]]]:
    """The signals that would have been sent; nothing is armed afterwards."""
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(failpoints, "_LAST_WORDS", 0.0)
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    yield sent
    arm({})


@pytest.mark.parametrize("environ", [{}, {VARIABLE: ""}])
def test_nothing_is_armed_unless_it_is_said(environ: dict[str, str], killed: list[tuple[int, int]]) -> None:
    assert arm(environ) is None
    for point in Failpoint:
        reached(point)
    assert killed == []


def test_the_first_time_or_the_one_that_is_said_and_no_other_point(killed: list[tuple[int, int]]) -> None:
    sigkill = (os.getpid(), signal.SIGKILL)
    assert arm({VARIABLE: "after_commit:kill"}) is Failpoint.AFTER_COMMIT
    reached(Failpoint.BEFORE_COMMIT)
    assert killed == []
    reached(Failpoint.AFTER_COMMIT)
    assert killed == [sigkill]
    arm({VARIABLE: "in_settle:3:kill"})
    for times in range(1, 5):
        reached(Failpoint.IN_SETTLE)
        assert killed == [sigkill] * (2 if times >= 3 else 1)


@pytest.mark.parametrize(
    "said",
    ["after_commit", "after_commit:raise", "after_comit:kill", "after_commit:0:kill", "after_commit:-1:kill", ":kill",
     "kill", "AFTER_COMMIT:kill", "after_commit:kill ", "after_commit:kill\n", "after_commit:kill,in_settle:kill"],
)  # fmt: skip
def test_what_is_no_failpoint_is_refused_with_the_names_that_there_are(said: str) -> None:
    with pytest.raises(
        ConfigError, match=r"AFTERCALL_FAILPOINT: .* is no failpoint.*before_commit, after_commit, .*unset"
    ):
        arm({VARIABLE: said})


def serve(folder: Path, said: str) -> subprocess.CompletedProcess[str]:
    """A router with nothing to do, started so."""
    command = [sys.executable, "-m", "router", "serve", "-c", str(folder / "routes.yaml"), "--log", "json"]
    environ = {**os.environ, VARIABLE: said}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_an_unknown_name_stops_the_start_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    ended = serve(tmp_path, "after_lunch:kill")
    assert ended.returncode == 1
    assert "AFTERCALL_FAILPOINT: 'after_lunch:kill' is no failpoint" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


def test_what_is_armed_is_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    ended = serve(tmp_path, "in_migration:kill")
    assert ended.returncode == -signal.SIGKILL
    assert '"point": "in_migration"' in ended.stderr
    assert '"failpoint.armed"' in ended.stderr


def test_only_the_start_arms_and_every_point_is_somewhere() -> None:
    """So no request and no configuration does: what they change is changed elsewhere."""
    arming, named = set(), set()
    for folder in ("router", "plugins"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name == "failpoints.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Failpoint":
                    named.add(node.attr)
                said = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name | ast.alias) else ""
                if said.rpartition(".")[2] in ("arm", "_fuse", "VARIABLE") or VARIABLE in said:
                    arming.add(path.relative_to(ROOT).as_posix())
    assert arming == {"router/cli.py"}
    assert named == {point.name for point in Failpoint}


def test_what_changes_the_environment_later_arms_nothing(
    monkeypatch: pytest.MonkeyPatch, killed: list[tuple[int, int]]
) -> None:
    arm({})
    monkeypatch.setenv(VARIABLE, "before_attempt:kill")
    reached(Failpoint.BEFORE_ATTEMPT)
    assert killed == []


def test_every_point_says_what_must_be_true_after_it() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    source = Path(failpoints.__file__).read_text(encoding="utf-8")
    for point in Failpoint:
        assert f"| `{point}` |" in page
        assert f'    {point.name} = "{point}"\n    """' in source
