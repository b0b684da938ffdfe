"""Ports for programs that are started with a number, and again with the same."""

from __future__ import annotations

import random
import socket
from contextlib import suppress


def free_port() -> int:
    """A port that is free, and stays it while nobody listens there.

    No number that the kernel gives to connections that go out: one of those could have it at the very moment that a
    program wants it back, and a router that looks for its server could get it, and would then be connected to itself.
    """
    while True:
        port = random.SystemRandom().randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
