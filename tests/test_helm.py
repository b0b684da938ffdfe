"""The Helm chart of `deploy/`: rendered by Helm itself, held against Kubernetes' schemas and against what it must have.

No cluster takes part. Helm and the schemas have a virtual environment of their own, `.make/deploy`.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.app import GRACE
from router.config import load
from router.lanes import LAST_WORD

ROOT = Path(__file__).parents[1]
HELM = ROOT / "deploy" / "helm"
CHART = HELM / "aftercall"
PYTHON = ROOT / ".make" / "deploy" / "bin" / "python"
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
#: The oldest that the chart says it takes, one between, and the newest that there is a schema of.
VERSIONS = ["1.29", "1.33", "1.37"]

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="Helm is not set up; `make chart` does that and runs these")

NEEDED: dict[str, Any] = {"image": {"repository": "registry.example/aftercall"}, "routes": "sinks: {}\n"}
#: Every switch of the chart in its other position.
ALL_OF_IT: dict[str, Any] = {
    "image": {"repository": "registry.example/aftercall", "tag": "9.9.9", "pullPolicy": "Always", "pullSecrets": ["yes"]},
    "routes": 'always: ["{{ .Values.secret }}"]\n"quoted": \'both\'\n',
    "replicas": 5,
    "secret": "",
    "environment": ["slack", "1"],
    "service": {"type": "LoadBalancer", "port": 8080},
    "ingress": {
        "enabled": True, "className": "on", "host": "calls.example.com", "tlsSecret": "no", "annotations": {"a/b": "true"},
    },
    "resources": {"limits": {"memory": "2Gi"}},
    "data": {"sizeLimit": "5"},
    "extraVolumes": [{"name": "archive", "persistentVolumeClaim": {"claimName": "archive"}}],
    "extraVolumeMounts": [{"name": "archive", "mountPath": "/archive"}],
    "podAnnotations": {"c/d": "1"},
    "nodeSelector": {"disk": "1"},
    "tolerations": [{"key": "calls", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
}  # fmt: skip


def rendered(chart: Path = CHART, **values: Any) -> dict[str, Any]:
    """What `charts.py` says of the chart with these values beside the needed ones."""
    asked = json.dumps({"values": NEEDED | values, "versions": VERSIONS})
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("charts.py"), chart], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def objects(**values: Any) -> dict[str, dict[str, Any]]:
    """What the cluster is given, by kind."""
    said = rendered(**values)
    assert (said["failed"], said["refused"], said["lint"]) == (None, [], [])
    assert len({one["kind"] for one in said["objects"]}) == len(said["objects"])
    return {one["kind"]: one for one in said["objects"]}


@pytest.fixture(scope="module")
def plain() -> dict[str, dict[str, Any]]:
    return objects()


@pytest.fixture(scope="module")
def whole() -> dict[str, dict[str, Any]]:
    return objects(**ALL_OF_IT)


def pod_of(given: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The pods' description, and that of their container."""
    pod = given["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container


def test_kubernetes_takes_it_as_it_is_and_with_every_switch_thrown(plain: Any, whole: Any) -> None:
    assert plain.keys() == {"ConfigMap", "Deployment", "PodDisruptionBudget", "Service"}
    assert whole.keys() == plain.keys() | {"Ingress"}
    assert ALL_OF_IT.keys() == yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")).keys()


def test_what_kubernetes_would_not_take_is_seen_here(tmp_path: Path) -> None:
    for file in CHART.rglob("*"):
        if file.is_file():
            copy = tmp_path / "aftercall" / file.relative_to(CHART)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = file.read_text(encoding="utf-8").replace("readOnlyRootFilesystem:", "readOnlyRootFileSystem:")
            copy.write_text(text, encoding="utf-8")
    refused = rendered(tmp_path / "aftercall")["refused"]
    assert len(refused) == len(VERSIONS)
    assert all("readOnlyRootFileSystem" in why for why in refused)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"image": {"repository": ""}}, "image.repository: name the image"),
        ({"routes": ""}, "routes: the text of your routes.yaml is missing"),
        ({"replicas": "two"}, "replicas"),
        ({"replicas": 0}, "replicas"),
        ({"replcas": 3}, "replcas"),
        ({"ingress": {"enabled": True}}, "host"),
        ({"ingress": {"enabled": True, "hosts": ["x"], "host": "x"}}, "hosts"),
        ({"environment": "slack"}, "environment"),
    ],
)
def test_wrong_values_are_refused_with_their_name(values: dict[str, Any], why: str) -> None:
    assert why in rendered(**values)["failed"]


