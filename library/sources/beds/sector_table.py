"""The table of available and occupied beds by sector, one row an organisation."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from library.sources.beds.checks import row_warnings
from library.sources.beds.contracts import HeaderUnknown, TotalsDisagree
from library.sources.beds.grid import DASHES, Cell, Grid, label, number_in_text, text
from library.sources.beds.marks import shown
from library.sources.beds.metadata import Metadata, read_metadata
from library.sources.beds.names import SECTORS, Sector
from library.sources.beds.period import Quarter
from library.sources.beds.reading import EnglandTotal, Occupancy, Organisation
from library.sources.beds.table import (
    Header,
    RowQuarters,
    TableRow,
    find_header_row,
    marked_headers,
    read_header,
    table_rows,
    unread_headers,
)

_SECTOR_HEADERS: dict[str, Sector] = {
    "total": "total",
    "general and acute": "general_and_acute",
    "learning disabilities": "learning_disabilities",
    "learning disability": "learning_disabilities",
    "maternity": "maternity",
    "mental illness": "mental_illness",
}
_GROUP_HEADERS = {
    "available": "available",
    "occupied": "occupied",
    "% occupied": "rate",
    "%occupied": "rate",
    "percentage occupied": "rate",
    "per cent occupied": "rate",
}
_GROUP_ROWS = 3
"""Rows above the header in which the names of the groups are looked for."""

GroupColumns = Mapping[str, Sequence[int]]
"""Of each group, the columns of the sectors in their usual order."""


@dataclass(frozen=True, slots=True)
class SectorTable:
    """The content of the sheet by organisation and sector.

    Attributes:
        england_row: index of the England row, for errors about sums.
        columns: for errors about sums.
    """

    grid: Grid
    metadata: Metadata
    quarter: Quarter
    organisations: list[Organisation]
    occupancy: list[Occupancy]
    england: list[EnglandTotal]
    england_row: int
    columns: GroupColumns
    warnings: tuple[str, ...]


def read_sector_table(grid: Grid, others: Sequence[Grid] = ()) -> SectorTable | None:
    """Read a sheet; `None` if it is not the table by organisation and sector.

    An empty cell of beds is read as 0, with a warning on its row. That cannot hide a number: the organisations
    must sum to the England row.

    Args:
        grid: the sheet.
        others: the workbook's other sheets, which may say how the beds were counted.

    Raises:
        HeaderUnknown, PeriodMissing, NumberExpected, FormulaWithoutValue, OrganisationRepeated, OrganisationUnreadable:
            the table cannot be read without guessing.
        AnotherSeries: it is such a table, but its title is not that of this series.
        TotalsDisagree: no England row, or two.
    """
    header_row = find_header_row(grid)
    if header_row is None:
        return None
    groups = _find_groups(grid, header_row)
    if groups is None:
        return None
    header = read_header(grid, header_row)
    columns = _find_columns(grid, header, groups)
    metadata = read_metadata(grid, header_row, others)
    beds = [column for group in ("available", "occupied") for column in columns[group]]
    rows = list(table_rows(grid, header, beds))
    periods = RowQuarters(grid, header)
    for row in rows:
        if row.kind != "unidentified":
            periods.add(row.position)
    quarter, warnings = periods.decide(metadata.quarter)
    warnings = [*metadata.warnings, *warnings, *unread_headers(grid, header)]
    warnings += marked_headers(grid, header_row)
    for above in range(max(0, header_row - _GROUP_ROWS), header_row):
        warnings += marked_headers(grid, above, _GROUP_HEADERS)
    warnings += [
        f"Row {row.position + 1} of sheet '{grid.name}' has beds, but no organisation code: it is not read."
        for row in rows
        if row.kind == "unidentified"
    ]
    england = _england_row(grid, rows)
    if periods.is_odd(england.position, quarter):
        warnings.append("The England row names another quarter than the workbook.")
    warnings += england.warnings
    england_beds = _read_row(grid, england, columns)
    warnings += [f"England, {entry.sector}: {warning}" for entry in england_beds for warning in entry.warnings]
    organisations, occupancy = [], []
    for row in rows:
        if row.kind == "organisation":
            organisations.append(_organisation(grid, header, row, odd_period=periods.is_odd(row.position, quarter)))
            occupancy.extend(_read_row(grid, row, columns))
    return SectorTable(
        grid=grid,
        metadata=metadata,
        quarter=quarter,
        organisations=organisations,
        occupancy=occupancy,
        england=[EnglandTotal(entry.sector, entry.available, entry.occupied) for entry in england_beds],
        england_row=england.position,
        columns=columns,
        warnings=tuple(warnings),
    )


def _find_groups(grid: Grid, header_row: int) -> dict[int, str] | None:
    """First column of each group, from the row with their names; `None` if no such row is above the header."""
    for row in range(header_row - 1, max(-1, header_row - 1 - _GROUP_ROWS), -1):
        labels = {column: label(cell) for column, cell in enumerate(grid.rows[row]) if label(cell)}
        known = {column: _GROUP_HEADERS[name] for column, name in labels.items() if name in _GROUP_HEADERS}
        if not {"available", "occupied"} & set(known.values()):
            continue
        for column in labels:
            if column > min(known) and column not in known:
                raise grid.error(HeaderUnknown, "The name of a group of columns is not known.", row, column)
        for name in ("available", "occupied"):
            if list(known.values()).count(name) != 1:
                raise grid.error(HeaderUnknown, f"The group '{name}' does not stand exactly once.", row)
        return known
    return None


def _find_columns(grid: Grid, header: Header, groups: dict[int, str]) -> GroupColumns:
    """The column of each sector in each group: a column belongs to the last group that is named at or left of it."""
    columns: dict[str, dict[Sector, int]] = {name: {} for name in groups.values()}
    group = ""
    for column, cell in enumerate(grid.rows[header.row]):
        group = groups.get(column, group)
        if not group or not label(cell):
            continue
        sector = _SECTOR_HEADERS.get(label(cell))
        if sector is None:
            raise grid.error(HeaderUnknown, "The header of a sector is not known.", header.row, column)
        if sector in columns[group]:
            raise grid.error(HeaderUnknown, "The header of a sector stands twice in its group.", header.row, column)
        columns[group][sector] = column
    for name, found in columns.items():
        if missing := [sector for sector in SECTORS if sector not in found]:
            message = f"The group '{name}' has no column for {', '.join(missing)}."
            raise grid.error(HeaderUnknown, message, header.row)
    return {name: [found[sector] for sector in SECTORS] for name, found in columns.items()}


def _england_row(grid: Grid, rows: list[TableRow]) -> TableRow:
    england = [row for row in rows if row.kind == "england"]
    if not england:
        raise TotalsDisagree("The England row is missing.", sheet=grid.name)
    if len(england) > 1:
        raise grid.error(TotalsDisagree, "The England row stands twice.", england[1].position)
    return england[0]


def _organisation(grid: Grid, header: Header, row: TableRow, *, odd_period: bool) -> Organisation:
    cells = grid.rows[row.position]
    warnings = [*row.warnings]
    if odd_period:
        named = " ".join(
            shown(text(cells[column])) or str(cells[column])
            for column in (header.year, header.period)
            if column is not None
        )
        warnings.append(f"The row names another quarter than the workbook ('{named}'); the workbook's was taken.")
    if not row.name:
        warnings.append("The row has no name.")
    return Organisation(
        row=row.position + 1,
        code=row.code,
        name=row.name,
        parent_code=row.parent,
        parent_kind=header.parent_kind,
        warnings=tuple(warnings),
    )


def _read_row(grid: Grid, row: TableRow, columns: GroupColumns) -> list[Occupancy]:
    """The five sectors of one row, with the warnings that concern each."""
    available = grid.beds_of_row(row.position, columns["available"])
    occupied = grid.beds_of_row(row.position, columns["occupied"])
    cells = grid.rows[row.position]
    rates = [_rate(cells[column]) for column in columns.get("rate", ())]
    warnings = row_warnings(available, occupied, rates)
    return [
        Occupancy(row.position + 1, row.code, sector, beds or 0.0, used or 0.0, tuple(warnings.get(sector, ())))
        for sector, beds, used in zip(SECTORS, available, occupied, strict=True)
    ]


def _rate(cell: Cell) -> float | None:
    """A published rate, which is only compared and not stored; `None` for the many forms of "no rate"."""
    if type(cell) is float:
        return cell if math.isfinite(cell) else None
    if isinstance(cell, str):
        content = text(cell)
        if content in DASHES or not content:
            return None
        percentage = content.endswith("%")
        number = number_in_text(content.rstrip("% "))
        return None if number is None else number / 100 if percentage else number
    return float(cell) if type(cell) is int else None
