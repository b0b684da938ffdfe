"""The hooks. They are called once, at start-up; they are synchronous and return classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pluggy

from router.about import NAME
from router.sink import SinkConfig

_spec = pluggy.HookspecMarker(NAME)

#: Marks a hook's implementation in a plugin.
hookimpl: Final = pluggy.HookimplMarker(NAME)


@_spec
def register_sinks() -> Iterable[type[SinkConfig]]:  # type: ignore[empty-body]
    """Return the configuration classes of the sink kinds that this plugin adds."""
