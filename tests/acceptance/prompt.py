"""What has to be prompt: within five seconds, beside those in which it only waited for a processor.

So a machine that is busy with other things makes nothing late, and what waits, sleeps or works for too long is.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PROMPT: Final = 5.0


def waited(pid: int) -> float:
    """Seconds that a process was ready to run and others did; 0 where the system does not tell.

    Of its main thread: the others of a router and of the tests do little, and are waited for by it.
    """
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return 0.0


@dataclass
class Prompt:
    """Something that begins now, in a process that is started now, and is seen by this one."""

    began: float = field(default_factory=time.monotonic)
    _waited: float = field(default_factory=lambda: waited(os.getpid()))

    @classmethod
    def of(cls, pid: int) -> Prompt:
        """The same in a process that runs already."""
        return cls(_waited=waited(pid) + waited(os.getpid()))

    def check(self, what: str, pid: int) -> None:
        """It is done now, and was prompt."""
        took = time.monotonic() - self.began
        busy = waited(pid) + waited(os.getpid()) - self._waited
        assert took <= PROMPT + busy, (
            f"{what} after {took:.1f} s, of which {busy:.1f} s were spent waiting for a processor"
        )
