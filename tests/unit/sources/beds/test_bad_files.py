"""What a file gets that cannot, or must not, be opened as a workbook."""

import io
import random
import struct
import zipfile
from typing import Any

import pytest

from library.sources.beds.container import MAX_ENTRIES, MAX_INFLATED
from library.sources.beds.contracts import (
    ArchiveTooLarge,
    NotAWorkbook,
    PasswordProtected,
    SheetTooLarge,
    WorkbookDamaged,
    WorkbookRejected,
    WorkbookTruncated,
)
from library.sources.beds.reader import read_workbook
from tests.support.workbook_builder import (
    Cells,
    kh03,
    with_parts,
    write,
    write_xls,
    write_xlsx,
)
from tests.unit.sources.beds.refusals import changed, refused
from tests.unit.sources.beds.test_published_workbooks import FOLDER

XLSX = FOLDER / "kh03" / "Beds-Open-Overnight-Web_File-Q3-2025-26.xlsx"
XLS = FOLDER / "kh03" / "Beds-Open-Overnight-Web_File-Q1-2013-14-Nov-Revised-Revised-Final.xls"
SECTOR_PART = "xl/worksheets/sheet1.xml"


def archive(entries: dict[str, bytes]) -> bytes:
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in entries.items():
            target.writestr(name, content)
    return saved.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"Year,Period,Org Code\n2019-20,December,R1H\n", "text"),
        (b"<!DOCTYPE html><html><table><tr><td>1</td></tr></table></html>", "HTML"),
        (b"\xef\xbb\xbf\r\n<html xmlns:x='urn:schemas-microsoft-com:office:excel'>", "HTML"),
        (b"<?xml version='1.0'?><Workbook xmlns='urn:schemas-microsoft-com:office:spreadsheet'/>", "XML"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "PDF"),
        (b"\x00\x01\x02\x03" * 100, "neither"),
        (b"PK\x05\x06" + bytes(18), "empty archive"),
        (archive({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<w/>"}), "Word"),
        (archive({"mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": b"<x/>"}), "OpenDocument"),
        (archive({"[Content_Types].xml": b"<x/>", "xl/workbook.bin": b"x"}), "xlsb"),
        (archive({"readme.txt": b"hello"}), "without a workbook"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_no_workbook_is_told_what_it_is(data: bytes, says: str) -> None:
    assert says in refused(data, NotAWorkbook).message


def test_an_old_office_document_that_is_no_workbook_is_told_so() -> None:
    document = XLS.read_bytes()
    for name in ("Workbook", "Book"):
        document = document.replace(name.encode("utf-16-le"), ("X" * len(name)).encode("utf-16-le"))

    assert "not a workbook" in refused(document, NotAWorkbook).message


def compound_file_of(name: str) -> bytes:
    """The publisher's .xls with its main stream renamed, as the container of an encrypted .xlsx has it."""
    return XLS.read_bytes().replace("Workbook".encode("utf-16-le"), "x".encode("utf-16-le") * 8) + name.encode(
        "utf-16-le"
    )


def test_an_encrypted_xlsx_is_told_from_a_damaged_one() -> None:
    refused(compound_file_of("EncryptedPackage"), PasswordProtected)


@pytest.mark.parametrize("method", [0, 1], ids=["obfuscated", "encrypted"])
def test_an_encrypted_xls_is_told_from_a_damaged_one(method: int) -> None:
    # FILEPASS (0x2F) in the place of the record that follows BOF.
    data = bytearray(write_xls(kh03()))
    start = data.index(struct.pack("<HHHH", 0x0809, 16, 0x0600, 0x0005)) + 20
    identity, length = struct.unpack_from("<HH", data, start)
    struct.pack_into("<HH", data, start, 0x2F, length)
    data[start + 4 : start + 4 + length] = struct.pack("<H", method) + bytes(length - 2)

    assert identity != 0x2F
    refused(bytes(data), PasswordProtected)


def test_an_archive_with_too_many_entries_is_refused() -> None:
    entries = {f"xl/worksheets/sheet{number}.xml": b"" for number in range(MAX_ENTRIES)}
    refused(archive({"xl/workbook.xml": b"<x/>"} | entries), ArchiveTooLarge)


def test_an_archive_that_inflates_too_far_is_refused_by_total_and_by_ratio() -> None:
    parts = 9
    noise = random.Random(1).randbytes(2_000) * (MAX_INFLATED // parts // 2_000 + 2_000)  # noqa: S311 - not a secret
    by_total = {"xl/workbook.xml": b"<x/>"} | {f"xl/media/{number}.png": noise for number in range(parts)}
    assert "bytes" in refused(archive(by_total), ArchiveTooLarge).message
    by_ratio = {"xl/workbook.xml": b"<x/>", "xl/worksheets/sheet1.xml": b" " * 3_000_000}
    assert "times" in refused(archive(by_ratio), ArchiveTooLarge).message


def test_an_archive_that_lies_about_its_sizes_is_inflated_no_further_than_it_says() -> None:
    data = bytearray(archive({"xl/workbook.xml": b"<x/>" + bytes(500_000)}))
    directory = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, directory + 24, 10)  # the size in the directory, not the one beside the data
    refused(bytes(data), WorkbookDamaged)


@pytest.mark.parametrize("place", [(1_048_575, 16_383), (5_000, 0), (0, 300), (20_000, 2), (7, 701)])
def test_cells_far_out_are_refused_before_their_extent_is_allocated(place: tuple[int, int]) -> None:
    def spread(cells: Cells) -> None:
        cells[place] = "far out"

    refused(changed(spread), SheetTooLarge)
    refused(write({"A": {(0, 0): "x", place: "y"}}), SheetTooLarge)


def test_cells_far_out_are_refused_where_the_sheet_does_not_say_its_extent() -> None:
    data = write({"A": {(0, 0): "x", (1_048_575, 16_383): "y"}})
    silent = with_parts(data, {SECTOR_PART: lambda part: part.replace(b'<dimension ref="A1:XFD1048576" />', b"")})
    lying = with_parts(data, {SECTOR_PART: lambda part: part.replace(b"A1:XFD1048576", b"A1:B2")})

    assert silent != data
    refused(silent, SheetTooLarge)
    refused(lying, SheetTooLarge)


def test_a_sheet_that_lies_about_an_extent_just_beyond_the_limits_is_refused() -> None:
    data = write({"A": {(0, 0): "x", (6_000, 1): "y"}})
    lying = with_parts(data, {SECTOR_PART: lambda part: part.replace(b"A1:B6001", b"A1:B2")})

    assert lying != data
    assert refused(lying, SheetTooLarge).sheet == "A"


@pytest.mark.parametrize("place", [(60_000, 0), (5_000, 255)])
def test_an_xls_with_too_many_rows_is_refused(place: tuple[int, int]) -> None:
    refused(write_xls({"A": {(0, 0): "x", place: "y"}}), SheetTooLarge)


def test_the_last_row_and_column_within_the_limits_are_read() -> None:
    def spread(cells: Cells) -> None:
        cells[4_999, 299] = "edge"

    assert read_workbook(changed(spread)).organisations


def test_a_truncated_file_is_never_read_nor_misnamed() -> None:
    for path in (XLSX, XLS):
        data = path.read_bytes()
        for end in [1, 3, 7, 100, 511, 513, *range(1_000, len(data), len(data) // 40), len(data) - 1]:
            refused(data[:end], WorkbookTruncated)


def test_a_damaged_archive_is_told_so() -> None:
    data = bytearray(XLSX.read_bytes())
    with zipfile.ZipFile(io.BytesIO(data)) as zipped:
        start = zipped.getinfo("xl/sharedStrings.xml").header_offset
    data[start + 200 : start + 210] = bytes(10)
    refused(bytes(data), WorkbookDamaged)


@pytest.mark.parametrize("path", [XLSX, XLS], ids=["xlsx", "xls"])
def test_random_damage_gives_a_typed_error_or_a_reading_and_nothing_else(path: Any) -> None:
    original = path.read_bytes()
    chance = random.Random(20_261_121)  # noqa: S311 - not a secret
    for _ in range(60):
        data = bytearray(original)
        for _ in range(chance.randint(1, 20)):
            position = chance.randrange(len(data))
            data[position : position + chance.choice((0, 1, 4))] = chance.randbytes(chance.choice((1, 4)))
        try:
            read_workbook(bytes(data))
        except WorkbookRejected as error:
            assert type(error) is not WorkbookRejected


def test_an_archive_with_two_parts_of_one_name_is_refused() -> None:
    saved = io.BytesIO(write_xlsx(kh03()))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(saved, "a") as target:
        target.writestr("xl/workbook.xml", b"<other/>")
    refused(saved.getvalue(), WorkbookDamaged)
