"""The one name that everything shares, and the version."""

from importlib import metadata
from typing import Final

#: Distribution, command, entry-point group, pluggy project, User-Agent; in capitals the environment prefix.
NAME: Final = "aftercall"


def version() -> str:
    """The installed distribution's version."""
    return metadata.version(NAME)
