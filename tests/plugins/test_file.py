from __future__ import annotations

import asyncio
import base64
import errno
import fcntl
import json
import os
import stat
import sys
from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from pydantic import ValidationError

from certificates import authority, identity
from router import ConfigError, Delivery, Numbers, Part, Rejected, Sink, SinkConfig, Unavailable, as_vcon, plain
from router.errors import Unreadable
from router.event import Channel, Number, Trust
from router.formats import Manner, find
from router.formats.anchors import Anchors
from router.testing import (
    CapturedLog,
    FakeEndpoint,
    ManualClock,
    SinkContract,
    eventually,
    make_delivery,
    make_event,
    sink_context,
)

if TYPE_CHECKING:
    from collections.abc import Callable

file = import_module("router.plugins.file")
files = import_module("router.files")


def config(**settings: Any) -> SinkConfig:
    made: SinkConfig = file.FileConfig.model_validate({"kind": "file", "root": "archive", **settings})
    return made


async def deliver(folder: Path, delivery: Delivery | None = None, **settings: Any) -> str | None:
    async with config(**settings).open(sink_context(folder)) as sink:
        return await sink.deliver(delivery or make_delivery())


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is the one place where even root cannot make a folder")
class TestFile(SinkContract):
    @pytest.fixture
    def config(self) -> SinkConfig:
        return config()

    async def take_down(self, config: SinkConfig, endpoint: FakeEndpoint) -> SinkConfig:
        return config.model_copy(update={"root": Path("/proc/nothing/here")})


class TestFileOfPages(TestFile):
    @pytest.fixture
    def config(self) -> SinkConfig:
        path = "{{ event.channel.name }}/{{ event.headline }}/{{ event.call_id }}.md"
        return config(format="markdown", path=path)


class TestFileOfSignedVcons(TestFile):
    @pytest.fixture
    def config(self, tmp_path: Path) -> SinkConfig:
        return config(format="vcon", sign=signing(tmp_path))


def signing(folder: Path) -> dict[str, str]:
    owner = identity("ec")
    return {"key": owner.pem(), "certificates": str(owner.write(folder / "chain.pem"))}


# --- what is written ---


async def test_the_received_bytes_are_written_by_default(tmp_path: Path) -> None:
    body = b'{ "b": 1.0,\n"a": "\xff" }'
    written = await deliver(tmp_path, make_delivery(body=body))
    assert written == "2026/03/Support/call_sample_0001.json"
    assert tree(tmp_path) == {f"archive/{written}": body}


async def test_events_are_written_as_json(tmp_path: Path) -> None:
    event = make_event(raw={"id": 2**100})
    written = await deliver(tmp_path, make_delivery(event=event), format="event")
    assert json.loads((tmp_path / "archive" / str(written)).read_bytes()) == plain(event)


async def test_vcons_are_written_with_the_bundle_they_came_from(tmp_path: Path) -> None:
    event = make_event(raw={"call": {"id": 2**100}})
    written = await deliver(tmp_path, make_delivery(event=event), format="vcon")
    assert written == "2026/03/Support/call_sample_0001.vcon"
    document = json.loads((tmp_path / "archive" / written).read_bytes())
    assert document == as_vcon(event, bundle=True)
    assert {item["purpose"]: item["body"] for item in document["attachments"]}["sipgate_webhook"] == event.raw


async def test_a_vcon_has_the_chosen_parts_only(tmp_path: Path) -> None:
    event = make_event(raw={"call": {"id": 2**100}})
    written = await deliver(tmp_path, make_delivery(event=event), format="vcon", send=["summary"], numbers="masked")
    document = json.loads((tmp_path / "archive" / str(written)).read_bytes())
    assert document == as_vcon(event, [Part.SUMMARY], Numbers.MASKED)
    assert [analysis["type"] for analysis in document["analysis"]] == ["summary"]


async def test_a_vcon_that_is_signed_again_is_the_same_file(tmp_path: Path) -> None:
    for attempt in (1, 2):
        written = await deliver(tmp_path, make_delivery(attempt=attempt), format="vcon", sign=signing(tmp_path))
        assert written == "2026/03/Support/call_sample_0001.vcon"
    signed = json.loads((tmp_path / "archive" / str(written)).read_bytes())
    assert signed.keys() == {"payload", "signatures"}
    payload = json.loads(base64.urlsafe_b64decode(signed["payload"] + "=="))
    assert payload == as_vcon(make_event(), bundle=True)


