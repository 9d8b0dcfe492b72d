"""Footnote marks on codes, names, headers and numbers: never a part of them, and always told."""

import re
import string
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.sources.beds.contracts import NumberExpected, OrganisationUnreadable, WorkbookDamaged
from library.sources.beds.grid import label
from library.sources.beds.marks import RUN_END, RUN_START, unmarked
from library.sources.beds.reader import read_workbook
from library.sources.beds.reading import WorkbookReading
from library.sources.beds.runs import with_runs_set_apart
from tests.support.workbook_builder import (
    SECTOR_SHEET,
    SPECIALTY_SHEET,
    Cells,
    kh03,
    place_of,
    with_parts,
    with_shared_strings,
    write,
)
from tests.unit.sources.beds.refusals import changed, refused

SIGNS = ["*", "**", "\u2020", "\u2021", "\u00a7", "\u00b6", "\u00b9", "\u00b2\u00b3", "\u1d43", "\u2460", "#", "^2"]
BRACKETED = ["(1)", "(12)", "(a)", "(r)", "(iv)", "(note 1)", "(1, 2)", "[1]", "[Note 3]", "[a]", "{2}"]
MARKS = [*SIGNS, *BRACKETED, "* \u2020", "\u00b9,\u00b2"]
FEW = ["*", "\u2020", "\u00b9", "(1)", "(a)", "[Note 3]", "#"]
BEFORE = [mark for mark in MARKS if mark not in ("#", "^2")]
SUPERSCRIPT = b'<rPr><sz val="11"/><vertAlign val="superscript"/></rPr>'
PARTS = ["xl/sharedStrings.xml", "xl/worksheets/sheet1.xml", "xl/worksheets/sheet2.xml", "xl/worksheets/sheet3.xml"]
SUBSCRIPT = b"<rPr><vertAlign val='subscript'></vertAlign></rPr>"


def told(reading: WorkbookReading) -> list[str]:
    """All warnings about marks."""
    warnings = [
        *reading.edition.warnings,
        *(warning for row in reading.organisations for warning in row.warnings),
    ]
    return [warning for warning in warnings if "footnote mark" in warning]


def with_text(text: str, other: str) -> WorkbookReading:
    """Read the usual workbook with a text instead of another one, wherever that one stands."""
    sheets = kh03()
    for cells in sheets.values():
        cells.update({place: text for place, cell in cells.items() if cell == other})
    return read_workbook(write(sheets))


def with_run(text: bytes, *runs: bytes, shared: bool = True) -> bytes:
    """The usual workbook with runs instead of a text, as shared or as inline strings."""
    data = write(kh03())
    if shared:
        data = with_shared_strings(data)

    def change(part: bytes) -> bytes:
        return re.sub(rb"<(si|is)><t>%b</t></(si|is)>" % text, rb"<\1>%b</\1>" % b"".join(runs), part)

    changed = with_parts(data, dict.fromkeys([n for n in PARTS if shared or "shared" not in n], change))
    assert changed != data
    return changed


def run(text: bytes, properties: bytes = b"") -> bytes:
    return b'<r>%b<t xml:space="preserve">%b</t></r>' % (properties, text)


def without_warnings(reading: WorkbookReading) -> object:
    rows = [row._replace(warnings=()) for row in reading.organisations]
    return rows, reading.occupancy, reading.specialties, reading.specialty_rows, reading.england


PLAIN = without_warnings(read_workbook(write(kh03())))


@pytest.mark.parametrize("mark", MARKS)
@pytest.mark.parametrize("space", ["", "\u00a0"])
@pytest.mark.parametrize("text", ["R1H", "BARTS HEALTH NHS TRUST", "Y56"])
def test_a_mark_behind_a_code_or_name_is_no_part_of_it_and_is_told(text: str, space: str, mark: str) -> None:
    reading = with_text(f"{text}{space}{mark}", text)

    assert without_warnings(reading) == PLAIN
    assert told(reading)


@pytest.mark.parametrize("mark", BEFORE)
@pytest.mark.parametrize("text", ["R1H", "BARTS HEALTH NHS TRUST", "Y56"])
def test_a_mark_before_a_code_or_name_is_no_part_of_it_and_is_told(text: str, mark: str) -> None:
    reading = with_text(f"{mark}{text}", text)

    assert without_warnings(reading) == PLAIN
    assert told(reading)


@pytest.mark.parametrize("mark", FEW)
@pytest.mark.parametrize(
    "header", ["Org Code", "Region Code", "Maternity", "Available", "% Occupied", "501 Obstetrics", "Year", "England"]
)
def test_a_mark_behind_a_header_is_no_part_of_it_and_is_told(header: str, mark: str) -> None:
    reading = with_text(f"{header}{mark}", header)

    assert without_warnings(reading) == PLAIN
    assert told(reading)


