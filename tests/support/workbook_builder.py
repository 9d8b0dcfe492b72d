"""Makes workbooks that look like the publisher's, of every era, with any variation and any fault.

A workbook is first a dictionary of sheets, each a dictionary of cells by (row, column) from 0, so that a test changes
what it is about; then it is written as .xlsx or .xls.
"""

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import openpyxl
import xlwt
from openpyxl.utils.datetime import WINDOWS_EPOCH

Cells = dict[tuple[int, int], Any]
Sheets = dict[str, Cells]

SECTOR_HEADERS = ("Total ", "General & Acute", "Learning Disabilities", "Maternity", "Mental Illness")
SPECIALTIES = {"100": "General Surgery", "101": "Urology", "300": "General Medicine", "501": "Obstetrics"} | {
    "420": "Paediatrics",
    "710": "Adult Mental Illness",
}
SECTOR_SHEET = "NHS Trust by Sector"
SPECIALTY_SHEET = "Occupied by Specialty"


@dataclass(frozen=True)
class Trust:
    """An organisation: available and occupied beds of the four sectors, in the order of the headers."""

    code: str
    name: str
    parent: str
    available: tuple[float, float, float, float]
    occupied: tuple[float, float, float, float]

    def specialties(self) -> list[float]:
        """Occupied beds by specialty: all in the first, so that they sum to the total whatever the sectors are."""
        return [sum(self.occupied), *([0.0] * (len(SPECIALTIES) - 1))]


TRUSTS = (
    Trust("R1H", "BARTS HEALTH NHS TRUST", "Y56", (1623.5, 0.0, 205.0, 0.0), (1601.25, 0.0, 116.75, 0.0)),
    Trust("G6V2S", "A TRUST WITH A LONG CODE", "Y56", (12.5, 8.0, 0.0, 679.0), (9.75, 8.5, 0.0, 540.125)),
    Trust("5KG", "SOUTH TYNESIDE PCT", "Y63", (0.0, 7.0, 0.0, 0.0), (0.0, 2.989010989010989, 0.0, 0.0)),
    Trust("TAD", "A TRUST WITHOUT BEDS", "Y63", (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)),
)


@dataclass(frozen=True)
class Layout:
    """How the return is laid out; the defaults are those of 2017-18 Q3 to 2022-23."""

    first_column: int = 1
    metadata_row: int = 1
    header_row: int = 14
    england_gap: int = 1
    period_header: str = "Period End"
    parent_header: str = "Region Code"
    learning_disabilities: str = "Learning Disabilities"
    year: Any = "2019-20"
    period: Any = "December"
    title: str = "Average daily number of available and occupied beds open overnight by sector"
    summary: str = "KH03 is the collection of data on beds open overnight that are consultant led."
    period_line: Any = "October to December 2019"
    published: Any = "27th February 2020"
    revised: Any = "19th November 2020"
    status: str = "Public"
    lines: bool = True
    sector_sheet: str = SECTOR_SHEET
    specialty_sheet: str = SPECIALTY_SHEET
    spacer: Any = ""
    no_rate: Any = "-"
    footer: tuple[str, ...] = ()
    write_header: Callable[[str], str] = field(default=lambda header: header)
    write_code: Callable[[str], str] = field(default=lambda code: code)
    write_number: Callable[[float], Any] = field(default=lambda number: number)


ERA_A = Layout(
    first_column=0,
    metadata_row=0,
    header_row=5,
    england_gap=1,
    period_header="Period",
    parent_header="SHA Code",
    year="2010-11",
    period="June",
    title=(
        "Average daily number of available and occupied beds open overnight by sector, NHS organisations in England, "
        "Quarter 1 2010/11"
    ),
    lines=False,
    status="Published 18 November 2010 and revised 24 May 2012",
    no_rate="",
)
ERA_B = Layout(period_header="Period", parent_header="SHA Code", footer=("", "Notes:"), spacer=0.0)
ERA_C = Layout(period_header="Period", parent_header="AT Code")
ERA_E = Layout(period_header="Period", parent_header="Region Code")
ERA_F = Layout()
ERA_G = Layout(
    summary="KH03 is the collection of data on beds open day only that are consultant led.",
    learning_disabilities="Learning Disability",
    no_rate=" -   ",
)
ERAS = {"A": ERA_A, "B": ERA_B, "C": ERA_C, "E": ERA_E, "F": ERA_F, "G": ERA_G}


