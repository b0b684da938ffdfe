"""A whole router whose store is in PostgreSQL."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from router.app import running
from router.backup import back_up
from router.config import Config, load
from router.delivery import LaneState
from router.engines import is_new
from router.errors import AftercallError, ConfigError, StoreError
from router.housekeeping import RETAKE_EVERY
from router.reload import without_restart
from router.store.values import Accepted, Duplicate
from router.testing import ManualClock
from store_engines import Databases, place_of
from support import NOON, body, until, until_awaited

FILE = """\
name: {name}
server: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
store: {url}
store_password: "${{PASSWORD:-none}}"
sources: {{s: {{token: 5d0c1f8e7b6a49d2a3f4c5b6d7e8f901}}}}
sinks: {{one: {{kind: file, root: one}}}}
always: [one]
"""


@pytest.fixture
def url(databases_of_stores: Databases) -> Iterator[str]:
    with databases_of_stores.one() as made:
        yield made


def configured(folder: Path, url: str) -> Config:
    folder.mkdir(exist_ok=True)
    file = folder / "routes.yaml"
    file.write_text(FILE.format(url=place_of(url).url, name=folder.name), encoding="utf-8")
    return load(file, {"PASSWORD": unquote(urlsplit(url).password or "")})


async def test_what_comes_in_goes_out_and_is_there_after_a_restart(url: str, tmp_path: Path) -> None:
    config = configured(tmp_path / "a", url)
    async with running(config) as router:
        first = await router.inbox.accept("s", body("first"))

        async def delivered() -> bool:
            return (await router.store.summary()).deliveries["delivered"] == 1

        await until_awaited(delivered)
        assert await router.store.room() is None
    assert len(list((tmp_path / "a" / "one").rglob("*.json"))) == 1
    async with running(configured(tmp_path / "b", url)) as router:
        assert isinstance(first, Accepted)
        assert await router.inbox.accept("s", body("first")) == Duplicate(first.event_id)
        assert (await router.store.summary()).deliveries["created"] == 1


async def test_a_start_takes_nothing_from_a_router_that_runs(url: str, tmp_path: Path) -> None:
    async with running(configured(tmp_path / "a", url)) as router, running(configured(tmp_path / "b", url)) as other:
        assert not router.store.is_alone
        await router.inbox.accept("s", body("first"))

        async def delivered() -> bool:
            return (await other.store.summary()).deliveries["delivered"] == 1

        await until_awaited(delivered)
        (line,) = (await other.store.deliveries()).items
        assert line.lost == 0


async def test_what_an_operator_says_to_one_router_holds_for_the_other(url: str, tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    first, second = configured(tmp_path / "a", url), configured(tmp_path / "b", url)
    async with running(first, clock=clock) as router, running(second, clock=clock) as other:
        await router.lanes["one"].gate.pause()
        assert other.lanes["one"].row.state is LaneState.OPEN
        clock.advance(RETAKE_EVERY)
        await until(lambda: other.lanes["one"].row == router.lanes["one"].row)
        await other.inbox.accept("s", body("first"))
        assert (await router.store.summary()).deliveries["pending"] == 1
        await other.lanes["one"].gate.resume()
        await until(lambda: not other.lanes["one"].row.unproven)
        clock.advance(RETAKE_EVERY)
        await until(lambda: router.lanes["one"].row == other.lanes["one"].row)


async def test_what_one_router_has_no_room_for_goes_out_on_the_other(url: str, tmp_path: Path) -> None:
    clock = ManualClock(NOON)
    first, second = configured(tmp_path / "a", url), configured(tmp_path / "b", url)
    async with running(first, clock=clock, hold=True) as router, running(second, clock=clock) as other:
        await router.inbox.accept("s", body("first"))
        assert (await other.store.summary()).deliveries["pending"] == 1
        clock.advance(RETAKE_EVERY)

        async def delivered() -> bool:
            return (await other.store.summary()).deliveries["delivered"] == 1

        await until_awaited(delivered)


async def test_a_store_that_cannot_be_had_ends_the_start_with_a_reason(url: str, tmp_path: Path) -> None:
    config = configured(tmp_path, url)
    assert config.postgres is not None
    nowhere = replace(config, postgres=replace(config.postgres, url=config.postgres.url + "_not"))
    with pytest.raises(StoreError, match="CREATE DATABASE"):
        async with running(nowhere):
            pass


def test_without_its_client_the_configuration_is_refused(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(
        ConfigError, match=r"routes.yaml:4:8: store: needs a client .*`pip install 'aftercall\[postgres\]'"
    ):
        configured(tmp_path, url)


def test_it_is_backed_up_by_its_own_means(url: str, tmp_path: Path) -> None:
    config = configured(tmp_path, url)
    with pytest.raises(AftercallError, match="pg_dump"):
        back_up(config, tmp_path / "backup.tar")
    assert not (tmp_path / "backup.tar").exists()
    assert not is_new(config)


def test_another_store_takes_a_restart(url: str, tmp_path: Path) -> None:
    config = configured(tmp_path, url)
    other = replace(config, postgres=None)
    assert without_restart(config, other) == (config, ("store",))


async def test_a_router_makes_the_folder_for_what_it_keeps_beside_the_store(url: str, tmp_path: Path) -> None:
    config = configured(tmp_path / "a", url)
    async with running(config):
        assert config.data.stat().st_mode & 0o777 == 0o700
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "data").write_text("a file", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"data: .* cannot be made"):
        async with running(configured(tmp_path / "b", url)):
            pass
