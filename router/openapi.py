"""The OpenAPI document of the admin API, made from the endpoints that answer it: what is not in it does not exist."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from pydantic import TypeAdapter

from router.about import NAME
from router.answers import Refused
from router.endpoint import Endpoint

_REF: Final = "#/components/schemas/"
_IN_PATH: Final = re.compile(r"\{(\w+)\}")
#: What asks for a path that is there, and may not be asked, or is asked wrongly.
_REFUSALS: Final = ("400", "401", "403", "404", "409", "413", "422", "500", "503")

#: No schema has what every phone company posts.
_ANY_CALL: Final = {"schema": {"type": "object"}}


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Of these endpoints, as version 3.1 has it."""
    wanted: list[tuple[tuple[int, str], Any, TypeAdapter[Any]]] = [
        ((0, "refused"), "serialization", TypeAdapter(Refused))
    ]
    for index, one in enumerate(endpoints):
        wanted.append(((index, "query"), "validation", TypeAdapter(one.query)))
        if one.answers is not bytes:
            wanted.append(((index, "answer"), "serialization", TypeAdapter(one.answers)))
        if one.body not in (None, bytes):
            wanted.append(((index, "body"), "validation", TypeAdapter(one.body)))
    keyed, whole = TypeAdapter.json_schemas(wanted, ref_template=_REF + "{model}")
    found = {key: schema for (key, _), schema in keyed.items()}
    schemas = {name: _closed(schema) for name, schema in whole["$defs"].items()}
    paths: dict[str, dict[str, Any]] = {}
    for index, one in enumerate(endpoints):
        queried = schemas[found[index, "query"]["$ref"].removeprefix(_REF)]
        operation: dict[str, Any] = {
            "operationId": one.name,
            "summary": inspect.cleandoc(one.handler.__doc__ or "").splitlines()[0],
            "parameters": [*_in_path(one.path), *_in_query(queried)],
            "responses": _responses(one, found.get((index, "answer")), found[0, "refused"]),
        }
        if one.body is not None:
            content = (
                {"application/json": {"schema": found[index, "body"]}} if one.body is not bytes else {"*/*": _ANY_CALL}
            )
            operation["requestBody"] = {"required": one.body_needed, "content": content}
        paths.setdefault(one.path, {})[one.method.lower()] = operation
    for name in {one.query.__name__ for one in endpoints}:
        del schemas[name]  # its parameters are with the paths
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{NAME}: the admin API", "version": version(NAME)},
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "One of admin.tokens."}},
        },
    }


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """What we answer has every key, whatever its default, and no others; what we are asked says so itself."""
    if schema.get("type") != "object" or "properties" not in schema or "additionalProperties" in schema:
        return schema
    has_default = [name for name, one in schema["properties"].items() if "default" in one]
    properties = {
        name: {key: value for key, value in one.items() if key != "default"}
        for name, one in schema["properties"].items()
    }
    required = [*schema.get("required", ()), *has_default]
    return schema | {"properties": properties, "required": required, "additionalProperties": False}


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _IN_PATH.findall(path)
    ]


def _in_query(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "query",
            "description": one.get("description", ""),
            "schema": {key: value for key, value in one.items() if key not in ("description", "title")},
        }
        for name, one in schema.get("properties", {}).items()
    ]


def _responses(one: Endpoint, answer: Mapping[str, Any] | None, refused: Mapping[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"description": "Done."}
    if answer is not None:
        said["content"] = {"application/json": {"schema": answer}}
    statuses = [str(status) for status in (one.status, one.otherwise) if status is not None]
    other = {"description": "It could not be done.", "content": {"application/json": {"schema": refused}}}
    return {**dict.fromkeys(_REFUSALS, other), **dict.fromkeys(statuses, said)}
