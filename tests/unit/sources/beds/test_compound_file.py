"""What stands behind an empty cell of an .xls file, asked of the bytes: in the sheet that is meant, or not at all."""

import random
import re
import struct
from collections.abc import Mapping

import pytest

from library.sources.beds.compound_file import CompoundFile
from library.sources.beds.contracts import FormulaWithoutValue
from library.sources.beds.reader import read_workbook
from tests.support.workbook_builder import Layout, kh03, place_of, write_xls
from tests.unit.sources.beds.refusals import refused
from tests.unit.sources.beds.test_published_workbooks import TOTALS, path_of

ERRORS = re.compile(rb"\x06\x00..(....)..\x02.{5}\xff\xff", re.DOTALL)
NUMBERS = re.compile(rb"(?:\x03\x02\x0e\x00|\x7e\x02\x0a\x00)(....)", re.DOTALL)
UNKNOWN = b"\x67\x08"
"""A kind of record that says nothing about cells."""

FREE, END = 0xFFFFFFFF, 0xFFFFFFFE
NOTHING = 0x0867


def record(kind: int, content: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(content)) + content


BOF, EOF = record(0x0809, struct.pack("<HH", 0x0600, 0x0010)), record(0x000A)
FILLER = record(NOTHING, bytes(5_000))


def error(row: int, column: int) -> bytes:
    """A formula whose result is #DIV/0!."""
    return record(0x0006, struct.pack("<HHHBBBBBBHHIH", row, column, 0, 2, 0, 7, 0, 0, 0, 0xFFFF, 0, 0, 0))


def workbook(sheets: Mapping[bytes, bytes], begins: bytes = BOF) -> bytes:
    """The stream of a workbook; the sheets' names are as a BOUNDSHEET has them, from their length on."""
    first = len(begins) + sum(len(record(0x0085, bytes(6) + name)) for name in sheets) + len(EOF)
    described, contents = b"", b""
    for name, content in sheets.items():
        described += record(0x0085, struct.pack("<IH", first + len(contents), 0) + name)
        contents += content
    return begins + described + EOF + contents + FILLER