@pytest.mark.parametrize("mark", FEW)
@pytest.mark.parametrize("text", ["2019-20", "December"])
def test_a_mark_behind_a_year_or_month_is_no_part_of_it_and_is_told(text: str, mark: str) -> None:
    reading = with_text(f"{text}{mark}", text)

    assert (reading.edition.financial_year, reading.edition.quarter) == ("2019-20", 3)
    assert without_warnings(reading) == PLAIN
    assert told(reading)


@pytest.mark.parametrize(
    "label", ["Title:", "Title\u00b9:", "Title:\u00b9", "Title (1):", "Published*:", "Published [1]"]
)
def test_a_mark_on_a_label_is_no_part_of_it(label: str) -> None:
    plain = "Published:" if label.startswith("Published") else "Title:"
    reading = with_text(label, plain)

    assert reading.edition.title.endswith("by sector")
    assert reading.edition.published is not None


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "inline"])
@pytest.mark.parametrize("properties", [SUPERSCRIPT, SUBSCRIPT], ids=["superscript", "subscript"])
@pytest.mark.parametrize("mark", [b"2", b"a", b"*", b"1,2", b" 3", b"note"])
@pytest.mark.parametrize("text", [b"R1H", b"Y56", b"BARTS HEALTH NHS TRUST", b"Org Code", b"Maternity", b"2019-20"])
def test_a_superscript_run_behind_a_text_is_no_part_of_it_and_is_told(
    text: bytes, mark: bytes, properties: bytes, shared: bool
) -> None:
    reading = read_workbook(with_run(text, run(text), run(mark, properties), shared=shared))

    assert without_warnings(reading) == PLAIN
    assert reading.edition.quarter == 3
    assert any(f"'{mark.decode().strip()}'" in warning for warning in told(reading))


def test_a_superscript_run_before_or_inside_a_text_is_no_part_of_it() -> None:
    before = with_run(b"R1H", run(b"1", SUPERSCRIPT), run(b"R1H"))
    inside = with_run(b"501 Obstetrics", run(b"501"), run(b"1", SUPERSCRIPT), run(b" Obstetrics"))

    for data in (before, inside):
        assert without_warnings(read_workbook(data)) == PLAIN
        assert told(read_workbook(data))


def test_a_prefix_of_the_names_in_xml_changes_nothing() -> None:
    def prefixed(part: bytes) -> bytes:
        return re.sub(rb"<(/?)(?=\w)", rb"<\1x:", part).replace(b"xmlns=", b"xmlns:x=")

    data = with_run(b"R1H", run(b"R1H"), run(b"2", SUPERSCRIPT), shared=False)

    assert without_warnings(read_workbook(with_parts(data, dict.fromkeys(PARTS[1:], prefixed)))) == PLAIN


def test_the_raised_ending_of_a_date_is_no_mark() -> None:
    data = with_run(b"27th February 2020", run(b"27"), run(b"th", SUPERSCRIPT), run(b" February 2020"))

    assert read_workbook(data) == read_workbook(write(kh03()))


def test_a_text_that_is_all_superscript_is_the_text() -> None:
    assert read_workbook(with_run(b"R1H", run(b"R1H", SUPERSCRIPT))) == read_workbook(write(kh03()))


def test_a_run_in_another_font_is_part_of_the_text() -> None:
    assert read_workbook(with_run(b"R1H", run(b"R"), run(b"1H", b"<rPr><b/></rPr>"))) == read_workbook(write(kh03()))


@pytest.mark.parametrize("code", ["R1Ha", "r1H", "R1H 2", "R1\u00b9H", "R1H (closed)"])
def test_a_code_that_can_be_read_in_two_ways_is_refused_with_its_place(code: str) -> None:
    def spoil(cells: Cells) -> None:
        cells[place_of(cells, "R1H")] = code

    error = refused(changed(spoil), OrganisationUnreadable)

    assert (error.sheet, error.row, error.column) == (SECTOR_SHEET, 18, "E")


def test_a_parents_code_that_can_be_read_in_two_ways_is_refused_with_its_place() -> None:
    def spoil(cells: Cells) -> None:
        cells[place_of(cells, "Y56")] = "Y56a"

    assert refused(changed(spoil), OrganisationUnreadable).column == "D"


def test_a_parents_code_of_another_form_is_kept_with_a_warning_that_names_the_cell() -> None:
    reading = with_text("Y56 2", "Y56")

    assert [row.parent_code for row in reading.organisations] == ["Y56 2", "Y56 2", "Y63", "Y63"]
    assert "D18" in " ".join(reading.organisations[0].warnings)


