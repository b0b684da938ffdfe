"""Backups of a real router while calls come in: each one whole, and the router none the worse for it."""

from __future__ import annotations

import signal
from pathlib import Path

from process import Receiver, RouterProcess, Sender
from support import unpack


async def test_a_backup_under_load_has_every_call_that_was_promised_before_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    async with Receiver().listening() as receiver:
        router = RouterProcess(old)
        router.configure(f"sinks: {{far: {receiver.sink}}}\nalways: far\n")
        sender = Sender(router.url)
        async with router.running(), sender.under_load(4):
            for number in range(3):
                promised = set(sender.promised)
                assert "and verified it" in await router.backup(tmp_path / f"{number}.tar")
            assert sender.promised > promised
            assert await router.stop() == 0

        restored = RouterProcess(new)
        restored.configure(f"sinks: {{far: {receiver.sink}}}\nalways: far\n")
        (new / "data").mkdir(mode=0o700)
        unpack(tmp_path / "2.tar", new / "data")
        async with restored.running():
            await restored.settled()
            summary = await restored.summary()
            assert summary["events"] >= len(promised)
            assert summary["deliveries"]["delivered"] == summary["events"]
            assert await restored.stop(signal.SIGTERM) == 0
