"""Dates: RFC 5322's forms old and new, what clocks print, and nothing made up."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbell.event.date import rfc3339

READ = {
    "Mon, 25 Jan 2016 18:24:49 +0100": "2016-01-25T18:24:49+01:00",
    "25 Jan 2016 18:24 -0330": "2016-01-25T18:24:00-03:30",
    "Mon, 25 Jan 2016 18:24:49 +0100 (CET)": "2016-01-25T18:24:49+01:00",
    "Mon,  5 Jan 2016   08:04:09   GMT": "2016-01-05T08:04:09+00:00",
    "Mon, 25 Jan 2016 18:24:49 -0000": "2016-01-25T18:24:49-00:00",
    # RFC 5322 section 4.3
    "25 Jan 16 18:24:49 EST": "2016-01-25T18:24:49-05:00",
    "25 Jan 97 18:24:49 Z": "1997-01-25T18:24:49+00:00",
    "25 Jan 101 18:24:49 UT": "2001-01-25T18:24:49+00:00",
    # what clocks print
    "Monday, 25 January 2016 18:24:49 CET": "2016-01-25T18:24:49+01:00",
    "Mon, 25-Jan-2016 18:24:49 GMT+1": "2016-01-25T18:24:49+01:00",
    "Mon, 25 Jan 2016 18:24:49 +01:00": "2016-01-25T18:24:49+01:00",
    "2016-01-25T18:24:49.123Z": "2016-01-25T18:24:49+00:00",
    "2016-01-25 18:24:49 +0100": "2016-01-25T18:24:49+01:00",
    "Mon Jan 25 18:24:49 UTC 2016": "2016-01-25T18:24:49+00:00",
    "Thu, 01 Jan 1970 00:00:00 +0000": "1970-01-01T00:00:00+00:00",
    "Sat, 31 Dec 2016 23:59:60 +0000": "2016-12-31T23:59:59+00:00",
}
NOT_READ = [
    "",
    "yesterday",
    "Mon, 25 Jan 2016 18:24:49",
    "Mon, 25 Jan 2016 18:24:49 XYZ",
    "Mon, 25 Jan 2016 18:24:49 +9900",
    "Mon, 25 Jan 2016 18:24:49 +0199",
    "Mon, 31 Feb 2016 18:24:49 +0100",
    "Mon, 25 Foo 2016 18:24:49 +0100",
    "Mon, 25 Jan 2016 25:24:49 +0100",
    "2016-13-25 18:24:49 +0100",
    "Mon, 25 Jan 0000 18:24:49 +0100",
    "٢٥ Jan 2016 18:24:49 +0100",
    "1 " * 1000,
]


@pytest.mark.parametrize("line", READ)
def test_a_date_is_read(line: str) -> None:
    assert rfc3339(line) == READ[line]


@pytest.mark.parametrize("line", NOT_READ)
def test_no_date_is_null(line: str) -> None:
    assert rfc3339(line) is None


@given(st.datetimes(), st.integers(-1439, 1439))
def test_every_moment_survives(moment: datetime, offset: int) -> None:
    sign = "-" if offset < 0 else "+"
    hours, minutes = divmod(abs(offset), 60)
    line = f"{moment:%a, %d %b} {moment.year:04} {moment:%H:%M:%S} {sign}{hours:02}{minutes:02}"
    assert rfc3339(line) == f"{moment.replace(microsecond=0).isoformat()}{sign}{hours:02}:{minutes:02}"
