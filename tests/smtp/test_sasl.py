"""The mechanisms of authentication; vectors from the RFCs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.smtp.sasl import (
    Credentials,
    Exchange,
    cram_md5,
    decode,
    encode,
    login,
    matches,
    mechanisms,
    plain,
    start,
)


def finish(exchange: Exchange, *responses: bytes) -> Credentials | None:
    """Send the client's answers; return what the exchange comes to."""
    next(exchange)
    for response in responses[:-1]:
        exchange.send(response)
    with pytest.raises(StopIteration) as stopped:
        exchange.send(responses[-1])
    value = stopped.value.value
    assert value is None or isinstance(value, Credentials)
    return value


@pytest.mark.parametrize(
    ("message", "user", "password"),
    [
        (b"\0tim\0tanstaaftanstaaf", "tim", "tanstaaftanstaaf"),
        (b"Ursel\0Kurt\0xipj3plmq", "Kurt", "xipj3plmq"),
        (b"cam\0secret", "cam", "secret"),
        (b"\0cam\0secret\0", "cam", "secret"),
        (b"\0cam\0", "cam", ""),
        (b"\0\0", "", ""),
        (b"cam", "cam", ""),
        (b"", "", ""),
        ("\0jörg\0geheimß".encode(), "jörg", "geheimß"),
    ],
)
def test_plain(message: bytes, user: str, password: str) -> None:
    assert finish(plain(), message) == Credentials("PLAIN", user, password)


def test_login() -> None:
    exchange = login()
    assert encode(next(exchange)) == "VXNlcm5hbWU6"
    assert encode(exchange.send(b"cam")) == "UGFzc3dvcmQ6"
    assert finish(login(), b"cam", b"secret") == Credentials("LOGIN", "cam", "secret")


def test_cram_md5_with_the_example_of_rfc_2195() -> None:
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    exchange = cram_md5(challenge)
    assert next(exchange) == challenge
    credentials = finish(cram_md5(challenge), b"tim b913a602c7eda7a495b4e6e7334d3890")
    assert credentials is not None
    assert (credentials.user, credentials.password) == ("tim", None)
    assert matches(credentials, "tanstaaftanstaaf")
    assert not matches(credentials, "tanstaaf")
    assert not matches(Credentials("CRAM-MD5", "tim", None, challenge, "é"), "tanstaaftanstaaf")


def test_cram_md5_with_blanks_in_the_user_and_without_sense() -> None:
    credentials = finish(cram_md5(b"<1@x>"), b"front door b913")
    assert credentials is not None
    assert (credentials.user, credentials.digest) == ("front door", "b913")
    assert finish(cram_md5(b"<1@x>"), b"nonsense") is None


def test_cram_md5_only_with_challenges() -> None:
    assert mechanisms(None) == ("PLAIN", "LOGIN")
    assert mechanisms(lambda: b"<1@x>") == ("PLAIN", "LOGIN", "CRAM-MD5")
    assert start(b"cram-md5", None) is None
    assert start(b"cram-md5", lambda: b"<1@x>") is not None


@pytest.mark.parametrize("name", [b"PLAIN", b"plain", b"Login"])
def test_a_mechanism_in_any_case(name: bytes) -> None:
    assert start(name, None) is not None


@pytest.mark.parametrize("name", [b"", b"NTLM", b"PLAINX"])
def test_a_mechanism_that_is_not_offered(name: bytes) -> None:
    assert start(name, lambda: b"<1@x>") is None


@pytest.mark.parametrize(
    ("line", "octets"),
    [
        (b"dGlt", b"tim"),
        (b" dGlt \r", b"tim"),
        (b"Y2Ft", b"cam"),
        (b"Y2FtMQ==", b"cam1"),
        (b"Y2FtMQ", b"cam1"),
        (b"Y2FtMQ=", b"cam1"),
        (b"=", b""),
        (b"", b""),
        (b"cam!", None),
        (b"Y", None),
        (b"Y2=Ft", None),
        (b"Y2 Ft", None),
        (b"\xff\xff\xff\xff", None),
    ],
)
def test_decode(line: bytes, octets: bytes | None) -> None:
    assert decode(line) == octets


@given(st.binary())
def test_base64_there_and_back(octets: bytes) -> None:
    assert decode(encode(octets).encode()) == octets


@given(st.binary())
def test_no_line_raises(line: bytes) -> None:
    decode(line)
