"""Taking an encoding off: whole or not at all, and never more than the limit."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.unpacking import Corrupt, TooLarge, Unpacking


def unpacked(encoding: str, data: bytes, limit: int = 10_000, size: int = 7) -> bytes:
    """What comes out when the data comes in small pieces."""
    unpacking = Unpacking(encoding, limit)
    for at in range(0, len(data), size):
        unpacking.feed(data[at : at + size])
    return unpacking.finish()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


@given(data=st.binary(max_size=2_000), encoding=st.sampled_from(sorted(PACKERS)), size=st.integers(1, 3_000))
def test_what_was_packed_comes_out_however_it_is_cut(data: bytes, encoding: str, size: int) -> None:
    assert unpacked(encoding, PACKERS[encoding](data), size=size) == data


@given(data=st.binary(max_size=500), size=st.integers(1, 600))
def test_deflate_without_its_header_is_understood(data: bytes, size: int) -> None:
    assert unpacked("deflate", raw_deflate(data), size=size) == data


@given(
    data=st.binary(min_size=1, max_size=500), encoding=st.sampled_from(["gzip", "deflate"]), share=st.floats(0.01, 0.99)
)
def test_a_body_that_was_cut_off_is_corrupt(data: bytes, encoding: str, share: float) -> None:
    packed = PACKERS[encoding](data)
    with pytest.raises(Corrupt):
        unpacked(encoding, packed[: max(1, int(len(packed) * share))])


@pytest.mark.parametrize("encoding", sorted(PACKERS))
def test_the_limit_is_exact(encoding: str) -> None:
    data = b"x" * 100
    assert unpacked(encoding, PACKERS[encoding](data), limit=100) == data
    with pytest.raises(TooLarge):
        unpacked(encoding, PACKERS[encoding](data), limit=99)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    unpacking = Unpacking("gzip", 1_000)
    with pytest.raises(TooLarge):
        unpacking.feed(gzip.compress(b"\0" * 100_000_000))
    assert len(unpacking._body) == 1_001


def test_a_few_streams_make_one_body_and_thousands_are_refused() -> None:
    assert unpacked("gzip", gzip.compress(b"a") * 16) == b"a" * 16
    with pytest.raises(Corrupt):
        unpacked("gzip", gzip.compress(b"") * 17)
    with pytest.raises(Corrupt):
        unpacked("deflate", zlib.compress(b"a") * 2)


@pytest.mark.parametrize("junk", [b"junk", b"\0"])
def test_what_follows_the_end_is_corrupt(junk: bytes) -> None:
    with pytest.raises(Corrupt):
        unpacked("gzip", gzip.compress(b"a") + junk, size=1_000)
