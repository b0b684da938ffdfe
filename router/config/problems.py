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
from router.errors import ConfigError, Discreet
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
#: Errors of pydantic's that say what belongs there, and nothing of what is there.
_DISCREET = frozenset(
    {*_WORDS, "extra_forbidden", "greater_than", "greater_than_equal", "less_than", "less_than_equal"}
    | {"literal_error", "enum", "too_long", "string_too_long", "string_pattern_mismatch", "is_instance_of"}
)
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
        message, written = one.message, document.written(one.path)
        too_high = one.kind in ("model_type", "model_attributes_type", "dict_type")  # `sipgate: token`
        if written and not one.key and not too_high and _quotable(written, one.annotations):
            message = message if repr(written) in message else f"{cut(written, _SHOWN)!r} {message}"
        yield document.problem(one.path, message, key=one.key)


def sayable(document: Document, path: Steps, said: str | Exception, model: type[BaseModel], base: Steps = ()) -> str:
    """What may be said of the value at this path: no word of it, where `${…}` filled it.

    Every message about a value goes through here, or through `translated`. `model` is what is at `base`. Of an error
    it is decided by what it is (see `Discreet`); a text is our own, and quotes nothing but the scalar at the path.
    """
    filled = document.was_filled(path, below=not isinstance(said, str))
    if not filled:
        return said.message if isinstance(said, ConfigError) else str(said)
    here: list[Any] = [model]
    about = ""
    for step in path[len(base) :]:
        about = next(_abouts(here, step), about)
        here = [inner for annotation in here for inner in _inside(annotation, step)] or here
    message = getattr(said, "instead", None) or _of_filled(about)
    written = document.written(path)
    return f"{cut(written, _SHOWN)!r} {message}" if written and _quotable(written, here) else message


def _of_filled(about: str) -> str:
    """What is said where nothing else may be said; `about` describes the key."""
    meant = f" ({about.rstrip('.')})" if about else ""
    return f"is not what belongs here{meant}; why is not said, since it could show what `${{…}}` was filled with"


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


def _inside_of(data: Any, step: int | str) -> Any:
    if isinstance(data, dict) and step in data:
        return data[step]
    return data[step] if isinstance(data, list) and isinstance(step, int) and step < len(data) else _NOTHING


def _located(details: ErrorDetails, model: type[BaseModel], document: Document, base: Steps) -> Iterator[_Found]:
    """Follow a location of pydantic's, which also names branches of unions and items of lists that are none."""
    loc = details["loc"]
    about_key = loc[-1:] == (_KEY,)
    path, annotations = base, [model]
    union: tuple[int | str, ...] | None = None
    branch: int | str = ""
    about = ""
    for at, step in enumerate(loc[:-1] if about_key else loc):
        inside = [inner for annotation in annotations for inner in _inside(annotation, step)]
        missing = details["type"] == "missing" and at == len(loc) - 1
        longer = fitted((*path, step), document.data, missing=missing)
        if longer == path and not inside and union is None:
            union, branch = loc[:at], step
        about = next(_abouts(annotations, step), about)
        path, annotations = longer, inside or annotations
    kind = details["type"]
    filled = not about_key and document.was_filled(path)
    message = _of_filled(about) if filled and not _is_discreet(details) else None
    message = message or _worded(details, annotations, discreetly=filled)
    here = _Found(kind, message, path, annotations, about_key, union, branch)
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


def _is_discreet(details: ErrorDetails) -> bool:
    """Whether what is said of an error has nothing of the value in it."""
    if details["type"] == "value_error":
        return isinstance(details["ctx"]["error"], Discreet | EmptyKeys)
    return details["type"] in _DISCREET


def _abouts(annotations: Iterable[Any], step: int | str) -> Iterator[str]:
    """What the models among these types say of a key."""
    for plain in (plain for annotation in annotations for plain in _plain(annotation)):
        if isinstance(plain, type) and issubclass(plain, BaseModel):
            for name, field in plain.model_fields.items():
                if step in (name, field.alias) and field.description:
                    yield " ".join(field.description.split())


def _worded(details: ErrorDetails, annotations: Sequence[Any], *, discreetly: bool) -> str:
    """What is wrong, and what to do."""
    match details["type"]:
        case "extra_forbidden":
            key = str(details["loc"][-1])
            return f"unknown key {key!r} {did_you_mean(key, _keys(annotations), 'known here')}"
        case "value_error":
            error = details["ctx"]["error"]
            return error.instead if discreetly and isinstance(error, Discreet) else str(error)
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


def _quotable(written: str, annotations: Sequence[Any]) -> bool:
    """Whether it can be shown: not what may be a secret by its type, or as a URL with a user in it."""
    wanted = [plain for annotation in annotations for plain in _plain(annotation)]
    return not (
        any(plain in (SecretStr, SecretBytes) for plain in wanted)
        or ("://" in written and "@" in written)
        or "-----BEGIN" in written
        or "\n" in written
        or written in ("~", "null")
    )