async def test_what_was_signed_is_verified_where_its_authority_is_an_anchor(tmp_path: Path) -> None:
    written = await deliver(tmp_path, format="vcon", sign=signing(tmp_path))
    signed = json.loads((tmp_path / "archive" / str(written)).read_bytes())
    manner = Manner(anchors=Anchors(authority().chain), only_verified=True)
    found = find(signed, manner, ManualClock().now())
    assert found.call == replace(find(as_vcon(make_event(), bundle=True)).call, trust=Trust.VERIFIED)
    signed["payload"] = signed["payload"][:-4]
    with pytest.raises(Unreadable):
        find(signed, manner, ManualClock().now())


async def test_pages_leave_out_small_talk_and_participants(tmp_path: Path) -> None:
    written = await deliver(tmp_path, format="markdown")
    text = (tmp_path / "archive" / str(written)).read_text("utf-8")
    assert str(written).endswith(".md")
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Rückfrage zur Rechnung", "## Zusammenfassung", "## Aufgaben", "## Notiz", "## Fragen und Antworten", "## Gespräch",
    ]  # fmt: skip


async def test_parts_and_numbers_can_be_chosen(tmp_path: Path) -> None:
    written = await deliver(
        tmp_path, format="markdown", send=["summary"], numbers="masked", path="{{ event.caller.raw }}.md"
    )
    text = (tmp_path / "archive" / str(written)).read_text("utf-8")
    assert written == "+49 152 …386.md"
    assert yaml.safe_load(text.split("---")[1])["caller"] == "+49 152 …386"
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Anruf +49 152 …386 → Support",
        "## Zusammenfassung",
    ]


