"""Pictures of web pages, by a headless Chromium that is spoken to in its DevTools protocol. `make pictures` uses it."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import aiohttp

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_SECONDS: Final = 120.0
#: Pixels of the picture for one of the page.
_SCALE: Final = 1.5


class NoBrowserError(Exception):
    """There is no Chromium on this machine; on Debian: apt install chromium."""


class Page:
    """One tab."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._connection = connection
        self._session = session
        self._numbers = itertools.count(10)

    async def picture(self, html: str, *, width: int, scheme: Literal["light", "dark"] = "light") -> bytes:
        """The page as a PNG: as wide as that, and as high as it is."""
        await self._ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        await self._resize(width, 10)
        frame = (await self._ask("Page.getFrameTree"))["frameTree"]["frame"]["id"]
        await self._ask("Page.setDocumentContent", frameId=frame, html=html)
        await self._ask(
            "Runtime.evaluate",
            expression="document.fonts.ready.then(() => null)",
            awaitPromise=True,
            returnByValue=True,
        )
        size = (await self._ask("Page.getLayoutMetrics"))["cssContentSize"]
        if size["width"] > width:
            message = f"the page is {size['width']} pixels wide, which is more than {width}"
            raise ValueError(message)
        await self._resize(width, 2 * math.ceil(size["height"] / 2))  # 1.5 times that is whole, too
        return base64.b64decode((await self._ask("Page.captureScreenshot", format="png"))["data"])

    async def _resize(self, width: int, height: int) -> None:
        await self._ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=_SCALE, mobile=False
        )

    async def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        return await _asked(self._connection, next(self._numbers), method, params, self._session)


@asynccontextmanager
async def browser() -> AsyncIterator[Page]:
    """A tab of a Chromium of its own, in a profile of its own. Raises `NoBrowserError` where there is none."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise NoBrowserError(NoBrowserError.__doc__)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
            "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with (
                asyncio.timeout(_SECONDS),
                aiohttp.ClientSession() as client,
                client.ws_connect(await _address(process), max_msg_size=0) as connection,
            ):
                tab = await _asked(connection, 1, "Target.createTarget", {"url": "about:blank"})
                attached = {"targetId": tab["targetId"], "flatten": True}
                session = await _asked(connection, 2, "Target.attachToTarget", attached)
                yield Page(connection, session["sessionId"])
        finally:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    """What it says itself, among other things."""
    assert process.stderr is not None  # noqa: S101 - it is a pipe
    async for line in process.stderr:
        if found := re.search(r"DevTools listening on (ws://\S+)", line.decode(errors="replace")):
            return found[1]
    message = "Chromium did not start"
    raise NoBrowserError(message)


async def _asked(
    connection: aiohttp.ClientWebSocketResponse, number: int, method: str, params: dict[str, Any], session: str = ""
) -> dict[str, Any]:
    command = {"id": number, "method": method, "params": params} | ({"sessionId": session} if session else {})
    await connection.send_json(command)
    async for message in connection:
        said = json.loads(message.data)
        if said.get("id") == number:
            if "error" in said:
                raise RuntimeError(f"{method}: {said['error']['message']}")
            result: dict[str, Any] = said["result"]
            return result
    raise NoBrowserError("Chromium has gone")
