"""What every sink has that speaks HTTP: which networks it may reach, whom it believes, and the client for that."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime
from pathlib import Path

from router.errors import Unavailable
from router.pem import check_ca_file
from router.scalars import FilePath
from router.sink import HttpAnswer, HttpClient, SinkConfig, SinkContext
from router.targets import Networks


class HttpSinkConfig(SinkConfig):
    """A sink whose far side is an HTTP server. It stands behind `MessageSinkConfig` where a sink is both."""

    allow_networks: Networks = ()
    """Networks that may be reached besides public addresses, like 10.1.0.0/16."""
    ca_file: FilePath | None = None
    """A certificate authority of your own (PEM), besides those of the system."""

    def check(self, folder: Path) -> datetime | None:
        """The authority. See `SinkConfig.check`."""
        if self.ca_file is not None:
            check_ca_file(folder / self.ca_file)
        return super().check(folder)

    def files(self) -> tuple[Path, ...]:
        """The authority. See `SinkConfig.files`."""
        return (*super().files(), *((self.ca_file,) if self.ca_file is not None else ()))

    def client(self, context: SinkContext) -> AbstractAsyncContextManager[HttpClient]:
        """A client of this sink's own, with a connection for each attempt that may run at the same time."""
        ca_file = self.ca_file and context.folder / self.ca_file
        return context.http(allow_networks=self.allow_networks, ca_file=ca_file, connections=self.concurrency)


def unconfirmed(host: str, answer: HttpAnswer, key: str = "url") -> Unavailable:
    """What a 2xx is that the vendor would not give: something else answers there, like a proxy or a login page."""
    return Unavailable(
        f"{host} answered {answer.status}, but not that it has the message: check `{key}`", whole_lane=True
    )
