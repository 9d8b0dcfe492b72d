"""The table of occupied beds by consultant's specialty, one row an organisation."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from library.sources.beds.checks import differ
from library.sources.beds.contracts import HeaderUnknown
from library.sources.beds.grid import Grid, label, plain, text
from library.sources.beds.reading import Specialty, SpecialtyRow
from library.sources.beds.table import Header, find_header_row, marked_headers, read_header, table_rows, unread_headers

_SPECIALTY_HEADER = re.compile(r"(\d{3})\b\s*[-\u2013:.]?\s*(\S.*)")
_SUM_HEADERS = frozenset({"total", "all specialties", "total occupied"})
"""Columns that repeat others; they are not read."""
_ENOUGH_SPECIALTIES = 5
"""Headers of the form `100 General Surgery` that make a table one by specialty; the publisher's have 70 and more."""
_LOWEST = -1.0
"""Negative numbers above it are taken as published, with a warning: a correction by less than one bed a day exists (Q4
2013-14, RBA, specialty 180: -0.067)."""


@dataclass(frozen=True, slots=True)
class SpecialtyTable:
    """The content of the sheet by organisation and specialty.

    Attributes:
        sums: occupied beds of each organisation, all specialties together.
    """

    grid: Grid
    header: Header
    specialties: list[Specialty]
    rows: list[SpecialtyRow]
    sums: dict[str, float]
    warnings: tuple[str, ...]


def read_specialty_table(grid: Grid) -> SpecialtyTable | None:
    """Read a sheet; `None` if it is not the table by organisation and specialty.

    A published 0 (or the dash that shows one) makes a row; an empty cell does not.

    Raises:
        HeaderUnknown, NumberExpected, FormulaWithoutValue, OrganisationRepeated, OrganisationUnreadable: the table
            cannot be read without guessing.
    """
    header_row = find_header_row(grid)
    if header_row is None:
        return None
    headers = [_SPECIALTY_HEADER.fullmatch(plain(cell)) for cell in grid.rows[header_row]]
    if sum(found is not None for found in headers) < _ENOUGH_SPECIALTIES:
        return None
    header = read_header(grid, header_row)
    specialties, columns = _find_columns(grid, header)
    rows: list[SpecialtyRow] = []
    sums: dict[str, float] = {}
    england: Sequence[float | None] | None = None
    warnings = [*unread_headers(grid, header), *marked_headers(grid, header.row)]
    for row in table_rows(grid, header, columns):
        warnings += row.warnings
        if row.kind == "unidentified":
            warnings.append(f"Row {row.position + 1} of sheet '{grid.name}' has beds, but no organisation code.")
            continue
        values = grid.beds_of_row(row.position, columns, above=_LOWEST)
        if row.kind == "england":
            england = values
            continue
        rows.append(SpecialtyRow(row.position + 1, row.code, values))
        sums[row.code] = math.fsum(filter(None, values))
        if min(filter(None, values), default=0.0) < 0:
            warnings.append(f"{row.code} has a negative number in row {row.position + 1} of sheet '{grid.name}'.")
    warnings += _england_warnings(grid, specialties, [row.occupied for row in rows], england)
    return SpecialtyTable(grid, header, specialties, rows, sums, tuple(warnings))


def _find_columns(grid: Grid, header: Header) -> tuple[list[Specialty], list[int]]:
    specialties: dict[str, Specialty] = {}
    columns = []
    for column, cell in enumerate(grid.rows[header.row]):
        if column < header.data or not text(cell) or label(cell) in _SUM_HEADERS:
            continue
        found = _SPECIALTY_HEADER.fullmatch(plain(cell))
        if found is None:
            raise grid.error(HeaderUnknown, "The header of a specialty is not known.", header.row, column)
        if found[1] in specialties:
            raise grid.error(HeaderUnknown, "The code of a specialty stands twice.", header.row, column)
        specialties[found[1]] = Specialty(found[1], found[2])
        columns.append(column)
    return list(specialties.values()), columns


def _england_warnings(
    grid: Grid,
    specialties: Sequence[Specialty],
    organisations: Sequence[Sequence[float | None]],
    england: Sequence[float | None] | None,
) -> list[str]:
    """Warnings about specialties that do not sum to the published England row of this sheet."""
    if england is None:
        return [f"Sheet '{grid.name}' has no England row."]
    sums = (math.fsum(filter(None, column)) for column in zip(*organisations, strict=True))
    return [
        f"Specialty {specialty.code}: the organisations do not sum to the published England row."
        for specialty, summed, published in zip(specialties, sums, england, strict=False)
        if differ(summed, published or 0.0)
    ]
