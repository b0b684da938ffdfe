"""The routing table: which sinks a call is owed to, from the YAML that a user writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.config import load
from router.event import Call, Channel, Direction
from router.matching import All, Not
from router.routing import Never, Route, Routed, RoutingTable
from rules import CALL, NOTHING, call, configuration, facts

Routes = Callable[..., tuple[tuple[str, ...], tuple[str, ...]]]

TWO = """
routes:
- {name: first, when: {direction: inbound}, to: sales}
- {name: second, when: {channel: Sales*}, to: [crm, sales]}
"""


@pytest.fixture
def routes(tmp_path: Path) -> Routes:
    """The names of the routes that fire, and the sinks, of these rules and this call."""

    def ask(rules: str, of: Call = CALL) -> tuple[tuple[str, ...], tuple[str, ...]]:
        routed = configuration(tmp_path, rules).table.route(facts(of))
        return routed.fired, routed.sinks

    return ask


def test_every_matching_route_fires_in_the_order_of_the_file(routes: Routes) -> None:
    assert routes(TWO) == (("first", "second"), ("sales", "crm"))


def test_a_route_that_does_not_match_stays_quiet(routes: Routes) -> None:
    assert routes(TWO, call(direction=Direction.OUTBOUND)) == (("second",), ("crm", "sales"))
    assert routes(TWO, NOTHING) == ((), ())


def test_a_sink_gets_a_call_once_however_many_routes_name_it(routes: Routes) -> None:
    rules = "always: [sales]\nroutes: [{name: a, to: [sales, crm]}, {name: b, to: [crm, sales]}]\n"
    assert routes(rules) == (("a", "b"), ("sales", "crm"))


def test_stop_ends_the_search_after_its_route_fired(routes: Routes) -> None:
    stopping = TWO.replace("to: sales}", "to: sales, stop: true}")
    assert routes(stopping) == (("first",), ("sales",))


def test_stop_of_a_route_that_does_not_fire_stops_nothing(routes: Routes) -> None:
    stopping = TWO.replace("to: sales}", "to: sales, stop: yes}")
    assert routes(stopping, call(direction=Direction.OUTBOUND)) == (("second",), ("crm", "sales"))


def test_a_route_without_conditions_takes_every_call(routes: Routes) -> None:
    assert routes("routes: [{name: all of them, to: crm}]\n", NOTHING) == (("all of them",), ("crm",))


def test_unless_takes_calls_back(routes: Routes) -> None:
    rules = "routes: [{name: r, when: {direction: inbound}, unless: {channel: sales*}, to: crm}]\n"
    assert routes(rules) == ((), ())
    assert routes(rules, call(channel=Channel("1", "Support"))) == (("r",), ("crm",))
    assert routes(rules, call(channel=Channel())) == (("r",), ("crm",))


def test_always_is_no_route(routes: Routes) -> None:
    """So `otherwise` still takes the call."""
    rules = "always: archive\notherwise: [screen]\n"
    assert routes(rules) == ((), ("archive", "screen"))


def test_otherwise_takes_the_calls_that_no_route_took(routes: Routes) -> None:
    assert routes(TWO + "otherwise: screen\n", NOTHING) == ((), ("screen",))
    assert routes(TWO + "otherwise: screen\n") == (("first", "second"), ("sales", "crm"))


def test_otherwise_does_not_step_in_for_a_route_that_never_held_back(routes: Routes) -> None:
    rules = "routes: [{name: r, to: crm}]\notherwise: screen\nnever: [{name: n, to: crm}]\n"
    assert routes(rules) == (("r",), ())


def test_without_any_rules_nobody_is_told(routes: Routes) -> None:
    assert routes("") == ((), ())


@pytest.mark.parametrize(
    "empty", ["never:", "never: []", "routes:", "always: ", "otherwise: ~", "words:", "routes: []"]
)
def test_a_list_of_rules_with_nothing_in_it_is_like_none(routes: Routes, empty: str) -> None:
    assert routes(f"{empty}\n") == ((), ())


# -------------------------------------------------------------------------------------------------------------- never


def test_never_beats_always_routes_and_otherwise(routes: Routes) -> None:
    rules = """
