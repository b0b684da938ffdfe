"""Interim answers (HTTP 1xx), bounded: aiohttp passes over any number of them, as long as an attempt may take.

Each is parsed on the loop, so a far side that sends nothing else would take everybody's time.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError
from typing_extensions import override

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.http import RawResponseMessage

#: Real servers send one or two.
MOST: Final = 1000
_LAST: Final = 199
_SWITCHING: Final = 101


class BoundedConnector(aiohttp.TCPConnector):
    """Connects, and reads so many interim answers before an answer; then the connection is closed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._factory = cast("partial[ResponseHandler]", partial(_Handler, loop=self._loop))


class _Handler(ResponseHandler):
    _passed = 0

    @override
    def feed_data(self, data: tuple[RawResponseMessage, StreamReader], size: int = 0) -> None:
        """An answer has come."""
        code = data[0].code
        self._passed = self._passed + 1 if code <= _LAST and code != _SWITCHING else 0
        if self._passed <= MOST:
            super().feed_data(data, size)
        elif self.exception() is None:
            self.set_exception(HttpProcessingError())
            if self.transport is not None:
                self.transport.close()
