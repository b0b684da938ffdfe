"""Where a request may go: URLs as an operator writes them, and addresses as a socket is about to be connected to.

Public addresses, and what `allow_networks` names besides. Pure: `router.http` asks `refusal` at the socket, where
nothing can be faked; `check_url` finds at load what can be seen in the URL already.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from yarl import URL

from router.errors import Discreet
from router.scalars import OneOrSeveral

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

#: All that was given out for the public internet. Python's own `is_global` also likes addresses that no one has yet.
_PUBLIC_IPV6 = IPv6Network("2000::/3")
#: What `is_global` calls public, in one Python or another, and is not, or hides another address inside.
_NOT_PUBLIC: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # Teredo among them
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
#: Where clouds hand out credentials. 168.63.129.16 (Azure) is even a public address.
_METADATA: tuple[Network, ...] = tuple(
    ipaddress.ip_network(address)
    for address in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "168.63.129.16",
        "fd00:ec2::23",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
_IPV4_INSIDE: tuple[tuple[IPv6Network, int], ...] = (
    # A network whose addresses carry an IPv4 address, and how many bits stand to the right of it.
    (IPv6Network("::/96"), 0),
    (IPv6Network("::ffff:0:0/96"), 0),
    (IPv6Network("::ffff:0:0:0/96"), 0),
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
)
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_LOCAL_NAMES = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})


def refusal(address: str, allowed: Iterable[Network] = ()) -> str | None:
    """Why nothing is sent to this address (an IP literal), or None where it may be."""
    try:
        literal = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "which is no IP address"
    if any(found in network for found in _meant(literal) for network in _METADATA):
        return "where clouds keep credentials: never allowed"
    if _is_public(literal) or any(candidate in network for network in allowed for candidate in _same(literal)):
        return None
    return f"which is not public; if that is meant, write allow_networks: [{ipaddress.ip_network(literal)}]"


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in _PUBLIC_IPV6:
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def _meant(address: Address) -> Iterable[Address]:
    """The address, and the IPv4 address that it may be a dress of."""
    yield address
    for network, shift in _IPV4_INSIDE:
        if address in network:
            yield IPv4Address(int(address) >> shift & 0xFFFFFFFF)


def _same(address: Address) -> tuple[Address, ...]:
    """What an operator need not tell apart: `localhost` is 127.0.0.1 and ::1."""
    return _LOOPBACK if address in _LOOPBACK else (address,)


def check_url(url: SecretStr | str, allowed: Iterable[Network] = ()) -> None:
    """Refuse a URL that can be seen to lead elsewhere than it may. Raises ValueError with what to write.

    Names are looked up when they are connected to, and not before: only `localhost` is known.
    """
    host = _parsed(url).host or ""
    name = host.rstrip(".").casefold()
    if name in _LOCAL_NAMES or name.endswith(".localhost"):
        host, name = f"{host} is 127.0.0.1", "127.0.0.1"
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return
    if why := refusal(name, allowed):
        raise Discreet(f"{host}, {why}", instead="leads to a host that may not be reached; see `allow_networks`")


def host_of(url: SecretStr | str) -> str:
    """`host` or `host:port`, as it may be shown: never user, path or query."""
    parsed = _parsed(url)
    host = parsed.raw_host or ""
    shown = f"[{host}]" if ":" in host else host
    return shown if parsed.explicit_port is None or parsed.is_default_port() else f"{shown}:{parsed.explicit_port}"


def _http_url(url: SecretStr) -> SecretStr:
    """The problems are named without the URL, which may be a secret as a whole; its host is none."""
    text = url.get_secret_value()
    if not _VISIBLE.fullmatch(text):
        message = "holds blanks, backslashes or control characters"
    elif not _BEGINNING.match(text):
        message = "is no URL like https://example.com/calls; it begins with https:// or http:// and a host"
    elif (host := _usable_host(text)) is None:
        message = "has no usable host or port; write a URL like https://example.com/calls"
    elif _is_a_number(host):
        instead = "has a number as its host; write an address as four decimal numbers, like 10.1.2.3"
        raise Discreet(f"has the host {host}; write an address as four decimal numbers, like 10.1.2.3", instead=instead)
    else:
        return url
    raise Discreet(message)


_VISIBLE = re.compile(r"[^\s\\\x00-\x20\x7f-\xa0]+")
_BEGINNING = re.compile(r"https?://[^/?#]", re.IGNORECASE)
_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?|[0-9A-F.]*:[0-9A-F:.]*(%\w+)?", re.ASCII | re.IGNORECASE)


def _usable_host(url: str) -> str | None:
    try:
        parsed = _parsed(url)
    except ValueError:
        return None
    host = parsed.raw_host or ""
    return host if _HOST.fullmatch(host) and parsed.port else None


def _is_a_number(host: str) -> bool:
    """Whether the C library would read an address in it that nobody sees: 127.1, 2130706433, 0x7f.1, 0177.0.0.1."""
    if not re.search(r"(^|\.)(\d+|0[xX][0-9A-Fa-f]*)\.?$", host):
        return False
    try:
        IPv4Address(host.removesuffix("."))
    except ValueError:
        return True
    return False


def _parsed(url: SecretStr | str) -> URL:
    """As aiohttp reads it, so that what is checked is what is connected to."""
    return URL(url.get_secret_value() if isinstance(url, SecretStr) else url)


def _network(value: Any) -> Any:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    text = str(value).strip()
    try:
        nearest = ipaddress.ip_network(text, strict=False)
    except ValueError:
        nearest = None
    if nearest is None or not isinstance(value, str):
        message = "is no network; write one like 10.1.0.0/16, or a single address"
        raise Discreet(f"{value!r} {message}", instead=message)
    if str(nearest.network_address) != str(ipaddress.ip_address(text.partition("/")[0])):
        message = "has bits set to the right of its mask"
        raise Discreet(f"{value!r} {message}; write {nearest}", instead=message)
    return nearest


#: What a URL that may carry a secret (a token in its path, a password) is declared as: it is never printed.
HttpUrl = Annotated[
    SecretStr, AfterValidator(_http_url), Field(json_schema_extra={"examples": ["https://example.com/calls"]})
]

#: What `allow_networks` is declared as: networks or single addresses.
Networks = Annotated[
    tuple[Annotated[Network, BeforeValidator(_network)], ...],
    OneOrSeveral(),
    Field(json_schema_extra={"examples": [["10.1.0.0/16"]]}),
]
