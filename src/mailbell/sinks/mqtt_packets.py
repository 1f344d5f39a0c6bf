"""MQTT 3.1.1 and 5 on the wire, as far as a publisher needs it: QoS 1 out, QoS 0 in. Sans-IO.

No library, because of what it costs: an event is three or four messages, each with its acknowledgement, and
paho-mqtt takes 70 µs of processor time for each of them (a `send`, three times `recv`, an object with a table
of all properties, a thread to share the interpreter's lock with). One write for all and one read for many
acknowledgements take 18 (bench/mqtt.py). Section numbers are those of MQTT 5.
"""

import struct
from collections.abc import Sequence
from typing import NamedTuple

PINGREQ = b"\xc0\x00"
GOODBYE = b"\xe0\x00"
"""DISCONNECT with reason code 0: the will is not published."""

QOS = 1
MOST_UNACKNOWLEDGED = 65535

_SIZES = {
    1: 1,
    23: 1,
    25: 1,
    36: 1,
    37: 1,
    40: 1,
    41: 1,
    42: 1,
    19: 2,
    33: 2,
    34: 2,
    35: 2,
    2: 4,
    17: 4,
    24: 4,
    39: 4,
}
"""The properties that are numbers, and their octets; then those that are text or octets (§2.2.2.2)."""
_STRINGS = (3, 8, 9, 18, 21, 22, 26, 28, 31)

_REASONS = {
    16: "no matching subscribers",
    128: "unspecified error",
    129: "malformed packet",
    130: "protocol error",
    131: "implementation specific error",
    132: "unsupported protocol version",
    133: "client identifier not valid",
    134: "bad user name or password",
    135: "not authorized",
    136: "server unavailable",
    137: "server busy",
    138: "banned",
    139: "server shutting down",
    140: "bad authentication method",
    141: "keep alive timeout",
    142: "session taken over by another client with the same client_id",
    143: "topic filter invalid",
    144: "topic name invalid",
    145: "packet identifier in use",
    147: "receive maximum exceeded",
    148: "topic alias invalid",
    149: "packet too large",
    150: "message rate too high",
    151: "quota exceeded",
    152: "administrative action",
    153: "payload format invalid",
    154: "retain not supported",
    155: "QoS not supported",
    156: "use another server",
    157: "server moved",
    159: "connection rate exceeded",
    160: "maximum connect time",
}
_CONNACK_OF_3 = {1: 132, 2: 133, 3: 136, 4: 134, 5: 135}
"""The return codes of CONNACK in MQTT 3.1.1 (§3.2.2.3 there), as reason codes of MQTT 5."""


class Message(NamedTuple):
    """What is published. `id` goes along as a user property where the protocol has such (MQTT 5)."""

    topic: str
    payload: bytes
    retain: bool = False
    id: str = ""


class Connack(NamedTuple):
    """The broker's answer to CONNECT, and what it is able to do."""

    code: int
    receive_maximum: int = MOST_UNACKNOWLEDGED
    max_packet: int | None = None
    keepalive: int | None = None
    qos: int = 2
    retain: bool = True


class Puback(NamedTuple):
    """The broker's answer to a PUBLISH."""

    packet_id: int
    code: int = 0


class Suback(NamedTuple):
    """The broker's answer to a SUBSCRIBE, a code for each topic."""

    packet_id: int
    codes: tuple[int, ...]


class Publish(NamedTuple):
    """A message for us. `retained`: the broker had kept it."""

    topic: str
    payload: bytes
    retained: bool


class Pingresp(NamedTuple):
    """The broker is there."""


class Disconnect(NamedTuple):
    """The broker is about to close the connection (MQTT 5)."""

    code: int = 0


Packet = Connack | Puback | Suback | Publish | Pingresp | Disconnect


class MalformedPacket(ValueError):
    """What came is not MQTT, or none that we have asked for."""


def reason(code: int) -> str:
    """A reason code in words (§2.4)."""
    return _REASONS.get(code, f"reason code {code}")


def is_failure(code: int) -> bool:
    """Whether the broker has refused (§2.4)."""
    return code >= 128


