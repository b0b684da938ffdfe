"""The way to PostgreSQL is made safe: the server's certificate is looked at, and the password comes from a file."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from databases import own_server
from pgproxy import PgProxy
from postgres_server import PASSWORD
from scene import scene


def named(port: int, folder: Path, authority: str, host: str = "localhost") -> str:
    """The lines of routes.yaml; the password and the certificates lie in this folder."""
    query = f"sslmode=verify-full&sslrootcert={folder / authority}"
    return (
        f'store: postgresql://postgres@{host}:{port}/postgres?{query}\nstore_password: "${{file:{folder}/password}}"\n'
    )


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    """Of a server called localhost; beside it lie who vouches for it (ca.pem), and somebody else (other.pem)."""
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "password").touch(0o640)
    (tmp_path / "password").write_text(f"{PASSWORD}\n", encoding="utf-8")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


async def test_a_router_speaks_to_the_server_that_its_certificate_names_and_to_no_other(
    context: ssl.SSLContext, tmp_path: Path
) -> None:
    with own_server() as server:
        async with PgProxy(server.port, tls=context).listening() as proxy:
            async with scene(tmp_path, store=named(proxy.port, tmp_path, "ca.pem")) as played:
                await played.start()
                await played.a_new_call_arrives("safely")
                await played.all_is_well()
                assert "not_kept" not in (tmp_path / "log").read_text(encoding="utf-8"), (
                    "what a router keeps for itself"
                )
            for host, authority in (("localhost", "other.pem"), ("127.0.0.1", "ca.pem")):
                async with scene(tmp_path, store=named(proxy.port, tmp_path, authority, host)) as played:
                    process = await played.router.launch()
                    assert await process.wait() == 1
                    last = (tmp_path / "log").read_text(encoding="utf-8").splitlines()[-1]
                    assert "look at sslmode and sslrootcert" in last
                    assert PASSWORD not in (tmp_path / "log").read_text(encoding="utf-8")
