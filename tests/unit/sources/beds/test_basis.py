"""How beds were counted, read from words: open overnight, or by day only."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.sources.beds.basis import basis_in
from library.sources.beds.contracts import AnotherSeries
from library.sources.beds.names import BASES, Basis
from library.sources.beds.reader import read_workbook
from library.sources.beds.reading import Edition
from tests.support.workbook_builder import (
    ERA_F,
    SECTOR_SHEET,
    SPECIALTY_SHEET,
    Layout,
    Sheets,
    kh03,
    place_of,
    write,
    write_xlsx,
)
from tests.unit.sources.beds.refusals import refused

NO_BASIS = "Average daily number of available and occupied beds by sector"
SILENT = replace(ERA_F, title=NO_BASIS, summary="KH03 is the collection of data on beds that are consultant led.")


def silent(layout: Layout = SILENT) -> Sheets:
    """A workbook in which no text names a basis."""
    sheets = kh03(layout)
    for name in ("Region by Sector", SPECIALTY_SHEET):
        row, column = place_of(sheets[name], "Title:")
        sheets[name][row, column + 1] = "Beds by Consultant Specialty"
    return sheets


def edition_of(sheets: Sheets) -> Edition:
    return read_workbook(write(sheets)).edition


@pytest.mark.parametrize(
    ("title", "basis"),
    [
        ("Average daily number of available and occupied beds overnight only by sector", "overnight"),
        ("Average daily number of available and occupied beds open overnight by sector", "overnight"),
        ("Beds Open Overnight - Quarter 1 2030-31", "overnight"),
        ("OVERNIGHT BEDS", "overnight"),
        ("Available beds: over-night", "overnight"),
        ("Beds open over\u2011night", "overnight"),
        ("Beds open\nover night", "overnight"),
        ("Beds open at night", "overnight"),
        ("Overnight beds (excluding day only)", "overnight"),
        ("Beds open overnight, not day only", "overnight"),
        ("Beds by sector, day only", "day_only"),
        ("Average daily number of available and occupied beds open day only by sector", "day_only"),
        ("Available beds, day-only", "day_only"),
        ("Beds open during the day only", "day_only"),
        ("Beds open only during the day", "day_only"),
        ("Daytime beds", "day_only"),
        ("Day beds by sector", "day_only"),
        ("Beds by sector: day only (excl. overnight)", "day_only"),
        ("Non-overnight beds: day only", "day_only"),
    ],
)
def test_the_title_names_the_basis_in_any_words(title: str, basis: str) -> None:
    assert edition_of(kh03(replace(ERA_F, title=title))).basis == basis
    assert edition_of(silent(replace(SILENT, title=title))).basis == basis


@pytest.mark.parametrize(
    "text",
    [
        "Average daily number of beds",
        "Number of occupied bed days",
        "Average number of beds open per day",
        "Beds occupied at midnight",
        "Beds open overnight and day only",
        "Beds open overnight or by day only",
        "Working days, Monday to Sunday",
        "",
    ],
)
def test_other_words_and_both_bases_name_none(text: str) -> None:
    assert basis_in(text) is None


def test_where_title_and_summary_differ_the_title_decides_with_a_warning() -> None:
    day_only = "KH03 collects data on beds open day only."
    title = "Average daily number of available and occupied beds overnight only by sector"

    edition = edition_of(kh03(replace(ERA_F, title=title, summary=day_only)))

    assert edition.basis == "overnight"
    assert [warning for warning in edition.warnings if "basis" in warning] == [
        "The summary names another basis than the title; the title's was taken."
    ]


def test_where_title_and_another_sheet_differ_the_title_decides_with_a_warning() -> None:
    sheets = kh03(replace(ERA_F, title="Beds open day only by sector", summary=""))
    sheets = {name.replace("Region by Sector", "Overnight"): cells for name, cells in sheets.items()}
    row, column = place_of(sheets[SPECIALTY_SHEET], "Title:")
    sheets[SPECIALTY_SHEET][row, column + 1] = "Occupied beds open overnight"

    edition = edition_of(sheets)

    assert edition.basis == "day_only"
    assert any(SPECIALTY_SHEET in warning for warning in edition.warnings)
    assert any("The name of sheet 'Overnight'" in warning for warning in edition.warnings)


@pytest.mark.parametrize(("words", "basis"), [("open overnight", "overnight"), ("day only", "day_only")])
def test_where_the_title_is_silent_the_rest_of_the_workbook_names_the_basis_with_a_warning(
    words: str, basis: Basis
) -> None:
    by_summary = silent(replace(SILENT, summary=f"Data on beds {words}."))
    by_name = {name.replace(SECTOR_SHEET, f"Beds {words}"): cells for name, cells in silent().items()}
    by_title, by_text = silent(), silent()
    row, column = place_of(by_title[SPECIALTY_SHEET], "Title:")
    by_title[SPECIALTY_SHEET][row, column + 1] = f"Occupied beds {words} by specialty"
    by_text["Contents"] = {(2, 1): "KH03", (3, 1): f"Beds {words}, by sector and by specialty"}

    for sheets in (by_summary, by_name, by_title, by_text):
        edition = edition_of(sheets)
        assert edition.basis == basis
        assert any("title names no basis" in warning for warning in edition.warnings)


def test_where_nothing_names_a_basis_or_the_title_names_both_the_workbook_is_refused() -> None:
    refused(write(silent()), AnotherSeries)
    refused(write(kh03(replace(ERA_F, title="Beds open overnight and beds open day only"))), AnotherSeries)


def test_where_the_title_is_silent_and_the_rest_disagrees_the_workbook_is_refused() -> None:
    sheets = silent(replace(SILENT, summary="Data on beds open day only."))
    row, column = place_of(sheets[SPECIALTY_SHEET], "Title:")
    sheets[SPECIALTY_SHEET][row, column + 1] = "Occupied beds open overnight"

    error = refused(write(sheets), AnotherSeries)

    assert "the summary says day only" in error.message
    assert SPECIALTY_SHEET in error.message


def test_a_hidden_sheet_says_nothing_about_the_basis() -> None:
    sheets = silent() | {"Old": {(0, 0): "Title:", (0, 1): "Beds open overnight"}}

    assert read_workbook(write(sheets)).edition.basis == "overnight"
    refused(write_xlsx(sheets, hidden=("Old",)), AnotherSeries)


BLANKS = st.sampled_from([" ", "  ", "\u00a0", "\n"])
HYPHENS = st.sampled_from(["", " ", "-", "\u2010", "\u2011", "\u2013", " - "])
BEFORE = st.sampled_from(
    ["", "KH03:", "Average daily number of available and occupied beds", "Beds", "Quarter 1 2030/31,"]
)
BEHIND = st.sampled_from(["", "by sector", "by sector, NHS organisations in England", "(KH03)", "- Quarter 4 2025-26"])
CASES: st.SearchStrategy[Callable[[str], str]] = st.sampled_from([str, str.upper, str.lower, str.title])


@st.composite
def titles(draw: st.DrawFn) -> tuple[str, Basis]:
    """A title with one basis, in words of any form."""
    overnight = [["over", "night"], ["open", "over", "night"], ["over", "night", "only"], ["over", "night", "beds"]]
    day_only = [["day", "only"], ["open", "day", "only"], ["open", "during the day", "only"], ["day", "beds"]]
    basis = draw(st.sampled_from(BASES))
    forms = overnight if basis == "overnight" else day_only
    words = draw(st.sampled_from(forms))
    phrase = words[0]
    for before, word in pairwise(words):
        joined = HYPHENS if before == "over" else HYPHENS.filter(bool) if before == "day" else BLANKS
        phrase += draw(joined) + word
    blank = draw(BLANKS)
    title = blank.join(filter(None, [draw(BEFORE), phrase, draw(BEHIND)]))
    return draw(CASES)(title), basis


@settings(max_examples=400)
@given(titles())
def test_a_title_of_any_form_names_its_basis(title_and_basis: tuple[str, Basis]) -> None:
    title, basis = title_and_basis

    assert basis_in(title) == basis


@settings(max_examples=200)
@given(titles(), titles())
def test_a_title_of_both_bases_names_none_and_one_that_excludes_the_other_names_its_own(
    one: tuple[str, Basis], other: tuple[str, Basis]
) -> None:
    if one[1] != other[1]:
        assert basis_in(f"{one[0]} and {other[0]}") is None
        excluded = "excluding overnight" if one[1] == "day_only" else "excluding beds open day only"
        assert basis_in(f"{one[0]} ({excluded})") == one[1]
