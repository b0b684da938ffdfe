"""How far a copy has come, as it is noted in the store that is made, with each portion."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from router.errors import StoreError
from router.store.moving.damage import damage_of
from router.store.moving.tally import Tally

if TYPE_CHECKING:
    from router.store.moving.side import Line
    from router.store.moving.tables import Table, Value

#: Of what is below. Another one is that of another program.
_FORM: Final = 1
#: So many rows are named; of more there is the number.
_NAMED: Final = 100


@dataclass(slots=True)
class Part:
    """One table."""

    #: The key of the row that was written last.
    after: Sequence[Value] | None = None
    copied: Tally = field(default_factory=Tally)
    left: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Named:
    """Rows that have to be told of."""

    rows: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str) -> None:
        """One more."""
        self.rows += 1
        if len(self.names) < _NAMED:
            self.names.append(name)


@dataclass(slots=True)
class State:
    """How far a copy has come."""

    #: What proves the key of the store that is copied, and what that had when the copy began.
    origin: str
    mark: str
    parts: dict[str, Part]
    #: Copied, and not what was stored once.
    damaged: Named = field(default_factory=Named)
    #: Not copied, because there can be no such row.
    left: Named = field(default_factory=Named)

    def wrote(self, table: Table, lines: Sequence[Line], left: Sequence[Line]) -> str:
        """This portion is there, but for those that were left; what is to be noted."""
        part = self.parts[table.name]
        absent = {id(line) for line in left}
        for line in lines:
            if id(line) in absent:
                part.left.add(line.row)
                self.left.add(table.name_of(line.row))
                continue
            part.copied.add(line.row)
            if damage := damage_of(table, line):
                self.damaged.add(f"{table.name_of(line.row)}: {damage}")
        part.after = lines[-1].key
        return self.dumped()

    def dumped(self) -> str:
        """As it is noted."""
        return json.dumps(
            {
                "form": _FORM,
                "origin": self.origin,
                "mark": self.mark,
                "parts": {
                    name: [
                        None if part.after is None else [_packed(value) for value in part.after],
                        *(part.copied.rows, hex(part.copied.total), part.left.rows, hex(part.left.total)),
                    ]
                    for name, part in self.parts.items()
                },
                "damaged": [self.damaged.rows, self.damaged.names],
                "left": [self.left.rows, self.left.names],
            }
        )

    @classmethod
    def loaded(cls, noted: str) -> State:
        """What was noted. Raises `StoreError` where this program would not have written that."""
        try:
            found = json.loads(noted)
            if found["form"] != _FORM:
                raise ValueError
            state = cls(found["origin"], found["mark"], {})
            for name, (after, rows, total, left_rows, left_total) in found["parts"].items():
                state.parts[name] = Part(
                    None if after is None else [_unpacked(value) for value in after],
                    Tally(rows, int(total, 16)),
                    Tally(left_rows, int(left_total, 16)),
                )
            state.damaged, state.left = Named(*found["damaged"]), Named(*found["left"])
        except (ValueError, TypeError, LookupError):
            message = "what it has noted of its copy cannot be read"
            raise StoreError(message) from None
        return state


def _packed(value: Value) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _unpacked(value: Any) -> Value:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
