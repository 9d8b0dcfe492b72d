"""Reads times in the forms that clinics use."""

import re
from datetime import UTC, datetime
from functools import lru_cache

_AMERICAN = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})", re.ASCII)
_AFTER_DATE = ("", "T", " ")


def moment(text: str) -> datetime:
    """A time in ISO 8601 (with T or a space, or without a time of day), or a day as M/D/YYYY.

    Without a zone it is UTC.

    Raises:
        ValueError: it is none of these, or the time does not exist.
    """
    if text[4:5] != "-":
        return _american_day(text)
    if text[10:11] not in _AFTER_DATE:
        raise ValueError("not a time")
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        return found.replace(tzinfo=UTC)
    try:
        return found.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time before the first or after the last year") from None


@lru_cache(maxsize=10_000)  # days repeat themselves
def _american_day(text: str) -> datetime:
    parts = _AMERICAN.fullmatch(text)
    if parts is None:
        raise ValueError("not a time")
    month, day, year = map(int, parts.groups())
    return datetime(year, month, day, tzinfo=UTC)
