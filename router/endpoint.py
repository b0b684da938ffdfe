"""One thing that the admin API can be asked, without HTTP: what it takes, what it answers, and who does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from router.questions import Question


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as a handler has to know."""

    #: The name of the token that was sent; None where none is needed.
    who: str | None
    #: What stands in the path, by name.
    where: Mapping[str, str]
    path: str
    #: What was asked for, of the endpoint's type.
    query: Any
    #: The body, of the endpoint's type.
    body: Any
    #: Nobody will see the answer.
    head: bool = False
    #: The Accept header.
    accept: str = ""
    #: What the log's line about it has besides.
    noted: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. Its handler's docstring is what the document says; its name names it in the log."""

    method: Literal["GET", "POST"]
    path: str
    handler: Callable[[Asked], Awaitable[Any]]
    #: The type of the answer; `bytes` where it is no JSON.
    answers: Any
    query: type[Question] = Question
    #: `bytes`: a call, as it would come in. None: no body.
    body: type[BaseModel | bytes] | None = None
    status: int = 200
    #: Another status with which it may answer the same.
    otherwise: int | None = None

    @property
    def name(self) -> str:
        """What is done."""
        return str(getattr(self.handler, "__name__", self.path))

    @property
    def body_needed(self) -> bool:
        """Whether no body at all is an error."""
        if self.body is None or self.body is bytes:
            return self.body is bytes
        return any(field.is_required() for field in getattr(self.body, "model_fields", {}).values())


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that is not just a value: with another status, or no JSON."""

    value: Any
    status: int | None = None
    content_type: str | None = None
