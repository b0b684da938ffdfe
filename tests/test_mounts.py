"""Which file systems count as another machine's."""

from __future__ import annotations

from pathlib import Path

import pytest

from router import mounts
from router.config import load
from router.mounts import Mount, remote_mount

#: As /proc/self/mountinfo has it on a server.
LOCAL = r"""
21 28 0:19 / /sys rw,nosuid shared:7 - sysfs sysfs rw
28 1 253:0 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro
45 28 0:40 / /mnt/nas rw,relatime shared:20 - nfs4 10.0.0.2:/export rw,vers=4.2,addr=10.0.0.2
46 45 253:16 / /mnt/nas/local rw,relatime - xfs /dev/vdb rw
47 28 0:41 / /mnt/my\040share rw,relatime - cifs //nas/calls rw,vers=3.1.1
48 28 0:42 / /srv/sshfs rw,nosuid - fuse.sshfs it@nas:/ rw,user_id=0
49 28 0:43 / /data rw,relatime - overlay overlay rw,lowerdir=/a:/b,upperdir=/mnt/nas/upper,workdir=/mnt/nas/work
50 28 0:44 / /fine rw,relatime - overlay overlay rw,lowerdir=/mnt/nas/a,upperdir=/var/upper,workdir=/var/work
51 28 0:45 / /twice rw - nfs old:/ rw
52 51 253:32 / /twice rw - ext4 /dev/vdc rw
53 28 0:46 / /guest rw shared:1 master:2 - 9p hostshare rw,trans=virtio
broken line
"""


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    file = tmp_path / "mountinfo"
    file.write_text(LOCAL, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/aftercall", None),
        ("/mnt/nas", "nfs4"),
        ("/mnt/nas/not/there/yet", "nfs4"),
        ("/mnt/nasty", None),
        ("/mnt/nas/local/data", None),
        ("/mnt/my share/data", "cifs"),
        ("/srv/sshfs/data", "fuse.sshfs"),
        ("/data/aftercall", "nfs4"),
        ("/fine/aftercall", None),
        ("/twice/data", None),
        ("/guest/data", "9p"),
    ],
)
@pytest.mark.case("DUR-13")
def test_dur_13_the_deepest_mount_that_has_the_path_decides(mounted: Path, path: str, kind: str | None) -> None:
    found = remote_mount(Path(path), mounted)
    assert (found.kind if found else None) == kind


def test_links_are_followed(mounted: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/mnt/nas")
    assert remote_mount(tmp_path / "link" / "data", mounted) == Mount(Path("/mnt/nas"), "nfs4")


def test_where_nothing_is_known_nothing_is_said(tmp_path: Path) -> None:
    assert remote_mount(tmp_path, tmp_path / "none") is None
    assert remote_mount(tmp_path) is None, "this machine's own"


@pytest.mark.parametrize(("text", "where"), [("", "2:"), ("store: sqlite:////mnt/nas/a.db\n", "store")])
@pytest.mark.case("DUR-13")
def test_dur_13_check_and_start_warn_of_it(
    mounted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, where: str
) -> None:
    """Both show what is in `warnings`."""
    monkeypatch.setattr(mounts, "MOUNTS", mounted)
    (tmp_path / "routes.yaml").write_text(f"sources: {{s: {{}}}}\n{text or 'data: /mnt/nas/data'}\n", encoding="utf-8")
    (warning,) = load(tmp_path / "routes.yaml", {}).warnings
    assert where in str(warning)
    assert "on a network file system (nfs4 at /mnt/nas): its write-ahead log needs memory and locks" in str(warning)
