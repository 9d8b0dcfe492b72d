"""Workbooks that are not in the folder: other eras, other programs, edited by hand."""

import datetime as dt
import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.sources.beds.names import SECTORS
from library.sources.beds.reader import read_workbook
from library.sources.beds.reading import WorkbookReading
from tests.support.workbook_builder import (
    ERA_A,
    ERA_B,
    ERA_C,
    ERA_E,
    ERA_F,
    ERA_G,
    ERAS,
    SECTOR_SHEET,
    SPECIALTIES,
    SPECIALTY_SHEET,
    TRUSTS,
    Cells,
    Layout,
    Sheets,
    Trust,
    kh03,
    place_of,
    write,
    write_xlsx,
)

NO_BREAK_SPACE = "\u00a0"


def beds(reading: WorkbookReading) -> dict[str, tuple[list[float], list[float]]]:
    """Available and occupied beds of each organisation, without the totals."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for row in reading.occupancy:
        if row.sector != "total":
            available, occupied = found.setdefault(row.organisation_code, ([], []))
            available.append(row.available)
            occupied.append(row.occupied)
    return found


def beds_of(trusts: tuple[Trust, ...]) -> dict[str, tuple[list[float], list[float]]]:
    return {trust.code: (list(trust.available), list(trust.occupied)) for trust in trusts}


def read(sheets: Sheets) -> WorkbookReading:
    return read_workbook(write(sheets))


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
@pytest.mark.parametrize("era", ERAS)
def test_every_era_reads_in_both_formats(era: str, kind: str) -> None:
    reading = read_workbook(write(kh03(ERAS[era]), "xls" if kind == "xls" else "xlsx"))

    assert beds(reading) == beds_of(TRUSTS)
    assert [row.code for row in reading.organisations] == [trust.code for trust in TRUSTS]
    assert [row.parent_code for row in reading.organisations] == [trust.parent for trust in TRUSTS]
    assert {specialty.code: specialty.name for specialty in reading.specialties} == SPECIALTIES
    assert len(reading.specialty_occupancy.rows) == len(SPECIALTIES) * len(TRUSTS)
    assert all(not row.warnings for row in reading.occupancy)
    assert [entry.sector for entry in reading.england] == list(SECTORS)


@pytest.mark.parametrize(
    ("layout", "kind"),
    [
        (ERA_A, "strategic_health_authority"),
        (ERA_B, "strategic_health_authority"),
        (ERA_C, "area_team"),
        (ERA_E, "region"),
    ],
)
def test_the_kind_of_parent_follows_its_header(layout: Layout, kind: str) -> None:
    assert {row.parent_kind for row in read(kh03(layout)).organisations} == {kind}


def test_rows_are_counted_as_excel_counts_them() -> None:
    reading = read(kh03())

    assert [row.row for row in reading.organisations] == [18, 19, 20, 21]


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(replace(ERA_F, first_column=4, header_row=40, metadata_row=20), id="shifted"),
        pytest.param(replace(ERA_F, england_gap=0), id="no blank row after England"),
        pytest.param(replace(ERA_F, england_gap=5), id="more blank rows after England"),
        pytest.param(replace(ERA_F, sector_sheet="Sheet1", specialty_sheet="Sheet2"), id="sheets renamed"),
        pytest.param(replace(ERA_F, spacer=0.0), id="numbers in the spacer columns"),
        pytest.param(replace(ERA_F, spacer="see notes"), id="texts in the spacer columns"),
        pytest.param(replace(ERA_F, write_header=str.upper), id="headers in upper case"),
        pytest.param(replace(ERA_F, write_header=lambda h: f"  {h.replace(' ', '  ')} "), id="blanks in headers"),
        pytest.param(replace(ERA_F, write_header=lambda h: h.replace(" ", NO_BREAK_SPACE)), id="no-break spaces"),
        pytest.param(replace(ERA_F, write_header=lambda h: h.replace("&", "and")), id="and for &"),
        pytest.param(replace(ERA_F, write_header=lambda h: f"{h} [note 1]" if h == "Maternity" else h), id="footnotes"),
        pytest.param(replace(ERA_F, write_code=lambda code: f" {code}{NO_BREAK_SPACE} "), id="blanks around codes"),
        pytest.param(replace(ERA_F, write_code=str.lower), id="codes in lower case"),
        pytest.param(replace(ERA_F, write_number=repr), id="numbers as texts"),
        pytest.param(replace(ERA_F, write_number=lambda n: f" {n:,.15f} "), id="thousands separated by commas"),
        pytest.param(replace(ERA_F, write_number=lambda n: n or " -   "), id="dashes for zeros"),
        pytest.param(replace(ERA_F, no_rate="#DIV/0!"), id="errors for no rate"),
        pytest.param(replace(ERA_F, no_rate=0.0), id="zeros for no rate"),
        pytest.param(replace(ERA_F, footer=("", "Notes:", "1. RGD did not submit.", "R1H")), id="notes below"),
        pytest.param(replace(ERA_F, year="2019/20"), id="year with a slash"),
        pytest.param(replace(ERA_F, year="2019-2020"), id="year in full"),
        pytest.param(replace(ERA_F, year=" 2019\u201320 "), id="year with an en dash"),
        pytest.param(replace(ERA_F, period="Dec"), id="month abbreviated"),
        pytest.param(replace(ERA_F, period="DECEMBER "), id="month in capitals"),
        pytest.param(replace(ERA_F, period=dt.datetime(2019, 12, 31)), id="period as a date"),  # noqa: DTZ001
        pytest.param(replace(ERA_F, period="October to December"), id="period in full"),
        pytest.param(replace(ERA_F, published=dt.datetime(2020, 2, 27)), id="date as a date"),  # noqa: DTZ001
        pytest.param(replace(ERA_F, published="27/02/2020"), id="date with slashes"),
        pytest.param(replace(ERA_F, published=43888), id="date as its number"),
        pytest.param(replace(ERA_F, published="Thursday 27 Feb 2020"), id="date with its weekday"),
    ],
)
def test_a_variation_of_the_layout_reads_the_same(layout: Layout) -> None:
    reading = read(kh03(layout))

    assert beds(reading) == beds_of(TRUSTS)
    assert (reading.edition.financial_year, reading.edition.quarter) == ("2019-20", 3)
    assert reading.edition.period_end == dt.date(2019, 12, 31)
    assert reading.edition.published == dt.date(2020, 2, 27)
    assert reading.edition.revised == dt.date(2020, 11, 19)
    assert not [row for row in reading.occupancy if row.warnings]
    assert len(reading.specialty_occupancy.rows) == len(SPECIALTIES) * len(TRUSTS)


def test_sheets_in_any_order_with_others_between_them_read_the_same() -> None:
    sheets = kh03()
    pivot: Cells = {(0, 0): "Row Labels", (0, 1): "Sum of Total", (1, 0): "R1H", (1, 1): 1828.5}
    others: Sheets = {"Notes": {(5, 5): "Read me"}, "Pivot": pivot}
    shuffled = others | dict(reversed(sheets.items())) | {"Empty": {}}

    assert read(shuffled) == read(sheets)


def test_a_copy_of_the_sheet_is_a_warning_and_a_different_one_in_a_hidden_sheet_is_ignored() -> None:
    sheets = kh03()
    copied = read(sheets | {"Copy": sheets[SECTOR_SHEET]})
    other = kh03(trusts=TRUSTS[:2])[SECTOR_SHEET]
    with_hidden = read_workbook(write_xlsx({"Old": other} | sheets, hidden=("Old",)))

    assert beds(copied) == beds_of(TRUSTS)
    assert any("Copy" in warning for warning in copied.edition.warnings)
    assert beds(with_hidden) == beds_of(TRUSTS)


def test_beds_open_by_day_only_are_told_by_the_title() -> None:
    layout = replace(ERA_F, title="Average daily number of available and occupied beds open day only by sector")

    reading = read(kh03(layout))

    assert reading.edition.basis == "day_only"
    assert any("summary" in warning for warning in reading.edition.warnings)


def test_the_era_with_the_wrong_summary_gets_its_warning() -> None:
    assert any("summary" in warning for warning in read(kh03(ERA_G)).edition.warnings)


def test_a_title_without_its_label_is_found() -> None:
    sheets = kh03()
    del sheets[SECTOR_SHEET][place_of(sheets[SECTOR_SHEET], "Title:")]

    assert read(sheets).edition.basis == "overnight"


def test_the_fourth_quarter_ends_in_the_second_year() -> None:
    edition = read(kh03(replace(ERA_F, year="2022-23", period="March", period_line="January to March 2023"))).edition

    assert (edition.financial_year, edition.quarter, edition.period_end) == ("2022-23", 4, dt.date(2023, 3, 31))


@pytest.mark.parametrize("layout", [ERA_F, replace(ERA_A, year="", period="")], ids=["line", "title"])
def test_where_no_row_names_the_period_the_lines_above_do(layout: Layout) -> None:
    edition = read(kh03(replace(layout, year="", period=""))).edition

    expected = ("2010-11", 1) if layout.header_row == ERA_A.header_row else ("2019-20", 3)
    assert (edition.financial_year, edition.quarter) == expected
    assert any("No row states" in warning for warning in edition.warnings)


def test_rows_win_against_a_line_above_that_names_another_quarter() -> None:
    edition = read(kh03(replace(ERA_F, period_line="July to September 2019"))).edition

    assert edition.quarter == 3
    assert any("another quarter" in warning for warning in edition.warnings)


def test_data_quality_is_read_as_texts_and_may_be_missing() -> None:
    sheets = kh03()
    assert read(sheets).edition.data_quality == ("Data Quality KH03 Q3 2019-20", "RGD Leeds And York Partnership")
    del sheets["Data Quality"]
    assert read(sheets).edition.data_quality == ()


def test_a_line_revised_without_a_date_is_none() -> None:
    assert read(kh03(replace(ERA_F, revised=""))).edition.revised is None


def test_a_workbook_without_the_sheet_by_specialty_is_read_with_a_warning() -> None:
    sheets = kh03()
    del sheets[SPECIALTY_SHEET]

    reading = read(sheets)

    assert reading.specialty_occupancy == ([], [], [], [])
    assert any("specialty" in warning for warning in reading.edition.warnings)


def test_an_empty_specialty_gives_no_row_and_a_zero_gives_one() -> None:
    sheets = kh03()
    row, column = place_of(sheets[SPECIALTY_SHEET], "TAD")
    del sheets[SPECIALTY_SHEET][row, column + 2]

    entries = zip(*read(sheets).specialty_occupancy, strict=True)
    codes = [specialty for _, organisation, specialty, _ in entries if organisation == "TAD"]

    assert codes == [code for code in SPECIALTIES if code != "100"]


def test_an_empty_cell_of_beds_is_zero_with_a_warning_on_its_row() -> None:
    sheets = kh03()
    row, column = place_of(sheets[SECTOR_SHEET], "TAD")
    del sheets[SECTOR_SHEET][row, column + 4]

    (odd,) = (entry for entry in read(sheets).occupancy if entry.warnings)

    assert (odd.organisation_code, odd.sector, odd.available) == ("TAD", "learning_disabilities", 0.0)


def test_a_published_rate_that_is_not_occupied_by_available_is_a_warning() -> None:
    sheets = kh03()
    row, column = place_of(sheets[SECTOR_SHEET], "R1H")
    sheets[SECTOR_SHEET][row, column + 15] = "12.5%"

    (odd,) = (entry for entry in read(sheets).occupancy if entry.warnings)

    assert (odd.organisation_code, odd.sector) == ("R1H", "general_and_acute")


def test_sectors_that_do_not_sum_to_an_organisations_total_are_a_warning() -> None:
    # Two organisations that are wrong by the same amount: England still agrees.
    sheets = kh03()
    for code, error in (("R1H", 5.0), ("G6V2S", -5.0)):
        row, column = place_of(sheets[SECTOR_SHEET], code)
        sheets[SECTOR_SHEET][row, column + 2] += error

    odd = [entry for entry in read(sheets).occupancy if any("sum" in warning for warning in entry.warnings)]

    assert [(entry.organisation_code, entry.sector) for entry in odd] == [("R1H", "total"), ("G6V2S", "total")]


def test_a_subtotal_without_a_code_is_not_an_organisation_and_is_named_in_a_warning() -> None:
    sheets = kh03()
    for column, value in ((5, "LONDON"), (6, 2528.0), (7, 1623.5)):
        sheets[SECTOR_SHEET][30, column] = value

    reading = read(sheets)

    assert len(reading.organisations) == len(TRUSTS)
    assert any("Row 31" in warning for warning in reading.edition.warnings)


numbers = st.floats(min_value=0, max_value=3_000, allow_nan=False).map(lambda number: round(number, 6))
four = st.tuples(numbers, numbers, numbers, numbers)
codes = st.text(string.ascii_uppercase + string.digits, min_size=3, max_size=5).filter(
    lambda code: code not in {"TOTAL", "NOTE", "NOTES", "CODE", "KEY"}
)
names = st.text(string.ascii_letters + "'&,() ", min_size=1, max_size=40).map(
    lambda name: f"X {' '.join(name.split())}"
)
trusts = st.lists(
    st.builds(Trust, codes, names.map(str.strip), st.sampled_from(["Y56", "Q30"]), four, four),
    min_size=1,
    max_size=12,
    unique_by=lambda trust: trust.code,
).filter(lambda rows: sum(sum(trust.available) for trust in rows) > 0.02)
quarters = st.sampled_from([("June", 1), ("September", 2), ("December", 3), ("March", 4)])
layouts = st.builds(
    replace,
    st.sampled_from([ERA_A, ERA_B, ERA_C, ERA_E, ERA_F, ERA_G]),
    first_column=st.integers(0, 6),
    header_row=st.integers(12, 40),
    england_gap=st.integers(0, 3),
    year=st.sampled_from(["2016-17", "2016/17", "2016/2017"]),
    spacer=st.sampled_from(["", 0.0, "x"]),
    no_rate=st.sampled_from(["", "-", " -   ", 0.0, "#DIV/0!"]),
    footer=st.sampled_from([(), ("", "Notes:"), ("Notes:", "R1H and others")]),
    write_header=st.sampled_from([str, str.upper, str.lower, lambda header: f" {header}  "]),
    write_number=st.sampled_from([float, repr, lambda number: number or "-"]),
)


@settings(max_examples=40, deadline=None)
@given(st.tuples(layouts, quarters), trusts.map(tuple), st.sampled_from(["xlsx", "xls"]))
def test_a_table_in_any_layout_reads_back_equal(
    layout_and_quarter: tuple[Layout, tuple[str, int]], rows: tuple[Trust, ...], kind: str
) -> None:
    layout, (month, quarter) = layout_and_quarter
    sheets = kh03(replace(layout, period=month), rows)

    reading = read_workbook(write(sheets, "xls" if kind == "xls" else "xlsx"))

    assert beds(reading) == beds_of(rows)
    assert [row.name for row in reading.organisations] == [trust.name for trust in rows]
    assert (reading.edition.financial_year, reading.edition.quarter) == ("2016-17", quarter)
