"""The stretch of network in front of a PostgreSQL: what breaks off there, and that TLS is real."""

from __future__ import annotations

import asyncio
import re
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
import trustme
from yarl import URL

from databases import rows
from pgproxy import Cut, PgProxy

GUIDE = (Path(__file__).parents[1] / "docs" / "deploy.md").read_text(encoding="utf-8")


def through(url: str, proxy: PgProxy) -> str:
    """The same database, by way of the proxy."""
    return str(URL(url).with_host("localhost").with_port(proxy.port))


def upstream(url: str) -> int:
    port = URL(url).port
    assert port is not None
    return port


async def kept(database: str) -> list[tuple[int]]:
    return await rows(database, "SELECT number FROM kept")


async def test_what_nobody_cuts_goes_through(database: str) -> None:
    async with PgProxy(upstream(database)).listening() as proxy:
        await rows(through(database, proxy), "CREATE TABLE kept AS SELECT 1 AS number")
        assert await kept(through(database, proxy)) == [(1,)]
    assert proxy.cuts == {}


@pytest.mark.parametrize("where", Cut)
async def test_a_commit_that_breaks_off_is_there_or_not_and_its_client_never_knows(where: Cut, database: str) -> None:
    await rows(database, "CREATE TABLE kept (number int)")
    async with PgProxy(upstream(database), cutting=lambda: where).listening() as proxy:
        connection = await asyncpg.connect(through(database, proxy))
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO kept VALUES (1)")
        with pytest.raises((OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)):
            await connection.execute("COMMIT")
        assert connection.is_closed()
        assert proxy.cuts == {where: 1}
        async with asyncio.timeout(20):
            while where is Cut.HEARD and not await kept(database):
                await asyncio.sleep(0.01)
        assert await kept(database) == ([] if where is Cut.ASKED else [(1,)])


async def test_connections_break_while_it_is_away_and_it_comes_back_at_the_same_place(database: str) -> None:
    async with PgProxy(upstream(database)).listening() as proxy:
        connection = await asyncpg.connect(through(database, proxy))
        await proxy.go_away()
        with pytest.raises((OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)):
            await connection.fetchval("SELECT 1")
        with pytest.raises(OSError, match=r"refused|Connect call failed|Multiple exceptions"):
            await asyncpg.connect(through(database, proxy))
        await proxy.come_back()
        assert await rows(through(database, proxy), "SELECT 1") == [(1,)]


async def test_tls_is_asked_for_and_the_certificate_looked_at(database: str, tmp_path: Path) -> None:
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    async with PgProxy(upstream(database), tls=context).listening() as proxy:
        url = through(database, proxy)
        assert await rows(f"{url}?sslmode=verify-full&sslrootcert={tmp_path}/ca.pem", "SELECT 1") == [(1,)]
        with pytest.raises(ssl.SSLCertVerificationError):
            await rows(f"{url}?sslmode=verify-full&sslrootcert={tmp_path}/other.pem", "SELECT 1")
        with pytest.raises((OSError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError)):
            await rows(f"{url}?sslmode=disable", "SELECT 1")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """The folder in which the guide's command was run."""
    (command,) = re.findall(r"^openssl req .*?server\.crt$", GUIDE, re.MULTILINE | re.DOTALL)
    (tmp_path / "secrets").mkdir()
    done = subprocess.run(["sh", "-ec", command], cwd=tmp_path, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"no openssl here that understands the guide: {done.stderr[-200:]!r}")
    return tmp_path / "secrets"


async def test_the_certificate_that_the_guide_makes_is_believed_under_its_name_alone(made: Path) -> None:
    """By Python's strictest rules, which are the default from 3.13 on."""
    certificate = made / "server.crt"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, made / "server.key")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    client = ssl.create_default_context(cafile=certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    async with server:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="postgres")
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname="another")
