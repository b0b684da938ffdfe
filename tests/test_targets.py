from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from router.targets import HttpUrl, Networks, check_url, host_of, refusal

if TYPE_CHECKING:
    from router.targets import Network

URL = TypeAdapter(HttpUrl)
NETWORKS = TypeAdapter(Networks)

PUBLIC = ["93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450::1"]
INSIDE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.31.255.255", "192.168.0.1", "100.64.0.1",
    "169.254.1.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "233.252.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::8.8.8.8", "::ffff:8.8.8.8", "::ffff:127.0.0.1",
    "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:808:808::1",
    "3fff::1", "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "4000::1",
]  # fmt: skip
METADATA = [
    "169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254",
    "::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::",
    "2002:6464:64c8:1::1",
]  # fmt: skip
EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_free(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize("address", INSIDE)
def test_all_others_have_to_be_allowed(address: str) -> None:
    literal = address.partition("%")[0]
    network = ip_network(literal)
    assert refusal(address) == f"which is not public; if that is meant, write allow_networks: [{network}]"
    assert refusal(address, [network]) is None
    assert refusal(address, [ip_network("9.9.9.9"), ip_network("2620:fe::fe")]) is not None


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_never_allowed(address: str) -> None:
    assert refusal(address, EVERYTHING) == "where clouds keep credentials: never allowed"


@given(st.ip_addresses())
def test_what_python_calls_private_is_never_free(address: object) -> None:
    assert ip_address(str(address)).is_global or refusal(str(address)) is not None


@pytest.mark.parametrize("literal", ["", "example.com", "1.2.3", "::g", "127.1"])
def test_what_is_no_address_is_refused(literal: str) -> None:
    assert refusal(literal, EVERYTHING) == "which is no IP address"


def test_the_two_loopbacks_are_one() -> None:
    assert refusal("::1", [ip_network("127.0.0.0/8")]) is None
    assert refusal("127.0.0.1", [ip_network("::1")]) is None
    assert refusal("127.0.0.2", [ip_network("::1")]) is not None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com/x?y=z", "example.com"),
        ("HTTPS://EXAMPLE.com:443/x", "example.com"),
        ("http://example.com:443", "example.com:443"),
        ("http://user:pass@example.com:8080/x", "example.com:8080"),
        ("https://[2606:4700::1111]:8443/", "[2606:4700::1111]:8443"),
        ("https://müller.example/", "xn--mller-kva.example"),
        ("http://crm_1:80", "crm_1"),
        ("http://crm.internal./", "crm.internal."),
    ],
)
def test_good_urls(url: str, host: str) -> None:
    assert host_of(URL.validate_python(url)) == host


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "example.com", "ftp://example.com", "file:///etc/passwd", "http://", "https:///x", "http://?x",
        "http://ex ample.com", " http://example.com", "http://example.com\n", "http://evil.com\\@good.com/",
        "http://h:0/", "http://h:99999/", "http://h:x/", "http://[::1", "http://a..b/", "http://.../", "http://.a/",
        "http://%31%32%37.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/",
        "http://0/", "http://1.2.3.4.5/", "http://127.0.0.256/", "http://\x00/", "http://a\u00a0b/",
    ],
)  # fmt: skip
def test_bad_urls(url: str) -> None:
    with pytest.raises(ValidationError):
        URL.validate_python(url)


def test_a_bad_url_is_not_quoted() -> None:
    for url in ("http://h:x/s3cr3t", "http://s3cr3t:s3cr3t@127.1/s3cr3t", "s3cr3t", "http://h/s3 cr3t s3cr3t"):
        with pytest.raises(ValidationError) as caught:
            URL.validate_python(url)
        assert "s3cr3t" not in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:9000/", "127.0.0.1"),
        ("http://127.0.0.1./", "127.0.0.1."),
        ("http://１２７.０.０.１/", "127.0.0.1"),
        ("http://[::1]/", "::1"),
        ("http://[::ffff:127.0.0.1]/", str(ip_address("::ffff:127.0.0.1"))),  # Python 3.13 writes it another way
        ("http://localhost:9000/", "localhost is 127.0.0.1"),
        ("http://LOCALHOST./", "localhost. is 127.0.0.1"),
        ("http://a.localhost/", "a.localhost is 127.0.0.1"),
        ("http://u:p@10.1.2.3/x", "10.1.2.3"),
    ],
)
@pytest.mark.case("SSRF-01")
def test_a_url_that_leads_inside_is_found_at_load(url: str, host: str) -> None:
    with pytest.raises(ValueError, match="not public") as caught:
        check_url(url)
    assert str(caught.value).startswith(f"{host}, which is not public; if that is meant, write allow_networks: [")
    check_url(url, EVERYTHING)


def test_names_are_not_looked_up_at_load() -> None:
    check_url("https://crm.internal/")
    check_url("http://127.0.0.1.nip.io/")


def test_networks_are_read() -> None:
    expected: tuple[Network, ...] = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"), ip_network("10.2.3.4"))
    assert NETWORKS.validate_python(["10.1.0.0/16", " fd00::/8 ", "10.2.3.4"]) == expected
    assert NETWORKS.validate_python("10.1.0.0/16") == expected[:1]
    assert NETWORKS.validate_python(expected) == expected


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("10.1.2.3/16", "write 10.1.0.0/16"),
        ("fd00::1/8", "write fd00::/8"),
        ("10.1", "write one like"),
        (7, "write one like"),
    ],
)
def test_networks_that_are_none_say_what_to_write(text: object, advice: str) -> None:
    with pytest.raises(ValidationError, match=advice):
        NETWORKS.validate_python([text])
