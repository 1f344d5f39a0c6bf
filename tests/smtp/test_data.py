"""Content up to the final dot: whole, byte by byte, with trailing data; in bounded memory and linear time."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.smtp.data import CRLF, LF, DotReader, LineEnd, Store

PIECES = st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b".\r\n", b"\n.\n", b"x", b"..", b"yz"])
OCTETS = st.lists(PIECES, max_size=24).map(b"".join)


class Reading:
    """A reader fed piece by piece; what is behind the terminator is in `rest`."""

    def __init__(self, end: LineEnd, limit: int = 10**6) -> None:
        self.store = Store(limit)
        self.reader = DotReader(self.store, end)
        self.rest = b""

    def feed(self, *pieces: bytes, at: int = 0) -> "Reading":
        for piece in pieces:
            if not self.reader.done:
                at = self.reader.read(piece, at)
                assert self.reader.done or at == len(piece)
            self.rest += piece[at:]
            at = 0
        return self

    @property
    def result(self) -> tuple[bool, bytes, bytes]:
        return self.reader.done, self.store.take(), self.rest


def single(octets: bytes) -> list[bytes]:
    return [octets[i : i + 1] for i in range(len(octets))]


def expected(octets: bytes, end: LineEnd) -> tuple[bytes, bytes] | None:
    """Content and rest, found by splitting into lines (RFC 5321 §4.5.2); None without a terminator."""
    lines = re.split(rb"(?<=\r\n)" if end is CRLF else rb"(?<=\n)", octets)
    for number, line in enumerate(lines):
        if line == b"." + end.line or (end is LF and line == b".\r\n"):
            content = b"".join(line[1:] if line[:1] == b"." else line for line in lines[:number])
            return content, b"".join(lines[number + 1 :])
    return None


CASES = [
    (b".\r\n", b""),
    (b"a\r\n.\r\n", b"a\r\n"),
    (b"\r\n.\r\n", b"\r\n"),
    (b"..\r\n.\r\n", b".\r\n"),
    (b".a\r\n..b\r\n.c\r\n.\r\n", b"a\r\n.b\r\nc\r\n"),
    (b"a.b.\r\n.\r\n", b"a.b.\r\n"),
    (b"a\r\n\r\n.\r\n", b"a\r\n\r\n"),
    (b"a\r\r\n.\r\n", b"a\r\r\n"),
    (b"\0\xff\r\n.\r\n", b"\0\xff\r\n"),
]


@pytest.mark.parametrize(("octets", "content"), CASES)
@pytest.mark.parametrize("trailing", [b"", b"QUIT\r\n", b".\r\n", b"\r\n.\r\n"])
def test_whole_byte_by_byte_and_with_trailing_data(octets: bytes, content: bytes, trailing: bytes) -> None:
    assert Reading(CRLF).feed(octets + trailing).result == (True, content, trailing)
    assert Reading(CRLF).feed(*single(octets + trailing)).result == (True, content, trailing)
    assert Reading(CRLF).feed(b"DATA\r\n" + octets + trailing, at=6).result == (True, content, trailing)


@pytest.mark.parametrize(
    "octets",
    [
        b"a\n.\n",
        b"a\n.\r\n",
        b"a\r.\r",
        b"a\r\n.\n",
        b"a\r\n.\r",
        b"a\r.\r\n",
        b"a\n.\r",
        b"a\r\n. \r\n",
        b"a\r\n.\r\r\n",
    ],
)
def test_nothing_else_ends_it(octets: bytes) -> None:
    """Each smuggling sequence is content, and the real terminator behind it still ends the message."""
    assert Reading(CRLF).feed(octets).reader.done is False
    done, content, rest = Reading(CRLF).feed(octets + b"b\r\n.\r\nrest").result
    assert (done, rest) == (True, b"rest")
    assert content == octets.replace(b"\r\n.", b"\r\n") + b"b\r\n"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_of_a_bare_lf_device_any_lf_ends_a_line(line_end: bytes) -> None:
    octets = line_end.join([b"a", b"..b", b".c", b".", b""])
    content = line_end.join([b"a", b".b", b"c", b""])
    for pieces in ([octets + b"rest"], single(octets + b"rest")):
        assert Reading(LF).feed(*pieces).result == (True, content, b"rest")


@given(OCTETS, st.sampled_from([CRLF, LF]), st.lists(st.integers(0, 60), max_size=6))
def test_any_octets_in_any_pieces(octets: bytes, end: LineEnd, cuts: list[int]) -> None:
    places = sorted({0, len(octets), *[cut for cut in cuts if cut < len(octets)]})
    pieces = [octets[i:j] for i, j in pairwise(places)]
    done, content, rest = Reading(end).feed(*pieces).result
    found = expected(octets, end)
    if found is None:
        assert not done
        assert Reading(end).feed(*pieces, b"\r\n.\r\n").reader.done
    else:
        assert (done, content, rest) == (True, *found)


@given(st.binary(max_size=200))
def test_what_a_client_stuffs_comes_out_as_it_was(message: bytes) -> None:
    stuffed = re.sub(rb"(^|\r\n)\.", rb"\1..", message)
    assert Reading(CRLF).feed(stuffed + b"\r\n.\r\n").result == (True, message + b"\r\n", b"")


def test_the_limit_counts_what_is_kept_and_drops_everything_above_it() -> None:
    reading = Reading(CRLF, limit=8).feed(b"..3456\r\n")
    assert (reading.store.excessive, reading.store.size) == (False, 5), (
        "7 octets are known, 2 may be a terminator"
    )
    reading.feed(b".\r\n")
    assert reading.result == (True, b".3456\r\n", b"")

    reading = Reading(CRLF, limit=8).feed(b"12345678", b"9" * 1000)
    assert (reading.store.excessive, reading.store.size) == (True, 0)
    reading.feed(b"x\r\n.\r\n")
    assert reading.result == (True, b"", b"")
    assert reading.store.received == 1011


def test_a_message_as_large_as_the_limit() -> None:
    assert Reading(CRLF, limit=5).feed(b"abc\r\n.\r\n").result == (True, b"abc\r\n", b"")
    assert Reading(CRLF, limit=4).feed(b"abc\r\n.\r\n").store.excessive


@pytest.mark.parametrize("unit", [b".", b"\r\n.", b"\r\n..\r\n", b"\r\n.\r", b"x"])
@pytest.mark.parametrize("size", [1, 7])
def test_tiny_pieces_take_linear_time(unit: bytes, size: int) -> None:
    """Twice as many take about twice as long; quadratic time would be four times and minutes."""
    octets = unit * (100_000 // len(unit))
    pieces = [octets[i : i + size] for i in range(0, len(octets), size)]
    start = time.process_time()
    Reading(CRLF).feed(*pieces)
    assert time.process_time() - start < 3