def test_the_record_says_which_parts_were_sent() -> None:
    assert config().parts() == ("received",)
    assert config(format="event").parts() == ("received",)
    assert config(format="event", send="note").parts() == ("note",)
    assert config(format="event", send=[]).parts() == ()
    assert config(format="vcon").parts() == ("received",)
    assert config(format="vcon", send="note").parts() == ("note",)
    assert "summary" in config(format="event", numbers="masked").parts()
    assert set(config(format="markdown").parts()) & {"small_talk", "participants", "received"} == set()
    assert config(root="/srv/calls").recipient() == "/srv/calls"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"send": ["note"]}, "a received body stays as it is"),
        ({"numbers": "masked"}, "a received body stays as it is"),
        ({"sign": {"key": "k", "certificates": "c.pem"}}, "goes with `format: vcon`"),
        ({"format": "event", "sign": {"key": "k", "certificates": "c.pem"}}, "goes with `format: vcon`"),
        ({"path": "/x"}, "of which none is empty"),
        ({"path": "x/"}, "of which none is empty"),
        ({"path": "a//b"}, "of which none is empty"),
        ({"path": "../x"}, "of which none is empty"),
        ({"path": "a/ . /b"}, "of which none is empty"),
        ({"path": "/".join("abcdefghijklmnopq")}, "is not 1 to 16 names"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        config(**settings)


# --- the path ---


async def test_times_of_a_path_are_local(tmp_path: Path) -> None:
    event = make_event(started_at=datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    path = "{{ event.started_at | date('%Y') }}/{{ event.started_at | date('%H:%M %z') }}"
    assert await deliver(tmp_path, make_delivery(event=event), path=path) == "2027/00_30 +0100"


async def test_what_is_missing_is_unknown(tmp_path: Path) -> None:
    event = make_event(call_id=None, started_at=None, channel=Channel())
    assert await deliver(tmp_path, make_delivery(event=event)) == f"_unknown/_unknown/_unknown/{event.id}.json"
    path = "{{ event.channel.name }}/{{ event.call_id }}.md"
    assert await deliver(tmp_path, make_delivery(event=event), path=path) == "_unknown/_unknown.md"
    path = "{{ event.channel.name | lower }}/{{ (event.duration or 0) | round }}/x"
    assert await deliver(tmp_path, make_delivery(event=event), path=path) == "_unknown/312/x"


@pytest.mark.parametrize(
    "name", ["../../etc/cron.d/x", "/etc/passwd", "..\\..\\x", "..", "~root", "a/b", "x" * 5000, "ä" * 256]
)
@pytest.mark.case("ARC-01", "ARC-04")
async def test_a_call_cannot_choose_where_it_goes(name: str, tmp_path: Path) -> None:
    """ARC-01, ARC-04: the path has as many names as it was written with, all below the root."""
    event = make_event(channel=Channel(None, name), call_id=name)
    written = str(
        await deliver(tmp_path, make_delivery(event=event), path="{{ event.channel.name }}/{{ event.call_id }}.json")
    )
    assert written.count("/") == 1
    assert (tmp_path / "archive" / written).resolve().is_relative_to(tmp_path / "archive")
    assert list(tree(tmp_path)) == [f"archive/{written}"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("{{ event.chanel.name }}/x", "chanel.name"),
        ("{{ evnt.id }}", "undefined"),
        ("{{ event.id.__class__ }}", "'{{ event.id.__class__ }}'"),
        ("{{ event.id", "'{{ event.id': template: line 1"),
        ("{{ event.started_at | date('%d/%m') }}", "each piece between slashes is a template of its own"),
        ("{{ event.channel.name[0:3].upper() }}/x", "'{{ event.channel.name[0:3].upper() }}'"),
        ("{{ event.id | nosuch }}", "nosuch"),
    ],
)
@pytest.mark.case("ARC-10")
def test_a_path_that_cannot_work_is_found_when_it_is_read(path: str, problem: str) -> None:
    """ARC-10, also where it could not work only for a call in which something is missing."""
    with pytest.raises(ValidationError) as caught:
        config(path=path)
    (error,) = caught.value.errors()
    assert error["loc"] == ("path",)
    assert problem in error["msg"]


async def test_the_raw_body_may_be_in_a_path(tmp_path: Path) -> None:
    event = make_event(raw={"team": "Nord"})
    assert (
        await deliver(tmp_path, make_delivery(event=event), path="{{ event.raw.team }}/{{ event.id }}")
        == f"Nord/{event.id}"
    )
    with pytest.raises(Rejected):
        await deliver(tmp_path, make_delivery(), path="{{ event.raw.team }}")


async def test_a_path_that_calls_share_is_worth_a_warning(tmp_path: Path) -> None:
    for path, warnings in (("{{ event.channel.name }}.md", ["sink.path_shared"]), ("{{ event.id }}.md", [])):
        log = CapturedLog()
        async with config(path=path).open(sink_context(tmp_path, log=log)):
            pass
        assert [event for _, event, _ in log.lines] == warnings


# --- once, and never over something else ---


async def test_the_same_bytes_are_there_once(tmp_path: Path) -> None:
    assert {await deliver(tmp_path) for _ in range(3)} == {"2026/03/Support/call_sample_0001.json"}
    assert len(tree(tmp_path)) == 1


async def test_other_bytes_at_the_same_path_get_a_number(tmp_path: Path) -> None:
    names = [
        await deliver(tmp_path, make_delivery(body=body), path="x.json") for body in (b"1", b"2", b"3", b"2", b"1")
    ]
    assert names == ["x.json", "x~r2.json", "x~r3.json", "x~r2.json", "x.json"]
    assert tree(tmp_path / "archive") == {"x.json": b"1", "x~r2.json": b"2", "x~r3.json": b"3"}


async def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    bodies = [b"%d" % (number % 10) for number in range(50)]
    async with config(path="a/b/x.json").open(sink_context(tmp_path)) as sink:
        await asyncio.gather(*(sink.deliver(make_delivery(body=body)) for body in bodies))
    assert sorted(tree(tmp_path).values()) == sorted(set(bodies))


async def test_too_many_at_one_path_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_VERSIONS", 2)
    for body in (b"1", b"2"):
        await deliver(tmp_path, make_delivery(body=body), path="x")
    with pytest.raises(Rejected, match="2 other files have this path already"):
        await deliver(tmp_path, make_delivery(body=b"3"), path="x")


# --- folders and links ---


@pytest.mark.case("ARC-09")
async def test_files_and_folders_are_for_the_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        await deliver(tmp_path, root="a/b/archive")
    finally:
        os.umask(old)
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}