class Codec:
    """One connection's way of writing and reading packets."""

    def __init__(self, version: str) -> None:
        """`version` is "3.1.1" or "5"."""
        self._five = version == "5"
        self._buffer = bytearray()
        self._greeted = False

    def connect(self, client_id: str, keepalive: int, will: Message, user: str, password: str) -> bytes:
        """CONNECT with a clean session (§3.1)."""
        flags = 0x02 | 0x04 | QOS << 3 | will.retain << 5 | bool(password) << 6 | bool(user) << 7
        properties = b"\0" if self._five else b""
        return _packet(
            0x10,
            _string("MQTT"),
            struct.pack("!BBH", 5 if self._five else 4, flags, keepalive),
            properties,
            _string(client_id),
            properties,
            _string(will.topic),
            _binary(will.payload),
            _string(user) if user else b"",
            _string(password) if password else b"",
        )

    def publish(self, message: Message, packet_id: int) -> bytes:
        """PUBLISH at QoS 1 (§3.3)."""
        first = 0x30 | QOS << 1 | message.retain
        return _packet(
            first, _string(message.topic), packet_id.to_bytes(2), self._properties(message), message.payload
        )

    def subscribe(self, topics: Sequence[str], packet_id: int) -> bytes:
        """SUBSCRIBE at QoS 0 (§3.8): what comes for us needs no acknowledgement then."""
        properties = b"\0" if self._five else b""
        return _packet(0x82, packet_id.to_bytes(2), properties, *(_string(each) + b"\0" for each in topics))

    def receive(self, data: bytes) -> list[Packet]:
        """Take octets from the wire; the packets that are complete. MalformedPacket: close the connection."""
        self._buffer += data
        if not self._greeted and self._buffer[:1] != b"\x20":  # §3.2: nothing comes before it
            raise MalformedPacket("the first packet is not CONNACK")
        self._greeted = True
        packets: list[Packet] = []
        at = 0
        while (found := _frame(self._buffer, at)) is not None:
            start, end = found
            packets.append(self._decode(self._buffer[at], bytes(self._buffer[start:end])))
            at = end
        del self._buffer[:at]
        return packets

    def _properties(self, message: Message) -> bytes:
        if not self._five:
            return b""
        pair = b"\x26" + _string("id") + _string(message.id) if message.id else b""
        return _varint(len(pair)) + pair

    def _decode(self, first: int, body: bytes) -> Packet:
        read = _Reader(body)
        match first >> 4:
            case 4:
                return Puback(read.number(2), read.number(1) if read.more else 0)
            case 3 if not first & 0x06:
                return self._publish(first, read)
            case 13:
                return Pingresp()
            case 2:
                return self._connack(read)
            case 9:
                return Suback(read.number(2), tuple(self._body(read)))
            case 14 if self._five:
                return Disconnect(read.number(1) if read.more else 0)
            case other:
                raise MalformedPacket(f"a packet of type {other}, which a publisher does not get")

    def _publish(self, first: int, read: "_Reader") -> Publish:
        return Publish(read.text(), self._body(read), retained=bool(first & 0x01))

    def _connack(self, read: "_Reader") -> Connack:
        read.number(1)
        code = read.number(1)
        if not self._five:
            return Connack(_CONNACK_OF_3.get(code, 128) if code else 0)
        if code == 1:  # a broker of MQTT 3.1.1 says so in its own way (§3.2.2.3 there)
            return Connack(132)
        known = read.properties()
        return Connack(
            code,
            receive_maximum=known.get(33, MOST_UNACKNOWLEDGED),
            max_packet=known.get(39),
            keepalive=known.get(19),
            qos=known.get(36, 2),
            retain=bool(known.get(37, 1)),
        )

    def _body(self, read: "_Reader") -> bytes:
        """What is left behind the properties."""
        if self._five:
            read.octets(read.varint())
        return read.rest()


class _Reader:
    """A body, read from its beginning. MalformedPacket where it ends too soon."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._body)

    def octets(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._body):
            raise MalformedPacket("a packet ends too soon")
        return self._body[self._at - count : self._at]

    def rest(self) -> bytes:
        return self.octets(len(self._body) - self._at)

    def number(self, size: int) -> int:
        return int.from_bytes(self.octets(size))

    def text(self) -> str:
        try:
            return self.octets(self.number(2)).decode()
        except UnicodeDecodeError as error:
            raise MalformedPacket(f"text that is not UTF-8: {error}") from error

    def varint(self) -> int:
        value, end = _read_varint(self._body, self._at) or (0, len(self._body) + 1)
        self.octets(end - self._at)
        return value

    def properties(self) -> dict[int, int]:
        """Return the properties that are numbers (§2.2.2.2); the others are passed over."""
        numbers: dict[int, int] = {}
        end = self.varint() + self._at
        while self._at < end:
            match self.varint():
                case known if known in _SIZES:
                    numbers[known] = self.number(_SIZES[known])
                case 11:
                    self.varint()
                case 38:
                    self.octets(self.number(2))
                    self.octets(self.number(2))
                case known if known in _STRINGS:
                    self.octets(self.number(2))
                case other:
                    raise MalformedPacket(f"there is no property {other}")
        return numbers


def _packet(first: int, *parts: bytes) -> bytes:
    """§2.1: type and flags, the length of the rest, the rest."""
    return b"".join((bytes((first,)), _varint(sum(map(len, parts))), *parts))


def _binary(octets: bytes) -> bytes:
    return len(octets).to_bytes(2) + octets


def _string(text: str) -> bytes:
    return _binary(text.encode())


def _varint(number: int) -> bytes:
    """§1.5.5: seven bits an octet, the lowest first; the eighth says that more follow."""
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _read_varint(octets: bytes | bytearray, at: int) -> tuple[int, int] | None:
    """Return a number and where it ends; None: it is not all there."""
    number = 0
    for index, octet in enumerate(octets[at : at + 4]):
        number |= (octet & 127) << 7 * index
        if octet < 128:
            return number, at + index + 1
    if len(octets) >= at + 4:
        raise MalformedPacket("a length of more than four octets")
    return None


def _frame(octets: bytearray, at: int) -> tuple[int, int] | None:
    """Return where the body of the packet at `at` begins and ends; None: it is not all there."""
    found = _read_varint(octets, at + 1)
    if found is None or found[1] + found[0] > len(octets):
        return None
    return found[1], found[1] + found[0]
