"""Reads FHIR's dates and times, and returns text that Postgres accepts. Wrong ones are refused, never guessed.

A partial date is a span in UTC: 2012-09 begins at 2012-09-01T00:00:00 and ends with the last microsecond of the month.
A time with seconds has no end.
"""

import calendar
import re
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)(?P<time>T\d\d:\d\d(?P<second>:\d\d(?:\.\d{1,9}\d*)?)?"
    r"(?:Z|[+-](?:0\d|1[0-3]):[0-5]\d|[+-]14:00))?)?)?",
    re.ASCII,
)
_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?", re.ASCII)
_LONGEST = 64


class TimeUnreadable(ValueError):
    """A text is not a date or time of FHIR. The error has the reason, but does not quote the text."""


class Span(NamedTuple):
    """First and last moment. The last is `None` for a time with seconds."""

    start: str
    end: str | None


class Day(NamedTuple):
    """A date as it was sent, its precision (`day`, `month`, `year`), and the first day that it can be."""

    text: str
    precision: str
    first: str


def read_date_time(text: str) -> Span:
    """Read a `dateTime` or an `instant`: a year, a month, a day, or a time with its zone."""
    found = _DATE_TIME.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        raise TimeUnreadable("not a date or time of FHIR (a time needs its zone)")
    try:
        if found["second"]:
            return Span(_moment(text), None)
        if found["time"]:
            start = datetime.fromisoformat(text)
            return _span(start, start + timedelta(minutes=1))
        first = _first_day(found)
        return _span(_midnight(first), _midnight(_last_day(first, found)), whole_day=True)
    except (ValueError, OverflowError):
        raise TimeUnreadable("a time that the calendar or the clock does not have") from None


def read_instant(text: str) -> str:
    """Read an `instant`: a time with seconds and a zone."""
    span = read_date_time(text)
    if span.end is not None:
        raise TimeUnreadable("not a time to the second")
    return span.start


def read_date(text: str) -> Day:
    """Read a `date`: a year, a month or a day."""
    found = _DATE_TIME.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None or found["time"]:
        raise TimeUnreadable("not a date of FHIR")
    precision = "day" if found["day"] else "month" if found["month"] else "year"
    try:
        return Day(text, precision, _first_day(found).isoformat())
    except ValueError:
        raise TimeUnreadable("a day that the calendar does not have") from None


def check_time(text: str) -> str:
    """Check a `time` of FHIR, and return it."""
    if len(text) > _LONGEST or not _TIME.fullmatch(text):
        raise TimeUnreadable("not a time of FHIR")
    return text


def _moment(text: str) -> str:
    """A time with seconds as text that Postgres reads, inside of the years that Python can hold."""
    if text[17:19] == "60":  # a leap second, which Postgres and Python cannot hold
        return (datetime.fromisoformat(f"{text[:17]}59{text[19:]}") + timedelta(seconds=1)).astimezone(UTC).isoformat()
    moment = datetime.fromisoformat(text)
    if text.startswith(("0001", "9999")):
        return _in_utc(moment).isoformat()
    return text


def _in_utc(moment: datetime) -> datetime:
    """Convert to UTC, at most to the calendar's end. Servers write `9999-12-31T23:59:59-05:00` for "forever"."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC) if moment.year == 1 else datetime.max.replace(tzinfo=UTC)


def _span(start: datetime, end: datetime, *, whole_day: bool = False) -> Span:
    last = end.replace(hour=23, minute=59, second=59, microsecond=999_999) if whole_day else end - _MICROSECOND
    return Span(start.astimezone(UTC).isoformat(), last.astimezone(UTC).isoformat())


_MICROSECOND = timedelta(microseconds=1)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _first_day(found: re.Match[str]) -> date:
    return date(int(found["year"]), int(found["month"] or 1), int(found["day"] or 1))


def _last_day(first: date, found: re.Match[str]) -> date:
    if found["day"]:
        return first
    month = first.month if found["month"] else 12
    return date(first.year, month, calendar.monthrange(first.year, month)[1])