def test_the_routes_to_begin_with_are_good_and_keep_to_the_places_that_there_are(plain: Any, tmp_path: Path) -> None:
    text = (HELM / "routes.yaml").read_text(encoding="utf-8")
    for name in set(re.findall(r"/run/secrets/aftercall/([\w.-]+)", text)):
        (tmp_path / name).touch(0o640)
        (tmp_path / name).write_text(name * 10, encoding="utf-8")
    file = tmp_path / "routes.yaml"
    file.write_text(text.replace("/run/secrets/aftercall/", f"{tmp_path}/"), encoding="utf-8")
    config = load(file, {})
    assert config.warnings == ()
    assert config.postgres is not None
    assert config.postgres.password == "store-password" * 10
    _, container = pod_of(plain)
    (port,) = container["ports"]
    assert str(config.server.listen) == f"0.0.0.0:{port['containerPort']}"
    # A folder of its own below what is mounted: the mount's own mode is not the router's to change.
    assert str(config.data.parent) in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_routes_arrive_as_they_were_written(whole: Any) -> None:
    assert whole["ConfigMap"]["data"] == {"routes.yaml": ALL_OF_IT["routes"]}
    _, container = pod_of(whole)
    assert {"name": "routes", "mountPath": "/etc/aftercall", "readOnly": True} in container["volumeMounts"]
    assert "AFTERCALL_CONFIG=/etc/aftercall/routes.yaml" in DOCKERFILE


def test_other_routes_are_another_generation_of_pods(plain: Any, whole: Any) -> None:
    one, other = (given["Deployment"]["spec"]["template"]["metadata"]["annotations"] for given in (plain, whole))
    assert one["aftercall/routes"] != other["aftercall/routes"]
    assert other["c/d"] == "1"


@pytest.mark.parametrize("given", ["plain", "whole"])
def test_a_router_may_do_nothing_but_its_work(given: str, request: pytest.FixtureRequest) -> None:
    pod, container = pod_of(request.getfixturevalue(given))
    user = int(re.findall(r"^USER (\d+):\1$", DOCKERFILE, re.MULTILINE)[0])
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": user, "runAsGroup": user, "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert container["resources"]["limits"]["memory"]
    written = {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert written - {"archive"} == {"data", "tmp"}


def test_secrets_are_files_for_the_routers_group_and_variables_by_name(plain: Any, whole: Any) -> None:
    pod, container = pod_of(plain)
    secrets = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secrets == [{"secretName": "aftercall", "defaultMode": 0o440}]
    assert {"name": "secret", "mountPath": "/run/secrets/aftercall", "readOnly": True} in container["volumeMounts"]
    assert "envFrom" not in container
    pod, container = pod_of(whole)
    assert [one for one in pod["volumes"] + container["volumeMounts"] if one["name"] == "secret"] == []
    assert container["envFrom"] == [{"secretRef": {"name": name}} for name in ALL_OF_IT["environment"]]


def test_a_router_is_asked_whether_it_lives_and_whether_it_can_store(plain: Any) -> None:
    _, container = pod_of(plain)
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness", "startup")}
    assert paths == {"liveness": "/healthz", "readiness": "/readyz", "startup": "/healthz"}
    (port,) = container["ports"]
    assert port["containerPort"] == int(re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[0])
    assert {container[f"{name}Probe"]["httpGet"]["port"] for name in ("liveness", "readiness", "startup")} == {
        port["name"]
    }
    (service,) = plain["Service"]["spec"]["ports"]
    assert service["targetPort"] == port["name"]


def test_the_service_and_the_budget_are_of_these_pods_alone(plain: Any) -> None:
    selector = plain["Deployment"]["spec"]["selector"]["matchLabels"]
    assert plain["Service"]["spec"]["selector"] == selector
    assert plain["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == selector
    assert selector.items() <= plain["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert selector["app.kubernetes.io/instance"] == "calls"


def test_a_pod_that_goes_has_time_to_finish(plain: Any) -> None:
    pod, container = pod_of(plain)
    (_, seconds) = container["lifecycle"]["preStop"]["exec"]["command"]
    assert pod["terminationGracePeriodSeconds"] > int(seconds) + GRACE + LAST_WORD


def test_there_is_always_a_router(plain: Any) -> None:
    assert plain["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert plain["Deployment"]["spec"]["replicas"] == 2
    assert "PodDisruptionBudget" not in objects(replicas=1)


def test_only_calls_come_in_from_outside(whole: Any) -> None:
    spec = whole["Ingress"]["spec"]
    (rule,) = spec["rules"]
    assert [path["path"] for path in rule["http"]["paths"]] == ["/in/"]
    assert rule["host"] == ALL_OF_IT["ingress"]["host"]
    assert spec["tls"] == [{"hosts": [rule["host"]], "secretName": "no"}]
    assert spec["ingressClassName"] == "on"


def test_the_chart_is_of_this_version(plain: Any) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == VERSION
    _, container = pod_of(plain)
    assert container["image"] == f"registry.example/aftercall:{VERSION}"


def test_what_is_told_at_the_end_names_what_there_is(plain: Any) -> None:
    told = rendered()["notes"]
    name = plain["Deployment"]["metadata"]["name"]
    assert told.count(f"deployment/{name}") == 3
    assert told.count("--namespace telephony") == 3
