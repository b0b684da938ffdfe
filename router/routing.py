"""The routing table: which sinks a call is owed to, and why. Pure and immutable; compiled at load."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from router.facts import Facts
from router.matching import Condition


@dataclass(frozen=True, slots=True)
class Route:
    """One rule: `when` holds and `unless` does not. `stop` ends the search after it fired."""

    name: str
    when: Condition
    to: tuple[str, ...]
    unless: Condition | None = None
    stop: bool = False

    def matches(self, facts: Facts) -> bool:
        """Unknown counts as no."""
        return self.when.holds(facts) is True and not (self.unless is not None and self.unless.holds(facts))


@dataclass(frozen=True, slots=True)
class Never:
    """One rule that beats everything: what matches does not go to these sinks (None: to no sink at all)."""

    name: str
    when: Condition
    to: frozenset[str] | None = None
    unless: Condition | None = None

    def matches(self, facts: Facts) -> bool:
        """Unknown counts as yes: where a call cannot be told to be harmless it is held back."""
        return self.when.holds(facts) is not False and not (
            self.unless is not None and self.unless.holds(facts) is True
        )

    def covers(self, sink: str) -> bool:
        """Whether the rule is about this sink."""
        return self.to is None or sink in self.to


@dataclass(frozen=True, slots=True)
class Routed:
    """What a call is owed: the names of the routes that fired, and the sinks in the order in which they came up."""

    fired: tuple[str, ...]
    sinks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """All rules of one configuration. `digest` is the hash of what they were compiled from."""

    routes: tuple[Route, ...] = ()
    always: tuple[str, ...] = ()
    never: tuple[Never, ...] = ()
    otherwise: tuple[str, ...] = ()
    digest: str = ""

    def route(self, facts: Facts) -> Routed:
        """Every matching route fires, in file order, until one that stops; each sink comes up once."""
        fired: list[Route] = []
        for route in self.routes:
            if route.matches(facts):
                fired.append(route)
                if route.stop:
                    break
        chosen = [sink for route in fired for sink in route.to] if fired else list(self.otherwise)
        sinks = dict.fromkeys([*self.always, *chosen])
        allowed = tuple(sink for sink in sinks if self.forbidding(sink, facts) is None)
        return Routed(tuple(route.name for route in fired), allowed)

    def forbidding(self, sink: str, facts: Facts) -> Never | None:
        """The `never` rule that keeps this call from this sink; replays ask it, too."""
        return next((rule for rule in self.never if rule.covers(sink) and rule.matches(facts)), None)

    def explain(self, facts: Facts) -> dict[str, Any]:
        """As JSON: every rule with its conditions, which of them matched and fired, and the sinks that would get it."""
        routed = self.route(facts)
        return {
            "routes": [
                {
                    "name": route.name,
                    "matched": route.matches(facts),
                    "fired": route.name in routed.fired,
                    "conditions": _conditions(route, facts),
                    "to": list(route.to),
                }
                for route in self.routes
            ],
            "always": list(self.always),
            "never": [
                {
                    "name": rule.name,
                    "matched": rule.matches(facts),
                    "conditions": _conditions(rule, facts),
                    "to": "all" if rule.to is None else sorted(rule.to),
                }
                for rule in self.never
            ],
            "otherwise": list(self.otherwise),
            "sinks": list(routed.sinks),
        }


def _conditions(rule: Route | Never, facts: Facts) -> list[dict[str, Any]]:
    """The conditions of `when`, then those of `unless`, marked as such."""
    when = rule.when.explain(facts)
    found = [part.plain() for part in when.parts or (when,)]
    if rule.unless is not None:
        unless = rule.unless.explain(facts)
        found += [{**part.plain(), "unless": True} for part in unless.parts or (unless,)]
    return found
