"""Whether an answer of the admin API is what its OpenAPI document says; every test that asks it looks."""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

from router.api import Api
from router.openapi import document

_NOTHING: Any = SimpleNamespace(store=None, clock=None, log=None)
ENDPOINTS = Api(_NOTHING, _NOTHING).endpoints
DOCUMENT = document(ENDPOINTS)

FORMATS = FormatChecker(())


@FORMATS.checks("date-time", raises=ValueError)
def is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).utcoffset() is not None


def conforms(method: str, path: str, status: int, answer: Any) -> None:
    """The answer to a path that is there; of one that is not there is nothing to say."""
    path = path.partition("?")[0]
    found = [one for one in DOCUMENT["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", one), path)]
    # A path without a hole comes before one with.
    for template in sorted(found, key=lambda one: one.count("{"))[:1]:
        if operation := DOCUMENT["paths"][template].get(method.lower()):
            assert str(status) in operation["responses"], (path, status)
            validator(template, method.lower(), status).validate(answer)


@cache
def validator(template: str, method: str, status: int) -> Draft202012Validator:
    content = DOCUMENT["paths"][template][method]["responses"][str(status)]["content"]
    schema = content["application/json"]["schema"]
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]}, format_checker=FORMATS)
