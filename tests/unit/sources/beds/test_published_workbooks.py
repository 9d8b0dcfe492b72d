"""The publisher's own workbooks, as they are and after other programs saved them."""

import csv
import io
from functools import cache
from pathlib import Path

import openpyxl
import pytest
from python_calamine import CalamineWorkbook

from library.sources.beds.contracts import AnotherSeries
from library.sources.beds.names import SECTORS
from library.sources.beds.reader import read_workbook
from library.sources.beds.reading import WorkbookReading

FOLDER = Path(__file__).parents[3] / "data" / "nhs"
TOTALS = list(csv.DictReader((FOLDER / "england-totals.csv").read_text().splitlines()))
NOT_KH03 = sorted((FOLDER / "not-kh03").iterdir())


def path_of(row: dict[str, str]) -> Path:
    return FOLDER / row["folder"] / row["file"]


@cache
def reading_of(path: Path) -> WorkbookReading:
    return read_workbook(path.read_bytes())


def reading_like(part: str) -> WorkbookReading:
    (path,) = (path_of(row) for row in TOTALS if part in row["file"])
    return reading_of(path)


def test_the_folder_has_all_of_the_workbooks() -> None:
    assert len(TOTALS) == 27
    assert len(NOT_KH03) == 3


@pytest.mark.parametrize("row", TOTALS, ids=lambda row: row["file"][:60])
def test_a_published_workbook_reconciles_with_the_england_totals(row: dict[str, str]) -> None:
    reading = reading_of(path_of(row))

    assert (reading.edition.financial_year, reading.edition.quarter) == (row["financial_year"], int(row["quarter"]))
    assert len(reading.organisations) == int(row["organisations"])
    assert reading.edition.basis == "overnight"
    assert reading.edition.published is not None
    for entry in reading.england:
        summed = [occupancy for occupancy in reading.occupancy if occupancy.sector == entry.sector]
        assert len(summed) == int(row["organisations"])
        for group in ("available", "occupied"):
            published = float(row[f"{group}_{entry.sector}"])
            assert getattr(entry, group) == pytest.approx(published, abs=0.01)
            assert sum(getattr(occupancy, group) for occupancy in summed) == pytest.approx(published, abs=0.01)
    assert [entry.sector for entry in reading.england] == list(SECTORS)
    assert 70 <= len(reading.specialties) <= 77
    assert len(reading.specialty_occupancy.rows) == len(reading.specialties) * len(reading.organisations)
    assert all(organisation.name.casefold() != "england" for organisation in reading.organisations)


@pytest.mark.parametrize("path", NOT_KH03, ids=lambda path: path.name[:40])
def test_a_workbook_of_another_series_is_refused(path: Path) -> None:
    with pytest.raises(AnotherSeries):
        read_workbook(path.read_bytes())


def test_the_dates_of_2010_stand_in_the_status_line() -> None:
    edition = reading_like("Quarter-1-2010-11").edition

    assert str(edition.published) == "2010-11-18"
    assert str(edition.revised) == "2012-05-24"
    assert str(edition.period_end) == "2010-06-30"


def test_an_odd_year_in_one_row_is_a_warning_on_that_row() -> None:
    reading = reading_like("Q2-2013-14-Revised-Final1")

    (odd,) = (organisation for organisation in reading.organisations if organisation.warnings)
    assert odd.code == "TAF"
    assert "2013-15" in odd.warnings[0]
    assert reading.edition.financial_year == "2013-14"


def test_the_title_is_believed_where_the_summary_names_another_basis() -> None:
    edition = reading_like("Q3-2025-26").edition

    assert edition.basis == "overnight"
    assert any("summary" in warning for warning in edition.warnings)


def test_specialties_that_do_not_sum_are_a_warning_on_the_total() -> None:
    reading = reading_like("Quarter-1-2010-11")

    (odd,) = (row for row in reading.occupancy if row.warnings)
    assert (odd.organisation_code, odd.sector) == ("RCF", "total")


def test_a_negative_fraction_of_a_bed_is_kept_as_published_with_a_warning() -> None:
    reading = reading_like("Q4-2013-14-Final")

    (odd,) = (row for row in zip(*reading.specialty_occupancy, strict=True) if row[3] < 0)
    assert odd[:3] == (167, "RBA", "180")
    assert any("RBA" in warning for warning in reading.edition.warnings)


def test_values_are_those_of_the_cells_unrounded() -> None:
    reading = reading_like("1920-Q3")

    (barts,) = (row for row in reading.occupancy if (row.organisation_code, row.sector) == ("R1H", "maternity"))
    assert (barts.row, barts.available, barts.occupied) == (18, 205.0, 116.80434782608695)
    assert any(row.organisation_code == "G6V2S" for row in reading_like("Q3-2025-26").occupancy)


def rounded(reading: WorkbookReading) -> dict[str, object]:
    """A reading with its numbers to 6 decimals: the other program writes 16 digits of each, and some need 17."""

    def rounded_row(row: tuple[object, ...]) -> tuple[object, ...]:
        return tuple(round(cell, 6) if isinstance(cell, float) else cell for cell in row)

    tables = ("organisations", "occupancy", "specialties", "specialty_occupancy", "england")
    return {"edition": reading.edition} | {table: [*map(rounded_row, getattr(reading, table))] for table in tables}


def saved_by_another_program(path: Path) -> bytes:
    """All cells of a workbook, written anew by another program in its own formats."""
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    source = CalamineWorkbook.from_path(path)
    for name in source.sheet_names:
        sheet = workbook.create_sheet(name)
        for row in source.get_sheet_by_name(name).to_python(skip_empty_area=False):
            sheet.append([cell if cell != "" else None for cell in row])
    saved = io.BytesIO()
    workbook.save(saved)
    return saved.getvalue()


@pytest.mark.parametrize(
    "part",
    ["Quarter-1-2010-11", "Q4-2012-13", "Q2-2013-14-Revised-Final1", "1920-Q3", "Q1-2024-25-revised", "Q3-2025-26"],
)
def test_a_workbook_saved_by_another_program_reads_the_same(part: str) -> None:
    (path,) = (path_of(row) for row in TOTALS if part in row["file"])

    assert rounded(read_workbook(saved_by_another_program(path))) == rounded(reading_of(path))
