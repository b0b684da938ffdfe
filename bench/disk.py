"""The disk: how long it takes until something is safe on it, and how to make that longer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_SOURCE = Path(__file__).parent / "slow_disk.c"
_PROBE = """
import os, sys, time
from statistics import median
def safe():
    os.write(file, bytes(4096)); began = time.perf_counter(); os.fdatasync(file); return time.perf_counter() - began
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
print(median(safe() for _ in range(50)))
"""


def seconds_until_safe(folder: Path, environ: Mapping[str, str]) -> float:
    """The median of 50 times 4 KiB and `fdatasync`."""
    command = [sys.executable, "-c", _PROBE, str(folder / "probe")]
    done = subprocess.run(command, env={**os.environ, **environ}, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    return float(done.stdout)


def slowed_down(folder: Path, milliseconds: float) -> dict[str, str] | None:
    """What makes every fsync and fdatasync of a process that has it in its environment last longer.

    None, and a line that says why, where it cannot be made or does nothing.
    """
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        print("There is no C compiler here, so the disk is measured as it is.", file=sys.stderr)
        return None
    library = folder / "slow_disk.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own
    environ = {"LD_PRELOAD": str(library), "SLOW_DISK_US": f"{milliseconds * 1000:.0f}"}
    if done.returncode or seconds_until_safe(folder, environ) < milliseconds / 1000:
        print(f"The disk cannot be slowed down here, so it is measured as it is. {done.stderr}", file=sys.stderr)
        return None
    return environ
