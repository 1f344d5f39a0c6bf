"""Moments: the Date field (RFC 5322 §3.3, §4.3, and what clocks without a standard print), and RFC 3339."""

import re
from datetime import UTC, datetime
from functools import lru_cache

_MONTHS = {
    name: number
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], 1
    )
}
# RFC 5322 §4.3, and the European ones that devices write. Other letters name no certain offset.
_ZONES = {"ut": "+00:00", "utc": "+00:00", "gmt": "+00:00", "z": "+00:00", "wet": "+00:00"}
_ZONES |= {
    "est": "-05:00",
    "edt": "-04:00",
    "cst": "-06:00",
    "cdt": "-05:00",
    "mst": "-07:00",
    "mdt": "-06:00",
}
_ZONES |= {
    "pst": "-08:00",
    "pdt": "-07:00",
    "west": "+01:00",
    "cet": "+01:00",
    "cest": "+02:00",
    "eet": "+02:00",
}
_ZONES |= {"eest": "+03:00", "jst": "+09:00"}
_TIME = r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,]\d{1,9})?)?"
_ZONE = r"(?:(?:gmt|utc)?(?P<sign>[+-])(?P<hours>\d{1,2}):?(?P<minutes>\d\d)?|(?P<zone>[a-z]{1,5}))"
_DAY = r"(?P<day>\d{1,2})"
_MONTH = r"(?P<month>[a-z]{3})[a-z]*\.?"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE | re.ASCII)
    for form in (
        rf"(?:[a-z]{{3,9}}\.?,? ?)?{_DAY}[ -]{_MONTH}[ -](?P<year>\d{{2,4}}) {_TIME} ?{_ZONE}(?: ?\(.*)?",
        rf"(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)[t ]{_TIME} ?{_ZONE}",
        rf"[a-z]{{3}} {_MONTH} {_DAY} {_TIME} {_ZONE} (?P<year>\d{{4}})",
    )
)


def moment(milliseconds: int) -> str:
    """As the event and the API write it: RFC 3339, in UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03}Z"


@lru_cache(64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def moment_of(seconds: float) -> str:
    """The same, from seconds since the epoch."""
    return moment(int(seconds * 1000))


def rfc3339(line: str) -> str | None:
    """The moment that a Date field names, in RFC 3339; None when it names none, or no offset."""
    return _rfc3339(line[:100])  # a cache must not keep all that strangers send


@lru_cache(256)
def _rfc3339(line: str) -> str | None:
    line = " ".join(line.split())
    found = next((match for form in _FORMS if (match := form.fullmatch(line))), None)
    if found is None or (offset := _offset(**_of(found, "sign", "hours", "minutes", "zone"))) is None:
        return None
    try:
        moment = datetime(  # noqa: DTZ001  the offset is kept as it was written, -00:00 too
            _year(found["year"]),
            _MONTHS.get(found["month"].lower()) or int(found["month"]),
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            min(int(found["second"] or 0), 59),  # a leap second has no place in most calendars
        )
    except ValueError:
        return None
    return moment.isoformat() + offset


def _of(found: re.Match[str], *names: str) -> dict[str, str | None]:
    return {name: found[name] for name in names}


def _year(digits: str) -> int:
    year = int(digits)
    return year if len(digits) == 4 else year + 2000 if len(digits) == 2 and year < 50 else year + 1900


def _offset(sign: str | None, hours: str | None, minutes: str | None, zone: str | None) -> str | None:
    if sign is None or hours is None:
        return _ZONES.get((zone or "").lower())
    return f"{sign}{int(hours):02}:{minutes or '00'}" if int(hours) < 24 and int(minutes or 0) < 60 else None
