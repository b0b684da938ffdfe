"""Two routers on one PostgreSQL, by Compose: held against the schema of Compose and against what it must have.

There is no Docker engine here: Caddy's part runs in `acceptance/test_behind_caddy.py`, what makes the database in here.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import subprocess
from itertools import chain
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import yaml

from databases import own_server, rows
from router.config import load

DEPLOY = Path(__file__).parents[1] / "deploy"
HERE = DEPLOY / "postgres"
CHECK = DEPLOY.parent / ".make" / "deploy" / "bin" / "check-jsonschema"
FILE = yaml.safe_load((HERE / "compose.yaml").read_text(encoding="utf-8"))
ROUTES = yaml.safe_load((HERE / "config" / "routes.yaml").read_text(encoding="utf-8"))


def service(name: str) -> tuple[dict[str, Any], Path]:
    """A service with all that it takes over from another file, as Compose puts the two together; and that file's folder."""
    own: dict[str, Any] = dict(FILE["services"][name])
    if (extended := own.pop("extends", None)) is None:
        return own, HERE
    base = HERE / extended["file"]
    whole: dict[str, Any] = dict(yaml.safe_load(base.read_text(encoding="utf-8"))["services"][extended["service"]])
    for key, value in own.items():
        if key == "volumes":  # one for each place in the container
            whole[key] = list({volume.split(":")[1]: volume for volume in chain(whole.get(key, ()), value)}.values())
        elif isinstance(value, list):
            whole[key] = list(dict.fromkeys(chain(whole.get(key, ()), value)))
        elif isinstance(value, dict):
            whole[key] = whole.get(key, {}) | value
        else:
            whole[key] = value
    return whole, base.parent


def secret(name: str) -> str:
    """What `openssl rand -hex 24` could have written."""
    return hashlib.sha256(name.encode()).hexdigest()[:48]


@pytest.mark.parametrize("file", ["compose.yaml", "postgres/compose.yaml"])
def test_compose_understands_every_key(file: str, tmp_path: Path) -> None:
    if not CHECK.exists():
        pytest.skip("the schema of Compose is not set up; `make chart` does that and runs these")
    text = (DEPLOY / file).read_text(encoding="utf-8")
    (tmp_path / "wrong.yaml").write_text(text.replace("read_only:", "readonly:"), encoding="utf-8")
    for path, good in ((DEPLOY / file, True), (tmp_path / "wrong.yaml", False)):
        done = subprocess.run(
            [CHECK, "--builtin-schema", "vendor.compose-spec", path], capture_output=True, text=True, check=False
        )
        assert (done.returncode == 0) is good, done.stdout
        assert good or "readonly" in done.stdout


@pytest.mark.parametrize("name", FILE["services"])
def test_a_service_can_do_little_else(name: str) -> None:
    whole, _ = service(name)
    assert whole["read_only"] is True
    assert whole["cap_drop"] == ["ALL"]
    assert whole["security_opt"] == ["no-new-privileges:true"]
    assert whole["restart"] == "unless-stopped"
    assert whole["logging"]["options"].keys() == {"max-size", "max-file"}
    assert whole["mem_limit"]
    assert whole["pids_limit"]


@pytest.mark.parametrize("name", FILE["services"])
def test_all_that_a_service_names_is_there(name: str) -> None:
    whole, base = service(name)
    assert set(whole["networks"]) <= FILE["networks"].keys()
    assert set(whole.get("secrets", ())) <= FILE["secrets"].keys()
    assert set(whole.get("depends_on", ())) <= FILE["services"].keys()
    own = FILE["services"][name].get("volumes", ())
    for volume in whole["volumes"]:
        source = volume.split(":")[0]
        place = (HERE if volume in own else base) / source
        assert place.exists() if source.startswith(".") else source in FILE["volumes"]
    asked = set(re.findall(r"/run/secrets/([\w.-]+)", str(whole) + (str(ROUTES) if name.startswith("router") else "")))
    assert asked <= set(whole.get("secrets", ()))


