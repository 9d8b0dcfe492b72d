"""What a table that must not be loaded gets: an error with a type and a place, and never a cell's content."""

import datetime as dt
from dataclasses import replace

import pytest

from library.sources.beds.contracts import (
    AnotherSeries,
    FormulaWithoutValue,
    HeaderUnknown,
    NumberExpected,
    OrganisationRepeated,
    OrganisationUnreadable,
    PeriodMissing,
    TotalsDisagree,
    WorkbookDamaged,
)
from library.sources.beds.reader import read_workbook
from tests.support.workbook_builder import (
    ERA_F,
    SECTOR_SHEET,
    SPECIALTY_SHEET,
    TRUSTS,
    Cells,
    Sheets,
    kh03,
    place_of,
    with_parts,
    write,
)
from tests.unit.sources.beds.refusals import changed, refused

SECTOR_PART = "xl/worksheets/sheet1.xml"


def test_a_workbook_of_something_else_is_another_series() -> None:
    refused(write({"Sales": {(0, 0): "Month", (1, 0): "June", (1, 1): 12.0}}), AnotherSeries)
    refused(write({"Nothing": {}}), AnotherSeries)


def test_no_period_anywhere_is_refused() -> None:
    refused(write(kh03(replace(ERA_F, year="", period="", period_line=""))), PeriodMissing)
    refused(write(kh03(replace(ERA_F, year="2013-15", period_line=""))), PeriodMissing)
    refused(write(kh03(replace(ERA_F, period="November", period_line="November 2019"))), PeriodMissing)


def test_rows_of_different_quarters_are_refused() -> None:
    def quarter(cells: Cells) -> None:
        for (row, column), month in zip(
            [place for place, cell in cells.items() if cell == "December"],
            ["June", "March", "June", "March"],
            strict=False,
        ):
            cells[row, column] = month

    refused(changed(quarter), PeriodMissing)


@pytest.mark.parametrize(
    ("header", "nth", "place"),
    [
        ("Maternity", 0, "J"),
        ("Maternity", 1, "P"),
        ("Total", 0, "G"),
        ("General & Acute", 2, "T"),
        ("Mental Illness", 0, "K"),
    ],
)
def test_an_unknown_header_of_a_sector_is_refused_with_its_place(header: str, nth: int, place: str) -> None:
    def rename(cells: Cells) -> None:
        cells[place_of(cells, header, nth=nth)] = "Secret Ward"

    error = refused(changed(rename), HeaderUnknown)

    assert (error.sheet, error.row, error.column) == (SECTOR_SHEET, 15, place)
    assert "Secret" not in error.message


@pytest.mark.parametrize("header", ["Region Code", "Org Code", "Org Name", "Available", "Occupied", "% Occupied"])
def test_an_unknown_header_of_a_needed_column_is_refused(header: str) -> None:
    def rename(cells: Cells) -> None:
        cells[place_of(cells, header)] = "Foo"

    assert refused(changed(rename), HeaderUnknown).sheet == SECTOR_SHEET


def test_a_header_that_stands_twice_is_refused() -> None:
    def double(cells: Cells) -> None:
        cells[place_of(cells, "Maternity")] = "Mental Illness"

    def double_name(cells: Cells) -> None:
        cells[14, 0] = "Org Name"

    def double_group(cells: Cells) -> None:
        cells[place_of(cells, "Occupied")] = "Available"

    def double_beside(cells: Cells) -> None:
        cells[14, 11] = "Maternity"

    for change in (double, double_name, double_group, double_beside):
        refused(changed(change), HeaderUnknown)


def test_an_additional_column_of_beds_is_refused() -> None:
    def add(cells: Cells) -> None:
        cells[14, 11] = "Critical Care"

    refused(changed(add), HeaderUnknown)


def test_a_specialty_without_a_code_or_with_one_twice_is_refused() -> None:
    def uncode(cells: Cells) -> None:
        cells[place_of(cells, "501 Obstetrics")] = "Obstetrics"

    def double(cells: Cells) -> None:
        cells[place_of(cells, "501 Obstetrics")] = "100 General Surgery"

    for change in (uncode, double):
        assert refused(changed(change, SPECIALTY_SHEET), HeaderUnknown).column == "J"


