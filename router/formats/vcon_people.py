"""Who is who in a vCon: parties, their numbers and roles, and which of them called."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.event import Direction, Number, NumberKind, Participant, Speaker
from router.formats import parts

_AGENTS: Final = frozenset({"agent", "supervisor", "sme", "operator", "employee", "representative", "host"})
_CUSTOMERS: Final = frozenset({"customer", "contact", "client", "caller", "lead", "patient", "guest"})
#: Machines that answer for the company.
_MACHINES: Final = frozenset({"ai", "bot", "assistant", "ivr", "system"})


@dataclass(frozen=True, slots=True)
class People:
    """The parties, and the indices of the caller and the callee among them (None: there is none)."""

    parties: tuple[dict[str, Any], ...]
    caller: int | None
    callee: int | None
    #: Who is called by a name, a first name, a role or a synonym of it, where that is one party's alone.
    names: Mapping[str, Speaker]

    @classmethod
    def of(cls, given: Any, dialogs: Iterable[dict[str, Any]]) -> People:
        """The caller is who the first dialog names first, the callee who is named next; else the parties' own order."""
        parties = tuple(parts.mapping(party) for party in (given if isinstance(given, list) else [given]))
        named = (index for dialog in dialogs for index in named_in(dialog) if index < len(parties))
        listed = (index for index, party in enumerate(parties) if party)
        caller, callee = _first_two(itertools.chain(named, listed))
        return cls(parties, caller, callee, _names(parties, caller, callee))

    def number(self, index: int | None) -> Number:
        """A party's number, or what else it is known by."""
        party = {} if index is None else self.parties[index]
        found = [parts.party(party.get(key)) for key in ("tel", "sip")]
        known = next((number for number in found if number.kind is not NumberKind.UNKNOWN), None)
        if known is not None:
            return known
        name = parts.party(party.get("name"))
        if name.kind in (NumberKind.ANONYMOUS, NumberKind.E164):
            return name
        texts = (*(number.raw for number in found), *(parts.text(party.get(key)) for key in ("mailto", "email")))
        return Number(next((text for text in texts if text), name.raw))

    def speaker(self, index: int | None) -> Speaker:
        """The role of a party in the conversation."""
        return _speaker(index, self.caller, self.callee)

    def who(self, name: str) -> Speaker | None:
        """Who is called by this name or role; None: nobody is, or several are."""
        wanted = name.casefold().strip()
        said = parts.speaker(wanted)
        return self.names.get(wanted) if said is Speaker.OTHER else said

    def direction(self) -> Direction:
        """As the roles say, where they say it."""
        caller, callee = (_role({} if at is None else self.parties[at]) for at in (self.caller, self.callee))
        ours = _AGENTS | _MACHINES
        if caller in _CUSTOMERS or (not caller and callee in ours):
            return Direction.INBOUND
        if caller in ours and callee not in ours:
            return Direction.OUTBOUND
        return Direction.UNKNOWN

    def colleagues(self) -> Iterator[Participant]:
        """The company's people who were on the call."""
        for party in self.parties:
            person = Participant(parts.text(party.get("uuid")), parts.text(party.get("name")))
            if _role(party) in _AGENTS and (person.id or person.name):
                yield person

    def department(self) -> str | None:
        """That of the company's party."""
        ours = [party for party in self.parties if _role(party) in _AGENTS]
        return next((dept for party in (*ours, *self.parties) if (dept := parts.text(party.get("dept")))), None)


def indices(value: Any) -> Iterator[int]:
    """Indices of parties: a number, a list, or a list for each channel."""
    if isinstance(value, list):
        for item in value:
            yield from indices(item)
    elif (number := parts.number_of(value)) is not None and number >= 0 and number == int(number):
        yield int(number)


def _first_two(order: Iterator[int]) -> tuple[int | None, int | None]:
    first = next(order, None)
    return first, next((index for index in order if index != first), None)


def _speaker(index: int | None, caller: int | None, callee: int | None) -> Speaker:
    if index is None:
        return Speaker.OTHER
    return Speaker.CALLER if index == caller else Speaker.CALLEE if index == callee else Speaker.OTHER


def _names(parties: Sequence[dict[str, Any]], caller: int | None, callee: int | None) -> dict[str, Speaker]:
    """A name that is shared at one level may be one party's alone at the next."""
    names = [(parts.text(party.get("name")) or "").casefold() for party in parties]
    roles = [_role(party) for party in parties]
    groups = [next((group for group in (_AGENTS, _CUSTOMERS) if role in group), ()) for role in roles]
    found: dict[str, Speaker] = {}
    for level in (
        [{name} for name in names],
        [{name.partition(" ")[0]} for name in names],
        [{r} for r in roles],
        groups,
    ):
        owners: dict[str, int | None] = {}
        for index, known in enumerate(level):
            for name in known:
                owners[name] = None if name in owners else index
        for name, owner in owners.items():
            if name and owner is not None:
                found.setdefault(name, _speaker(owner, caller, callee))
    return found


def named_in(dialog: dict[str, Any]) -> Iterator[int]:
    """The parties of a dialog, who began it first."""
    yield from indices(dialog.get("originator"))
    yield from indices(dialog.get("parties"))


def _role(party: dict[str, Any]) -> str:
    said = parts.text(party.get("role")) or parts.text(parts.mapping(party.get("meta")).get("role")) or ""
    return said.casefold()