@pytest.mark.case("ARC-06")
async def test_no_link_below_the_root_is_followed(tmp_path: Path) -> None:
    """ARC-06."""
    outside = tmp_path / "outside"
    outside.mkdir()
    for link in ("2026", "2027/03"):
        (tmp_path / "archive" / link).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "archive" / link).symlink_to(outside)
    for year in (2026, 2027):
        event = make_event(started_at=datetime(year, 3, 1, tzinfo=UTC))
        with pytest.raises(Rejected, match="stands in the way below it") as caught:
            await deliver(tmp_path, make_delivery(event=event))
        assert "Support" not in str(caught.value)
    assert tree(outside) == {}


@pytest.mark.case("ARC-06")
async def test_no_link_in_the_place_of_the_file_is_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "x").symlink_to(target)
    (tmp_path / "archive" / "y").symlink_to(tmp_path / "not there")
    for path in ("x", "y"):
        with pytest.raises(Rejected, match="stands in the way"):
            await deliver(tmp_path, path=path)
    assert target.read_bytes() == b"precious"
    assert not (tmp_path / "not there").exists()


@pytest.mark.case("ARC-06")
async def test_a_link_that_comes_while_the_folder_is_open_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ARC-06: somebody swaps the folder between its opening and the writing of the file."""
    (tmp_path / "outside").mkdir()
    fsync = os.fsync
    swapped: list[int] = []

    def swap(descriptor: int) -> None:
        if not swapped and stat.S_ISREG(os.fstat(descriptor).st_mode):
            (tmp_path / "archive" / "a").rename(tmp_path / "moved")
            (tmp_path / "archive" / "a").symlink_to(tmp_path / "outside")
            swapped.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", swap)
    await deliver(tmp_path, path="a/x")
    assert (tree(tmp_path / "outside"), list(tree(tmp_path / "moved"))) == ({}, ["x"])


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
async def test_what_is_no_file_in_the_place_of_the_file_is_refused(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    (tmp_path / "archive").mkdir()
    make(tmp_path / "archive" / "x")
    with pytest.raises(Rejected, match="stands in the way"):
        await deliver(tmp_path, path="x")


async def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    await deliver(tmp_path, path="x")
    with pytest.raises(Rejected, match="stands in the way"):
        await deliver(tmp_path, path="x/y")


async def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "archive").symlink_to(tmp_path / "disk")
    assert await deliver(tmp_path, path="x") == "x"
    assert list(tree(tmp_path / "disk")) == ["x"]


@pytest.mark.parametrize("root", ["taken", "taken/below"])
async def test_a_root_that_is_a_file_is_a_configuration_error(root: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(ConfigError, match="is a file, or lies below one"):
        await deliver(tmp_path, root=root)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is the one place where even root cannot make a folder")
async def test_a_root_that_cannot_be_made_yet_is_a_warning(tmp_path: Path) -> None:
    log = CapturedLog()
    async with config(root="/proc/nothing").open(sink_context(tmp_path, log=log)) as sink:
        with pytest.raises(Unavailable, match="/proc/nothing: No such file or directory") as caught:
            await sink.deliver(make_delivery())
    assert caught.value.whole_lane
    assert [(level, event) for level, event, _ in log.lines] == [("warning", "sink.root_not_ready")]


async def test_a_root_that_went_away_comes_back(tmp_path: Path) -> None:
    async with config(path="a/b/x").open(sink_context(tmp_path)) as sink:
        await sink.deliver(make_delivery())
        (tmp_path / "archive").rename(tmp_path / "gone")
        await sink.deliver(make_delivery())
    assert tree(tmp_path / "archive") == tree(tmp_path / "gone")


# --- durably, completely, or not at all ---


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, *, times: int = 1) -> list[str]:
    """Let `os.<name>` fail the next so many times; what was called, in order."""
    calls: list[str] = []
    real = getattr(os, name)

    def fail(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        if len(calls) <= times:
            raise OSError(number, os.strerror(number))
        return real(*arguments, **named)

    monkeypatch.setattr(os, name, fail)
    return calls


@pytest.mark.parametrize(
    ("call", "number"), [("fsync", errno.EIO), ("fsync", errno.ENOSPC), ("mkdir", errno.EROFS), ("link", errno.EDQUOT)]
)
async def test_a_disk_that_fails_is_the_whole_lane(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with config().open(sink_context(tmp_path)) as sink:
        failing(monkeypatch, call, number)
        with pytest.raises(Unavailable) as caught:
            await sink.deliver(make_delivery())
        assert str(caught.value) == f"{tmp_path / 'archive'}: {os.strerror(number)}"
        assert caught.value.whole_lane
        assert tree(tmp_path) == {}
        assert await sink.deliver(make_delivery()) == "2026/03/Support/call_sample_0001.json"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
async def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with config(path="x").open(sink_context(tmp_path)) as sink:
        real = os.open

        def full(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            descriptor = real(path, flags, *arguments, **named)
            if flags & os.O_EXCL:
                nowhere = real("/dev/full", os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            return descriptor

        monkeypatch.setattr(os, "open", full)
        with pytest.raises(Unavailable, match="No space left on device"):
            await sink.deliver(make_delivery(body=b"x" * 1_000_000))
        monkeypatch.undo()
    assert tree(tmp_path) == {}


async def test_a_name_that_the_disk_does_not_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with config(path="x").open(sink_context(tmp_path)) as sink:
        failing(monkeypatch, "link", errno.ENAMETOOLONG)
        with pytest.raises(Rejected, match="not possible on this file system"):
            await sink.deliver(make_delivery())


async def test_without_links_names_are_still_not_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with config(path="x").open(sink_context(tmp_path)) as sink:
        failing(monkeypatch, "link", errno.EPERM, times=100)
        names = [await sink.deliver(make_delivery(body=body)) for body in (b"1", b"2", b"1")]
    assert names == ["x", "x~r2", "x"]
    assert tree(tmp_path / "archive") == {"x": b"1", "x~r2": b"2"}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says what a descriptor is")
@pytest.mark.case("ARC-07")
async def test_it_is_durable_before_it_is_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ARC-07: the file before its name, its folder after that; each new folder's parent."""
    steps: list[str] = []
    for name in ("fsync", "link"):
        real = getattr(os, name)

        def seen(*arguments: Any, _name: str = name, _real: Any = real, **named: Any) -> Any:
            path = Path(f"/proc/self/fd/{arguments[0]}").readlink() if _name == "fsync" else None
            steps.append("link" if path is None else "file" if path.is_file() else str(path.relative_to(tmp_path)))
            return _real(*arguments, **named)

        monkeypatch.setattr(os, name, seen)
    await deliver(tmp_path, path="a/b/x")
    assert steps == [".", "archive", "archive/a", "file", "link", "archive/a/b"]


