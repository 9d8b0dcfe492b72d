"""Dates in cells: formatted as dates or not, and counted from 1900 or from 1904."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from library.sources.beds.reader import read_workbook
from library.sources.beds.reading import Edition
from tests.support.workbook_builder import ERA_F, Sheets, kh03, with_parts, write, write_xls, write_xlsx

DAY = dt.date(2020, 2, 27)
DAY_1900, DAY_1904 = 43_888, 42_426


def xlsx_1904(sheets: Sheets) -> bytes:
    return write_xlsx(sheets, epoch=CALENDAR_MAC_1904)


def xls_1904(sheets: Sheets) -> bytes:
    return write_xls(sheets, dates_1904=True)


def edition(write: Callable[[Sheets], bytes], **lines: Any) -> Edition:
    return read_workbook(write(kh03(replace(ERA_F, **lines)))).edition


@pytest.mark.parametrize("write", [xlsx_1904, xls_1904])
def test_dates_of_the_1904_system_are_right_in_cells_that_are_formatted_as_dates_and_in_others(
    write: Callable[[Sheets], bytes],
) -> None:
    in_words = "27 February 2020"
    for published in (DAY, DAY_1904, float(DAY_1904), in_words):
        assert edition(write, published=published, revised=published).published == DAY
        assert edition(write, published=in_words, revised=published).revised == DAY


@pytest.mark.parametrize("write", [write, lambda sheets: write_xlsx(sheets)])
def test_a_number_of_the_1900_system_is_a_date(write: Callable[[Sheets], bytes]) -> None:
    assert edition(write, published=DAY_1900, revised=DAY_1900).published == DAY


@pytest.mark.parametrize("attribute", [b'date1904="1"', b'date1904="true"', b"date1904='on'"])
def test_the_1904_system_is_found_in_every_spelling(attribute: bytes) -> None:
    def state(part: bytes) -> bytes:
        return part.replace(b"<workbookPr />", b"<workbookPr %b/>" % attribute)

    data = write(kh03(replace(ERA_F, published=DAY_1904)))
    changed = with_parts(data, {"xl/workbook.xml": state})

    assert changed != data
    assert read_workbook(changed).edition.published == DAY


@pytest.mark.parametrize("attribute", [b'date1904="0"', b'date1904="false"', b""])
def test_an_extension_with_the_name_of_the_workbooks_properties_says_nothing(attribute: bytes) -> None:
    extension = b'<extLst><ext xmlns:x="urn:x"><x:workbookPr date1904="1"/></ext></extLst></workbook>'

    def state(part: bytes) -> bytes:
        return part.replace(b"<workbookPr />", b"<workbookPr %b/>" % attribute).replace(b"</workbook>", extension)

    data = with_parts(write(kh03(replace(ERA_F, published=DAY_1900))), {"xl/workbook.xml": state})

    assert read_workbook(data).edition.published == DAY


@pytest.mark.parametrize(
    ("write", "number"), [(write, 43_830), (xlsx_1904, 42_368), (xls_1904, 42_368)], ids=["1900", "1904", "1904 xls"]
)
def test_a_period_that_is_a_date_without_its_format_names_the_quarter(
    write: Callable[[Sheets], bytes], number: int
) -> None:
    in_rows = edition(write, period=number)
    above = edition(write, year="", period="", period_line=number)

    for found in (in_rows, above):
        assert (found.financial_year, found.quarter) == ("2019-20", 3)


@pytest.mark.parametrize("published", [0, -1, 12, 2020, 200_000, 1e300])
def test_a_number_that_is_no_day_of_this_century_is_no_date_and_told(published: float) -> None:
    found = edition(write, published=published)

    assert found.published is None
    assert "The line 'Published' holds no date that can be read." in found.warnings


@settings(max_examples=25, deadline=None)
@given(st.dates(dt.date(2000, 1, 1), dt.date(2099, 12, 31)), st.sampled_from(["1900", "1904", "1904 xls"]))
def test_a_day_is_the_same_day_with_its_format_and_without_it(day: dt.date, system: str) -> None:
    writers = {"1900": write, "1904": xlsx_1904, "1904 xls": xls_1904}
    epoch = dt.date(1899, 12, 30) if system == "1900" else dt.date(1904, 1, 1)

    with_format = edition(writers[system], published=day)
    without_format = edition(writers[system], published=(day - epoch).days)

    assert with_format.published == without_format.published == day
