"""pydantic's errors in the file's terms: the place, the value as written, what to do. Secrets are never shown.

One mistake is one problem: pydantic reports every branch of a union, and a misspelt key a second time as missing.
"""

from __future__ import annotations

import types
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from router.config.document import Document, Problem, Steps
from router.config.suggest import closest, did_you_mean
from router.text import cut

_WORDS: Mapping[str, str] = {
    "missing": "is missing; write it",
    "string_type": "is no text; write one",
    "dict_type": "is no map; write names with values, like `name: value`",
    "model_type": "is no map; write keys with values, like `key: value`",
    "model_attributes_type": "is no map; write keys with values, like `key: value`",
    "tuple_type": "is no list; write one, like [a, b]",
    "list_type": "is no list; write one, like [a, b]",
    "too_short": "is empty; write at least one",
    "bool_parsing": "is neither true nor false; write one of them",
    "bool_type": "is neither true nor false; write one of them",
    "int_parsing": "is no whole number; write one",
    "int_type": "is no whole number; write one",
    "float_parsing": "is no number; write one",
    "float_type": "is no number; write one",
    "string_too_short": "is empty; write a text",
}
#: What may stand there instead of what is too small or too large, by the name that pydantic gives the bound.
_BOUNDS: Mapping[str, str] = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
#: Characters of a value that are shown.
_SHOWN = 80
#: What pydantic calls the key of a map.
_KEY = "[key]"


class EmptyKeys(ValueError):
    """Keys without a value, where that is a mistake. pydantic has no way to say where in a map a mistake is."""

    def __init__(self, keys: Iterable[str]) -> None:
        super().__init__("is empty; write what it should be, or remove the key")
        self.keys = tuple(keys)


@dataclass(frozen=True, slots=True)
class _Found:
    """One error of pydantic's, where it is in the file."""

    kind: str
    message: str
    path: Steps
    #: The types that may stand there; for an unknown key, those of the map around it.
    annotations: Sequence[Any]
    #: The error is about the key, not about its value.
    key: bool = False
    #: Where the first union on the way is in pydantic's location, and its branch.
    union: tuple[int | str, ...] | None = None
    branch: int | str = ""


def translated(
    error: ValidationError, document: Document, model: type[BaseModel], base: Steps = ()
) -> Iterator[Problem]:
    """Each mistake in the value at `base`, which is no `model`, as a problem of the document."""
    found = [one for details in error.errors(include_url=False) for one in _located(details, model, document, base)]
    for one in _without_echoes(_without_branches(found)):
        message = as_written(document, one.path, one.message)
        written = document.written(one.path)
        quotable = written and written not in ("~", "null") and "\n" not in written
        if written and quotable and not one.key and not _secret(one, written):
            message = message if repr(written) in message else f"{cut(written, _SHOWN)!r} {message}"
        yield document.problem(one.path, message, key=one.key)


def as_written(document: Document, path: Steps, message: str) -> str:
    """The message with the value at this path as the file has it: `${NAME}`, and never what it was filled with."""
    filled, written = _value(document.data, path), document.written(path)
    if not isinstance(filled, str) or written is None or filled == written:
        return message
    message = message.replace(repr(filled), repr(written))
    return message.replace(filled, written) if len(filled) >= _SECRET else message


def fitted(path: Steps, data: Any, *, missing: bool = True) -> Steps:
    """The path without the steps that the file has no need of: a list around one value, `any` above plain keywords.

    A key at the end of the path may be `missing`.
    """
    kept: Steps = ()
    here = data
    for at, step in enumerate(path):
        inside = _inside_of(here, step)
        if inside is not _NOTHING:
            kept, here = (*kept, step), inside
        elif missing and at == len(path) - 1 and isinstance(here, dict) and isinstance(step, str):
            kept = (*kept, step)
    return kept


_NOTHING = object()
#: Letters of the shortest secret. What is shorter stands in many words.
_SECRET = 6


def _inside_of(data: Any, step: int | str) -> Any:
    if isinstance(data, dict) and step in data:
        return data[step]
    return data[step] if isinstance(data, list) and isinstance(step, int) and step < len(data) else _NOTHING


def _value(data: Any, path: Steps) -> Any:
    for step in path:
        data = _inside_of(data, step)
    return data


def _located(details: ErrorDetails, model: type[BaseModel], document: Document, base: Steps) -> Iterator[_Found]:
    """Follow a location of pydantic's, which also names branches of unions and items of lists that are none."""
    loc = details["loc"]
    about_key = loc[-1:] == (_KEY,)
    path, annotations = base, [model]
    union: tuple[int | str, ...] | None = None
    branch: int | str = ""
    for at, step in enumerate(loc[:-1] if about_key else loc):
        inside = [inner for annotation in annotations for inner in _inside(annotation, step)]
        missing = details["type"] == "missing" and at == len(loc) - 1
        longer = fitted((*path, step), document.data, missing=missing)
        if longer == path and not inside and union is None:
            union, branch = loc[:at], step
        path, annotations = longer, inside or annotations
    kind = details["type"]
    here = _Found(kind, _worded(details, annotations), path, annotations, about_key, union, branch)
    mistake = details.get("ctx", {}).get("error")
    if isinstance(mistake, EmptyKeys):
        for key in mistake.keys:
            yield replace(here, path=fitted((*path, key), document.data), key=True)
    else:
        yield replace(here, key=about_key or kind == "extra_forbidden")


