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
