"""Paths and parameters, as devices write them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.smtp.grammar import chunk, declared_size, forward_paths, reverse_path, text

REVERSE = {
    b"FROM:<a@b>": "a@b",
    b"from:<a@b>": "a@b",
    b"FROM:a@b": "a@b",
    b"FROM: <a@b>": "a@b",
    b"FROM : <a@b>": "a@b",
    b"FROM :a@b": "a@b",
    b"FROM <a@b>": "a@b",
    b"FROM a@b": "a@b",
    b" FROM:<a@b>": "a@b",
    b"FROM:<a@b> ": "a@b",
    b"FROM:< a@b >": "a@b",
    b"<a@b>": "a@b",
    b"a@b": "a@b",
    b'FROM:"Cam" <a@b>': "a@b",
    b'FROM:"Cam <1>" <a@b>': "a@b",
    b"FROM:Front door <a@b>": "a@b",
    b"FROM:<x@y> <a@b>": "a@b",
    b"FROM:<<a@b>>": "a@b",
    b"FROM:<a@b": "a@b",
    b'FROM:"Cam <a@b>': "a@b",
    b"FROM:<a@b.>": "a@b.",
    b"FROM:<a@b>.": "a@b",
    b"FROM:<cam1>": "cam1",
    b"FROM:cam1": "cam1",
    b"FROM:<>": "",
    b"FROM: <>": "",
    b"FROM:": "",
    b"FROM": "",
    b"": "",
    b"FROM: SIZE=10": "",
    b"FROM:<> SIZE=10 BODY=8BITMIME": "",
    b"FROM:<a@b> AUTH=<>": "a@b",
    b"FROM:<a@b> AUTH=<x@y>": "a@b",
    b"FROM:<> AUTH=<>": "",
    b"FROM:a@b SIZE=10": "a@b",
    b"FROM:<a@b> RET=FULL ENVID=xyz XWHAT": "a@b",
    b'FROM:<"a b"@c>': '"a b"@c',
    b'FROM:<"a>b"@c>': '"a>b"@c',
    b'FROM:<"a,b"@c>': '"a,b"@c',
    b'FROM:<"a\\"b"@c>': '"a\\"b"@c',
    b'FROM:"Cam \\"<1>\\"" <a@b>': "a@b",
    b"FROM:<@relay1,@relay2:a@b>": "a@b",
    b"FROM:<k\xc3\xb6ln@b>": "köln@b",
    b"FROM:<k\xf6ln@b>": "köln@b",
    b"FROM:k\xf6ln": "köln",
    b"FROM:<a@b>\tSIZE=10": "a@b",
    b"FROM:<fromage@b>": "fromage@b",
    b"fromage@b": "fromage@b",
}


@pytest.mark.parametrize(("argument", "address"), REVERSE.items())
def test_reverse_path(argument: bytes, address: str) -> None:
    assert reverse_path(argument)[0] == address


FORWARD = {
    b"TO:<a@b>": ["a@b"],
    b"to: a@b": ["a@b"],
    b"TO:<a@b>,<c@d>": ["a@b", "c@d"],
    b"TO:<a@b>, <c@d> ; <e@f>": ["a@b", "c@d", "e@f"],
    b"TO:<a@b>,": ["a@b"],
    b"TO:<a@b,c@d>": ["a@b", "c@d"],
    b"TO:<a@b;c@d>": ["a@b", "c@d"],
    b"TO:a@b,c@d": ["a@b", "c@d"],
    b"TO:a@b, c@d": ["a@b", "c@d"],
    b'TO:"X, Y" <a@b>, "Z" <c@d>': ["a@b", "c@d"],
    b'TO:<"a,b"@c>': ['"a,b"@c'],
    b"TO:<@r1,@r2:a@b>": ["a@b"],
    b"TO:<a@b> ORCPT=rfc822;x@y NOTIFY=NEVER": ["a@b"],
    b"TO:<postmaster>": ["postmaster"],
    b"to@b": ["to@b"],
    b"TO:<>": [],
    b"TO:": [],
    b"": [],
    b"TO:<,>": [],
}


@pytest.mark.parametrize(("argument", "addresses"), FORWARD.items())
def test_forward_paths(argument: bytes, addresses: list[str]) -> None:
    assert forward_paths(argument) == addresses


@pytest.mark.parametrize(
    ("argument", "size"),
    [
        (b"FROM:<a@b> SIZE=1234", 1234),
        (b"FROM:<a@b> size=1234", 1234),
        (b"FROM:<a@b> BODY=8BITMIME SIZE=1234 X=1", 1234),
        (b"FROM:a@b SIZE=1234", 1234),
        (b"FROM:<> SIZE=1234", 1234),
        (b"FROM:<a@b>  SIZE=1234 ", 1234),
        (b"FROM:<a@b>", 0),
        (b"FROM:<a@b> SIZE=", 0),
        (b"FROM:<a@b> SIZE=12x", 0),
        (b"FROM:<a@b> SIZE=-1", 0),
        (b"FROM:<a@b> XSIZE=1234", 0),
    ],
)
def test_declared_size(argument: bytes, size: int) -> None:
    assert reverse_path(argument)[1] == declared_size(argument) == size


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (b"10", (10, False)),
        (b"0 LAST", (0, True)),
        (b" 10  last ", (10, True)),
        (b"", None),
        (b"LAST", None),
        (b"-1", None),
        (b"+1", None),
        (b"1 2", None),
        (b"1 LAST LAST", None),
        (b"0x10", None),
        (b"1" * 21, None),
    ],
)
def test_chunk(argument: bytes, found: tuple[int, bool] | None) -> None:
    assert chunk(argument) == found


@given(st.binary(max_size=80) | st.text(alphabet='<>"@,;:= aFROMTO\\\t', max_size=40).map(str.encode))
def test_no_argument_raises_and_every_address_can_be_written_down(argument: bytes) -> None:
    address, size = reverse_path(argument)
    assert size >= 0
    for found in [address, *forward_paths(argument)]:
        found.encode()
        assert found == found.strip(" \t")


@pytest.mark.parametrize(
    "unit", [b"<", b'"', b'"\\', b'<"', b'<"\\"', b'=<"', b'>"', b",", b" ,", b"=<", b"a=", b"SIZE=1 ", b"\t"]
)
def test_no_argument_takes_long(unit: bytes) -> None:
    argument = unit * (100_000 // len(unit))
    start = time.process_time()
    reverse_path(b"FROM:" + argument)
    forward_paths(b"TO:" + argument)
    assert time.process_time() - start < 0.5, "linear time takes some milliseconds"


def test_text_is_utf_8_else_latin_1() -> None:
    assert text(b"k\xc3\xb6ln") == text(b"k\xf6ln") == "köln"