def test_two_routers_differ_in_name_and_folder_alone() -> None:
    one, two = service("router-1")[0], service("router-2")[0]
    assert (one.pop("hostname"), two.pop("hostname")) == ("router-1", "router-2")
    assert (one["volumes"].pop(0), two["volumes"].pop(0)) == ("router-1:/data", "router-2:/data")
    assert one == two


def test_only_caddy_can_be_reached_and_knows_both_routers() -> None:
    published = {name for name in FILE["services"] if "ports" in service(name)[0]}
    assert published == {"caddy"}
    caddy, _ = service("caddy")
    port = ROUTES["server"]["listen"].partition(":")[2]
    assert caddy["environment"]["AFTERCALL_UPSTREAM"].split() == [f"router-1:{port}", f"router-2:{port}"]
    assert caddy["environment"]["AFTERCALL_HEALTH"] == "/readyz"
    assert FILE["networks"]["proxied"]["internal"] is True
    (network,) = FILE["networks"]["proxied"]["ipam"]["config"]
    assert ROUTES["server"]["trusted_proxies"] == [network["subnet"]]


def test_the_database_is_reached_by_the_routers_alone_under_the_name_in_its_certificate() -> None:
    assert FILE["networks"]["store"] == {"internal": True}
    assert {name for name in FILE["services"] if "store" in service(name)[0]["networks"]} == {
        "router-1", "router-2", "postgres",
    }  # fmt: skip
    database, _ = service("postgres")
    assert database["networks"] == ["store"]
    assert ROUTES["store"] == (
        "postgresql://aftercall@postgres/aftercall?sslmode=verify-full&sslrootcert=/run/secrets/server.crt"
    )
    assert "--ssl=on" in database["command"]


def test_the_configuration_of_the_routers_is_good(tmp_path: Path) -> None:
    for name in FILE["secrets"]:
        (tmp_path / name).touch(0o640)
        (tmp_path / name).write_text(f"{secret(name)}\n", encoding="utf-8")
    file = tmp_path / "routes.yaml"
    text = (HERE / "config" / "routes.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("/run/secrets/", f"{tmp_path}/"), encoding="utf-8")
    config = load(file, {"AFTERCALL_HOST": "calls.example.com"})
    assert config.warnings == ()
    assert config.postgres is not None
    assert str(config.postgres) == "postgresql://aftercall@postgres/aftercall"
    assert config.postgres.password == secret("store")
    assert config.server.public_url == "https://calls.example.com"
    token = config.sources["sipgate"].token
    assert token is not None
    assert token.get_secret_value() == secret("sipgate")
    assert {"router-1:/data", "./config:/etc/aftercall:ro"} <= set(service("router-1")[0]["volumes"])
    assert str(config.data) == "/data"
    assert config.admin.listen.loopback
    assert not config.server.listen.loopback


async def test_the_routers_user_has_its_database_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("it's \\ a password\n", encoding="utf-8")
    with own_server() as server:
        environ = {
            "PATH": f"{server.installation.binaries}:/usr/bin:/bin",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGPASSWORD": server.password,
            "STORE_PASSWORD_FILE": str(tmp_path / "store"),
        }
        made = await asyncio.create_subprocess_exec(HERE / "role.sh", env=environ)
        assert await made.wait() == 0
        connection = await asyncpg.connect(
            host="127.0.0.1", port=server.port, user="aftercall", database="aftercall", password="it's \\ a password"
        )
        try:
            await connection.execute("CREATE TABLE calls (number int)")
            for refused in ("CREATE DATABASE another", "CREATE ROLE another", "COPY calls FROM PROGRAM 'true'"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(refused)
        finally:
            await connection.close()
        assert await rows(server.url, "SELECT rolsuper FROM pg_roles WHERE rolname = 'aftercall'") == [(False,)]