def kh03(layout: Layout = ERA_F, trusts: tuple[Trust, ...] = TRUSTS) -> Sheets:
    """The sheets of a workbook, as the publisher orders them until 2022-23."""
    return {
        layout.sector_sheet: _sector_cells(layout, trusts),
        "Region by Sector": _region_cells(layout),
        layout.specialty_sheet: _specialty_cells(layout, trusts),
        "Data Quality": {(0, 0): "Data Quality KH03 Q3 2019-20", (2, 0): "RGD", (2, 1): "Leeds And York Partnership"},
    }


def place_of(cells: Cells, content: str, *, nth: int = 0) -> tuple[int, int]:
    """Where a text stands, compared without blanks around it."""
    return [place for place, cell in sorted(cells.items()) if isinstance(cell, str) and cell.strip() == content][nth]


def write(sheets: Sheets, kind: Literal["xlsx", "xls"] = "xlsx") -> bytes:
    """The bytes of a workbook."""
    return write_xlsx(sheets) if kind == "xlsx" else write_xls(sheets)


def write_xlsx(sheets: Sheets, hidden: tuple[str, ...] = (), epoch: datetime = WINDOWS_EPOCH) -> bytes:
    """The bytes of an .xlsx workbook. Its dates count from the epoch."""
    workbook = openpyxl.Workbook()
    workbook.epoch = epoch
    workbook.remove(workbook.active)
    for name, cells in sheets.items():
        sheet = workbook.create_sheet(name)
        if name in hidden:
            sheet.sheet_state = "hidden"
        for (row, column), cell in sorted(cells.items()):
            if cell != "":
                sheet.cell(row + 1, column + 1, cell)
    saved = io.BytesIO()
    workbook.save(saved)
    return saved.getvalue()


def write_xls(sheets: Sheets, *, dates_1904: bool = False) -> bytes:
    """The bytes of an .xls workbook; a text that starts with `=` is a formula."""
    workbook = xlwt.Workbook()
    workbook.dates_1904 = dates_1904
    date = xlwt.easyxf(num_format_str="DD/MM/YYYY")
    for name, cells in sheets.items():
        sheet = workbook.add_sheet(name)
        for (row, column), cell in sorted(cells.items()):
            if isinstance(cell, str) and cell.startswith("="):
                sheet.write(row, column, xlwt.Formula(cell[1:]))
            elif hasattr(cell, "year"):
                sheet.write(row, column, cell, date)
            elif cell != "":
                sheet.write(row, column, cell)
    saved = io.BytesIO()
    workbook.save(saved)
    return saved.getvalue()


