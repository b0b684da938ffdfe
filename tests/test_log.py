"""The log: one line for one fact, and nothing in it that a log must not hold."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import logging
from router import log
log.set_up({form!r})
def inner(password):
    secret = "local-" + password
    raise ValueError("message of " + secret)
try:
    inner("hunter2")
except ValueError as error:
    log.logger().error("sink.failed", sink="a", exc_info=error)
log.logger().info("delivery.attempted", reason="one\\ntwo\\x1b[31m\\u202ered", count=3)
logging.getLogger("some.library").warning("could not reach %s", "https://user:hunter2@example.com")
logging.getLogger("aiohttp.server").error("Error handling request b'GET /in/sipgate/hunter2'")
"""


def lines(form: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT.format(form=form)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.case("LOG-01")
def test_no_local_variable_no_foreign_message_and_no_argument_reaches_the_log(form: str) -> None:
    said = lines(form)
    assert "hunter2" not in said
    assert "ValueError" in said
    assert "inner" in said
    assert "aiohttp" not in said


def test_a_line_is_one_json_object_and_cannot_speak_to_a_terminal() -> None:
    said = [json.loads(line) for line in lines("json").splitlines()]
    attempted = next(line for line in said if line["event"] == "delivery.attempted")
    assert attempted["level"] == "info"
    assert attempted["count"] == 3
    assert attempted["reason"].isprintable()
    assert "\\u202e" not in json.dumps(attempted)


LOST = """
import asyncio, logging
from router import log
log.set_up({form!r})
class Caller:
    def __repr__(self):
        return "hunter2"
async def lost():
    raise ValueError("hunter2")
def called(*_):
    raise KeyError("hunter2")
async def main():
    task = asyncio.create_task(lost(), name="hunter2")
    await asyncio.wait([task])
    loop = asyncio.get_running_loop()
    loop.call_soon(called, Caller(), task)
    del task
    await asyncio.sleep(0)
    error = OSError(24, "hunter2")
    loop.call_exception_handler({{"message": "socket.accept() out of system resource", "exception": error}})
    loop.call_exception_handler({{"message": f"Task {{asyncio.current_task()!r}} has errored out"}})
    logging.getLogger("some.library").error(ValueError("hunter2"))
asyncio.run(main())
"""


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.case("LOG-01")
def test_what_asyncio_has_lost_is_told_without_what_it_says(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", LOST.format(form=form)], capture_output=True, text=True, check=True
    )
    assert "hunter2" not in done.stderr
    for said in ("Task exception was never retrieved", "socket.accept() out of system resource", "in callback called"):
        assert said in done.stderr
    if form == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert {(line["library"], line.get("error")) for line in lines} == {
            ("asyncio", "ValueError"), ("asyncio", "KeyError"), ("asyncio", "OSError"), ("asyncio", None),
            ("some.library", None),
        }  # fmt: skip


def test_a_log_on_a_full_disk_stops_nothing() -> None:
    script = """
from router import log
log.set_up("json")
log.logger().info("one")
log.logger().info("two")
print("went on")
"""
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script], stdout=subprocess.PIPE, stderr=full, text=True, check=False
        )
    assert done.stdout == "went on\n"


def test_lines_that_could_not_be_written_are_counted() -> None:
    script = """
import io, sys
from router import log

class Disk(io.StringIO):
    full = False
    def write(self, text):
        if self.full:
            raise OSError(28, "No space left on device")
        return super().write(text)

sys.stderr = disk = Disk()
log.set_up("json")
for disk.full in (False, True, True, False, False):
    log.logger().info("written" if not disk.full else "not written")
print(disk.getvalue())
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines() if line]
    assert [(line["event"], line.get("lines")) for line in said] == [
        ("written", None), ("log.lost", 2), ("written", None), ("written", None),
    ]  # fmt: skip
