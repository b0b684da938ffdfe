"""The JSON Schema of routes.yaml, for editors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from router.config.settings import Settings

if TYPE_CHECKING:
    from router.registry import Kind


def schema(kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """It, with the installed kinds of sinks."""
    configs = [kind.config for kind in kinds.values()]
    # All in one go: two plugins may give their classes the same name.
    models: list[type[BaseModel]] = [Settings, *configs]
    references, made = models_json_schema([(model, "validation") for model in models])
    definitions = made["$defs"]
    for kind in kinds.values():
        definition = _definition(references[kind.config, "validation"], definitions)
        definition["properties"]["kind"] = {"const": kind.name, "description": kind.description}
        definition["required"] = sorted({*definition.get("required", []), "kind"})
    settings = _definition(references[Settings, "validation"], definitions)
    sinks = {"type": "object", "additionalProperties": {"oneOf": [references[one, "validation"] for one in configs]}}
    settings["properties"]["sinks"]["anyOf"] = [sinks, {"type": "null"}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **settings, **made}


def _definition(reference: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = definitions[reference["$ref"].rpartition("/")[2]]
    return found
