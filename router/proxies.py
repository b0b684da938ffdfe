"""The address that a request really comes from, where trusted proxies stand in between. Pure.

Every proxy adds the address that it saw to the right. So the list is read from the right, for as long as it names
proxies that are trusted; the first other address is the sender's, and what stands left of it is the sender's word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from router.targets import Address, Network

#: Trusted proxies in a row; nobody has more, and the rest of a longer list is not looked at.
_MOST: Final = 32
#: `203.0.113.7`, `203.0.113.7:4711`, `[2001:db8::7]:4711`, `2001:db8::7`.
_NODE: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+)(?::\d{1,5})?|([0-9A-Fa-f:.]+)", re.ASCII)


def within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether it lies in one of them."""
    return any(address in network for network in networks)


def address(peer: str | None, trusted: Sequence[Network], x_forwarded_for: str, forwarded: str) -> Address | None:
    """Who sent it: the peer, or whom trusted proxies name. None where that cannot be known: it is nobody's.

    The headers are as they came, several of a name joined by commas. A proxy writes one of the two and lets the
    sender's other one pass; where both are there and do not agree, neither is believed.
    """
    sender = parsed(peer or "")
    if sender is None or not within(sender, trusted):
        return sender
    said = {
        _last(map(read, _from_the_right(header)), trusted)
        for header, read in ((x_forwarded_for, parsed), (forwarded, _element))
        if header
    }
    return said.pop() if len(said) == 1 else None if said else sender


def neighbourhood(address: Address) -> str:
    """What one person has: an IPv4 address, or the /64 of an IPv6 one, which holds more than could be counted."""
    return str(address) if isinstance(address, IPv4Address) else str(ip_network((address, 64), strict=False))


def network_of(address: Address) -> str:
    """Roughly where it is: enough for `allow_from`, too little to be a person."""
    return str(ip_network((address, 24 if isinstance(address, IPv4Address) else 48), strict=False))


def _from_the_right(header: str) -> Iterable[str]:
    for _ in range(_MOST):
        header, comma, last = header.rpartition(",")
        yield last.strip()
        if not comma:
            return
    yield ""


def _last(senders: Iterable[Address | None], trusted: Sequence[Network]) -> Address | None:
    """The first that is no trusted proxy; the farthest where all are."""
    last = None
    for last in senders:
        if last is None or not within(last, trusted):
            break
    return last


def _element(text: str) -> Address | None:
    """Of one element of `Forwarded` (RFC 7239). No address has a semicolon in it, so quotes hide none."""
    pairs = [pair.partition("=") for pair in text.split(";")]
    nodes = [value.strip().strip('"') for name, _, value in pairs if name.strip().casefold() == "for"]
    return parsed(nodes[0]) if len(nodes) == 1 else None


def parsed(node: str) -> Address | None:
    """An address as proxies write it; IPv4 in the dress of IPv6 is IPv4."""
    matched = _NODE.fullmatch(node.partition("%")[0])
    try:
        found = ip_address(next(filter(None, matched.groups()))) if matched else None
    except (ValueError, StopIteration):
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found
