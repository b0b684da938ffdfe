"""For all tests: no time limit of hypothesis' own, which only finds out how busy the machine is; and what several share."""

from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import settings

import databases
from extent import SEED
from store_engines import Databases

settings.register_profile("aftercall", deadline=None)
settings.load_profile("aftercall")


@pytest.fixture
def no_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading those of the system takes longer than most tests of mail."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL that all tests share."""
    with databases.shared_server() as url:
        yield url


@pytest.fixture(scope="session")
def databases_of_stores(postgres: str) -> Iterator[Databases]:
    """Databases there with the tables of a store, and nothing in them."""
    made = Databases(postgres)
    yield made
    made.remove()


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[str]:
    """The URL of an empty database there, for this test alone."""
    async with databases.fresh_database(postgres) as url:
        yield url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """With -q, too: what a failure of a test with dice is seen again by (`extent` says what of it is), and the server."""
    terminalreporter.write_line(f"AFTERCALL_SEED={SEED}")
    terminalreporter.write_line(f"PostgreSQL: {databases.described()}")
