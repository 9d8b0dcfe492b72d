"""Superscript runs in the texts of an .xls file."""

import io
import struct

import xlwt
from hypothesis import given, settings
from hypothesis import strategies as st

from library.sources.beds.compound_file import CompoundFile
from library.sources.beds.marks import RUN_END, RUN_START
from library.sources.beds.reader import read_workbook
from library.sources.beds.rich_texts import texts_with_marks
from tests.support.workbook_builder import Cells, Sheets, kh03, write_xls
from tests.unit.sources.beds.test_marks import told, without_warnings

NORMAL, BOLD = xlwt.easyfont(""), xlwt.easyfont("bold true")
RAISED, LOWERED = xlwt.easyfont("escapement superscript"), xlwt.easyfont("escapement subscript")
Rich = list[tuple[str, xlwt.Font]]


def xls(sheets: dict[str, Cells], rich: dict[str, Rich]) -> bytes:
    """An .xls workbook in which some texts stand as runs in different fonts."""
    workbook = xlwt.Workbook()
    for name, cells in sheets.items():
        sheet = workbook.add_sheet(name)
        for (row, column), cell in sorted(cells.items()):
            if cell in rich:
                sheet.write_rich_text(row, column, rich[cell])
            elif cell != "":
                sheet.write(row, column, cell)
    saved = io.BytesIO()
    workbook.save(saved)
    return saved.getvalue()


def test_superscript_runs_of_an_xls_are_no_parts_of_codes_names_and_headers_and_are_told() -> None:
    rich = {
        "R1H": [("R1H", NORMAL), ("2", RAISED)],
        "Y56": [("Y56", BOLD), ("a", LOWERED)],
        "SOUTH TYNESIDE PCT": [("SOUTH TYNESIDE", NORMAL), ("3", RAISED), (" PCT", NORMAL)],
        "Maternity": [("1", RAISED), ("Maternity", NORMAL)],
    }

    reading = read_workbook(xls(kh03(), rich))

    assert without_warnings(reading) == without_warnings(read_workbook(write_xls(kh03())))
    for mark in ("'2'", "'a'", "'3'", "'1'"):
        assert any(mark in warning for warning in told(reading))


def test_runs_of_an_xls_that_are_no_marks_stay_parts_of_their_text() -> None:
    rich = {
        "R1H": [("R", NORMAL), ("1H", BOLD)],
        "Y56": [("Y56", RAISED)],
        "27th February 2020": [("27", NORMAL), ("th", RAISED), (" February 2020", NORMAL)],
    }

    assert read_workbook(xls(kh03(), rich)) == read_workbook(write_xls(kh03()))


runs = st.lists(
    st.tuples(
        st.text("abcXYZ 12\u20ac\u00e9\U0001f600", min_size=1, max_size=30), st.sampled_from([NORMAL, BOLD, RAISED])
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(runs, min_size=1, max_size=30), st.integers(0, 12_000))
def test_marks_are_found_wherever_the_table_of_texts_continues(texts: list[Rich], before: int) -> None:
    cells: Cells = {(0, 0): "x" * before} if before else {}
    rich = {f"text {number}": text for number, text in enumerate(texts)}
    cells |= {(number + 1, 0): name for number, name in enumerate(rich)}
    sheets: Sheets = {"A": cells}

    found = CompoundFile(xls(sheets, rich)).rich_texts("A")

    for text in found.values():
        assert RUN_START in text
    for number, parts in enumerate(texts):
        content = "".join(part for part, _ in parts)
        marked = found.get((number + 1, 0))
        if marked is not None:
            assert marked.replace(RUN_START, "").replace(RUN_END, "") == content
        elif all(font is not RAISED for _, font in parts):
            assert marked is None
        raised = [part for part, font in parts if font is RAISED and part.strip()]
        plain = [part for part, font in parts if font is not RAISED and part.strip()]
        if raised and plain:
            assert marked is not None


def test_a_table_of_texts_with_wrong_numbers_ends_the_search() -> None:
    font = struct.pack("<HHHHH", 200, 0, 0, 400, 1) + bytes(6)
    for table in (
        b"",
        bytes(8),
        bytes(8) + b"\xff\xff\x0c\xff\xff\xff\xff\xff\xff",
        bytes(8) + b"\x01\x00\x08\x05\x00a",
    ):
        assert texts_with_marks([(0x0031, font), (0x00FC, table)]) == {}