always: [archive, screen]
routes: [{name: r, when: {channel: Sales*}, to: [crm, sales]}]
otherwise: crm
never: [{name: n, when: {direction: inbound}, to: [screen, crm]}]
"""
    assert routes(rules) == (("r",), ("archive", "sales"))
    assert routes(rules, call(channel=Channel("1", "x"))) == ((), ("archive",))
    assert routes(rules, call(direction=Direction.OUTBOUND)) == (("r",), ("archive", "screen", "crm", "sales"))


def test_never_to_all_means_nobody_hears_of_it(routes: Routes) -> None:
    rules = "always: [archive]\nroutes: [{name: r, to: crm}]\nnever: [{name: n, when: {channel: Sales*}, to: all}]\n"
    assert routes(rules) == (("r",), ())
    assert routes(rules, call(channel=Channel("1", "Support"))) == (("r",), ("archive", "crm"))


def test_never_holds_a_call_back_whose_channel_nobody_knows(routes: Routes) -> None:
    rules = "always: archive\nnever: [{name: works council, when: {channel: Betriebsrat}, to: all}]\n"
    assert routes(rules, call(channel=Channel("1", "Support"))) == ((), ("archive",))
    assert routes(rules, call(channel=Channel("1", "betriebsrat"))) == ((), ())
    assert routes(rules, call(channel=Channel())) == ((), ())


def test_never_has_its_unless(routes: Routes) -> None:
    rules = "always: archive\nnever: [{name: n, when: {direction: inbound}, unless: {has: note}, to: all}]\n"
    assert routes(rules) == ((), ("archive",))
    assert routes(rules, call(note=None)) == ((), ())


def test_a_never_rule_without_conditions_silences_its_sinks(routes: Routes) -> None:
    assert routes("always: [archive, crm]\nnever: [{name: off, to: crm}]\n") == ((), ("archive",))


def test_a_replay_learns_which_rule_forbids_it(tmp_path: Path) -> None:
    rules = "never: [{name: a, when: {has: note}, to: crm}, {name: b, to: [crm, sales]}]\n"
    table = configuration(tmp_path, rules).table
    named = [table.forbidding(sink, facts()) for sink in ("crm", "sales", "archive")]
    assert [rule and rule.name for rule in named] == ["a", "b", None]


# ---------------------------------------------------------------------------------------------------------- explaining


def test_an_explanation_tells_what_matched_what_fired_and_who_would_get_it(tmp_path: Path) -> None:
    rules = """
always: archive
routes:
- {name: first, when: {direction: inbound}, to: sales, stop: true}
- {name: second, when: {channel: Sales*}, unless: {has: participants}, to: crm}
never: [{name: n, when: {channel: Support}, to: all}, {name: m, to: [screen, crm]}]
otherwise: [screen]
"""
    found = configuration(tmp_path, rules).table.explain(facts())
    assert [(route["name"], route["matched"], route["fired"], route["to"]) for route in found["routes"]] == [
        ("first", True, True, ["sales"]),
        ("second", True, False, ["crm"]),
    ]
    assert found["routes"][1]["conditions"] == [
        {"condition": "channel: Sales*", "held": True, "found": "Sales Hotline"},
        {"condition": "has: participants", "held": False, "found": None, "unless": True},
    ]
    assert [(rule["name"], rule["matched"], rule["to"]) for rule in found["never"]] == [
        ("n", False, "all"),
        ("m", True, ["crm", "screen"]),
    ]
    assert (found["always"], found["otherwise"], found["sinks"]) == (["archive"], ["screen"], ["archive", "sales"])
    json.dumps(found)


def test_a_route_without_conditions_says_so(tmp_path: Path) -> None:
    found = configuration(tmp_path, "routes: [{name: r, to: crm}]\n").table.explain(facts())
    assert found["routes"][0]["conditions"] == [{"condition": "every call", "held": True, "found": None}]


# -------------------------------------------------------------------------------------------------------- the whole


def test_the_shipped_rules_do_what_their_comments_say() -> None:
    """As `init` writes them; whoever tries things out in a clone has edited the other ones."""
    table = load(Path(__file__).parents[1] / "router" / "starter" / "routes.yaml", {}).table
    asked = {
        "price": call(summary="Er bittet um ein Angebot."),
        "cancelled": call(direction=Direction.OUTBOUND, summary="Sie kündigt."),
        "announced": call(summary="Ankündigung der Wartung.", headline=None),
    }
    fired = {name: table.route(facts(of)).fired for name, of in asked.items()}
    assert [len(fired[name]) for name in asked] == [1, 1, 0]
    assert all({"archive", "screen"} <= set(table.route(facts(of)).sinks) for of in asked.values())


NAMES = ["archive", "screen", "sales", "crm"]
SINKS = st.lists(st.sampled_from(NAMES), max_size=4).map(tuple)
YES = All()
CONDITION = st.sampled_from([YES, Not(YES)])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(CONDITION, st.none() | CONDITION, SINKS, st.booleans()), max_size=6),
    st.lists(st.tuples(CONDITION, st.none() | SINKS), max_size=4),
    SINKS,
    SINKS,
)
def test_the_table_is_as_the_contract_has_it(
    rules: list[tuple[All | Not, All | Not | None, tuple[str, ...], bool]],
    nevers: list[tuple[All | Not, tuple[str, ...] | None]],
    always: tuple[str, ...],
    otherwise: tuple[str, ...],
) -> None:
    """Written down again, in another way."""
    table = RoutingTable(
        tuple(Route(str(at), when, to, unless, stop) for at, (when, unless, to, stop) in enumerate(rules)),
        always,
        tuple(Never(str(at), when, None if to is None else frozenset(to)) for at, (when, to) in enumerate(nevers)),
        otherwise,
    )
    fired: list[int] = []
    for at, (when, unless, _, stop) in enumerate(rules):
        if when is YES and unless is not YES:
            fired.append(at)
            if stop:
                break
    wanted = [*always, *(sink for at in fired for sink in rules[at][2])] if fired else [*always, *otherwise]
    forbidden = {sink for when, to in nevers if when is YES for sink in (NAMES if to is None else to)}
    expected = [sink for at, sink in enumerate(wanted) if sink not in forbidden and sink not in wanted[:at]]
    assert table.route(facts()) == Routed(tuple(map(str, fired)), tuple(expected))
