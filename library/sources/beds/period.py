"""Reads dates and quarters in the many forms that cells and titles use."""

import calendar
import datetime as dt
import re
from operator import itemgetter
from typing import NamedTuple

from library.sources.beds.grid import Cell, plain

_MONTHS = [month.lower() for month in calendar.month_name if month]
_MONTH_OF = {name[:length]: number for number, name in enumerate(_MONTHS, 1) for length in range(3, len(name) + 1)}
_QUARTER_OF_LAST_MONTH = {6: 1, 9: 2, 12: 3, 3: 4}
_LAST_DAY = {1: (0, 6, 30), 2: (0, 9, 30), 3: (0, 12, 31), 4: (1, 3, 31)}

_FINANCIAL_YEAR = re.compile(r"(?<!\d)(20\d\d)\s*[-/\u2010-\u2014]\s*((?:20)?\d\d)(?!\d)")
_QUARTER = re.compile(r"\b(?:quarter\s*|q)([1-4])\b", re.IGNORECASE)
_WORD = re.compile(r"[a-z]+", re.IGNORECASE)
_NAMED = re.compile(r"(?<!\d)(\d{1,2})(?:st|nd|rd|th)?\s*(?:of\s+)?([a-z]{3,9})\.?,?\s*(\d{4})(?!\d)", re.IGNORECASE)
_SLASHED = re.compile(r"(?<!\d)(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(?!\d)")
_ISO = re.compile(r"(?<!\d)(\d{4})-(\d{2})-(\d{2})(?!\d)")


class Quarter(NamedTuple):
    """A quarter of a financial year. A financial year is from April to March."""

    first_year: int
    number: int

    @property
    def financial_year(self) -> str:
        """`2019-20`."""
        return f"{self.first_year}-{(self.first_year + 1) % 100:02}"

    @property
    def end(self) -> dt.date:
        """Its last day."""
        years, month, day = _LAST_DAY[self.number]
        return dt.date(self.first_year + years, month, day)


def financial_year(cell: Cell) -> int | None:
    """The first year of `2019-20`, `2019/20` or `2019-2020`; `None` if the years are not consecutive (`2013-15`)."""
    found = _FINANCIAL_YEAR.search(plain(cell))
    if found is None:
        return None
    first, second = int(found[1]), int(found[2])
    return first if second in {first + 1, (first + 1) % 100} else None


def quarter_number(cell: Cell) -> int | None:
    """The quarter's number from `December`, `Dec`, `October to December`, `Q3`, or a date in its last month."""
    if isinstance(cell, dt.date):
        return _QUARTER_OF_LAST_MONTH.get(cell.month)
    content = plain(cell)
    months = [_MONTH_OF[word.lower()] for word in _WORD.findall(content) if word.lower() in _MONTH_OF]
    if months:
        return _QUARTER_OF_LAST_MONTH.get(months[-1])
    found = _QUARTER.search(content)
    return int(found[1]) if found else None


def quarter_of_row(year: Cell, period: Cell) -> Quarter | None:
    """The quarter of a row, from its columns of year and period."""
    first_year, number = financial_year(year), quarter_number(period)
    return Quarter(first_year, number) if first_year and number else None


def quarter_in(cell: Cell) -> Quarter | None:
    """The quarter in a title or a line: `Quarter 1 2010/11`, `October to December 2019`, or a date.

    `None` if there are two quarters, as in a time series.
    """
    if isinstance(cell, dt.date):
        number = _QUARTER_OF_LAST_MONTH.get(cell.month)
        return _in_calendar_year(cell.year, number) if number else None
    content = plain(cell)
    years, numbers = set(_FINANCIAL_YEAR.findall(content)), set(_QUARTER.findall(content))
    if len(years) > 1 or len(numbers) > 1:
        return None
    number = int(numbers.pop()) if numbers else quarter_number(content)
    if number is None:
        return None
    if years:
        first_year = financial_year(content)
        return Quarter(first_year, number) if first_year else None
    calendar_years = set(re.findall(r"(?<!\d)20\d\d(?!\d)", content))
    return _in_calendar_year(int(calendar_years.pop()), number) if len(calendar_years) == 1 else None


def _in_calendar_year(year: int, number: int) -> Quarter:
    return Quarter(year - 1 if number == 4 else year, number)


def dates_in(cell: Cell) -> list[dt.date]:
    """All dates in a cell: a date, or dates in a text (the day is before the month)."""
    if isinstance(cell, dt.datetime):
        return [cell.date()]
    if isinstance(cell, dt.date):
        return [cell]
    content = plain(cell)
    found = [
        *((at.start(), at[3], _MONTH_OF.get(at[2].lower(), 0), at[1]) for at in _NAMED.finditer(content)),
        *((at.start(), at[3], at[2], at[1]) for at in _SLASHED.finditer(content)),
        *((at.start(), at[1], at[2], at[3]) for at in _ISO.finditer(content)),
    ]
    dates = []
    for _, year, month, day in sorted(found, key=itemgetter(0)):
        try:
            dates.append(dt.date(int(year), int(month), int(day)))
        except ValueError:
            continue
    return dates
