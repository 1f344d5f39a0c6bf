"""Transfer encodings, whole and damaged."""

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.event.transfer import BASE64_DAMAGED, BASE64_LIE, QUOTED_DAMAGED, unwrap


def read(body: bytes, encoding: str, *, text: bool = True) -> tuple[bytes, str | None]:
    """Unwrap a body that stands in the middle of something."""
    return unwrap(b"===\r\n" + body + b"\r\n==", 5, 5 + len(body), encoding, text=text)


@given(st.binary(), st.integers(1, 100), st.sampled_from([b"\r\n", b"\n"]), st.booleans())
def test_base64_in_lines_of_any_length_is_whole(octets: bytes, width: int, eol: bytes, ends: bool) -> None:
    letters = base64.b64encode(octets)
    lines = [letters[start : start + width] for start in range(0, len(letters), width)]
    assert read(eol.join(lines) + eol * ends, "base64") == (octets, None)


@given(st.lists(st.binary(min_size=1), min_size=2))
def test_base64_padded_line_by_line(pieces: list[bytes]) -> None:
    body = b"\r\n".join(map(base64.b64encode, pieces))
    assert read(body, "base64", text=False)[0] == b"".join(pieces)


@pytest.mark.parametrize(
    ("body", "decoded"),
    [
        (b"aGVsbG8", b"hello"),
        (b"aGV!sbG8=", b"hello"),
        (b"aGVsbG8hA", b"hello!"),
        (b"aGVs\x00bG8=", b"hello"),
        (b"aGVsbG8=\r\n-- \r\nfooter of a list", b"hello"),
        (b"A", b""),
        (b"====", b""),
    ],
)
def test_damaged_base64(body: bytes, decoded: bytes) -> None:
    assert read(body, "base64", text=False) == (decoded, BASE64_DAMAGED)


def test_text_that_is_called_base64() -> None:
    assert read(b"The door is open.", "base64") == (b"The door is open.", BASE64_LIE)


@given(st.binary())
def test_quoted_printable_is_undone(octets: bytes) -> None:
    assert read(quopri.encodestring(octets), "quotedprintable")[0] == octets


def test_damaged_quoted_printable() -> None:
    assert read(b"a=3Db =XY =\t\r\nc", "quotedprintable") == (b"a=b =XY c", QUOTED_DAMAGED)


@given(st.binary(), st.sampled_from(["", "base64", "quotedprintable", "8bit", "x"]), st.booleans())
def test_any_octets_under_any_encoding(body: bytes, encoding: str, text: bool) -> None:
    decoded, _ = read(body, encoding, text=text)
    assert len(decoded) <= len(body)
