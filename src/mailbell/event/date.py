"""The Date field: RFC 5322 §3.3 and its obsolete forms, and what clocks without a standard print."""

import re
from datetime import datetime

_MONTHS = {
    name: number for number, name in enumerate("jan feb mar apr may jun jul aug sep oct nov dec".split(), 1)
}
_ZONES = {
    "ut": 0,
    "utc": 0,
    "gmt": 0,
    "z": 0,
    "est": -300,
    "edt": -240,
    "cst": -360,
    "cdt": -300,
    "mst": -420,
}
_ZONES |= {
    "mdt": -360,
    "pst": -480,
    "pdt": -420,
    "wet": 0,
    "west": 60,
    "cet": 60,
    "cest": 120,
    "eet": 120,
    "eest": 180,
}
_DATE = re.compile(
    r"(?:[a-z]{3,9},?\s*)?(\d{1,2})[\s-]+([a-z]{3})[a-z]*\.?[\s-]+(\d{2,4})\s+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:[.,]\d+)?"
    r"\s*(?:(?:gmt|utc)?\s*([+-])(\d{1,2}):?(\d{2})?|([a-z]{1,5}))\s*(?:\(.*)?",
    re.I,
)


def rfc3339(line: str) -> str | None:
    """The moment that an unfolded Date field names, as RFC 3339; None when it names none."""
    found = _DATE.fullmatch(line.strip())
    if found is None:
        return None
    day, month, year, hour, minute, second, sign, hours, minutes, zone = found.groups()
    offset = _offset(sign, hours, minutes, zone)
    if offset is None:
        return None
    years = int(year) + (
        0 if len(year) == 4 else 2000 if len(year) == 2 and int(year) < 50 else 1900
    )  # RFC 5322 §4.3
    try:
        moment = datetime(
            years, _MONTHS[month.lower()], int(day), int(hour), int(minute), min(int(second or 0), 59)
        )
    except (ValueError, KeyError):
        return None
    return moment.isoformat() + offset


def _offset(sign: str | None, hours: str | None, minutes: str | None, zone: str | None) -> str | None:
    if sign:
        hour, minute = int(hours or 0), int(minutes or 0)
        return f"{sign}{hour:02}:{minute:02}" if hour < 24 and minute < 60 else None
    total = _ZONES.get((zone or "").lower())
    if total is None:
        return None
    return f"{'-' if total < 0 else '+'}{abs(total) // 60:02}:{abs(total) % 60:02}"
