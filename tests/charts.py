"""Renders a Helm chart and holds what comes out against the schemas of Kubernetes: run by the Python of `.make/deploy`.

    python charts.py CHART <values.json >said.json

Said are what `helm lint` has to say, why it could not be rendered, the objects, and what is wrong with them; in each of
`versions`, as far as there is a schema.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import yaml


def render(chart: str, values: dict[str, Any], versions: list[str]) -> dict[str, Any]:
    """As above. The two libraries are in no other environment, so their types are not known here."""
    helm: Any = importlib.import_module("helm_python")
    kubernetes: Any = importlib.import_module("kubernetes_validate")
    linted = helm.lint(chart, values, strict=True)
    said: dict[str, Any] = {
        "lint": [message["error"] for message in linted["messages"] if message["severity"] > 1] + linted["errors"],
        "objects": [],
        "refused": [],
        "failed": None,
    }
    try:
        with helm.Chart.load(chart) as loaded:
            loaded.validate_schema(loaded.merge_values(values))
            rendered = loaded.render(values, name="calls", namespace="telephony")
    except helm.HelmError as error:
        said["failed"] = str(error)
        return said
    said["notes"] = next((text for name, text in rendered.items() if name.endswith("NOTES.txt")), "")
    for name, text in sorted(rendered.items()):
        if not name.endswith(".yaml"):
            continue
        for found in filter(None, yaml.safe_load_all(text)):
            said["objects"].append(found)
            for version in versions:
                try:
                    kubernetes.validate(found, version, strict=True)
                except (
                    kubernetes.ValidationError,
                    kubernetes.InvalidSchemaError,
                    kubernetes.SchemaNotFoundError,
                ) as why:
                    said["refused"].append(f"{name} in {version}: {why}")
    return said


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(render(sys.argv[1], asked["values"], asked["versions"]), sys.stdout)
