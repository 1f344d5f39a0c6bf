"""A house, a workshop and a developer: the mail that the screenshots show."""

import math
import struct
import zlib
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

WIDTH, HEIGHT = 480, 270

HTML = (Path(__file__).parent / "confirmation.html").read_text()


Paint = Callable[[float, float], tuple[int, int, int]]


def png(width: int, height: int, colour: Paint) -> bytes:
    """A picture, its pixels made by a function."""
    rows = b"".join(
        b"\0" + bytes(part for x in range(width) for part in colour(x / width, y / height))
        for y in range(height)
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(rows, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


class Colour:
    """What a camera at a gate sees: the sky of an hour, hills, a path, and somebody on it."""

    def __init__(self, dusk: float, person: float | None) -> None:
        self._dusk = dusk
        self._person = person

    def __call__(self, x: float, y: float) -> tuple[int, int, int]:
        hill = 0.56 + 0.05 * math.sin(5 * x + 1) + 0.02 * math.sin(17 * x)
        if self._person is not None and self._is_person(x, y):
            return 38, 40, 52
        if y < hill:
            glow = (y / hill) ** 2
            return tuple(int(low + (high - low) * glow) for low, high in self._sky())  # type: ignore[return-value]
        depth = (y - hill) / (1 - hill)
        if abs(x - 0.5) < 0.06 + 0.30 * depth:
            return self._lit(132 + int(30 * depth), 126 + int(26 * depth), 118 + int(20 * depth))
        return self._lit(62 + int(26 * depth), 88 + int(20 * depth), 62)

    def _sky(self) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float]]:
        d = self._dusk
        return (
            (40 + 70 * (1 - d), 200 + 40 * d),
            (60 + 100 * (1 - d), 214 - 50 * d),
            (110 + 110 * (1 - d), 232 - 120 * d),
        )

    def _lit(self, *parts: int) -> tuple[int, int, int]:
        red, green, blue = (int(part * (1 - 0.45 * self._dusk)) for part in parts)
        return red, green, blue

    def _is_person(self, x: float, y: float) -> bool:
        assert self._person is not None
        dx = (x - self._person) * WIDTH / HEIGHT
        head = dx**2 + (y - 0.47) ** 2 < 0.034**2
        body = abs(dx) < 0.048 - 0.02 * abs(y - 0.62) and 0.505 < y < 0.70
        legs = 0.008 < abs(dx) < 0.036 and 0.69 < y < 0.86
        return head or body or legs


