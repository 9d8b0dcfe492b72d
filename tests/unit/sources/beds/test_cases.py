"""Small workbooks made after public bug reports: the cases 00 to 19 of `tests/data/cases`."""

import datetime as dt

import pytest

from library.sources.beds.contracts import (
    HeaderUnknown,
    NumberExpected,
    OrganisationUnreadable,
    WorkbookRejected,
)
from library.sources.beds.names import SECTORS
from library.sources.beds.reader import read_workbook
from library.sources.beds.reading import WorkbookReading
from tests.unit.sources.beds.refusals import refused
from tests.unit.sources.beds.test_published_workbooks import FOLDER

CASES = FOLDER.parent / "cases"
SHEET = "NHS Trust by Sector"


def data_of(case: str) -> bytes:
    (path,) = CASES.glob(f"{case}.xlsx")
    return path.read_bytes()


def warnings_of(reading: WorkbookReading) -> list[str]:
    return [
        *reading.edition.warnings,
        *(warning for row in reading.organisations for warning in row.warnings),
        *(warning for row in reading.occupancy for warning in row.warnings),
    ]


def assert_complete(reading: WorkbookReading) -> None:
    """Both organisations with all of their rows: 10 by sector, 12 by specialty, and the rest of 36."""
    assert [(row.code, row.name) for row in reading.organisations] == [
        ("RZ1", "NORTH TESTING NHS TRUST"),
        ("RZ2", "SOUTH TESTING NHS TRUST"),
    ]
    assert [row.parent_code for row in reading.organisations] == ["Y56", "Y58"]
    assert [row.available for row in reading.occupancy] == [60, 40, 5, 5, 10, 30, 20, 0, 4, 6]
    assert [entry.sector for entry in reading.england] == list(SECTORS)
    rows = 1 + len(reading.organisations) + len(reading.occupancy) + len(reading.england)
    assert rows + len(reading.specialties) + len(reading.specialty_occupancy.rows) == 36


@pytest.mark.parametrize(
    ("case", "published"),
    [
        ("00-base/base", dt.date(2030, 8, 21)),
        ("01-date1904/a-1904-plain", dt.date(2031, 8, 21)),
        ("01-date1904/b-1904-extlst", dt.date(2031, 8, 21)),
        ("02-backslash-zip/backslash", dt.date(2032, 8, 21)),
        ("03-strict-ooxml/strict", dt.date(2033, 8, 21)),
        ("03-strict-ooxml/strict-isodate", dt.date(2033, 8, 21)),
        ("08-velvetsweatshop/velvet", dt.date(2038, 8, 21)),
        ("09-x000d-header/x000d", dt.date(2039, 8, 21)),
        ("10-formatted-bottom/bottom", dt.date(2040, 8, 21)),
        ("11-silent-rerelease/a-first", dt.date(2041, 8, 21)),
        ("12-no-cell-refs/norefs", dt.date(2042, 8, 21)),
        ("13-dimension-a1/dim-a1", dt.date(2043, 8, 21)),
        ("16-us-date-text/us", dt.date(2046, 9, 8)),
    ],
)
def test_a_workbook_of_another_program_is_read_like_the_plain_one_without_warnings(
    case: str, published: dt.date
) -> None:
    reading = read_workbook(data_of(case))

    assert_complete(reading)
    assert reading.edition.published == published
    assert reading.edition.basis == "overnight"
    assert warnings_of(reading) == []


def test_a_superscript_run_is_no_part_of_the_code_and_is_told() -> None:
    reading = read_workbook(data_of("04-superscript-code/superscript"))

    assert_complete(reading)
    (warning,) = reading.organisations[0].warnings
    assert "E18" in warning
    assert "'2'" in warning
    assert any("E18" in warning and "Occupied by Specialty" in warning for warning in reading.edition.warnings)


def test_an_asterisk_is_no_part_of_the_code_and_is_told() -> None:
    reading = read_workbook(data_of("19-code-asterisk/star-code"))

    assert_complete(reading)
    assert any("E18" in warning and "'*'" in warning for warning in reading.organisations[0].warnings)


@pytest.mark.parametrize(
    ("case", "kind", "row", "column", "says"),
    [
        ("05-suppressed-star/star", NumberExpected, 19, "P", "instead of a number"),
        ("07-code-as-number/code-number", OrganisationUnreadable, 18, "E", "organisation code"),
        ("14-icb-column/icb", HeaderUnknown, 15, None, "parent's code"),
        ("18-superscript-value/supval", NumberExpected, 18, "G", "footnote mark"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(
    case: str, kind: type[WorkbookRejected], row: int, column: str | None, says: str
) -> None:
    error = refused(data_of(case), kind)

    assert (error.sheet, error.row, error.column) == (SHEET, row, column)
    assert says in error.message


def test_a_year_that_became_a_date_is_told_and_the_lines_above_name_the_quarter() -> None:
    reading = read_workbook(data_of("06-year-as-date/year-date"))

    assert (reading.edition.financial_year, reading.edition.quarter) == ("2011-12", 2)
    assert len(warnings_of(reading)) == 4


def test_an_empty_shared_string_is_an_empty_name() -> None:
    reading = read_workbook(data_of("15-empty-shared-string/empty-v"))

    assert reading.organisations[1].name == ""
    assert warnings_of(reading) == ["The row has no name."]


def test_a_year_of_two_digits_is_no_date() -> None:
    reading = read_workbook(data_of("17-two-digit-year/two"))

    assert reading.edition.published is None
    assert "No date of publication was found." in reading.edition.warnings
