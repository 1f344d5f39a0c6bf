"""A house, a workshop and a developer: the mail that the screenshots show."""

import math
import struct
import zlib
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

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


def snapshot(message: EmailMessage, name: str, dusk: float, person: float | None = None) -> EmailMessage:
    """The mail, with a picture."""
    message.add_attachment(png(WIDTH, HEIGHT, Colour(dusk, person)), "image", "png", filename=name)
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


def earlier() -> list[EmailMessage]:
    """Yesterday's mail."""
    return [
        mail(PRINTER, "desk@office.lan", "Toner low: magenta", "The magenta cartridge has 8 % left.\n"),
        mail(
            NVR,
            "alarm@house.lan",
            "Daily report",
            "9 cameras on line, 0 off line.\n3 events, 61 % of the disk used.\n",
        ),
        mail(UPS, "ops@plant.lan", "Self-test passed", "Battery 98 %, runtime 41 min.\n", "power"),
        mail(
            SHOP,
            "robin@example.com",
            "Your order 20417 is on its way",
            "Two kiln shelves, one cone set.\n",
            "staging",
        ),
        snapshot(
            mail(YARD, "alarm@house.lan", "Motion detected: yard", "Channel 2, 18:02:11\n", "motion"),
            "yard-180211.png",
            0.9,
        ),
        mail(PANEL, "alarm@house.lan", "System armed", "Armed by code 2.\n"),
        mail(KILN, "ops@plant.lan", "Firing finished", "Program 6, 8 h 12 min, 1060 °C at most.\n"),
    ]


def today() -> list[EmailMessage]:
    """Today's mail, the newest last."""
    return [
        mail(
            NVR,
            "alarm@house.lan",
            "Daily report",
            "9 cameras on line, 0 off line.\n5 events, 62 % of the disk used.\n",
        ),
        mail(UPS, "ops@plant.lan", "On battery: input power lost", "Load 34 %, runtime 39 min.\n", "power"),
        mail(UPS, "ops@plant.lan", "Input power restored", "On battery for 2 min 10 s.\n", "power"),
        mail("", "alarm@house.lan", "", "alarm input 1\n"),
        mail(
            "מצלמה צפונית <north@cams.lan>",
            "alarm@house.lan",
            "זוהתה תנועה בשער הצפוני",
            "ערוץ 4, 11:42:07\n",
            "motion",
        ),
        mail(
            KILN,
            "ops@plant.lan",
            "Temperature above 90 °C",
            "Zone 2 at 93.4 °C, limit 90 °C.\nThe kiln has been throttled.\n",
        ),
        mail(SHOP, "robin@example.com", "Reset your password 🔑", "The link holds for an hour.\n", "staging"),
        mail(PANEL, "alarm@house.lan", "Zone 3: back door open", "Opened at 15:07:44, system not armed.\n"),
        confirmation(),
        snapshot(
            mail(YARD, "alarm@house.lan", "Motion detected: yard", "Channel 2, 17:21:36\n", "motion"),
            "yard-172136.png",
            0.55,
        ),
        mail(
            UPS,
            "ops@plant.lan",
            "Battery needs replacing",
            "Capacity 61 % of new. Replace within 30 days.\n",
            "power",
            "service",
        ),
        snapshot(
            mail(
                GATE,
                "Alarm <alarm@house.lan>",
                "Motion detected: front gate",
                "Camera:   Front gate (IPC-4421)\nEvent:    Person\nTime:     2026-11-22 18:24:36\n"
                "Zone:     2, path\n\n"
                "Live view: http://192.168.1.64/live\n",
                "motion",
            ),
            "gate-182436.png",
            0.75,
            0.47,
        ),
    ]