@pytest.mark.parametrize("step", ["begin", "publish"])
async def test_an_attempt_that_is_called_off_leaves_nothing_half(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever step it is in: its thread ends it, and the temporary file goes."""
    reached, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    real = getattr(files._Draft, step)

    def slow(draft: Any, *arguments: Any) -> Any:
        loop.call_soon_threadsafe(reached.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
        return real(draft, *arguments)

    async with config(path="x").open(sink_context(tmp_path)) as sink:
        monkeypatch.setattr(files._Draft, step, slow)
        task = asyncio.create_task(sink.deliver(make_delivery()))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
    assert set(tree(tmp_path / "archive")) <= {"x"}


@pytest.mark.case("ARC-07")
async def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    """ARC-07: but not what another one writes at this moment, nor what only looks alike."""
    folder = tmp_path / "archive" / "2026" / "03"
    folder.mkdir(parents=True)
    left, held = (folder / f".aftercall-{digit * 16}.tmp" for digit in "ab")
    others = [folder / name for name in (".aftercall-1.tmp", "aftercall.tmp", ".aftercall-cccccccccccccccc.tmp.md")]
    for path in (left, held, *others):
        path.write_bytes(b"")
    (folder / f".aftercall-{'d' * 16}.tmp").symlink_to(others[0])
    with held.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        async with config().open(sink_context(tmp_path)):
            await eventually(lambda: not left.exists())
    assert held.exists()
    assert all(path.exists() for path in others)
    async with config().open(sink_context(tmp_path)):
        await eventually(lambda: not held.exists())


@pytest.mark.case("ARC-07")
async def test_a_killed_process_leaves_whole_files_and_nothing_after_the_next_start(tmp_path: Path) -> None:
    """ARC-07."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(tmp_path))
    await eventually(lambda: len(list(tmp_path.glob("archive/*/x*"))) > 20)
    child.kill()
    await child.wait()
    async with config().open(sink_context(tmp_path)):
        await eventually(lambda: list(tmp_path.rglob(".*.tmp")) == [])
    written = tree(tmp_path / "archive")
    assert len(written) > 20
    assert {content for content in written.values() if content != content[:1] * 500_000} == set()


WRITER = """
import asyncio, sys
from importlib import import_module
from pathlib import Path
from router.testing import make_delivery, make_event, sink_context

async def main():
    config = import_module("router.plugins.file").FileConfig(kind="file", root="archive", path="{{ event.id }}/x")
    async with config.open(sink_context(Path(sys.argv[1]))) as sink:
        async def write(number):
            body = b"%d" % (number % 10) * 500_000
            await sink.deliver(make_delivery(body=body, event=make_event(id=str(number))))
        for number in range(0, 10_000, 10):
            await asyncio.gather(*map(write, range(number, number + 10)))

asyncio.run(main())
"""


async def test_a_file_is_there_completely_whenever_one_looks(tmp_path: Path) -> None:
    body = b"x" * 5_000_000
    seen: list[bytes] = []
    async with config(path="x").open(sink_context(tmp_path)) as sink:
        task = asyncio.create_task(sink.deliver(make_delivery(body=body)))
        while not task.done():
            if (tmp_path / "archive" / "x").exists():
                seen.append((tmp_path / "archive" / "x").read_bytes())
            await asyncio.sleep(0)
        await task
    assert set(seen) <= {body}


async def test_a_drive_that_hangs_keeps_no_one_else_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its threads are its own: the other sink, and all that asyncio does in threads, go on."""
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = files._open_root

    def hang(root: Path) -> int:
        if root.name == "hangs":
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        descriptor: int = real(root)
        return descriptor

    async with (
        config(root="hangs").open(sink_context(tmp_path)) as stuck,
        config(root="works").open(sink_context(tmp_path)) as works,
    ):
        monkeypatch.setattr(files, "_open_root", hang)
        tasks = [asyncio.create_task(stuck.deliver(make_delivery(id=str(number)))) for number in range(100)]
        await asyncio.to_thread(lambda: None)
        assert await works.deliver(make_delivery())
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results)
        release.set()
    assert list(tree(tmp_path / "hangs")) == []


async def test_a_drive_that_hangs_does_not_keep_the_router_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(files, "_PATIENCE", 0.01)
    monkeypatch.setattr(files, "_make_root", lambda _: asyncio.run_coroutine_threadsafe(release.wait(), loop).result())
    log = CapturedLog()
    async with config().open(sink_context(tmp_path, log=log)):
        release.set()
    assert [fields["reason"] for _, _, fields in log.lines] == ["no answer within 0.01 s"]


async def test_closing_may_be_called_off_and_loses_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release, begun = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    real = files._open_root

    def hang(root: Path) -> int:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result()
        descriptor: int = real(root)
        return descriptor

    opened = config(path="x").open(sink_context(tmp_path))
    sink = await opened.__aenter__()
    monkeypatch.setattr(files, "_open_root", hang)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await sink.deliver(make_delivery())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await opened.__aexit__(None, None, None)
    assert begun.is_set()
    release.set()
    await eventually(lambda: not sink.tree._left)  # type: ignore[attr-defined]
    assert tree(tmp_path) == {}


def test_an_open_sink_is_a_sink(tmp_path: Path) -> None:
    assert issubclass(file.FileSink, Sink)
    assert file.register_sinks() == [file.FileConfig]


async def test_numbers_and_names_of_calls_are_not_in_reasons(tmp_path: Path) -> None:
    event = make_event(channel=Channel(None, "s3cr3t"), call_id="s3cr3t", caller=Number("s3cr3t"))
    (tmp_path / "archive" / "s3cr3t").mkdir(parents=True)
    (tmp_path / "archive" / "s3cr3t" / "s3cr3t").symlink_to("/")
    with pytest.raises(Rejected) as caught:
        await deliver(tmp_path, make_delivery(event=event), path="{{ event.channel.name }}/{{ event.caller.raw }}/x")
    error: BaseException | None = caught.value
    while error is not None:
        assert "s3cr3t" not in str(error)
        error = error.__cause__ or error.__context__
