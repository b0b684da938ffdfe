"""The sources' secrets: written out, or made once and kept."""

from __future__ import annotations

import os
import re
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


def test_it_is_on_stable_storage_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file, and the folder that names it."""
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()) if Path("/proc/self/fd").exists() else "?")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    config = configured(tmp_path)
    tokens(config)
    if "?" not in synced:
        assert synced == [str(config.data / "token-s"), str(config.data)]
    tokens(config)
    assert len(synced) == 2


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
