"""MQTT on the wire: examples by hand, paho as an oracle, and anything at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

from mailbell.sinks.mqtt_packets import (
    Codec,
    Connack,
    Disconnect,
    MalformedPacket,
    Message,
    Packet,
    Pingresp,
    Puback,
    Publish,
    Suback,
    _read_varint,
    _varint,
    is_failure,
    reason,
)

WELCOME = {"3.1.1": bytes.fromhex("20020000"), "5": bytes.fromhex("2003000000")}

# What a broker may say after its CONNACK, and how it is read.
SAID: dict[str, list[tuple[str, Packet]]] = {
    "3.1.1": [
        ("4002 000a", Puback(10)),
        ("9003 0001 00", Suback(1, (0,))),
        ("9004 ffff 0080", Suback(65535, (0, 128))),
        ("3007 0003612f62 6869", Publish("a/b", b"hi", False)),
        ("3103 0001 61", Publish("a", b"", True)),
        ("d000", Pingresp()),
    ],
    "5": [
        ("4002 000a", Puback(10)),
        ("4003 000a 10", Puback(10, 16)),
        ("4004 000a 87 00", Puback(10, 135)),
        ("400b 000a 97 07 1f 0004 66756c6c", Puback(10, 151)),
        ("9004 0001 00 87", Suback(1, (135,))),
        ("9009 0001 05 1f 0002 6e6f 00", Suback(1, (0,))),
        ("3008 0003612f62 00 6869", Publish("a/b", b"hi", False)),
        ("310c 0003612f62 04 0b 808001 ff00", Publish("a/b", b"\xff\0", True)),
        ("d000", Pingresp()),
        ("e000", Disconnect(0)),
        ("e001 8e", Disconnect(142)),
        ("e002 93 00", Disconnect(147)),
    ],
}


def codec(version: str) -> Codec:
    """One that has been welcomed."""
    made = Codec(version)
    assert made.receive(WELCOME[version]) == [Connack(0)]
    return made


@pytest.mark.parametrize(
    ("version", "octets", "packet"), [(version, *each) for version, said in SAID.items() for each in said]
)
def test_each_packet(version: str, octets: str, packet: Packet) -> None:
    assert codec(version).receive(bytes.fromhex(octets)) == [packet]


@pytest.mark.parametrize("version", SAID)
@given(data=st.data())
def test_packets_in_pieces(version: str, data: st.DataObject) -> None:
    said = data.draw(st.lists(st.sampled_from(SAID[version])))
    octets = b"".join(bytes.fromhex(each) for each, _ in said)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)))))
    receiver, packets = codec(version), []
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        packets += receiver.receive(octets[start:end])
    assert packets == [packet for _, packet in said]


@pytest.mark.parametrize("version", SAID)
@given(octets=st.binary(max_size=200))
def test_anything_at_all(version: str, octets: bytes) -> None:
    for receiver in (Codec(version), codec(version)):
        try:
            receiver.receive(octets)
        except MalformedPacket as error:
            assert str(error)


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        ("4002 000a", "the first packet is not CONNACK"),
        ("2003000000 4001 00", "a packet ends too soon"),
        ("2003000000 3002 0005", "a packet ends too soon"),
        ("2003000000 3004 0002 c328", "text that is not UTF-8"),
        ("2003000000 3205 000161 0001", "a packet of type 3, which a publisher does not get"),
        ("2003000000 8000", "a packet of type 8, which"),
        ("2003000000 d0ffffffff01", "a length of more than four octets"),
        ("2004 0000 01 63", "there is no property 99"),
        ("2005 0000 02 21 00", "a packet ends too soon"),
    ],
)
def test_what_is_not_mqtt(octets: str, complaint: str) -> None:
    with pytest.raises(MalformedPacket, match=complaint):
        Codec("5").receive(bytes.fromhex(octets))


def test_what_the_broker_is_able_to_do() -> None:
    """All properties that a CONNACK can have, written by paho."""
    properties = Properties(PacketTypes.CONNACK)  # type: ignore[no-untyped-call]
    for name, value in {
        "SessionExpiryInterval": 10,
        "ReceiveMaximum": 20,
        "MaximumQoS": 1,
        "RetainAvailable": 0,
        "MaximumPacketSize": 2_000_000,
        "AssignedClientIdentifier": "auto-1",
        "TopicAliasMaximum": 10,
        "ReasonString": "wilkommen",
        "UserProperty": [("a", "b"), ("c", "d")],
        "WildcardSubscriptionAvailable": 1,
        "SubscriptionIdentifierAvailable": 1,
        "SharedSubscriptionAvailable": 1,
        "ServerKeepAlive": 45,
        "ResponseInformation": "x",
        "ServerReference": "y",
        "AuthenticationMethod": "z",
        "AuthenticationData": b"\0\1",
    }.items():
        setattr(properties, name, value)
    packed = bytes(properties.pack())  # type: ignore[no-untyped-call]
    octets = b"\x20" + _varint(2 + len(packed)) + b"\0\0" + packed
    assert Codec("5").receive(octets) == [
        Connack(0, receive_maximum=20, max_packet=2_000_000, keepalive=45, qos=1, retain=False)
    ]


@pytest.mark.parametrize(("code", "meaning"), [(1, 132), (2, 133), (3, 136), (4, 134), (5, 135), (9, 128)])
def test_the_codes_of_3_1_1(code: int, meaning: int) -> None:
    [welcome] = Codec("3.1.1").receive(bytes([0x20, 2, 0, code]))
    assert welcome == Connack(meaning)
    assert is_failure(meaning)
    assert reason(meaning) not in ("", f"reason code {meaning}")


def test_a_broker_of_3_1_1_refuses_5_in_its_own_way() -> None:
    assert Codec("5").receive(bytes.fromhex("20020001")) == [Connack(132)]


def test_publish() -> None:
    """The example of both specifications, 3.3: topic a/b, packet identifier 10."""
    message = Message("a/b", b"hi")
    assert Codec("3.1.1").publish(message, 10).hex(" ") == "32 09 00 03 61 2f 62 00 0a 68 69"
    assert Codec("5").publish(message, 10).hex(" ") == "32 0a 00 03 61 2f 62 00 0a 00 68 69"
    retained = Message("a/b", b"", retain=True, id="x")
    assert Codec("3.1.1").publish(retained, 65535).hex(" ") == "33 07 00 03 61 2f 62 ff ff"
    assert Codec("5").publish(retained, 1).hex(" ") == (
        "33 10 00 03 61 2f 62 00 01 08 26 00 02 69 64 00 01 78"
    )


def test_subscribe() -> None:
    assert Codec("3.1.1").subscribe(["a/b", "c"], 10).hex(" ") == "82 0c 00 0a 00 03 61 2f 62 00 00 01 63 00"
    assert Codec("5").subscribe(["c"], 10).hex(" ") == "82 07 00 0a 00 00 01 63 00"


def test_connect() -> None:
    will = Message("w", b"x", retain=True)
    assert Codec("3.1.1").connect("id", 60, will, "u", "p").hex(" ") == (
        "10 1a 00 04 4d 51 54 54 04 ee 00 3c 00 02 69 64 00 01 77 00 01 78 00 01 75 00 01 70"
    )
    assert Codec("5").connect("id", 60, will, "", "").hex(" ") == (
        "10 16 00 04 4d 51 54 54 05 2e 00 3c 00 00 02 69 64 00 00 01 77 00 01 78"
    )


@given(st.integers(0, 268_435_455))
def test_lengths(number: int) -> None:
    written = _varint(number)
    assert written == VariableByteIntegers.encode(number)  # type: ignore[no-untyped-call]
    assert _read_varint(written, 0) == (number, len(written))
    assert _read_varint(written[:-1], 0) is None