def _logo(x: float, y: float) -> tuple[int, int, int]:
    return (240, 253, 250) if (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09 else (15, 118, 110)


def mail(sender: str, to: str, subject: str, text: str, *tags: str) -> EmailMessage:
    """A mail with a text."""
    message = EmailMessage()
    message["From"], message["To"] = sender, to
    if subject:
        message["Subject"] = subject
    message["Message-ID"] = f"<{zlib.crc32((sender + subject + text).encode()):08x}@lan>"
    if tags:
        message["X-Tags"] = ", ".join(tags)
    message.set_content(text)
    return message


def confirmation() -> EmailMessage:
    """What a developer looks at: HTML with an image in it."""
    message = mail(
        "Kiln & Co. <hello@shop.example>",
        "Robin Meyer <robin@example.com>",
        "Confirm your address",
        "Hello Robin,\n\none more step and your account at Kiln & Co. is ready:\n"
        "https://shop.example/confirm?token=8f1c2a\n\nYou did not sign up? Then ignore this mail.\n",
        "staging",
    )
    message.add_alternative(HTML, subtype="html")
    html = message.get_payload()[1]  # type: ignore[index]
    assert isinstance(html, EmailMessage)
    html.add_related(
        png(44, 44, _logo), "image", "png", cid="<logo>", disposition="inline", filename="logo.png"
    )
    return message


GATE = "Front gate <gate@cams.lan>"
YARD = "Yard camera <yard@cams.lan>"
UPS = "UPS rack 2 <ups2@plant.lan>"
NVR = "NVR basement <nvr@house.lan>"
KILN = "Kiln 4 <plc4@plant.lan>"
PANEL = "Alarm panel <panel@house.lan>"
PRINTER = "Printer, 2nd floor <printer2@office.lan>"
SHOP = "Kiln & Co. <hello@shop.example>"
NORTH = "מצלמה צפונית <north@cams.lan>"
ALARM, OPS, DESK, ROBIN = "alarm@house.lan", "ops@plant.lan", "desk@office.lan", "robin@example.com"
REPORT = "9 cameras on line, 0 off line.\n{} events, {} % of the disk used.\n"


class Sent(NamedTuple):
    """A mail of the scene: when it comes, days before and time of the day, and from which device."""

    day: int
    clock: str
    ip: str
    message: EmailMessage


def yesterday() -> list[Sent]:
    """Yesterday's mail."""
    return [
        Sent(
            1,
            "07:58:02",
            "192.168.1.80",
            mail(PRINTER, DESK, "Toner low: magenta", "The cartridge has 8 % left.\n"),
        ),
        Sent(1, "08:00:00", "192.168.1.20", mail(NVR, ALARM, "Daily report", REPORT.format(3, 61))),
        Sent(
            1,
            "09:12:40",
            "10.0.4.12",
            mail(UPS, OPS, "Self-test passed", "Battery 98 %, runtime 41 min.\n", "power"),
        ),
        Sent(
            1,
            "11:47:19",
            "10.0.9.5",
            mail(SHOP, ROBIN, "Your order 20417 is on its way", "Two shelves.\n", "staging"),
        ),
        Sent(1, "18:02:11", "192.168.1.65", motion(YARD, "yard", "yard-180211.png", 0.9)),
        Sent(1, "22:30:05", "192.168.1.10", mail(PANEL, ALARM, "System armed", "Armed by code 2.\n")),
        Sent(
            1,
            "23:41:52",
            "10.0.4.31",
            mail(KILN, OPS, "Firing finished", "Program 6, 8 h 12 min, 1060 °C.\n"),
        ),
    ]


def today() -> list[Sent]:
    """Today's mail, the newest last."""
    hot = "Zone 2 at 93.4 °C, limit 90 °C.\nThe kiln has been throttled.\n"
    worn = "Capacity 61 % of new. Replace within 30 days.\n"
    person = (
        "Camera:   Front gate (IPC-4421)\nEvent:    Person\nTime:     18:24:36\nZone:     2, path\n\n"
        "Live view: http://192.168.1.64/live\n"
    )
    return [
        Sent(0, "08:00:00", "192.168.1.20", mail(NVR, ALARM, "Daily report", REPORT.format(5, 62))),
        Sent(
            0,
            "09:31:08",
            "10.0.4.12",
            mail(UPS, OPS, "On battery: input power lost", "Load 34 %.\n", "power"),
        ),
        Sent(
            0,
            "09:33:18",
            "10.0.4.12",
            mail(UPS, OPS, "Input power restored", "On battery for 130 s.\n", "power"),
        ),
        Sent(0, "10:15:44", "192.168.1.77", mail("", ALARM, "", "alarm input 1\n")),
        Sent(
            0,
            "11:42:07",
            "192.168.1.66",
            mail(NORTH, ALARM, "זוהתה תנועה בשער הצפוני", "ערוץ 4, 11:42:07\n", "motion"),
        ),
        Sent(0, "14:20:31", "10.0.4.31", mail(KILN, OPS, "Temperature above 90 °C", hot)),
        Sent(
            0,
            "14:56:10",
            "10.0.9.5",
            mail(SHOP, ROBIN, "Reset your password 🔑", "It holds for an hour.\n", "staging"),
        ),
        Sent(0, "15:07:44", "192.168.1.10", mail(PANEL, ALARM, "Zone 3: back door open", "Not armed.\n")),
        Sent(0, "16:39:20", "10.0.9.5", confirmation()),
        Sent(0, "17:21:36", "192.168.1.65", motion(YARD, "yard", "yard-172136.png", 0.55)),
        Sent(0, "17:58:01", "10.0.4.12", mail(UPS, OPS, "Battery needs replacing", worn, "power", "service")),
        Sent(
            0, "18:24:36", "192.168.1.64", motion(GATE, "front gate", "gate-182436.png", 0.75, 0.47, person)
        ),
    ]


def motion(
    camera: str, place: str, file: str, dusk: float, person: float | None = None, text: str = "Channel 2\n"
) -> EmailMessage:
    """What a camera sends."""
    message = mail(camera, "Alarm <alarm@house.lan>", f"Motion detected: {place}", text, "motion")
    message.add_attachment(png(WIDTH, HEIGHT, Colour(dusk, person)), "image", "png", filename=file)
    return message
