"""Which token opens which source, and from where."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from router.doors import Doors


@pytest.mark.case("AUTH-01")
def test_every_wrong_token_costs_the_same_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    way_in = Doors({"a": ("one", "two"), "b": ("three",)})
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    monkeypatch.setattr("hmac.compare_digest", compare)
    costs = []
    for source, token in (
        ("a", "two"),
        ("a", "x"),
        ("a", "three"),
        ("b", "x"),
        ("c", "one"),
        ("c", ""),
        ("", "\ud800"),
    ):
        compared.clear()
        way_in.token(source, token)
        costs.append(len(compared))
    assert costs == [2, 2, 2, 1, 1, 1, 1]


@pytest.mark.case("AUTH-03")
def test_a_token_is_known_by_its_number() -> None:
    way_in = Doors({"a": ("one", "two"), "b": ("three",)})
    assert [way_in.token("a", token) for token in ("one", "two", "three", "")] == [1, 2, None, None]
    assert [way_in.token("b", token) for token in ("one", "three")] == [None, 1]
    assert way_in.token("c", "one") is None
    assert way_in.token("c", "") is None
    assert way_in.token("a", "\ud800") is None


def test_a_source_without_a_list_takes_calls_from_anywhere() -> None:
    way_in = Doors({}, allow_from={"a": [ip_network("203.0.113.0/24"), ip_network("2001:db8::/32")], "b": []})
    for source in ("b", "c"):
        assert way_in.lets_in(source, None)
        assert way_in.lets_in(source, ip_address("198.51.100.9"))
    assert way_in.lets_in("a", ip_address("203.0.113.7"))
    assert way_in.lets_in("a", ip_address("2001:db8::7"))
    assert not way_in.lets_in("a", ip_address("198.51.100.9"))
    assert not way_in.lets_in("a", None)