def _without_branches(found: Sequence[_Found]) -> Iterator[_Found]:
    """Of the branches of one union, the one that went deepest into the file; else one error with what all say."""
    unions: dict[tuple[int | str, ...], list[_Found]] = defaultdict(list)
    for one in found:
        if one.union is not None:
            unions[one.union].append(one)
    for one in found:
        if one.union is None:
            yield one
        elif (rivals := unions.pop(one.union, None)) is not None:
            deepest = max(rivals, key=lambda rival: len(rival.path))
            mine = [rival for rival in rivals if rival.branch == deepest.branch]
            if len(mine) == len(rivals) or len(deepest.path) > min(len(rival.path) for rival in rivals):
                yield from mine
            else:
                yield replace(deepest, message="; or: ".join(dict.fromkeys(rival.message for rival in rivals)))


def _without_echoes(found: Iterable[_Found]) -> Iterator[_Found]:
    """Without the keys that are missing because they are misspelt, and the lists that are empty because of their items."""
    found = list(found)
    missing, unknown = defaultdict[Steps, list[str]](list), defaultdict[Steps, list[str]](list)
    for one in found:
        if one.kind == "missing" and one.path:
            missing[one.path[:-1]].append(str(one.path[-1]))
        elif one.kind == "extra_forbidden":
            unknown[one.path[:-1]].append(str(one.path[-1]))
    for one in found:
        if one.kind == "missing" and one.path and (strangers := unknown[one.path[:-1]]):
            gone = missing[one.path[:-1]]
            if len(strangers) == len(gone) or one.path[-1] in {closest(stranger, gone) for stranger in strangers}:
                continue
        if one.kind == "too_short" and any(_below(other, one) for other in found):
            continue
        yield one


def _below(one: _Found, other: _Found) -> bool:
    """Whether one is about a part of the value that the other is about."""
    return one is not other and one.path[: len(other.path)] == other.path


def _worded(details: ErrorDetails, annotations: Sequence[Any]) -> str:
    """What is wrong, and what to do."""
    match details["type"]:
        case "extra_forbidden":
            key = str(details["loc"][-1])
            return f"unknown key {key!r} {did_you_mean(key, _keys(annotations), 'known here')}"
        case "value_error":
            return str(details["ctx"]["error"])
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            (bound, limit), *_ = details["ctx"].items()
            return f"is not allowed; write {_BOUNDS[bound]} {f'{limit:g}' if isinstance(limit, float) else limit}"
        case kind if kind in _WORDS:
            return _WORDS[kind]
        case _:
            said = details["msg"]
            wanted = said.removeprefix("Input should be ")
            return f"is not allowed; write {wanted}" if wanted != said else f"is not allowed: {said}"


def _inside(annotation: Any, step: int | str) -> Iterator[Any]:
    """The types of what stands at `step` inside a type; for the name of a union's branch, nothing."""
    match get_origin(annotation):
        case origin if origin is Annotated:
            yield from _inside(get_args(annotation)[0], step)
        case origin if origin in (Union, types.UnionType):
            for member in get_args(annotation):
                yield from _inside(member, step)
        case origin if origin is dict:
            yield get_args(annotation)[-1]
        case origin if origin in (tuple, list) and isinstance(step, int):
            yield get_args(annotation)[0]
        case _ if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for name, field in annotation.model_fields.items():
                if step in (name, field.alias):
                    yield field.annotation


def _plain(annotation: Any) -> Iterator[Any]:
    """Every plain type in an annotation."""
    if arguments := get_args(annotation):
        for argument in arguments:
            yield from _plain(argument)
    else:
        yield annotation


def _keys(annotations: Sequence[Any]) -> list[str]:
    """The keys of the models among these types."""
    models = [found for annotation in annotations for found in _plain(annotation)]
    return [
        field.alias or name
        for model in models
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name, field in model.model_fields.items()
    ]


def _secret(found: _Found, written: str) -> bool:
    """Whether it may be a secret: by its type, as a URL with a user in it, or one level too high (`sipgate: token`)."""
    wanted = [plain for annotation in found.annotations for plain in _plain(annotation)]
    return (
        any(plain in (SecretStr, SecretBytes) for plain in wanted)
        or ("://" in written and "@" in written)
        or "-----BEGIN" in written
        or found.kind in ("model_type", "model_attributes_type", "dict_type")
    )
