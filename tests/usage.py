"""A router that has been used: what there is to back up, or to move."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.app import running
from support import body, until_awaited

if TYPE_CHECKING:
    from router.config import Config


async def use(config: Config) -> None:
    """Let a router take two calls, one of which its sink `one` is still owed, and a body that nobody can read, and stop."""
    async with running(config) as router:
        await router.inbox.accept("s", body("first"))

        async def delivered() -> bool:
            return (await router.store.summary()).deliveries["delivered"] == 1

        await until_awaited(delivered)
        await router.lanes["one"].gate.pause()
        await router.inbox.accept("s", body("second"))
        await router.inbox.accept("s", b"{")
