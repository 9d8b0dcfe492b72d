"""Reads the lines above a table: title, dates, status, and how the beds were counted (the basis)."""

import datetime as dt
import re
from dataclasses import dataclass, field

from library.sources.beds.contracts import AnotherSeries
from library.sources.beds.grid import Cell, Grid, label, text
from library.sources.beds.names import Basis
from library.sources.beds.period import Quarter, dates_in, quarter_in

_LABELS = frozenset({"title", "summary", "period", "source", "basis", "published", "revised", "status", "contact"})
_LABEL_AND_VALUE = re.compile(r"(\w+)\s*:\s*(.+)", re.DOTALL)
_OVERNIGHT = re.compile(r"\bopen\s+over\s?-?night\b|\bovernight\s+beds?\b", re.IGNORECASE)
_DAY_ONLY = re.compile(r"\bopen\s+(?:during\s+the\s+)?day\s?-?\s?only\b|\bday\s?-?\s?only\s+beds?\b", re.IGNORECASE)
_REVISED = re.compile(r"\brevised\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Metadata:
    """The lines above a table.

    Attributes:
        quarter: from the line `Period`, or from the title; `None` if neither names one.
        warnings: what could not be read.
    """

    title: str
    basis: Basis
    quarter: Quarter | None
    status: str | None
    published: dt.date | None
    revised: dt.date | None
    warnings: tuple[str, ...] = field(default=())


def read_metadata(grid: Grid, header_row: int) -> Metadata:
    """Read the lines above the table's header.

    The basis is taken from the title. The summary can be wrong: real ones say "open day only" for beds open
    overnight.

    Raises:
        AnotherSeries: the title does not state the basis, or states both.
    """
    lines = _lines(grid, header_row)
    title = text(lines.get("title", "")) or _title_without_label(grid, header_row)
    basis = _basis(title)
    if basis is None:
        raise AnotherSeries(
            "No title above the table says whether its beds were open overnight or by day only.", sheet=grid.name
        )
    warnings: list[str] = []
    summary_basis = _basis(text(lines.get("summary", "")))
    if summary_basis not in (None, basis):
        warnings.append("The summary names another basis than the title; the title's was taken.")
    status = text(lines.get("status", "")) or None
    published = _date(lines, "published", warnings)
    revised = _date(lines, "revised", warnings)
    if "published" not in lines and status:
        # 2010-11: "Published 18 November 2010 and revised 24 May 2012".
        first, _, rest = _split_at_revised(status)
        published = min(dates_in(first), default=None)
        revised = revised or max(dates_in(rest), default=None)
    if published is None:
        warnings.append("No date of publication was found.")
    return Metadata(
        title=title,
        basis=basis,
        quarter=quarter_in(lines.get("period", "")) or quarter_in(title),
        status=status,
        published=published,
        revised=revised,
        warnings=tuple(warnings),
    )


def read_data_quality(grids: list[Grid]) -> tuple[str, ...]:
    """The rows of the sheet with notes on data quality, as texts; empty if there is no such sheet."""
    for grid in grids:
        first = next((label(cell) for row in grid.rows for cell in row if text(cell)), "")
        if label(grid.name).startswith("data quality") or first.startswith("data quality"):
            rows = (" ".join(filter(None, map(text, row))) for row in grid.rows)
            return tuple(row for row in rows if row)
    return ()


def _lines(grid: Grid, header_row: int) -> dict[str, Cell]:
    """By label, the first value to its right or after its colon. The first line with a label counts."""
    lines: dict[str, Cell] = {}
    for row in grid.rows[:header_row]:
        for column, cell in enumerate(row):
            if not isinstance(cell, str) or not cell:
                continue
            if label(cell) in _LABELS:
                value = next((later for later in row[column + 1 :] if later != "" and text(later) != "-"), "")
                lines.setdefault(label(cell), value)
                break
            found = _LABEL_AND_VALUE.fullmatch(text(cell))
            if found and found[1].lower() in _LABELS:
                lines.setdefault(found[1].lower(), found[2])
                break
    return lines


def _title_without_label(grid: Grid, header_row: int) -> str:
    """The first text above the table that states a basis; used if no line has the label `Title`."""
    for row in grid.rows[:header_row]:
        cells = [text(cell) for cell in row if text(cell)]
        if cells and label(cells[0]) not in _LABELS and _basis(cells[0]):
            return cells[0]
    return ""


def _basis(content: str) -> Basis | None:
    overnight, day_only = bool(_OVERNIGHT.search(content)), bool(_DAY_ONLY.search(content))
    if overnight == day_only:
        return None
    return "overnight" if overnight else "day_only"


def _date(lines: dict[str, Cell], name: str, warnings: list[str]) -> dt.date | None:
    """The latest date of a line. A workbook that was revised several times has several dates."""
    cell = lines.get(name, "")
    dates = dates_in(cell)
    if not dates and text(cell):
        warnings.append(f"The line '{name.capitalize()}' holds no date that can be read.")
    return max(dates, default=None)


def _split_at_revised(status: str) -> tuple[str, str, str]:
    found = _REVISED.search(status)
    return (status[: found.start()], found[0], status[found.end() :]) if found else (status, "", "")