def compound_file(stream: bytes, name: str = "Workbook") -> bytes:
    """A compound file with one stream, whose sectors lie backwards."""
    sectors = [stream[start : start + 512].ljust(512, b"\0") for start in range(0, len(stream), 512)]
    count = len(sectors)
    needed = (count + count // 100 + 10) // 128 + 1
    lists = max(0, -(-(needed - 109) // 127))
    directory = count + needed + lists
    table = [END, *range(count - 1)] + [FREE] * (needed * 128 - count)
    table[directory] = END
    parts = [*range(count, count + needed)] + [FREE] * (109 + lists * 127 - needed)
    more = [[*parts[109 + 127 * n : 236 + 127 * n], count + needed + n + 1] for n in range(lists)]
    entry = name.encode("utf-16-le").ljust(116, b"\0") + struct.pack("<III", count - 1, len(stream), 0)
    head = bytes(30) + struct.pack("<HHIHIIII", 9, 6, 0, 0, 0, needed, directory, 0)
    head = head.ljust(68, b"\0") + struct.pack("<II109I", count + needed if lists else END, lists, *parts[:109])
    rest = [struct.pack("<128I", *table[start : start + 128]) for start in range(0, len(table), 128)]
    rest += [struct.pack("<128I", *each) for each in more]
    return head + b"".join([*reversed(sectors), *rest, entry.ljust(512, b"\0")])


A, B = b"\x01\x00A", b"\x01\x00B"


def behind(data: bytes, sheet: str = "A", row: int = 1, column: int = 2) -> str | None:
    return CompoundFile(data).hidden_content(sheet, row, column)


def without_numbers_beside_errors(data: bytes) -> tuple[bytes, int]:
    """A workbook without the numbers that have the position of an error in another sheet; and their count."""
    errors = {found[1] for found in ERRORS.finditer(data)}
    numbers = [found.start() for found in NUMBERS.finditer(data) if found[1] in errors]
    changed = bytearray(data)
    for start in numbers:
        changed[start : start + 2] = UNKNOWN
    return bytes(changed), len(numbers)


@pytest.mark.parametrize("part", ["Quarter-1-2010-11", "Quarter-4-2010-11"])
def test_an_empty_cell_is_not_taken_for_the_error_at_its_place_in_another_sheet(part: str) -> None:
    (path,) = (path_of(row) for row in TOTALS if part in row["file"])
    data, gone = without_numbers_beside_errors(path.read_bytes())

    before, after = read_workbook(path.read_bytes()), read_workbook(data)

    assert gone > 50
    assert [row[:5] for row in after.occupancy] == [row[:5] for row in before.occupancy]
    there = set(zip(*after.specialty_occupancy, strict=True))
    lost = set(zip(*before.specialty_occupancy, strict=True)) - there
    assert len(there) == len(before.specialty_occupancy.rows) - gone
    assert len(lost) == gone


@pytest.mark.parametrize("name", ["Specialties", "Spécialités", "Специальности"])
def test_a_formula_without_a_result_is_found_by_its_sheets_name_in_any_letters(name: str) -> None:
    sheets = kh03(Layout(specialty_sheet=name))
    row, column = place_of(sheets[name], "G6V2S")
    sheets[name][row, column + 3] = "=1+1"

    assert refused(write_xls(sheets), FormulaWithoutValue).sheet == name


def test_each_sheet_answers_for_its_own_cells() -> None:
    data = compound_file(workbook({A: BOF + error(1, 2) + EOF, B: BOF + error(3, 4) + EOF}))

    assert behind(data) == behind(data, "B", 3, 4) == "error"
    assert behind(data, "B") is behind(data, "A", 3, 4) is behind(data, "C") is None


@pytest.mark.parametrize(("flag", "found"), [(1, "error"), (0, None)], ids=["error", "truth value"])
def test_an_error_that_was_typed_in_is_one_and_a_truth_value_is_none(flag: int, found: str | None) -> None:
    cell = record(0x0205, struct.pack("<HHHBB", 1, 2, 0, 7, flag))

    assert behind(compound_file(workbook({A: BOF + cell + EOF}))) == found


def test_what_a_chart_holds_is_not_in_the_sheets_cells() -> None:
    data = compound_file(workbook({A: BOF + error(1, 2) + BOF + error(5, 6) + EOF + error(7, 8) + EOF}))

    assert behind(data) == "error"
    assert behind(data, row=5, column=6) is behind(data, row=7, column=8) is None


def test_a_workbook_of_excel_95_names_its_sheets_by_bytes() -> None:
    begins = record(0x0809, struct.pack("<HH", 0x0500, 0x0005))
    data = compound_file(workbook({"\x03Bé—".encode("cp1252"): BOF + error(1, 2) + EOF}, begins), "Book")

    assert behind(data, "Bé—") == "error"


def test_a_workbook_of_more_than_seven_megabytes_is_followed_to_its_end() -> None:
    sheets = {A: BOF + record(NOTHING, bytes(50_000)) * 150 + error(1, 2) + EOF}
    data = compound_file(workbook(sheets))

    assert len(data) > 7_200_000
    assert behind(data) == "error"


SOUND = compound_file(workbook({A: BOF + error(1, 2) + EOF}))


def spoilt(position: int, number: int) -> bytes:
    return SOUND[:position] + struct.pack("<I", number) + SOUND[position + 4 :]


SECTORS = len(SOUND) // 512 - 3
"""Of the stream; the table and the directory come after them."""
TABLE = (SECTORS + 1) * 512
FORMULA = SOUND.index(error(1, 2))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SOUND[:100],
        spoilt(48, END),
        spoilt(48, 0x7FFFFFFF),
        spoilt(76, FREE),
        spoilt(76, 0x7FFFFFFF),
        spoilt(TABLE + (SECTORS - 1) * 4, END)[: TABLE - 1_024],
        spoilt(TABLE + 512 + 120, 100),
        spoilt(TABLE + 512 + 116, FREE),
        spoilt(SOUND.index(A) - 6, 0x7FFFFFFF),
        spoilt(SOUND.index(A) - 6, 1),
        spoilt(SOUND.index(A) - 10, 0xFFFF0085),
        spoilt(FORMULA - 6, 0xFFFF0000),
        spoilt(FORMULA, 0x00050006),
    ],
)
def test_what_is_damaged_holds_nothing(data: bytes) -> None:
    assert behind(SOUND) == "error"
    assert behind(data) is None


def test_sectors_that_lead_in_a_circle_end() -> None:
    circle = spoilt(TABLE + (SECTORS - 1) * 4, SECTORS - 1)  # the stream's first sector again and again
    lists = spoilt(68, SECTORS)  # the list of tables continues in the table itself

    assert behind(circle) == "error"
    assert behind(lists) == "error"
    assert behind(spoilt(TABLE + (SECTORS + 1) * 4, SECTORS + 1)) == "error"  # the directory


def test_no_damage_is_an_error() -> None:
    chance = random.Random(20_261_122)  # noqa: S311 - not a secret
    for _ in range(2_000):
        data = bytearray(SOUND)
        for _ in range(chance.randint(1, 8)):
            part = chance.choice((0, TABLE, TABLE + 512, FORMULA // 512 * 512))
            data[part + chance.randrange(128)] = chance.choice((0, 1, 9, 127, 255, chance.randrange(256)))
        assert behind(bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])) in (
            None,
            "error",
            "formula",
        )
