"""Reads the lines above a table: title, dates, status, and how the beds were counted (the basis)."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from library.sources.beds.basis import Statement, basis_in, decide_basis
from library.sources.beds.grid import Cell, Grid, label, plain, text
from library.sources.beds.marks import shown, unmarked
from library.sources.beds.names import Basis
from library.sources.beds.period import Quarter, dates_in, quarter_in

_LABELS = frozenset({"title", "summary", "period", "source", "basis", "published", "revised", "status", "contact"})
_LABEL_AND_VALUE = re.compile(r"([^:]{1,40}):\s*(.+)", re.DOTALL)
_FIRST_ROWS = 20
"""Rows of another sheet in which words about the basis are looked for."""
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


def read_metadata(grid: Grid, header_row: int, others: Sequence[Grid] = ()) -> Metadata:
    """Read the lines above the table's header.

    Args:
        grid: the sheet with the table.
        header_row: the index of the table's header.
        others: the workbook's other sheets. They may name the basis if the title does not.

    Raises:
        AnotherSeries: no text names the basis, or the texts contradict each other; see `decide_basis`.
    """
    lines = _lines(grid, header_row)
    title, marks = unmarked(text(lines.get("title", "")) or _title_without_label(grid, header_row))
    visible = [other for other in others if other.visible]
    statements = [
        Statement("The summary", text(lines.get("summary", ""))),
        Statement(f"The name of sheet '{grid.name}'", grid.name),
        *(Statement(f"The name of sheet '{other.name}'", other.name) for other in visible),
        *(Statement(f"The title of sheet '{other.name}'", _title_of(other)) for other in visible),
    ]
    texts = (Statement(f"Sheet '{other.name}'", _first_texts(other)) for other in visible)
    basis, warnings = decide_basis(title, statements, texts, sheet=grid.name)
    if marks:
        warnings.append(f"The title of sheet '{grid.name}' has a footnote mark, which is no part of it.")
    status = plain(lines.get("status", "")) or None
    published = _date(grid, lines, "published", warnings)
    revised = _date(grid, lines, "revised", warnings)
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
        quarter=quarter_in(grid.day(lines.get("period", ""))) or quarter_in(title),
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
            rows = (" ".join(filter(None, (shown(text(cell)) for cell in row))) for row in grid.rows)
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
            if found and label(found[1]) in _LABELS:
                lines.setdefault(label(found[1]), found[2])
                break
    return lines


def _title_without_label(grid: Grid, header_row: int) -> str:
    """The first text above the table that names a basis; used if no line has the label `Title`."""
    for row in grid.rows[:header_row]:
        cells = [text(cell) for cell in row if text(cell)]
        if cells and label(cells[0]) not in _LABELS and basis_in(cells[0]):
            return cells[0]
    return ""


def _title_of(grid: Grid) -> str:
    return plain(_lines(grid, _FIRST_ROWS).get("title", ""))


def _first_texts(grid: Grid) -> str:
    return " . ".join(text(cell) for row in grid.rows[:_FIRST_ROWS] for cell in row if text(cell))


def _date(grid: Grid, lines: dict[str, Cell], name: str, warnings: list[str]) -> dt.date | None:
    """The latest date of a line. A workbook that was revised several times has several dates."""
    cell = lines.get(name, "")
    dates = dates_in(grid.day(cell))
    if not dates and cell != "":
        warnings.append(f"The line '{name.capitalize()}' holds no date that can be read.")
    return max(dates, default=None)


def _split_at_revised(status: str) -> tuple[str, str, str]:
    found = _REVISED.search(status)
    return (status[: found.start()], found[0], status[found.end() :]) if found else (status, "", "")