def test_two_different_tables_in_one_workbook_are_refused() -> None:
    sheets = kh03()
    refused(write(sheets | {"Other": kh03(trusts=TRUSTS[:2])[SECTOR_SHEET]}), HeaderUnknown)
    refused(write(sheets | {"Other": kh03(trusts=TRUSTS[:2])[SPECIALTY_SHEET]}), HeaderUnknown)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("abc", "text of 3 characters"),
        ("#DIV/0!", "an error"),
        ("#N/A", "an error"),
        ("n/a", "text of 3 characters"),
        ("1827,5", "text of 6 characters"),
        ("1,82.7", "text of 6 characters"),
        ("-5", "text of 2 characters"),
        ("1e999", "finite"),
        (-5.0, "negative"),
        (True, "true or false"),
        (dt.datetime(2019, 12, 31), "date"),  # noqa: DTZ001 - a spreadsheet's dates have no zone
    ],
)
@pytest.mark.parametrize("sheet", [SECTOR_SHEET, SPECIALTY_SHEET])
def test_something_else_in_a_numbers_place_is_refused_with_its_place(sheet: str, value: object, says: str) -> None:
    def spoil(cells: Cells) -> None:
        row, column = place_of(cells, "G6V2S")
        cells[row, column + 3] = value

    error = refused(changed(spoil, sheet), NumberExpected)

    assert (error.sheet, error.row, error.column) == (sheet, 19, "H")
    assert says in error.message
    assert "abc" not in error.message


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400"])
def test_a_number_that_is_none_is_refused(value: str) -> None:
    def spoil(part: bytes) -> bytes:
        return part.replace(b"<v>1623.5</v>", f"<v>{value}</v>".encode())

    data = with_parts(write(kh03()), {SECTOR_PART: spoil})

    with pytest.raises((NumberExpected, WorkbookDamaged)):
        read_workbook(data)


def test_organisations_that_do_not_sum_to_england_are_refused() -> None:
    def lose(cells: Cells) -> None:
        row, _ = place_of(cells, "R1H")
        for place in [place for place in cells if place[0] == row]:
            del cells[place]

    def alter(cells: Cells) -> None:
        row, column = place_of(cells, "R1H")
        cells[row, column + 5] += 0.02

    refused(changed(lose), TotalsDisagree)
    error = refused(changed(alter), TotalsDisagree)
    assert (error.sheet, error.row, error.column) == (SECTOR_SHEET, 16, "J")


def test_a_deviation_within_a_hundredth_is_accepted() -> None:
    def alter(cells: Cells) -> None:
        row, column = place_of(cells, "R1H")
        cells[row, column + 5] += 0.005

    read_workbook(changed(alter))


def test_england_missing_twice_or_not_summing_is_refused() -> None:
    def remove(cells: Cells) -> None:
        cells[place_of(cells, "England")] = "Somewhere"

    def double(cells: Cells) -> None:
        cells[25, 5], cells[25, 6] = "England", 1.0

    def unbalance(cells: Cells) -> None:
        for code in ("England", "BARTS HEALTH NHS TRUST"):
            row, column = place_of(cells, code)
            cells[row, column + 1] += 1.0

    for change in (remove, double, unbalance):
        refused(changed(change), TotalsDisagree)


def test_a_workbook_without_any_beds_is_refused() -> None:
    def empty(cells: Cells) -> None:
        for (row, column), cell in list(cells.items()):
            if row > 14 and isinstance(cell, float | int):
                cells[row, column] = 0.0

    refused(changed(empty), TotalsDisagree)


@pytest.mark.parametrize("sheet", [SECTOR_SHEET, SPECIALTY_SHEET])
def test_an_organisation_that_stands_twice_is_refused(sheet: str) -> None:
    def double(cells: Cells) -> None:
        cells[place_of(cells, "5KG")] = " r1h "

    error = refused(changed(double, sheet), OrganisationRepeated)
    assert (error.sheet, error.row, error.column) == (sheet, 20, "E")


@pytest.mark.parametrize("code", [50.0, "R1", "ABCDEF", "R-1", "see note"])
def test_a_row_with_beds_and_an_impossible_code_is_refused(code: object) -> None:
    def spoil(cells: Cells) -> None:
        cells[place_of(cells, "R1H")] = code

    refused(changed(spoil), OrganisationUnreadable)


def test_an_organisation_that_only_has_specialties_is_refused() -> None:
    def rename(cells: Cells) -> None:
        cells[place_of(cells, "R1H")] = "RXX"

    refused(changed(rename, SPECIALTY_SHEET), OrganisationUnreadable)


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
@pytest.mark.parametrize("sheet", [SECTOR_SHEET, SPECIALTY_SHEET])
def test_a_formula_that_was_never_calculated_is_refused_with_its_place(sheet: str, kind: str) -> None:
    sheets: Sheets = kh03()
    row, column = place_of(sheets[sheet], "G6V2S")
    sheets[sheet][row, column + 3] = "=1+1"

    error = refused(write(sheets, "xls" if kind == "xls" else "xlsx"), FormulaWithoutValue)

    assert (error.sheet, error.row, error.column) == (sheet, 19, "H")


def test_a_formula_with_its_value_is_read() -> None:
    def calculate(part: bytes) -> bytes:
        return part.replace(b"<v>1623.5</v>", b"<f>1623+0.5</f><v>1623.5</v>")

    assert read_workbook(with_parts(write(kh03()), {SECTOR_PART: calculate})) == read_workbook(write(kh03()))


def test_a_sheet_that_declares_entities_is_refused_once_its_xml_is_searched() -> None:
    def declare(part: bytes) -> bytes:
        bomb = b'<!DOCTYPE w [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        return part.replace(b"<worksheet", bomb + b"<worksheet", 1)

    def empty(cells: Cells) -> None:
        row, column = place_of(cells, "G6V2S")
        del cells[row, column + 3]

    refused(with_parts(changed(empty), {SECTOR_PART: declare}), WorkbookDamaged)
    refused(changed(empty), TotalsDisagree)
