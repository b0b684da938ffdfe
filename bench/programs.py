"""The programs that are measured: each is started as it would be, and is there once it answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from measures import Memory, cpu_seconds

TREE = Path(__file__).parents[1]
TOKEN = "bench-token-0123456789abcdef"  # noqa: S105 - of no router but this one
#: Where `make` has put what people write such scripts with.
GUNICORN = TREE / ".make" / "bench" / "bin" / "gunicorn"
_PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Program:
    """One that answers."""

    port: int
    path: str
    pid: int
    #: Seconds from its start to its first answer.
    started_in: float
    admin: int = 0

    @property
    def memory(self) -> Memory:
        return Memory.of(self.pid)

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)

    def summary(self) -> dict[str, Any]:
        """The sums of a router."""
        with urlopen(f"http://127.0.0.1:{self.admin}/api/v1/summary", timeout=_PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def aftercall(
    folder: Path, sinks: Sequence[int] = (), *, more: str = "", environ: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """A router whose calls all go to webhooks at these ports; `more` is added to its routes.yaml."""
    port, admin = free_port(), free_port()
    webhooks = {
        f"s{at}": {"kind": "webhook", "url": f"http://127.0.0.1:{sink}/", "allow_networks": ["127.0.0.0/8"]}
        for at, sink in enumerate(sinks)
    }
    (folder / "routes.yaml").write_text(
        f'name: bench-{port}\nserver: {{listen: "127.0.0.1:{port}"}}\nadmin: {{listen: "127.0.0.1:{admin}"}}\n'
        f"sources: {{sipgate: {{token: {TOKEN}}}}}\n"
        f"sinks: {json.dumps(webhooks)}\nalways: {json.dumps(list(webhooks))}\n{more}",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "router", "serve", "-c", str(folder / "routes.yaml"), "--log", "json"]
    with _started(command, folder / "log", port, f"/in/sipgate/{TOKEN}", environ or {}, admin) as program:
        yield program


@contextmanager
def bare(folder: Path) -> Iterator[Program]:
    """See `bare_server`."""
    port = free_port()
    command = [sys.executable, str(TREE / "bench" / "bare_server.py"), str(port)]
    with _started(command, folder / "log", port, "/webhook") as program:
        yield program


@contextmanager
def by_hand(folder: Path, sinks: Sequence[int]) -> Iterator[Program]:
    """See `by_hand`; served as gunicorn's own documents advise for what waits for others."""
    port = free_port()
    command = [
        str(GUNICORN), "--chdir", str(TREE / "bench"), "--bind", f"127.0.0.1:{port}", "--workers", "2",
        "--threads", "16", "by_hand:app",
    ]  # fmt: skip
    environ = {"SINKS": ",".join(f"http://127.0.0.1:{sink}/" for sink in sinks)}
    with _started(command, folder / "log", port, "/webhook", environ) as program:
        yield program


@contextmanager
def _started(
    command: Sequence[str], log: Path, port: int, path: str, environ: Mapping[str, str] | None = None, admin: int = 0
) -> Iterator[Program]:
    began = time.monotonic()
    environ = {**os.environ, **(environ or {})}
    with (
        log.open("ab") as to,
        subprocess.Popen(command, stdout=to, stderr=to, cwd=TREE, env=environ) as process,  # noqa: S603 - our own
    ):
        try:
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > began + _PATIENCE:
                    sys.exit(f"{' '.join(command)} does not answer:\n{log.read_text(encoding='utf-8')}")
                time.sleep(0.005)
            yield Program(port, path, process.pid, time.monotonic() - began, admin)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            process.kill()


def _answers(port: int) -> bool:
    """Whether it answers anything: some listen long before they can."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return bool(connection.recv(1))
    return False
