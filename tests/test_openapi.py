"""The OpenAPI document: it is good, it has every route, and nothing that it allows is answered by a bug."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from contract import DOCUMENT, conforms
from support import body
from test_admin import API, Administered, admin, get, routes_of_the_listener

__all__ = ["admin"]  # the fixture

OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]


async def test_every_route_is_in_the_document_and_nothing_else(admin: Administered) -> None:
    router, client = admin
    served = await get(client, f"{API}/openapi.json")
    assert served == json.loads(json.dumps(DOCUMENT))
    there = {(method, path) for method, path in routes_of_the_listener(router) if path != "/"}
    assert there == {(method.upper(), path) for path, method in OPERATIONS}


def test_the_document_is_good() -> None:
    names = set()
    for path, method in OPERATIONS:
        operation = DOCUMENT["paths"][path][method]
        names.add(operation["operationId"])
        assert operation["summary"].endswith(".") or ";" in operation["summary"], path
        assert {one["name"] for one in operation["parameters"] if one["in"] == "path"} == {
            part[1:-1] for part in path.split("/") if part.startswith("{")
        }
        for parameter in operation["parameters"]:
            assert parameter["in"] == "path" or parameter["description"], (path, parameter)
    assert len(names) == len(OPERATIONS)
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert schema.get("additionalProperties") is False or "enum" in schema, name
    text = json.dumps(DOCUMENT)
    for ref in {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert ref in DOCUMENT["components"]["schemas"]


def test_an_answer_that_is_not_what_the_document_says_is_seen() -> None:
    wrong: list[Any] = [{"items": [], "next": None, "more": 1}, {"items": []}, {"items": [{}], "next": None}]
    for answer in wrong:
        with pytest.raises(ValidationError):
            conforms("GET", f"{API}/events", 200, answer)
    with pytest.raises(AssertionError):
        conforms("GET", f"{API}/events", 418, {})


#: What people and programs that mean no good put where something belongs.
ODD = st.sampled_from(
    ["", "0", "-1", "٣", "x", "../..", "%2e%2e", "\x00", "'; --", "💥", "a" * 300, "null", "true", "2026-03-10", "{}"]
) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=6,
)


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values of a schema of ours, more or less: a part of them is anything."""
    schema = resolved(schema)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*map(fitting, schema["anyOf"]))
    match schema.get("type"):
        case "object" if "properties" in schema:
            each = {name: fitting(one) for name, one in schema["properties"].items()}
            needed = {name: each.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(needed, optional=each)
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum", -5), schema.get("maximum", 5))
        case "null":
            return st.none()
        case "string" if schema.get("format") == "date-time":
            return st.sampled_from(["2026-03-10T08:00:00Z", "1969-12-31T23:59:59+14:00", "9999-12-31T23:59:59-12:00",
                                    "0001-01-01T00:00:00+14:00"])  # fmt: skip
        case _:
            return ODD


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        return dict(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return schema


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], bytes]:
    """Method, path, parameters, body."""
    path, method = draw(st.sampled_from(OPERATIONS))
    operation = DOCUMENT["paths"][path][method]
    query = {}
    for parameter in operation["parameters"]:
        if parameter["in"] == "path":
            path = path.replace("{" + parameter["name"] + "}", quote(draw(ODD), safe="") or "x")
        elif draw(st.booleans()):
            value = draw(fitting(parameter["schema"]) | ODD)
            query[parameter["name"]] = value if isinstance(value, str) else json.dumps(value)
    content = operation.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    given_ = draw(VALUES if schema is None else fitting(schema) | VALUES)
    return method, path, query, draw(st.just(json.dumps(given_).encode()) | st.binary(max_size=20))


async def test_adm_10_nothing_that_is_asked_finds_a_bug(admin: Administered) -> None:
    """Made before they are asked: the router's own dice would disturb hypothesis."""
    router, client = admin
    await router.inbox.accept("sipgate", body(summary="x"))
    await router.inbox.accept("sipgate", b"{")
    made = []

    @given(requests())
    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def make(request: tuple[str, str, dict[str, str], bytes]) -> None:
        made.append(request)

    make()
    for method, path, query, content in made:
        async with client.request(method, path, params=query, data=content) as answer:
            assert answer.status != 500, (method, path, query, content)
            if answer.content_type == "application/json":
                conforms(method, path, answer.status, await answer.json())


@pytest.mark.parametrize("since", ["2", "0.5", "2026", "1767225600"])
async def test_a_number_is_no_time_from_which_on_everything_is_meant(admin: Administered, since: str) -> None:
    _, client = admin
    async with client.get(f"{API}/events", params={"since": since}) as answer:
        assert (answer.status, (await answer.json())["error"]["message"]) == (
            400,
            "since: write a time with its zone, like 2026-03-10T08:00:00Z",
        )
    async with client.post(f"{API}/deliveries/end", json={"reason": "x", "where": {"since": float(since)}}) as answer:
        assert answer.status == 400


async def test_a_yes_or_no_is_written_as_one(admin: Administered) -> None:
    _, client = admin
    async with client.post(f"{API}/quarantine/replay", json={"where": {}, "all": True, "dry_run": 0}) as answer:
        assert answer.status == 400


@pytest.mark.parametrize("path", ["deliveries/end", "deliveries/replay", "quarantine/replay", "events/route"])
async def test_what_is_done_to_many_is_not_asked_for_like_a_thing(admin: Administered, path: str) -> None:
    _, client = admin
    async with client.get(f"{API}/{path}") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
