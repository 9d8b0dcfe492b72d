"""Where a sheet ends: cells that are only formatted, and extents that are only stated, are no content."""

import datetime as dt
import io
import struct
from collections.abc import Callable

import pytest
import xlwt

from library.sources.beds.contracts import SheetTooLarge
from library.sources.beds.reader import read_workbook
from tests.support.workbook_builder import Sheets, kh03, with_parts, write, write_xls
from tests.unit.sources.beds.refusals import refused

SECTOR_PART = "xl/worksheets/sheet1.xml"
LAST_ROW, LAST_COLUMN = "1048576", "XFD"


def with_xml(change: Callable[[bytes], bytes]) -> bytes:
    data = with_parts(write(kh03()), {SECTOR_PART: change})
    assert data != write(kh03())
    return data


def with_last_row(cell: str, dimension: str = f"B2:W{LAST_ROW}") -> bytes:
    """The usual workbook with one more cell in the last row that Excel has."""

    def add(part: bytes) -> bytes:
        part = part.replace(b'<dimension ref="B2:W21"', f'<dimension ref="{dimension}"'.encode())
        return part.replace(b"</sheetData>", f'<row r="{LAST_ROW}">{cell}</row></sheetData>'.encode())

    return with_xml(add)


EMPTY = [
    '<c r="{place}" s="1"/>',
    '<c r="{place}" s="1" t="n" />',
    '<c r="{place}" s="1"></c>',
    '<c r="{place}" s="1"><v></v></c>',
    '<c r="{place}" s="1"><v/></c>',
    '<c r="{place}" s="1" t="s"><v></v></c>',
    '<c r="{place}" t="str"><v></v></c>',
    '<c r="{place}" t="inlineStr"><is><t></t></is></c>',
    '<c r="{place}" t="inlineStr"><is><t xml:space="preserve"> </t></is></c>',
    '<c r="{place}" t="inlineStr"><is><t/></is></c>',
    '<c r="{place}" t="inlineStr"><is/></c>',
]


@pytest.mark.parametrize("cell", EMPTY)
@pytest.mark.parametrize("dimension", [f"B2:W{LAST_ROW}", "B2:W21", f"A1:{LAST_COLUMN}{LAST_ROW}"])
def test_an_empty_cell_in_the_last_row_is_no_content(cell: str, dimension: str) -> None:
    data = with_last_row(cell.format(place=f"B{LAST_ROW}"), dimension)

    assert read_workbook(data) == read_workbook(write(kh03()))


@pytest.mark.parametrize("cell", EMPTY)
def test_an_empty_cell_in_the_last_column_is_no_content(cell: str) -> None:
    def add(part: bytes) -> bytes:
        part = part.replace(b'<dimension ref="B2:W21"', f'<dimension ref="B2:{LAST_COLUMN}21"'.encode())
        return part.replace(b"</row>", cell.format(place=f"{LAST_COLUMN}2").encode() + b"</row>", 1)

    assert read_workbook(with_xml(add)) == read_workbook(write(kh03()))


def test_formatted_rows_without_cells_are_no_content() -> None:
    data = with_last_row("")

    assert read_workbook(data) == read_workbook(write(kh03()))


@pytest.mark.parametrize(
    "cell",
    [
        '<c r="{place}" s="1"><v>0</v></c>',
        '<c r="{place}" t="inlineStr"><is><t>x</t></is></c>',
        '<c r="{place}"><f>1+1</f><v></v></c>',
        '<c r="{place}" t="b"><v>1</v></c>',
    ],
)
@pytest.mark.parametrize("place", [f"B{LAST_ROW}", f"{LAST_COLUMN}{LAST_ROW}"])
def test_a_cell_with_content_far_out_is_refused_with_advice_to_delete_it(cell: str, place: str) -> None:
    empty = f'<c r="A{LAST_ROW}" s="1"/>'

    error = refused(with_last_row(empty + cell.format(place=place)), SheetTooLarge)

    assert "Delete the rows below the table" in error.advice


def test_a_sheet_that_only_claims_a_million_rows_is_read() -> None:
    data = with_xml(lambda part: part.replace(b':W21"', b':W1048576"'))

    assert read_workbook(data) == read_workbook(write(kh03()))


def xls_with_edge(sheets: Sheets, *places: tuple[int, int], content: str | float = "") -> bytes:
    """An .xls workbook whose first sheet has formatted cells at some places."""
    workbook = xlwt.Workbook()
    bold = xlwt.easyxf("font: bold on")
    for number, (name, cells) in enumerate(sheets.items()):
        sheet = workbook.add_sheet(name)
        for (row, column), cell in sorted(cells.items()):
            if cell != "":
                sheet.write(row, column, cell)
        for row, column in places if number == 0 else ():
            sheet.write(row, column, content, bold)
    saved = io.BytesIO()
    workbook.save(saved)
    return saved.getvalue()


def test_formatted_edges_of_an_xls_are_no_content() -> None:
    edges = xls_with_edge(kh03(), (65_535, 2), (3, 255))

    assert b"\x00\x02\x0e\x00" + struct.pack("<II", 1, 65_536) in edges
    assert read_workbook(edges) == read_workbook(write_xls(kh03()))


@pytest.mark.parametrize("content", [0.0, "x", dt.date(2020, 1, 1)])
def test_content_in_the_last_row_of_an_xls_is_refused(content: str | float) -> None:
    refused(xls_with_edge(kh03(), (65_535, 2), content=content), SheetTooLarge)


def test_an_xls_that_only_claims_too_many_rows_is_read() -> None:
    data = write_xls(kh03())
    claim = struct.pack("<IIHHH", 1, 21, 1, 23, 0)

    assert data.count(claim) == 1
    for stated in ((1, 65_536, 1, 23, 0), (1, 4_000_000_000, 1, 65_535, 0), (70_000, 80_000, 0, 9, 7)):
        assert read_workbook(data.replace(claim, struct.pack("<IIHHH", *stated))) == read_workbook(data)
