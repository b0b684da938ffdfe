"""A real PostgreSQL for tests, which can be stopped, killed, paused, followed by a standby, and replaced by it.

All in here waits while it works (a start takes less than a second): where something else in the test has to go on, call
it with `asyncio.to_thread`. There is no OpenSSL in these binaries.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ports import free_port
from postgres_binaries import PATIENCE, Installation, clean, installation

PASSWORD: Final = "acceptance password"
#: fsync is on, and with it all that a crash needs: that is what is tested. The rest is for a quick start and for
#: leaving nothing behind: shared memory in files below the data folder goes with them, also after a SIGKILL.
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%a ",
}
_HBA: Final = "host all all 127.0.0.1/32 scram-sha-256\nhost replication all 127.0.0.1/32 scram-sha-256\n"


@dataclass
class Server:
    """One server: its data stays over stop, kill and start, at the same port."""

    installation: Installation
    name: str
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    #: Of `postgres`, who may do everything.
    password: str = PASSWORD

    @property
    def data(self) -> Path:
        return self.installation.folder / self.name

    @property
    def url(self) -> str:
        """As its superuser, whose name is `postgres`, to the database of that name."""
        return f"postgresql://postgres:{quote(self.password)}@127.0.0.1:{self.port}/postgres"

    @property
    def log(self) -> str:
        """What it said, from its first start on."""
        return self.data.with_suffix(".log").read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Until it takes connections; a standby that is none yet: as soon as it can be read from."""
        assert self.process is None
        self._configure()
        with self.data.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                self.installation.command("postgres", "-D", str(self.data)), env=clean({}),
                cwd=self.installation.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.installation.user,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while not self._ready(self.process.pid):
            if self.process.poll() is not None:
                self.process = None
                raise AssertionError(f"PostgreSQL ended at its start: {self.log[-2000:]}")
            assert time.monotonic() < deadline, f"PostgreSQL did not start: {self.log[-2000:]}"
            time.sleep(0.01)

    def stop(self) -> None:
        """As an operator does it (fast): connections are ended, what is committed is on the disk."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL for all of it at once, as the kernel would when there is no memory left."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)  # whoever forks no more has no children that are not seen
        children = _children(self.process.pid)
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._end(signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while children & _parents().keys():  # a new server would not start beside them
            assert time.monotonic() < deadline, children
            time.sleep(0.005)

    def pause(self) -> None:
        """It answers nobody any more, and its connections stay: a machine that hangs."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def set(self, **settings: str) -> None:
        """Other settings: at once where it runs, as far as they need no restart; for connections made after it."""
        self.settings |= settings
        self._configure()
        if self.process is not None:
            said = self.log.count("reloading configuration files")
            self.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + PATIENCE
            while self.log.count("reloading configuration files") == said:
                assert time.monotonic() < deadline, self.log[-2000:]
                time.sleep(0.01)

    @contextmanager
    def standby(self, name: str = "standby") -> Iterator[Server]:
        """A copy that follows, and without which no commit here is acknowledged from now on. This one is started anew
        for it: from a reload on a commit might still get by without, for a moment."""
        self.stop()
        self.settings["synchronous_standby_names"] = f'"{name}"'
        self.start()
        copy = Server(self.installation, name, free_port())
        source = f"host=127.0.0.1 port={self.port} user=postgres application_name={name}"
        self.installation.run(
            "pg_basebackup", "-D", str(copy.data), "-d", source, "-X", "stream", "-R", "-c", "fast", "--no-sync",
            PGPASSWORD=self.password,
        )  # fmt: skip
        with copy.running():
            yield copy

    def promote(self) -> None:
        """A standby becomes a primary, which waits for nobody."""
        self.installation.run("pg_ctl", "promote", "-D", str(self.data), "-t", str(int(PATIENCE)))

    @contextmanager
    def running(self) -> Iterator[Server]:
        """Started, and at the end nothing of it runs, whatever became of it."""
        try:
            self.start()
            yield self
        finally:
            self._clear_away()

    def _configure(self) -> None:
        settings = _SETTINGS | {"port": str(self.port)} | self.settings
        text = "".join(f"{name} = '{value.replace(chr(39), 2 * chr(39))}'\n" for name, value in settings.items())
        self.installation.write(self.data / "postgresql.conf", text)
        self.installation.write(self.data / "pg_hba.conf", _HBA)

    def _lines(self) -> Sequence[str]:
        """What the server writes down about itself: its pid first, its shared memory in line 7, its state in line 8."""
        try:
            return (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return ()

    def _ready(self, pid: int) -> bool:
        lines = self._lines()
        return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"

    def _signal_all(self, what: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(what)
        for pid in _children(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, what)

    def _end(self, how: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(PATIENCE)
        self.process = None

    def _clear_away(self) -> None:
        if self.process is not None:
            self.kill()
        # A killed one leaves the few bytes of System V memory that keep two servers off one folder.
        lines = self._lines()
        if len(lines) > 6 and (ipcrm := shutil.which("ipcrm")) is not None:
            subprocess.run([ipcrm, "-m", lines[6].split()[1]], capture_output=True, check=False)


@contextmanager
def postgres_server(within: Path | None = None, /, **settings: str) -> Iterator[Server]:
    """A server with a new, empty data folder, in this folder if one is given; raises `NoPostgres` where there can be
    none."""
    with ExitStack() as stack:
        server = Server(stack.enter_context(installation(within)), "primary", free_port(), dict(settings))
        password = server.installation.folder / "password"
        server.installation.write(password, PASSWORD)
        server.installation.run(
            "initdb", "-D", str(server.data), "-U", "postgres", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
        )  # fmt: skip
        yield stack.enter_context(server.running())


def _children(pid: int) -> set[int]:
    """Of a server: they are in no process group of its own, and have no children."""
    return {child for child, parent in _parents().items() if parent == pid}


def _parents() -> dict[int, int]:
    """Who started whom, of all processes that have not ended."""
    if Path("/proc/self/stat").exists():
        found = {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                state, parent = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
                if state not in ("Z", "X"):
                    found[int(stat.parent.name)] = int(parent)
        return found
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in listed.splitlines()]
    return {int(pid): int(parent) for pid, parent, state in lines if not state.startswith("Z")}