@pytest.mark.parametrize("mark", FEW)
@pytest.mark.parametrize("sheet", [SECTOR_SHEET, SPECIALTY_SHEET])
@pytest.mark.parametrize("number", ["60", "1,827.5", "-"])
def test_a_number_with_a_mark_is_refused_with_its_place(number: str, sheet: str, mark: str) -> None:
    def spoil(cells: Cells) -> None:
        row, column = place_of(cells, "G6V2S")
        cells[row, column + 3] = f"{number}{mark}"

    error = refused(changed(spoil, sheet), NumberExpected)

    assert (error.sheet, error.row, error.column) == (sheet, 19, "H")
    assert "footnote mark" in error.message
    assert "Delete the mark" in error.advice


def test_a_mark_that_makes_one_code_of_two_rows_is_refused() -> None:
    def double(cells: Cells) -> None:
        cells[place_of(cells, "5KG")] = "R1H*"

    with pytest.raises(Exception, match="same organisation code"):
        read_workbook(changed(double))


def test_a_part_with_superscripts_that_declares_entities_is_refused() -> None:
    bomb = b'<!DOCTYPE w [<!ENTITY a "aaaa">]><sst><si><r><rPr><vertAlign/></rPr><t>&a;</t></r></si></sst>'
    with pytest.raises(WorkbookDamaged):
        with_runs_set_apart(bomb)
    with pytest.raises(WorkbookDamaged):
        with_runs_set_apart(b"<sst><si><r><rPr><vertAlign/></rPr>")


codes = st.text(string.ascii_uppercase + string.digits, min_size=3, max_size=5)
words = st.text(string.ascii_letters + " '&,.-/", min_size=1, max_size=30).map(lambda text: f"X {text} Y")
marks = st.lists(st.sampled_from(MARKS), min_size=1, max_size=3)
run_texts = st.text(string.ascii_letters + string.digits + "*,() ", min_size=1, max_size=4)


@settings(max_examples=300)
@given(st.one_of(codes, words), marks, st.sampled_from(["", " ", ", "]))
def test_any_marks_behind_any_text_are_found(text: str, found: list[str], between: str) -> None:
    text = " ".join(text.split())

    assert unmarked(f"{text}{between}{between.join(found)}", inside=False).text == text


@settings(max_examples=300)
@given(codes, run_texts)
def test_a_run_is_never_a_part_of_a_code(code: str, content: str) -> None:
    rest = unmarked(f"{code}{RUN_START}{content}{RUN_END}", inside=False)

    assert rest.text == code
    assert rest.marks == ((content.strip(),) if content.strip() else ())


@settings(max_examples=300)
@given(st.text(string.printable + "\u00b9\u00b2\u2020", max_size=60).map(lambda text: " ".join(text.split())))
def test_taking_marks_off_twice_changes_nothing_and_adds_no_character(text: str) -> None:
    once = unmarked(text)

    assert set(once.text) <= set(text)
    assert not once.marks or len(once.text) < len(text)
    assert label(once.text) == label(text)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.booleans(), st.text(string.printable + "\u00b9&<", min_size=1, max_size=5)), max_size=6))
def test_setting_runs_apart_adds_nothing_but_the_two_characters(parts: list[tuple[bool, str]]) -> None:
    texts = [(moved, "".join(c for c in text if c >= " ")) for moved, text in parts]
    runs = "".join(
        f"<r>{SUPERSCRIPT.decode() if moved else ''}<t xml:space='preserve'>{escape(text)}</t></r>"
        for moved, text in texts
    )
    part = f"<sst><si>{runs}</si></sst>".encode()

    apart = with_runs_set_apart(part).decode()

    assert apart.replace(RUN_START, "").replace(RUN_END, "").encode() == part
    assert apart.count(RUN_START) == apart.count(RUN_END)
    if any(not moved and text.strip() for moved, text in texts):
        expected = sum(moved and bool(text.strip()) for moved, text in texts)
        assert expected - 2 <= apart.count(RUN_START) <= expected


def test_a_workbook_with_superscripts_everywhere_names_no_private_character() -> None:
    def raise_last(part: bytes) -> bytes:
        return re.sub(
            rb"<si><t[^>]*>([^<]{2,})</t></si>",
            rb"<si>" + run(rb"\1") + run(b"9", SUPERSCRIPT) + rb"</si>",
            part,
        )

    data = with_shared_strings(write(kh03()))
    reading = read_workbook(with_parts(data, {"xl/sharedStrings.xml": raise_last}))

    assert without_warnings(reading) == PLAIN
    assert RUN_START not in repr(reading)
    assert "\\uf8f" not in repr(reading)
    assert (reading.edition.financial_year, reading.edition.quarter) == ("2019-20", 3)
    assert reading.edition.published is not None
    assert reading.edition.title.endswith("by sector")
