"""Reads one workbook of the KH03 return as rows.

Sheets, headers and rows are found by their texts, never by their position or by the file's name. If the rows could be
wrong, the workbook is refused with a typed error. Oddities of published workbooks are read, with a warning.
"""

from library.sources.beds.checks import check_england, with_specialty_warnings
from library.sources.beds.contracts import AnotherSeries, HeaderUnknown, OrganisationUnreadable
from library.sources.beds.grid import Grid, read_grids
from library.sources.beds.metadata import read_data_quality
from library.sources.beds.reading import Edition, WorkbookReading
from library.sources.beds.sector_table import SectorTable, read_sector_table
from library.sources.beds.specialty_table import SpecialtyTable, read_specialty_table

READER_VERSION = 2
"""Raised whenever the same bytes give other rows: a workbook that was read wrongly is loaded again after the fix."""


def read_workbook(data: bytes) -> WorkbookReading:
    """Read a workbook.

    Several equal tables of one kind (a copy of a sheet) are read once, with a warning; different ones are refused.
    Hidden sheets are used only if no visible sheet has the table. A workbook without a table by specialty is read, with
    a warning.

    Raises:
        WorkbookRejected: a subclass, which says what is wrong and where.
    """
    grids = read_grids(data)
    sector, sector_warnings = _sector_table(grids)
    specialty, specialty_warnings = _specialty_table(grids)
    check_england(sector.grid, sector.england_row, sector.columns, sector.england, sector.occupancy)
    warnings = [*sector.warnings, *sector_warnings, *specialty_warnings]
    occupancy = sector.occupancy
    if specialty:
        _check_same_organisations(sector, specialty)
        occupancy = with_specialty_warnings(occupancy, specialty.sums)
        warnings += specialty.warnings
    metadata, quarter = sector.metadata, sector.quarter
    return WorkbookReading(
        edition=Edition(
            financial_year=quarter.financial_year,
            quarter=quarter.number,
            period_end=quarter.end,
            basis=metadata.basis,
            title=metadata.title,
            status=metadata.status,
            published=metadata.published,
            revised=metadata.revised,
            data_quality=read_data_quality(grids),
            warnings=tuple(warnings),
        ),
        organisations=sector.organisations,
        occupancy=occupancy,
        specialties=specialty.specialties if specialty else [],
        specialty_rows=specialty.rows if specialty else [],
        england=sector.england,
    )


def _visible_first(grids: list[Grid]) -> list[list[Grid]]:
    return [[grid for grid in grids if grid.visible], [grid for grid in grids if not grid.visible]]


def _sector_table(grids: list[Grid]) -> tuple[SectorTable, list[str]]:
    for candidates in _visible_first(grids):
        tables = [
            table
            for grid in candidates
            if (table := read_sector_table(grid, [other for other in grids if other is not grid]))
        ]
        if not tables:
            continue
        first = tables[0]
        for other in tables[1:]:
            if _sector_rows(other) != _sector_rows(first):
                raise HeaderUnknown(
                    "A second, different table by sector stands in another sheet.", sheet=other.grid.name
                )
        return first, [f"Sheet '{table.grid.name}' repeats the table by sector." for table in tables[1:]]
    raise AnotherSeries("No sheet holds a table of available and occupied beds by organisation and sector.")


def _specialty_table(grids: list[Grid]) -> tuple[SpecialtyTable | None, list[str]]:
    for candidates in _visible_first(grids):
        tables = [table for table in map(read_specialty_table, candidates) if table]
        if not tables:
            continue
        first = tables[0]
        for other in tables[1:]:
            if _specialty_rows(other) != _specialty_rows(first):
                raise HeaderUnknown(
                    "A second, different table by specialty stands in another sheet.", sheet=other.grid.name
                )
        return first, [f"Sheet '{table.grid.name}' repeats the table by specialty." for table in tables[1:]]
    return None, ["No sheet holds a table of occupied beds by specialty."]


def _sector_rows(table: SectorTable) -> object:
    beds = {(row.organisation_code, row.sector): (row.available, row.occupied) for row in table.occupancy}
    return table.metadata.basis, table.quarter, beds, table.england


def _specialty_rows(table: SpecialtyTable) -> object:
    return {
        (row.organisation_code, specialty.code): beds
        for row in table.rows
        for specialty, beds in zip(table.specialties, row.occupied, strict=True)
        if beds is not None
    }


def _check_same_organisations(sector: SectorTable, specialty: SpecialtyTable) -> None:
    known = {organisation.code for organisation in sector.organisations}
    for row in specialty.rows:
        if row.organisation_code not in known:
            message = f"An organisation of this sheet does not stand in sheet '{sector.grid.name}'."
            raise specialty.grid.error(OrganisationUnreadable, message, row.row - 1, specialty.header.code)
