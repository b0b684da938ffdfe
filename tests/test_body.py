"""`router.formats.body`: what is JSON, what is not, and what is the same."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from router.errors import Unreadable
from router.formats import body as bodies
from router.formats.body import MAX_DEPTH, digest_of_bytes, parse

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def reason(body: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        parse(body)
    return str(caught.value)


def digest(text: str) -> bytes:
    return parse(text.encode()).digest


def nested(depth: int, inner: str = "1") -> str:
    return "[" * depth + inner + "]" * depth


# ---------------------------------------------------------------------------------------------------------- what it is


@given(JSON)
def test_what_is_written_is_what_is_read(value: Any) -> None:
    assert parse(json.dumps(value).encode()).value == _without_surrogates(value)


def _without_surrogates(value: Any) -> Any:
    return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace").decode())


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_is_read_in_every_encoding_that_senders_use(encoding: str) -> None:
    text = '{"summary": "Müller & Söhne 👍"}'
    parsed = parse(text.encode(encoding))
    assert parsed.value == {"summary": "Müller & Söhne 👍"}
    assert parsed.digest == digest(text)


def test_two_byte_order_marks_are_one_too_many_and_no_harm() -> None:
    assert parse(codecs.BOM_UTF8 * 2 + b"[1]").value == [1]


@pytest.mark.parametrize("text", ["[1]", '"text"', "12", "null", "true", "{}", " \r\n\t[ 1 ] \n"])
def test_any_json_is_read_whatever_stands_at_the_top(text: str) -> None:
    assert parse(text.encode()).value == json.loads(text)


# --------------------------------------------------------------------------------------------------------- what is not


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON: Expecting value at line 1 column 1"),
        (b"  \n", "not JSON: Expecting value at line"),
        (b"{", "not JSON: Expecting property name"),
        (b'{"call": {"id": "x"', "not JSON: Expecting ',' delimiter at line 1 column 20"),
        (b'{"a": 1}{"a": 2}', "not JSON: Extra data at line 1 column 9"),
        (b'{"a": 1}\n{"a": 2}', "not JSON: Extra data at line 2 column 1"),
        (b'{"a": NaN}', "not JSON: NaN is no number in JSON"),
        (b'{"a": Infinity}', "not JSON: Infinity is no number in JSON"),
        (b'{"a": -Infinity}', "not JSON: -Infinity is no number in JSON"),
        (b"{'a': 1}", "not JSON: Expecting property name"),
        (b'{"a": "\x00"}', "not JSON: Invalid control character at"),
        (b'{"a": 01}', "not JSON: Expecting ',' delimiter"),
        (b"call=x&id=1", "not JSON: Expecting value at line 1 column 1"),
        (b"\xff\xfe\x00", "not text: byte"),
        (b'{"a": "\xfc"}', "not text: byte 7 is no utf-8"),
        (b'{"a": "\xed\xa0\x80"}', "not text: byte 7 is no utf-8"),
        (b"\xff\xfe{\x00", "not JSON: Expecting property name"),
        (b"\x1f\x8b\x08\x00", "a gzip that is damaged or not complete"),
        (b"\x1f\x8b", "a gzip that is damaged or not complete"),
        (gzip.compress(b"x")[:-1], "a gzip that is damaged or not complete"),
        (gzip.compress(b"{"), "not JSON: Expecting property name"),
    ],
)
def test_what_is_no_json_is_refused_with_the_reason(body: bytes, said: str) -> None:
    assert reason(body).startswith(said)


@given(st.binary(max_size=200))
@example(b"\x00{")
@example(b"\x00\x00\x00[")
@example(b"\x00" * 100)
@example('["\ud800"]'.encode("utf-16-le", "surrogatepass"))
@example(b'["' + b"\\" * 99 + b'"]')
def test_bytes_of_any_kind_are_read_or_refused(body: bytes) -> None:
    try:
        parsed = parse(body)
    except Unreadable:
        return
    assert len(parsed.digest) == 32
    json.dumps(parsed.value, ensure_ascii=False).encode()


def test_a_reason_quotes_nothing() -> None:
    secret = "geheim"
    for broken in (
        f'{{"{secret}": {secret}}}',
        f'{{"a": "{secret}',
        f'["\\{secret}"]',
        f'{{"a": 1 "{secret}"}}',
        secret,
    ):
        assert secret not in reason(broken.encode())


# --------------------------------------------------------------------------------------------------------------- depth


@pytest.mark.case("JSON-04")
def test_the_deepest_that_is_read() -> None:
    assert parse(nested(MAX_DEPTH).encode()).value
    assert parse(nested(MAX_DEPTH, "").encode()).value
    assert parse(f'{{"a": {nested(MAX_DEPTH - 1)}}}'.encode()).value


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 1024, 3000, 100_000])
@pytest.mark.parametrize("inner", ["", "1"])
@pytest.mark.case("JSON-04")
def test_what_is_nested_deeper_is_refused(depth: int, inner: str) -> None:
    assert reason(nested(depth, inner).encode()) == f"nested deeper than {MAX_DEPTH} levels"


def test_objects_nest_as_lists_do() -> None:
    assert reason(('{"a":' * 5000 + "1" + "}" * 5000).encode()) == f"nested deeper than {MAX_DEPTH} levels"


def test_brackets_that_are_never_closed_are_refused() -> None:
    assert reason(b"[" * 100_000)
    assert reason(b'{"a":' * 100_000)


# ------------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64 + 1, 123456789012345678901234567890, -(2**200)])
@pytest.mark.case("JSON-03")
def test_integers_are_exact(number: int) -> None:
    assert parse(f'{{"id": {number}}}'.encode()).value == {"id": number}


@pytest.mark.case("JSON-03")
def test_an_integer_that_python_does_not_convert_stays_text() -> None:
    digits = "7" * 5000
    assert parse(f'{{"id": {digits}}}'.encode()).value == {"id": digits}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("9" * 5000, "9" * 4999 + "8"),
        (str(2**64), str(2**64 + 1)),
        ("0.1", "0.10000000000000000001"),
        ("1e400", "1e401"),
        ("1", "1.0"),
        ("1", '"1"'),
        ("1.5", '"1.5"'),
        ("1.5", r'"\u00001.5"'),
        ("9" * 5000, '"' + "9" * 5000 + '"'),
        ("true", '"true"'),
        ("null", '"null"'),
        ("{}", "[]"),
    ],
)
def test_different_values_have_different_digests(one: str, other: str) -> None:
    assert digest(f'{{"a": {one}}}') != digest(f'{{"a": {other}}}')


# ------------------------------------------------------------------------------------------------------------- digests


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a": 1, "b": {"c": 2, "d": 3}}', '{"b":{"d":3,"c":2},"a":1}'),
        ('{"a": "Müller"}', r'{"a": "M\u00fcller"}'),
        ('{"a": "a/b"}', r'{"a": "a\/b"}'),
        ('{"a": "👍"}', r'{"a": "\ud83d\udc4d"}'),
        ('{"a": [1.50, 2]}', '{"a":[1.50,2]}\r\n'),
    ],
)
def test_the_same_content_has_the_same_digest(one: str, other: str) -> None:
    assert digest(one) == digest(other)


def test_the_order_of_a_list_counts() -> None:
    assert digest("[1, 2]") != digest("[2, 1]")


def test_a_digest_is_sha_256_over_canonical_json() -> None:
    """Sorted keys, no spaces, exact numbers: whoever knows the contract can compute it."""
    big = "9" * 5000
    body = f'{{"z": [1.50, -0.0, {big}, 1E+2], "ü": {{"b": null, "a": true}}, "a": "x\\u00e4"}}'
    canonical = f'{{"a":"x\\u00e4","z":[1.50,-0.0,{big},1E+2],"\\u00fc":{{"a":true,"b":null}}}}'
    assert digest(body) == hashlib.sha256(canonical.encode()).digest()


@given(JSON)
def test_a_digest_hangs_on_the_content_alone(value: Any) -> None:
    written = json.dumps(value, indent=3)
    again = json.dumps(value, ensure_ascii=False, sort_keys=True).encode(errors="surrogatepass")
    try:
        again.decode()
    except UnicodeDecodeError:
        return  # lone surrogates can only be sent as escapes
    assert parse(written.encode()).digest == parse(again).digest


def test_a_body_that_is_no_json_has_the_digest_of_its_bytes() -> None:
    assert digest_of_bytes(b"no json") == hashlib.sha256(b"no json").digest()


# ---------------------------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    "body", ['{"id": 1, "id": 2}', '{"x": [{"id": 1, "id": 2}], "id": 2}', '{"a": 1, "\\u0061": 2}']
)
@pytest.mark.case("JSON-07")
def test_a_repeated_key_is_flagged_at_any_level(body: str) -> None:
    assert parse(body.encode()).repeated_key


@pytest.mark.case("JSON-07")
def test_of_a_repeated_key_the_last_value_counts_in_the_digest_too() -> None:
    parsed = parse(b'{"id": 1, "b": 0, "id": 2}')
    assert parsed.value == {"id": 2, "b": 0}
    assert parsed.digest == digest('{"b": 0, "id": 2}')


def test_the_same_key_in_two_objects_is_not_repeated() -> None:
    assert not parse(b'[{"id": 1}, {"id": 2, "x": {"id": 3}}]').repeated_key


@pytest.mark.case("JSON-10")
def test_odd_keys_are_keys() -> None:
    odd = {"": 1, "__proto__": 2, "__class__": 3, "x" * 10_000: 4, "a\nb": 5}
    assert parse(json.dumps(odd).encode()).value == odd


# ---------------------------------------------------------------------------------------------------------- surrogates


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'{"a": "x\ud800y"}', {"a": "x\ufffdy"}),
        (r'{"a": "\udc00\ud83d"}', {"a": "\ufffd\ufffd"}),
        (r'{"\ud800": ["\udfff"]}', {"\ufffd": ["\ufffd"]}),
        (r'"\ud83d\ude00"', "😀"),
        (r'"\\ud800"', r"\ud800"),
    ],
)
def test_lone_surrogates_become_replacement_characters(written: str, read: Any) -> None:
    value = parse(written.encode()).value
    assert value == read
    json.dumps(value, ensure_ascii=False).encode()


@pytest.mark.case("JSON-06")
def test_nul_stays_in_the_parsed_body() -> None:
    """It is the readers of parts that take it off: `raw` is what was sent."""
    assert parse(rb'{"a": "x\u0000y"}').value == {"a": "x\0y"}


@pytest.mark.case("JSON-10")
def test_many_keys_and_a_long_string_are_no_trouble() -> None:
    many = json.dumps({f"k{number}": number for number in range(200_000)})
    assert len(parse(many.encode()).value) == 200_000
    assert len(parse(json.dumps("x" * 2_000_000).encode()).value) == 2_000_000


def test_a_deep_stack_does_not_shorten_what_is_read() -> None:
    """A handler may be called from deep inside."""
    deep = nested(MAX_DEPTH).encode()

    def descend(levels: int) -> Any:
        return parse(deep).value if levels == 0 else descend(levels - 1)

    assert descend(300)


def test_a_gzip_is_read_as_what_is_in_it_and_has_its_digest() -> None:
    """`application/vcon+gzip` comes without a Content-Encoding."""
    plain = b'{"a": 1, "b": "\\u00fc"}'
    assert parse(gzip.compress(plain)) == parse(plain)
    assert bodies.value(gzip.compress(plain)) == {"a": 1, "b": "ü"}


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"{}"),
        b'{"payload": 1}',
        b'{"\\u0070ayload": 1}',
        b'{"body": "H4sIAAAA"}',
        b'{"body": "\\u00484sIAAAA"}',
        b'{"body": "H\\u0034sIAAAA"}',
        '{"body": "H4sIAAAA"}'.encode("utf-16"),
        b'{"mediatype": "message/rfc822"}',
        b'{"mediatype": "Multipart\\/mixed"}',
        b'{"mediatype": "multipart\\u002fmixed"}',
    ],
)
def test_a_body_that_may_take_long_is_known_beforehand(body: bytes) -> None:
    assert bodies.may_take_long(body)


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"a": "Gr\\u00fc\\u00dfe \\u003c\\u0026\\n"}', '"ü"'.encode()])
def test_other_bodies_take_no_longer_than_their_size_says(body: bytes) -> None:
    assert not bodies.may_take_long(body)


def test_a_gzip_that_unpacks_to_too_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_UNPACKED", 1000)
    assert reason(gzip.compress(b" " * 1001)) == "a gzip of more than 1000 bytes"


@given(JSON)
def test_a_value_alone_is_the_one_of_the_parse(made: Any) -> None:
    written = json.dumps(made)
    assert bodies.value(written) == bodies.value(written.encode()) == parse(written.encode()).value
