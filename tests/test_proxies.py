"""Whose word counts on where a request comes from."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router import proxies
from router.targets import Network

PROXIES: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def found(peer: str | None, x_forwarded_for: str = "", forwarded: str = "") -> str | None:
    address = proxies.address(peer, PROXIES, x_forwarded_for, forwarded)
    return None if address is None else str(address)


@pytest.mark.case("AUTH-07")
@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("", "127.0.0.1"),
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.9, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 198.51.100.9", "198.51.100.9"),
        ("evil, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 10.0.0.1", "203.0.113.7"),
        ("198.51.100.9, 203.0.113.7, 10.0.0.1,10.0.0.2", "203.0.113.7"),
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.9, 10.0.0.1", "10.0.0.9"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, ::ffff:10.0.0.1", "203.0.113.7"),
        ("203.0.113.7, unknown", None),
        ("203.0.113.7, _hidden", None),
        ("203.0.113.7,", None),
        ("203.0.113.7, 10.0.0", None),
        ("203.0.113.7 198.51.100.9", None),
        ("203.0.113.7, 0x7f.1", None),
        ("203.0.113.7, 127.0.0.01", None),
        ("203.0.113.7, \u0661\u0662\u0667.0.0.1", None),
        ("203.0.113.7, []", None),
        (", " * 2500 + "203.0.113.7", "203.0.113.7"),
        ("203.0.113.7" + ", 10.0.0.1" * 31, "203.0.113.7"),
        ("203.0.113.7" + ", 10.0.0.1" * 32, None),
        ("203.0.113.7" + ", 10.0.0.1" * 5000, None),
    ],
)
def test_a_list_is_read_from_the_right_as_far_as_proxies_are_trusted(header: str, address: str | None) -> None:
    assert found("127.0.0.1", header) == address


@pytest.mark.case("AUTH-07")
@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ('For="[2001:db8::7]:4711";proto=https;by=10.0.0.1', "2001:db8::7"),
        ("proto=https; for=203.0.113.7", "203.0.113.7"),
        ("for=198.51.100.9, for=203.0.113.7;host=x, for=10.0.0.1", "203.0.113.7"),
        ('for="evil, for=203.0.113.7', "203.0.113.7"),
        ("for=unknown", None),
        ("for=_a", None),
        ("proto=https", None),
        ("for=203.0.113.7;for=10.0.0.1", None),
        ("203.0.113.7", None),
    ],
)
def test_forwarded_is_read_in_the_same_way(header: str, address: str | None) -> None:
    assert found("127.0.0.1", forwarded=header) == address


@pytest.mark.case("AUTH-07")
def test_two_headers_that_disagree_are_nobodys_word() -> None:
    """A proxy writes one of them and lets the sender's other one pass."""
    assert found("127.0.0.1", "203.0.113.7", "for=203.0.113.7") == "203.0.113.7"
    assert found("127.0.0.1", "203.0.113.7", "for=198.51.100.9") is None
    assert found("127.0.0.1", "203.0.113.7", "for=unknown") is None


@pytest.mark.case("AUTH-06")
@pytest.mark.parametrize("peer", ["198.51.100.9", "2001:db8::9", "11.0.0.1"])
def test_who_is_no_trusted_proxy_is_whom_it_is(peer: str) -> None:
    assert found(peer, "203.0.113.7", "for=203.0.113.7") == peer


def test_a_peer_without_an_address_is_nobody() -> None:
    assert found(None, "203.0.113.7") is None
    assert found("", "203.0.113.7") is None


def test_a_neighbourhood_is_what_one_person_has() -> None:
    assert proxies.neighbourhood(ip_address("203.0.113.7")) == "203.0.113.7"
    assert proxies.neighbourhood(ip_address("2001:db8:1:2:3::4")) == "2001:db8:1:2::/64"
    assert proxies.network_of(ip_address("203.0.113.7")) == "203.0.113.0/24"
    assert proxies.network_of(ip_address("2001:db8:1:2:3::4")) == "2001:db8:1::/48"


@given(st.text('0123456789abcdef.:[], %_"=;for', max_size=80), st.text('0123456789abcdef.:[], %_"=;for', max_size=80))
def test_whatever_stands_there_is_an_address_or_nobodys(x_forwarded_for: str, forwarded: str) -> None:
    proxies.address("127.0.0.1", PROXIES, x_forwarded_for, forwarded)
