"""The types of parameters, with pydantic's constraints."""

import re
from calendar import monthrange
from datetime import UTC, date, datetime, time
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

NO_NUL = r"^[^\x00]+$"
"""A text that is not empty and that Postgres accepts."""

_BEGINS_WITH_A_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DATE_OR_PART = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_DATE_OR_TIME = {
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "date"},
        {"type": "string", "pattern": r"^\d{4}(-\d\d)?$"},
    ],
    "examples": ["2024-03-01T08:30:00Z", "2024-03-01", "2024-03", "2024"],
}


def _written(kind: str, example: str) -> BeforeValidator:
    """Refuse numbers. pydantic reads them as seconds since 1970, so 2024 would mean the year 1970."""

    def check(given: object) -> object:
        if not (isinstance(given, str) and _BEGINS_WITH_A_DATE.match(given)):
            raise ValueError(f"not a {kind}; write it as {example}")
        return given

    return BeforeValidator(check)


def _with_a_zone(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError("a time without a zone; add Z or an offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside of what a calendar holds") from None


def _edge(edge: Literal["start", "end"]) -> BeforeValidator:
    """The first or last moment of a date, a month or a year, which are spans as in FHIR's data."""

    def read(given: object) -> object:
        found = _DATE_OR_PART.fullmatch(given) if isinstance(given, str) else None
        if found is None:
            return given
        year, month, day = (int(part) if part else None for part in found.groups())
        try:
            if edge == "start":
                return datetime(year or 0, month or 1, day or 1, tzinfo=UTC).isoformat()
            last_month = month or 12
            last_day = day or monthrange(year or 0, last_month)[1]
            return datetime.combine(date(year or 0, last_month, last_day), time.max, UTC).isoformat()
        except ValueError:
            raise ValueError("a day that the calendar does not have") from None

    return BeforeValidator(read)


INTEGER = 2**31 - 1
"""The greatest value of an `integer`; asyncpg refuses larger ones."""
BIGINT = 2**63 - 1
"""The greatest value of a `bigint`."""

Text = Annotated[str, Field(max_length=200, pattern=NO_NUL)]
"""A text."""
Number = Annotated[float, Field(allow_inf_nan=False)]
"""A number that Postgres can compare."""
Day = Annotated[date, Field(examples=["2024-01-01"]), _written("day", "2024-01-01")]
"""A date."""
Moment = Annotated[
    datetime,
    Field(examples=["2024-01-01T00:00:00Z"]),
    _written("time", "2024-01-01T00:00:00Z"),
    AfterValidator(_with_a_zone),
]
"""A time with its zone. Without a zone it would be another time for each reader."""
Beginning = Annotated[Moment, _edge("start"), WithJsonSchema(_DATE_OR_TIME)]
"""A time with its zone; or a date, a month or a year: its first moment (UTC)."""
Ending = Annotated[Moment, _edge("end"), WithJsonSchema(_DATE_OR_TIME)]
"""A time with its zone; or a date, a month or a year: its last moment (UTC)."""
