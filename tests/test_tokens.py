"""The sources' secrets: written out, or made once and kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from router.config import Config, load
from router.errors import ConfigError
from router.tokens import tokens

TOKEN, OTHER = "0123456789abcdefghijklmn", "nmlkjihgfedcba9876543210"


def configured(folder: Path, sources: str = "{s: {}}") -> Config:
    file = folder / "routes.yaml"
    file.write_text(f"data: var/data\nsources: {sources}\n")
    return load(file, {})


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_written_tokens_are_used_in_their_order_and_nothing_is_kept(tmp_path: Path) -> None:
    config = configured(tmp_path, f"{{a: {{token: {TOKEN}}}, b: {{tokens: [{OTHER}, {TOKEN}x]}}}}")
    assert tokens(config) == {"a": (TOKEN,), "b": (OTHER, f"{TOKEN}x")}
    assert not config.data.exists()


def test_a_missing_token_is_made_and_kept_for_the_next_start(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (made,) = tokens(config)["s"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", made)
    assert tokens(configured(tmp_path)) == {"s": (made,)}
    assert (config.data / "token-s").read_text() == f"{made}\n"


def test_it_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    config = configured(tmp_path)
    before = os.umask(0)
    try:
        tokens(config)
    finally:
        os.umask(before)
    assert (mode(config.data), mode(config.data / "token-s")) == (0o700, 0o600)


def test_every_source_has_its_own(tmp_path: Path) -> None:
    made = tokens(configured(tmp_path, f"{{a: {{}}, b: , c: {{token: {TOKEN}}}}}"))
    assert len({*made["a"], *made["b"], *made["c"]}) == 3


def test_it_is_on_stable_storage_before_it_is_used(tmp_path: Path) -> None:
    """The new folders, each in the one above it; the file before it has its name; the name before the token is told."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: that a token is on stable storage before it is used is NOT shown here")
    script = "import sys, pathlib, test_tokens as t; t.tokens(t.configured(pathlib.Path(sys.argv[1]))); print('told')"
    trace = tmp_path / "trace"
    calls = "trace=mkdir,mkdirat,fsync,fdatasync,rename,renameat,renameat2,write"
    child = subprocess.run(
        ["strace", "-f", "-y", "-o", str(trace), "-e", calls, sys.executable, "-c", script, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent.parent), str(Path(__file__).parent))),
        },
    )
    if "ptrace" in child.stderr:
        pytest.skip(f"strace may not trace here: {child.stderr}")
    assert child.stdout == "told\n", child.stderr
    base, data = re.escape(str(tmp_path)), re.escape(str(tmp_path / "var" / "data"))
    steps = (
        rf'mkdir\w*\(.*"{base}/var"',
        rf"fsync\(\d+<{base}>\)\s+= 0",
        rf'mkdir\w*\(.*"{data}"',
        rf"fsync\(\d+<{base}/var>\)\s+= 0",
        rf"write\(\d+<{data}/token-s\.new>",
        rf"fsync\(\d+<{data}/token-s\.new>\)\s+= 0",
        rf'rename\w*\(.*"{data}/token-s\.new", .*"{data}/token-s"',
        rf"fsync\(\d+<{data}>\)\s+= 0",
        r'write\(1<.*"told',
    )
    lines = iter(trace.read_text().splitlines())
    assert [step for step in steps if not any(re.search(step, line) for line in lines)] == []


def test_what_a_crash_left_half_written_is_no_obstacle(tmp_path: Path) -> None:
    config = configured(tmp_path)
    config.data.mkdir(parents=True)
    (config.data / "token-s.new").write_text(TOKEN * 9)
    (made,) = tokens(config)["s"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", made)
    assert [(file.name, file.read_text()) for file in config.data.iterdir()] == [("token-s", f"{made}\n")]


def test_of_several_processes_that_start_at_once_all_have_the_same(tmp_path: Path) -> None:
    config, together = configured(tmp_path), threading.Barrier(8)

    def start(_: int) -> dict[str, tuple[str, ...]]:
        together.wait()
        return tokens(config)

    with ThreadPoolExecutor(8) as threads:
        first, *others = threads.map(start, range(8))
    assert others == [first] * 7
    assert tokens(config) == first


def test_a_token_with_white_space_around_it_is_one(tmp_path: Path) -> None:
    config = configured(tmp_path)
    config.data.mkdir(parents=True)
    (config.data / "token-s").write_text(f" {TOKEN}\r\n\n")
    assert tokens(config) == {"s": (TOKEN,)}


@pytest.mark.parametrize("text", ["", "short", "a" * 43, f"{TOKEN}/{OTHER}", f"{TOKEN} {OTHER}", f"{TOKEN}\n{OTHER}"])
def test_a_file_without_a_token_says_what_to_do(tmp_path: Path, text: str) -> None:
    config = configured(tmp_path)
    config.data.mkdir(parents=True)
    (config.data / "token-s").write_text(text)
    with pytest.raises(ConfigError, match="token-s holds no token; remove the file and a new one is made") as caught:
        tokens(config)
    assert not text or text not in str(caught.value)


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    config = configured(tmp_path)
    config.data.mkdir(parents=True)
    (config.data / "token-s").write_bytes(b"\xff" * 43)
    with pytest.raises(ConfigError, match=r"the token of source 's' cannot be kept in .*token-s: UnicodeDecodeError"):
        tokens(config)


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (tmp_path / "var").write_text("")
    with pytest.raises(ConfigError, match=r"the token of source 's' cannot be kept in .*check `data`"):
        tokens(config)


def test_a_token_that_is_a_folder_is_named(tmp_path: Path) -> None:
    config = configured(tmp_path)
    (config.data / "token-s").mkdir(parents=True)
    with pytest.raises(ConfigError, match="Is a directory; check `data`"):
        tokens(config)
