"""Which file systems lie on other machines: what the store's log needs, they do not keep."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: What Linux has mounted, for this process. Elsewhere nothing is known.
MOUNTS: Final = Path("/proc/self/mountinfo")

#: By the names that the kernel has for them; of FUSE, what stands behind `fuse.`.
_REMOTE: Final = frozenset(
    {
        "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
        "orangefs", "prl_fs", "pvfs2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
        "fuse.curlftpfs", "fuse.davfs", "fuse.davfs2", "fuse.gcsfuse", "fuse.glusterfs", "fuse.goofys", "fuse.grpcfuse",
        "fuse.httpfs", "fuse.juicefs", "fuse.osxfs", "fuse.rclone", "fuse.s3fs", "fuse.seaweedfs", "fuse.sshfs",
        "fuse.vmhgfs-fuse",
    }
)  # fmt: skip
#: How mountinfo writes blanks in a path.
_OCTAL: Final = re.compile(r"\\([0-7]{3})")
_UPPER: Final = re.compile(r"(?:^|,)upperdir=([^,]+)")


@dataclass(frozen=True, slots=True)
class Mount:
    """One file system, and where it is mounted. `upper`: of an overlay, the folder that is written."""

    at: Path
    kind: str
    upper: Path | None = None

    @property
    def remote(self) -> bool:
        """Whether it lies on another machine."""
        return self.kind in _REMOTE


def remote_mount(path: Path, mounts: Path | None = None) -> Mount | None:
    """The file system of another machine that this path is on, or will be once it is made; None: none, or not known."""
    try:
        known = list(_parsed((mounts or MOUNTS).read_text(encoding="utf-8", errors="replace")))
        path = path.resolve()
    except (OSError, RuntimeError):  # no Linux; a loop of links
        return None
    for _ in known:  # an overlay may lie on an overlay
        found = _holding(path, known)
        if found is None or found.remote or found.upper is None:
            return found if found is not None and found.remote else None
        path = found.upper
    return None


def _holding(path: Path, mounts: list[Mount]) -> Mount | None:
    """The mount that has this path: the deepest, and of several at one place the last."""
    holding = [mount for mount in mounts if path.is_relative_to(mount.at)]
    return max(enumerate(holding), key=lambda one: (len(one[1].at.parts), one[0]))[1] if holding else None


def _parsed(text: str) -> Iterator[Mount]:
    """Lines like `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`."""
    for line in text.splitlines():
        where, _, what = line.partition(" - ")
        fields, described = where.split(" "), what.split(" ")
        if len(fields) > 4 and described[0]:  # noqa: PLR2004 - the fifth is where it is mounted
            upper = _UPPER.search(described[-1]) if described[0] == "overlay" else None
            yield Mount(Path(_plain(fields[4])), described[0], Path(_plain(upper[1])) if upper else None)


def _plain(written: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), written)