def with_parts(workbook: bytes, change: Mapping[str, Callable[[bytes], bytes]]) -> bytes:
    """An .xlsx workbook with some of its parts rewritten; a part that it lacks is rewritten from nothing."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook)) as before, zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as after:
        for name in [*before.namelist(), *(name for name in change if name not in before.namelist())]:
            content = before.read(name) if name in before.namelist() else b""
            after.writestr(name, change[name](content) if name in change else content)
    return changed.getvalue()


def with_shared_strings(workbook: bytes) -> bytes:
    """An .xlsx workbook whose texts are in the table of shared strings, as Excel stores them."""
    texts: list[bytes] = []

    def share(cell: re.Match[bytes]) -> bytes:
        texts.append(cell[2])
        return b'<c%b t="s"><v>%d</v></c>' % (cell[1], len(texts) - 1)

    parts: dict[str, Callable[[bytes], bytes]] = {}
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        sheets = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        for name in sheets:
            shared = re.sub(rb'<c([^>]*) t="inlineStr"><is>(.*?)</is></c>', share, archive.read(name))
            parts[name] = lambda _, shared=shared: shared  # type: ignore[misc]  # mypy knows no type of a default
    namespace = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    table = b'<sst xmlns="%b">%b</sst>' % (namespace, b"".join(b"<si>%b</si>" % text for text in texts))
    target = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    relation = b'<Relationship Type="%b" Target="sharedStrings.xml" Id="shared"/></Relationships>' % target
    parts["xl/sharedStrings.xml"] = lambda _: table
    parts["xl/_rels/workbook.xml.rels"] = lambda part: part.replace(b"</Relationships>", relation)
    return with_parts(workbook, parts)


def _above(layout: Layout, title: str) -> Cells:
    column = layout.first_column
    if layout.lines:
        lines = {
            "Title:": title,
            "Summary:": layout.summary,
            "Period:": layout.period_line,
            "Source:": "NHS England: SDCS data collection - KH03",
            "Basis:": "Provider",
            "Published:": layout.published,
            "Revised:": layout.revised,
            "Status:": layout.status,
        }
    else:
        lines = {"Title:": title, "Source:": "Department of Health form KH03", "Status:": layout.status}
    cells: Cells = {}
    for row, (label, value) in enumerate(lines.items(), layout.metadata_row):
        cells[row, column], cells[row, column + 1] = label, value
    return cells


def _identity(layout: Layout) -> list[str]:
    return [
        layout.write_header(h) for h in ("Year", layout.period_header, layout.parent_header, "Org Code", "Org Name")
    ]


def _put(cells: Cells, row: int, column: int, values: list[Any]) -> None:
    for offset, value in enumerate(values):
        cells[row, column + offset] = value


def _numbers(layout: Layout, available: tuple[float, ...], occupied: tuple[float, ...]) -> list[Any]:
    beds = (sum(available), *available)
    used = (sum(occupied), *occupied)
    rates = [u / b if b else layout.no_rate for b, u in zip(beds, used, strict=True)]
    write_number = layout.write_number
    return [*map(write_number, beds), layout.spacer, *map(write_number, used), layout.spacer, *rates]


def _sector_headers(layout: Layout) -> list[str]:
    headers = [layout.learning_disabilities if h == "Learning Disabilities" else h for h in SECTOR_HEADERS]
    headers = [layout.write_header(header) for header in headers]
    return [*headers, "", *headers, "", *headers]


def _rows(
    layout: Layout, trusts: tuple[Trust, ...], numbers: Callable[[Trust], list[Any]], england: list[Any]
) -> Cells:
    cells: Cells = {}
    column = layout.first_column
    row = layout.header_row + 1 + (layout.england_gap if layout is ERA_A else 0)
    _put(cells, row, column, [layout.year, layout.period, "", "", "England", *england])
    row += 1 + layout.england_gap
    for trust in trusts:
        identity = [layout.year, layout.period, trust.parent, layout.write_code(trust.code), trust.name]
        _put(cells, row, column, [*identity, *numbers(trust)])
        row += 1
    for offset, note in enumerate(layout.footer):
        cells[row + offset, column] = note
    return cells


def _sector_cells(layout: Layout, trusts: tuple[Trust, ...]) -> Cells:
    cells = _above(layout, layout.title)
    first = layout.first_column + 5
    for group, name in enumerate(("Available", "Occupied", "% Occupied")):
        cells[layout.header_row - 1, first + 6 * group] = layout.write_header(name)
    _put(cells, layout.header_row, layout.first_column, [*_identity(layout), *_sector_headers(layout)])
    available = tuple(sum(trust.available[sector] for trust in trusts) for sector in range(4))
    occupied = tuple(sum(trust.occupied[sector] for trust in trusts) for sector in range(4))
    england = _numbers(layout, available, occupied)
    return cells | _rows(layout, trusts, lambda t: _numbers(layout, t.available, t.occupied), england)


def _region_cells(layout: Layout) -> Cells:
    """The table by region has the same groups, and no organisations: it must not be taken for the table."""
    cells = _above(layout, layout.title)
    first = layout.first_column + 4
    for group, name in enumerate(("Available", "Occupied", "% Occupied")):
        cells[layout.header_row - 1, first + 6 * group] = name
    headers = ["Year", layout.period_header, layout.parent_header, "AT Name", *_sector_headers(layout)]
    _put(cells, layout.header_row, layout.first_column, headers)
    row = ["2019-20", "December", "", "England", *_numbers(layout, (1.0, 2.0, 3.0, 4.0), (1.0, 2.0, 3.0, 4.0))]
    _put(cells, layout.header_row + 1, layout.first_column, row)
    return cells


def _specialty_cells(layout: Layout, trusts: tuple[Trust, ...]) -> Cells:
    title = "Average daily number of occupied beds open overnight by Consultant Specialty"
    cells = _above(layout, title.replace("overnight", "day only") if "day only" in layout.title else title)
    headers = [layout.write_header(f"{code} {name}") for code, name in SPECIALTIES.items()]
    _put(cells, layout.header_row, layout.first_column, [*_identity(layout), *headers])
    sums = [sum(column) for column in zip(*(trust.specialties() for trust in trusts), strict=True)]

    def write_all(numbers: list[float]) -> list[Any]:
        return [layout.write_number(number) for number in numbers]

    return cells | _rows(layout, trusts, lambda trust: write_all(trust.specialties()), write_all(sums))
