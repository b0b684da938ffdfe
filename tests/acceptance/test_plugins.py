"""A plugin from an entry point and one from a local file both deliver, in a real router."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import aiohttp

from process import Receiver, RouterProcess, Sender

ROOT = Path(__file__).parents[2]


def documented(name: str) -> str:
    """The module of this name that docs/plugins.md shows, whole."""
    text = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    found = re.search(rf"```python\n(# {name}\n.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


def documented_plugin(kind: str) -> str:
    """The sink that is shown first, under another kind."""
    return documented("bell.py").replace('Literal["bell"]', f'Literal["{kind}"]')


def test_the_documented_sink_for_messages_passes_its_documented_tests(tmp_path: Path) -> None:
    for name in ("board.py", "test_board.py"):
        (tmp_path / name).write_text(documented(name), encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    run = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_board.py"]
    tested = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100)
    assert tested.returncode == 0, tested.stdout + tested.stderr


async def test_a_plugin_from_an_entry_point_and_one_from_a_file_both_deliver(tmp_path: Path) -> None:
    installed = tmp_path / "site"
    metadata = installed / "aftercall_bell-1.0.dist-info"
    metadata.mkdir(parents=True)
    (installed / "aftercall_bell.py").write_text(documented_plugin("installed"), encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: aftercall-bell\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[aftercall]\nbell = aftercall_bell\n")
    (tmp_path / "bell.py").write_text(documented_plugin("local"), encoding="utf-8")
    router = RouterProcess(tmp_path, environ={"PYTHONPATH": str(installed)})
    sender = Sender(router.url)
    async with Receiver(reads_calls=False).listening() as one, Receiver(reads_calls=False).listening() as two:
        where = "allow_networks: [127.0.0.0/8]"
        router.configure(
            f"plugins: [bell.py]\nsinks:\n"
            f'  a: {{kind: installed, url: "http://127.0.0.1:{one.port}/", {where}}}\n'
            f'  b: {{kind: local, url: "http://127.0.0.1:{two.port}/", {where}}}\n'
            "always: [a, b]\n"
        )
        async with router.running():
            async with aiohttp.ClientSession() as client:
                await sender.post(client)
            summary = await router.settled()
    assert summary["deliveries"]["delivered"] == 2
    assert one.bodies == two.bodies == [b"a call"]
