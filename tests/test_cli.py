"""The commands, as processes and as people type them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

from ports import free_port
from router import remote
from router.cli import _renewed, main
from router.errors import AftercallError
from router.options import Moment
from router.show import alarm_rows, delivery_rows, local_time, reload_state


def aftercall(*args: str | Path, cwd: Path, expect: int = 0, stdin: bytes | None = None, **environ: str) -> str:
    """What the command printed, both ways; it must exit as expected."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "router", *map(str, args)],
        cwd=cwd, input=stdin, capture_output=True, timeout=60, check=False, env={**os.environ, **environ},
    )  # fmt: skip
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == expect, said
    assert "Traceback" not in said
    return said


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `init` writes, with ports that nobody else has."""
    aftercall("init", tmp_path, cwd=tmp_path)
    file = tmp_path / "routes.yaml"
    text = file.read_text(encoding="utf-8")
    for port in (8080, 8081):
        text = text.replace(f"listen: 127.0.0.1:{port}", f"listen: 127.0.0.1:{free_port()}")
    file.write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def served(folder: Path) -> Iterator[Path]:
    """A running router on that folder."""
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "router", "serve"], cwd=folder, stdout=out, stderr=out
        )
    try:
        while b"router.started" not in (folder / "out").read_bytes():
            assert process.poll() is None, (folder / "out").read_text()
        yield folder
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_init_writes_a_good_configuration_and_never_over_another(tmp_path: Path) -> None:
    said = aftercall("init", "new", cwd=tmp_path)
    assert "aftercall serve" in said
    assert "good" in aftercall("check", "-c", "new/routes.yaml", cwd=tmp_path)
    (tmp_path / "new" / "routes.yaml").write_text("mine")
    assert "is there already" in aftercall("init", "new", cwd=tmp_path, expect=1)
    assert (tmp_path / "new" / "routes.yaml").read_text() == "mine"


def test_init_says_which_folder_it_cannot_write_into_and_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    said = aftercall("init", "file/new", cwd=tmp_path, expect=1)
    assert said == "cannot write into the folder file/new: Not a directory; name one that you may write to\n"


def test_an_error_of_the_system_is_one_line_with_the_file(folder: Path) -> None:
    name = "x" * 300
    assert aftercall("explain", name, cwd=folder, expect=1) == f"{name}: File name too long\n"


def test_check_says_file_line_column_path_and_what_to_do(folder: Path) -> None:
    file = folder / "routes.yaml"
    file.write_text(file.read_text().replace("{kind: console}", "{kind: slak}"))
    said = aftercall("check", cwd=folder, expect=1)
    assert said.startswith("routes.yaml:")
    assert "sinks.screen.kind: unknown kind 'slak' (installed: apprise, console, discord, email, " in said
    assert "no such file" in aftercall("check", "-c", "nothing.yaml", cwd=folder, expect=1)


def test_wrong_usage_exits_with_2(tmp_path: Path) -> None:
    for command in (["frobnicate"], ["send"], ["replay"], ["events", "--limit", "many"]):
        assert "Usage" in aftercall(*command, cwd=tmp_path, expect=2)


def test_explain_a_file_for_people_and_for_programs(folder: Path) -> None:
    said = aftercall("explain", "call.json", cwd=folder)
    assert "route price questions: fires" in said
    assert "goes to: archive (always), screen (always)" in said
    told = json.loads(aftercall("explain", "call.json", "--json", cwd=folder))
    assert told.keys() >= {"event", "format", "routes", "sinks"}
    assert told["format"].keys() == {"name", "why", "also", "remarks", "unread"}
    assert "read as sipgate: it has call.caller, call.callee, channel" in said
    assert told["routes"][0].keys() >= {"name", "matched", "fired", "conditions"}
    assert "goes to" in aftercall("explain", "--source", "sipgate", "call.json", cwd=folder)
    (folder / "bad.json").write_text("{")
    assert "bad.json would be kept in quarantine: not JSON" in aftercall("explain", "bad.json", cwd=folder, expect=1)
    assert "parts: headline, summary, note, transcript (" in said
    (folder / "empty.json").write_bytes(b"")
    assert "answers 400" in aftercall("explain", "empty.json", cwd=folder, expect=1)
    (folder / "large.json").write_bytes(b" " * (10 * 2**20 + 1))
    assert "answers 413" in aftercall("explain", "large.json", cwd=folder, expect=1)
    (folder / "vcon.json").write_text('{"vcon": "0.0.2", "analysis": [{"type": "gist", "body": "x"}]}')
    assert "(name them under `aliases`): gist\n" in aftercall("explain", "vcon.json", cwd=folder)
    assert "there is no file nothing.json" in aftercall("explain", "nothing.json", cwd=folder, expect=1)


def test_schema_and_kinds_know_the_installed_kinds(folder: Path) -> None:
    schema = json.loads(aftercall("schema", cwd=folder))
    assert {"ConsoleConfig", "FileConfig", "WebhookConfig"} <= schema["$defs"].keys()
    said = aftercall("kinds", cwd=folder)
    for name in ("console", "file", "webhook", "sipgate"):
        assert name in said


def test_url_is_the_secret_to_paste_and_stays_the_same(folder: Path) -> None:
    first = aftercall("url", cwd=folder).splitlines()[0]
    assert first == aftercall("url", cwd=folder).splitlines()[0]
    assert first.startswith("http://127.0.0.1:")
    file = folder / "routes.yaml"
    file.write_text(file.read_text().replace("# public_url", "public_url"))
    said = aftercall("url", cwd=folder)
    assert said.startswith("https://calls.example.com/in/sipgate/")
    assert said.strip().rsplit("/", 1)[1] == first.rsplit("/", 1)[1]


def test_without_a_router_the_commands_say_so(folder: Path) -> None:
    for command in (
        ["status"],
        ["events"],
        ["deliveries"],
        ["dead"],
        ["channels"],
        ["replay", "x"],
        ["send", "call.json"],
    ):
        said = aftercall(*command, cwd=folder, expect=1)
        assert "no router answers at http://127.0.0.1:" in said
        assert "Where `listen` was changed, that counts after a restart" in said
        assert ("`--url http://…` asks where it was" in said) is (command[0] != "send")
        assert "/in/" not in said


ASKING = [
    ["status"], ["events"], ["events", "x"], ["deliveries"], ["deliveries", "x"], ["dead"], ["quarantine"],
    ["channels"], ["replay", "x"], ["pause", "x"], ["resume", "x"],
]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    ["notaurl", "http://[::1", "http://", "http://h:99999", "http://h:x", "file:///etc/passwd", "http://u:hunter2@h"],
)
def test_an_address_that_cannot_be_asked_is_said_to_be_none(tmp_path: Path, url: str) -> None:
    said = aftercall("status", "--url", url, cwd=tmp_path, expect=1)
    assert "write it like http://127.0.0.1:8081" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(("url", "token"), [("http://127.0.0.1:9", "a€hunter2"), ("http://127.0.0.1:9/a b", "a")])
def test_what_http_cannot_send_is_not_sent_and_not_quoted(tmp_path: Path, url: str, token: str) -> None:
    said = aftercall("status", "--url", url, "--token", token, cwd=tmp_path, expect=1)
    assert "http://127.0.0.1:9 cannot be asked" in said
    assert "hunter2" not in said


@contextmanager
def stranger(
    status: int, said: bytes, *, first: Sequence[tuple[int, bytes]] = (), sent: list[str | None] | None = None
) -> Iterator[str]:
    """The URL of another web server, which answers everything like this, after what it answers `first`.

    `sent` gets the tokens that it is sent.
    """
    answers = chain(first, repeat((status, said)))

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if sent is not None:
                sent.append(self.headers["Authorization"])
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            now, content = next(answers)
            self.send_response(now)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer  # noqa: N815 - the names that are called

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_router_that_does_not_answer_is_not_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(remote, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        at = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        assert in_process(monkeypatch, "status", "--url", at) == 1
    said = capsys.readouterr().err
    assert f"who listens at {at} has not answered within 0.2 s: the router is very busy, or hangs" in said
    assert "no router answers" not in said


@pytest.mark.parametrize(
    "said",
    [b"<html>", b"", b"[]", b"{}", b'{"items": 5}', b'{"items": [{"name": "x"}], "deliveries": "x", "event": 1}'],
)
def test_another_web_server_is_not_taken_for_the_router(
    said: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with stranger(200, said) as url:
        for command in ASKING:
            assert in_process(monkeypatch, *command, "--url", url) == 1
            assert capsys.readouterr().err.startswith("What answers there is no aftercall"), command


@pytest.mark.parametrize("said", [b"<html>", b'{"error": "not found"}', b'{"error": {"message": 5}}', b"[]"])
def test_an_error_of_another_web_server_is_shown_as_one(
    said: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with stranger(404, said) as url:
        assert in_process(monkeypatch, "status", "--url", url) == 1
        assert capsys.readouterr().err.strip().endswith("answered 404: Not Found; is that aftercall?")


def test_a_router_in_trouble_is_not_taken_for_another_server(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with stranger(503, b"") as url:
        assert in_process(monkeypatch, "status", "--url", url) == 1
        assert capsys.readouterr().err.strip() == f"{url} answered 503: Service Unavailable"


def in_process(monkeypatch: pytest.MonkeyPatch, *args: str) -> int:
    """The exit code of the console script, without the start of a process."""
    monkeypatch.setattr(sys, "argv", ["aftercall", *args])
    try:
        main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_a_call_goes_all_the_way(served: Path) -> None:
    said = aftercall("send", "call.json", cwd=served)
    assert "kept as event" in said
    assert said.count("delivered") == 2
    assert "a duplicate" in aftercall("send", "call.json", cwd=served)
    assert "kept as event" in aftercall("send", "--new", "call.json", cwd=served)
    assert "quarantine" in aftercall("send", "-", cwd=served, stdin=b"{")
    page, _ = (served / "data" / "archive").rglob("*.md")
    assert "zwölf Lizenzen" in page.read_text(encoding="utf-8")
    _, event = json.loads(aftercall("events", "--json", cwd=served))["items"]
    assert "zwölf" not in aftercall("events", event["id"], cwd=served)
    assert "zwölf Lizenzen" in aftercall("events", event["id"], "--full", "--json", cwd=served)
    assert "price questions" in aftercall("events", cwd=served)
    assert "Sales Hotline" in aftercall("channels", cwd=served)
    assert "received 4" in aftercall("status", cwd=served)
    said = aftercall("explain", event["id"], cwd=served)
    assert "fires" in said
    assert "read as sipgate: it has call.caller" in said
    first = json.loads(aftercall("events", "--json", cwd=served))["items"][1]
    assert aftercall("events", first["id"], "--full", cwd=served) == (served / "call.json").read_text(encoding="utf-8")
    assert "goes with the id" in aftercall("events", "--full", cwd=served, expect=2)
    assert "not JSON" in aftercall("quarantine", cwd=served)
    assert "nothing" in aftercall("dead", cwd=served)
    (kept,) = json.loads(aftercall("quarantine", "--json", cwd=served))["items"]
    shown = json.loads(aftercall("quarantine", "show", kept["id"], cwd=served))
    assert shown["outline"]["kind"] == "nearly JSON"
    assert aftercall("quarantine", "show", kept["id"], "--full", cwd=served) == "{"
    assert "answered 404" in aftercall("quarantine", "show", "x", cwd=served, expect=1)
    assert "show ID" in aftercall("quarantine", "show", cwd=served, expect=2)
    assert "show ID" in aftercall("quarantine", "--full", cwd=served, expect=2)
    lines = json.loads(aftercall("deliveries", "--json", "--sink", "screen", cwd=served))["items"]
    assert aftercall("deliveries", lines[0]["id"], cwd=served).count('"outcome": "delivered"') == 1
    assert "answered 409" in aftercall("replay", lines[0]["id"], cwd=served, expect=1)
    assert "paused" in aftercall("pause", "screen", cwd=served)
    assert "open" in aftercall("resume", "screen", cwd=served)
    out = (served / "out").read_text(encoding="utf-8")
    assert out.count("Sales Hotline") == 2, "the console's one line a call names the channel; no log line does"
    for word in ("zwölf", "Özdemir", "+4915228817386"):
        assert word not in out


def test_what_went_wrong_is_put_right_by_ids_and_by_what_fits(served: Path) -> None:
    aftercall("pause", "screen", cwd=served)
    for _ in range(3):
        aftercall("send", "--new", "--wait", "0", "call.json", cwd=served)
    (pending, *_) = json.loads(aftercall("deliveries", "--state", "pending", "--json", cwd=served))["items"]
    assert "is ended" in aftercall("end", pending["id"], "--reason", "wrong", cwd=served)
    assert "nothing" in aftercall("dead", cwd=served)
    assert "ended by an operator: wrong" in aftercall("dead", "--ended", "--channel", "sales hotline", cwd=served)
    assert "nothing" in aftercall("dead", "--ended", "--channel", "Support", cwd=served)
    counted = aftercall("end", "--reason", "moved", "--sink", "screen", "--since", "1h", "--dry-run", cwd=served)
    assert counted == "2 would be ended; nothing was done\n"
    assert "0 would" in aftercall("end", "--reason", "x", "--all", "--orphaned", "--dry-run", cwd=served)
    assert "2 of 2 ended" in aftercall("end", "--reason", "moved", "--sink", "screen", cwd=served)
    aftercall("resume", "screen", cwd=served)
    assert "0 of 0 replayed" in aftercall("replay", "--all", cwd=served), "what is ended rests"
    assert "--all" in aftercall("replay", "--ended", cwd=served, expect=2), "nothing else says which"
    assert "is replayed as" in aftercall("replay", pending["id"], "--to", "archive", cwd=served)
    ended = json.loads(aftercall("dead", "--ended", "--json", cwd=served))["items"]
    assert len(ended) == 2
    assert "2 of 2 replayed" in aftercall("replay", "--ended", "--sink", "screen", cwd=served)
    assert "nothing" in aftercall("events", "--unrouted", cwd=served)
    (event, *_) = json.loads(aftercall("events", "--sink", "archive", "--json", "--limit", "1", cwd=served))["items"]
    assert "nobody besides" in aftercall("route", event["id"], cwd=served)
    assert "0 of 0 routed" in aftercall("route", "--unrouted", cwd=served)
    aftercall("send", "-", cwd=served, stdin=b"{")
    (kept,) = json.loads(aftercall("quarantine", "--json", cwd=served))["items"]
    assert "stays: not JSON" in aftercall("quarantine", "replay", kept["id"], cwd=served, expect=1)
    assert "1 would be ended" in aftercall("quarantine", "end", "--all", "--reason", "x", "--dry-run", cwd=served)
    said = aftercall("quarantine", "replay", "--all", cwd=served, expect=1)
    assert said.startswith(f"0 of 1 read; left as they were:\n  {kept['id']}: not JSON")
    assert "is ended" in aftercall("quarantine", "end", kept["id"], "--reason", "a scanner", cwd=served)
    assert "0 of 0 ended" in aftercall("quarantine", "end", "--all", "--reason", "x", cwd=served)
    for wrong in (
        ["quarantine", "end", "x"], ["quarantine", "replay", "x", "--reason", "y"], ["quarantine", "end", "--reason", "x"],
        ["replay"], ["replay", "x", "--all"], ["replay", "x", "--dry-run"], ["end", "--reason", "x"], ["end", "x"],
        ["route"], ["quarantine", "replay"], ["quarantine", "--all"], ["events", "x", "--unrouted"],
        ["events", "--since", "yesterday"], ["events", "--limit", "0"],
    ):  # fmt: skip
        assert "Usage" in aftercall(*wrong, cwd=served, expect=2), wrong
    assert "goes without ids" in aftercall("replay", "x", "--dry-run", cwd=served, expect=2)


def test_what_waits_for_a_restart_is_said_by_reload_and_status(served: Path) -> None:
    file = served / "routes.yaml"
    file.write_text(file.read_text().replace("server:\n", "server:\n  max_body: 11 MiB\n"))
    assert "! after a restart only: server.max_body" in aftercall("reload", cwd=served)
    assert "! after a restart only: server.max_body" in aftercall("status", cwd=served)


def test_rules_that_went_with_their_file_are_named_by_reload_and_status(served: Path) -> None:
    (served / "rules.d").mkdir()
    rules = served / "rules.d" / "sales.yaml"
    rules.write_text("routes: [{name: sales summary, to: screen}, {name: other, to: screen}]\n")
    file = served / "routes.yaml"
    file.write_text("include: rules.d/*.yaml\n" + file.read_text())
    added = "routes: 2 added: 'sales summary', 'other'\n"
    assert added in aftercall("reload", cwd=served)
    said = aftercall("status", cwd=served)
    assert f"the reload changed {added}" in said
    assert "no file fits" not in said
    rules.unlink()
    gone = "routes: 2 gone: 'sales summary', 'other'\n"
    assert gone in aftercall("reload", cwd=served)
    said = aftercall("status", cwd=served)
    assert gone in said
    assert "  ! routes.yaml:1:10: include: no file fits this" in said


def test_with_a_mistake_in_the_rules_commands_ask_the_running_router_all_the_same(served: Path) -> None:
    aftercall("send", "call.json", cwd=served)
    file = served / "routes.yaml"
    text = file.read_text().replace("{kind: console}", "{kind: slak}").replace("to: [screen]", "to: [scren]")
    file.write_text(text)
    first, *others = aftercall("check", cwd=served, expect=1).splitlines()
    assert len(others) == 2
    said = aftercall("status", cwd=served)
    assert said.count(f"{first} (a warning)\n") == 1
    assert "… and 2 more; `aftercall check` shows all\n" in said
    assert "received 1" in said
    for command in (
        ["reload"], ["pause", "screen"], ["resume", "screen"], ["dead"], ["events"], ["quarantine"], ["channels"],
        ["send", "call.json"], ["url"], ["backup", "all.tar"],
    ):  # fmt: skip
        said = aftercall(*command, cwd=served, expect=1 if command == ["reload"] else 0)
        assert (f"{first} (a warning)\n" in said) is (command != ["reload"]), command
        assert ("answered 422" in said) is (command == ["reload"])
        assert said.count(first.partition(" (installed")[0]) == 1, "what made it fail is said once, and is no warning"
    assert (served / "all.tar").exists()


def test_where_the_admin_listener_cannot_be_read_there_is_another_way_to_name_it(folder: Path) -> None:
    file = folder / "routes.yaml"
    good = file.read_text()
    for text in (good.replace("listen: 127.0.0.1:", "listen: nowhere:x"), f"{good}\nnever: [", ""):
        file.write_text(text)
        *mistakes, hint = aftercall("status", cwd=folder, expect=1).splitlines()
        assert mistakes == aftercall("check", cwd=folder, expect=1).splitlines()
        assert hint.startswith("`--url URL` asks a running router without this file")
    file.unlink()
    assert "`--url URL`" in aftercall("status", cwd=folder, expect=1)


@pytest.fixture
def two_admins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str | None]]:
    """A folder whose admin listener is a web server that notes the tokens that it is sent."""
    for name in ("AFTERCALL_ADMIN_TOKEN", "AFTERCALL_ADMIN_AS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    sent: list[str | None] = []
    with stranger(200, b'{"items": []}', sent=sent) as url:
        (tmp_path / "routes.yaml").write_text(
            f"sources: {{sipgate: {{}}}}\n"
            f"admin: {{listen: '{url.removeprefix('http://')}', tokens: {{anna: {ANNA}, ben: {BEN}}}}}\n"
        )
        yield sent


ANNA, BEN, CARL = (f"0123456789abcdefghijkl-{name}" for name in ("anna", "ben", "carl"))


@pytest.mark.parametrize(
    ("options", "environ", "token"),
    [
        (["--as", "anna"], {}, ANNA),
        (["--as", "ben"], {}, BEN),
        ([], {"AFTERCALL_ADMIN_AS": "ben"}, BEN),
        (["--token", CARL], {}, CARL),
        ([], {"AFTERCALL_ADMIN_TOKEN": CARL}, CARL),
        (["--token", CARL, "--as", "anna"], {}, CARL),
        (["--as", "anna"], {"AFTERCALL_ADMIN_AS": "ben"}, ANNA),
    ],
)
def test_who_asks_is_who_was_said_to(
    two_admins: list[str | None],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    environ: dict[str, str],
    token: str,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert in_process(monkeypatch, "channels", *options) == 0
    assert two_admins == [f"Bearer {token}"]


def test_of_several_admins_none_is_taken_for_another(
    two_admins: list[str | None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("call.json").write_text("{}")
    for command in (["channels"], ["pause", "x"], ["send", "call.json"]):
        assert in_process(monkeypatch, *command) == 1
        assert "write `--as anna` or another of anna, ben" in capsys.readouterr().err
    assert in_process(monkeypatch, "channels", "--as", "benn") == 1
    assert "did you mean 'ben'" in capsys.readouterr().err
    assert in_process(monkeypatch, "channels", "--as", "ben", "--url", "http://127.0.0.1:9") == 1
    assert "give --token" in capsys.readouterr().err
    assert two_admins == []
    file = Path("routes.yaml")
    file.write_text(file.read_text().replace(f"anna: {ANNA}, ", ""))
    assert in_process(monkeypatch, "channels") == 0
    assert two_admins == [f"Bearer {BEN}"]


@pytest.mark.parametrize(
    ("pages", "said"),
    [
        ([{"matched": 100, "done": 98, "left": [{"id": "d7", "message": "taken"}, {"id": "d8", "message": "gone"}]}],
         "98 of 100 replayed; left as they were:\n  d7: taken\n  d8: gone\nand then it failed, with more to do:\n"),
        ([{"matched": 100, "done": 100, "left": []}] * 2,
         "200 of 200 replayed\nand then it failed, with more to do:\n"),
        ([], ""),
    ],
)  # fmt: skip
def test_what_was_done_to_many_before_it_failed_is_said(
    pages: list[dict[str, Any]], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [(200, json.dumps(page | {"next": "k"}).encode()) for page in pages]
    with stranger(503, b'{"error": {"message": "store: disk full"}}', first=answers) as url:
        assert in_process(monkeypatch, "replay", "--all", "--url", url) == 1
    assert capsys.readouterr().err == f"{said}the router at {url} answered 503: store: disk full\n"


def test_a_source_that_lets_this_machine_not_in_is_said_to_be_one(folder: Path) -> None:
    file = folder / "routes.yaml"
    text = file.read_text().replace("  sipgate: {}", "  sipgate: {allow_from: [203.0.113.0/24]}")
    with stranger(404, b"") as url:
        at = url.removeprefix("http://")
        file.write_text(
            re.sub(r"listen: 127\.0\.0\.1:\d+", f"listen: {at}\n  trusted_proxies: [127.0.0.1]", text, count=1)
        )
        said = aftercall("send", "call.json", cwd=folder, expect=1)
    assert "answered 404" in said
    assert said.endswith("source 'sipgate' lets in 203.0.113.0/24 alone (allow_from), and who is not is told this\n")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock on this machine's wall."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_status_has_one_clock() -> None:
    state = {
        "loaded_at": "2026-03-10T08:15:00Z", "refused_at": "2026-03-10T09:15:00Z", "reason": "x",
        "restart": [], "warnings": [], "changes": {},
    }  # fmt: skip
    shown = reload_state(state)
    assert shown.startswith("configuration of 2026-03-10 09:15:00\n")
    assert "the reload at 2026-03-10 10:15:00 was refused" in shown
    alarm = {"cause": "disk", "subject": None, "since": "2026-07-10T08:15:00Z", "count": 1, "router": None}
    assert "2026-07-10 10:15:00" in alarm_rows([alarm])


@pytest.mark.parametrize(
    ("lane", "said"),
    [
        ({"state": "open", "reason": None, "next_at": None}, "2026-03-10 09:15:00  nobody@    429 Too Many Requests"),
        (
            {"state": "probing", "reason": "connection refused", "next_at": "2026-03-10T09:15:00Z"},
            "2026-03-10 10:15:00  nobody@    429 Too Many Requests; waits for its lane, which is probing: connection refused",
        ),
        (
            {"state": "paused", "reason": None, "next_at": None},
            "                     nobody@    429 Too Many Requests; waits for its lane, which is paused",
        ),
        (
            {"state": "open", "reason": "the router sends nothing (serve --hold)", "next_at": None},
            "                     nobody@    429 Too Many Requests; waits: the router sends nothing (serve --hold)",
        ),
    ],
    ids=["open", "probing", "paused", "held"],
)
@pytest.mark.usefixtures("berlin")
def test_what_waits_for_its_lane_says_so(lane: dict[str, object], said: str) -> None:
    line = {
        "id": "d", "sink": "crm", "state": "pending", "attempt": 1, "settled_at": None, "due": "2026-03-10T08:15:00Z",
        "recipient": "nobody@", "reason": "429 Too Many Requests",
    }  # fmt: skip
    waiting, other = delivery_rows([line, line | {"sink": "other"}], [{"sink": "crm", **lane}]).splitlines()[1:]
    assert waiting.endswith(f"pending  1        {said}")
    assert other.endswith("2026-03-10 09:15:00  nobody@    429 Too Many Requests")
    assert "waits" not in delivery_rows([line | {"state": "dead"}], [{"sink": "crm", **lane}])


@pytest.mark.usefixtures("berlin")
def test_times_are_those_of_the_clock_on_the_wall() -> None:
    assert local_time("2026-03-10T08:15:00Z") == "2026-03-10 09:15:00"
    assert local_time("2026-07-10T08:15:00.123456Z") == "2026-07-10 10:15:00"
    assert Moment().convert("2026-03-10T09:15", None, None) == "2026-03-10T08:15:00+00:00"
    assert Moment().convert("2026-03-10T09:15Z", None, None) == "2026-03-10T09:15:00+00:00"
    assert Moment().convert("2026-03-10", None, None) == "2026-03-09T23:00:00+00:00"


@pytest.mark.parametrize(
    "body",
    [
        {"call": {"id": "1"}, "summary": "x"},
        {"vcon": "0.0.2", "uuid": "u", "dialog": [{"interaction_id": "1"}, {"interaction_id": "2"}]},
        {"vcon": "0.0.2", "uuid": "u"},
    ],
)
def test_a_call_of_any_format_gets_a_new_id(body: dict[str, object]) -> None:
    from router import formats

    made = {formats.find(json.loads(_renewed(json.dumps(body).encode()))).call.call_id for _ in range(2)}
    assert len(made) == 2
    assert all(str(one).startswith("test-") for one in made)


@pytest.mark.parametrize("body", ["{", "[]", '{"call": 1}', '{"payload": "e30", "signatures": []}', '{"dialog": [1]}'])
def test_a_body_whose_id_cannot_be_changed_is_not_sent_as_new(body: str) -> None:
    with pytest.raises(AftercallError, match="--new goes with"):
        _renewed(body.encode())


def test_test_sink_sends_a_marked_sample_now(folder: Path) -> None:
    assert "delivered" in aftercall("test-sink", "archive", cwd=folder)
    (page,) = (folder / "data" / "archive").rglob("*.md")
    assert "TEST" in page.read_text(encoding="utf-8")
    assert "did you mean 'archive'" in aftercall("test-sink", "archiv", cwd=folder, expect=1)


def test_test_sink_says_why_it_did_not_arrive(folder: Path) -> None:
    file = folder / "routes.yaml"
    port = free_port()
    sink = f'crm: {{kind: webhook, url: "http://127.0.0.1:{port}/secret-path", allow_networks: [127.0.0.0/8]}}'
    file.write_text(file.read_text().replace("sinks:\n", f"sinks:\n  {sink}\n"))
    said = aftercall("test-sink", "crm", cwd=folder, expect=1)
    assert "not delivered" in said
    assert "secret-path" not in said


def test_commands_start_without_the_heavy_modules(tmp_path: Path) -> None:
    code = "import router.cli, sys; print([m for m in ('aiohttp', 'structlog', 'minijinja', 'sqlite3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_the_starter_is_what_the_repository_shows() -> None:
    """As it was committed: whoever tries things out in a clone has edited the other one."""
    root = Path(__file__).parents[1]
    for name, shown in (("routes.yaml", "routes.yaml"), ("call.json", "examples/call.json")):
        done = subprocess.run(["git", "show", f"HEAD:{shown}"], cwd=root, capture_output=True, check=False)
        if done.returncode:
            pytest.skip("this is no git checkout")
        assert (root / "router" / "starter" / name).read_bytes() == done.stdout
