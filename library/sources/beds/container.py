"""Checks from the bytes alone whether a file is a workbook and safe to open, before the spreadsheet library reads it.

There are two containers: a zip archive of XML parts (.xlsx, .xlsm), and a compound file with a stream of BIFF records
(.xls). A file that is not a workbook gets an error with a reason. The size of a workbook is limited. What cannot be
checked here (a sheet that states a wrong extent) is left to the limits of the child process.
"""

import io
import re
import struct
import sys
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from config.servers import MEBIBYTE
from library.sources.beds.compound_file import CompoundFile, HiddenContent
from library.sources.beds.contracts import (
    ArchiveTooLarge,
    NotAWorkbook,
    PasswordProtected,
    SheetTooLarge,
    WorkbookDamaged,
    WorkbookTruncated,
)

MAX_ENTRIES = 1_000
"""Most parts of an archive. The publisher's have about 30."""
MAX_INFLATED = 64 * MEBIBYTE
"""Most bytes of all parts together, decompressed. The publisher's have 1 MB."""
MAX_RATIO = 100
"""Largest ratio of the decompressed size of a part to its compressed size. The publisher's XML reaches 14."""
RATIO_MATTERS_FROM = MEBIBYTE
"""The ratio is checked only above this size in bytes, since small parts of spaces compress very well."""

MAX_ROWS = 5_000
MAX_COLUMNS = 300

_NEVER_DECODED = ("docprops/", "customxml/", "xl/theme/", "xl/printersettings/", "xl/media/", "xl/drawings/")

_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_DIMENSION = re.compile(rb'<(?:\w+:)?dimension\s+ref="(?:[A-Z]+\d+:)?([A-Z]+)(\d+)"')
_LAST_CELL = re.compile(rb'c r="[A-Z]+(\d+)"')
_CELL_FAR_OUT = re.compile(rb'c r="(?:[A-Z]{3}|[A-Z]+\d{5})[^>]*[^/>]>')
"""A cell with content from column AAA on, or from row 10,000 on. Cells between these and the limits are found after
opening, which costs little."""


def column_letters(index: int) -> str:
    """The letters of a column index: 0 is A, 26 is AA."""
    letters = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


def column_index(letters: str) -> int:
    """The inverse of `column_letters`."""
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("A") + 1
    return index - 1


class Extent(NamedTuple):
    """The number of rows and columns up to the last used cell."""

    rows: int
    columns: int

    @property
    def too_large(self) -> bool:
        """Whether the sheet is too large for a KH03 return."""
        return self.rows > MAX_ROWS or self.columns > MAX_COLUMNS


def sheet_too_large(extent: Extent | None = None, *, sheet: str | None = None) -> SheetTooLarge:
    """The error for a sheet beyond the limits."""
    claim = f"{extent.rows:,} rows and {extent.columns:,} columns" if extent else "cells far out"
    limits = f"at most {MAX_ROWS:,} rows and {MAX_COLUMNS} columns are read"
    return SheetTooLarge(f"A sheet has {claim}; {limits}.", sheet=sheet)


@dataclass(frozen=True, slots=True)
class WorkbookArchive:
    """The decompressed parts of an .xlsx file, each within the limits.

    Attributes:
        data: a new archive of the parts, without compression. This one is decoded, so exactly the bytes that were
            checked are read, and nothing is decompressed twice.
        parts: the parts by their names in lower case.
    """

    data: bytes
    parts: dict[str, bytes]
    _hidden: dict[str, dict[str, HiddenContent]] = field(default_factory=dict, init=False, repr=False)

    def hidden_content(self, sheet: str, row: int, column: int) -> HiddenContent | None:
        """What an empty cell really contains: a formula without a result, an error, or nothing.

        Raises:
            WorkbookDamaged: the sheet's XML is not well-formed, or declares entities.
        """
        if sheet not in self._hidden:
            self._hidden[sheet] = dict(_hidden_cells(self.sheet_part(sheet)))
        return self._hidden[sheet].get(f"{column_letters(column)}{row + 1}")

    def sheet_part(self, sheet: str) -> bytes:
        """The XML of the sheet with this name; empty if it is not found."""
        targets = {
            relation.get("Id"): relation.get("Target", "")
            for relation in _elements(self._part("xl/_rels/workbook.xml.rels"), "Relationship")
        }
        for element in _elements(self._part("xl/workbook.xml"), "sheet"):
            if element.get("name") == sheet:
                identity = next((value for name, value in element.attrib.items() if _local(name) == "id"), None)
                target = targets.get(identity, "")
                return self._part(target.lstrip("/") if target.startswith("/") else f"xl/{target}")
        return b""

    def _part(self, name: str) -> bytes:
        return self.parts.get(name.lower(), b"")


Container = WorkbookArchive | CompoundFile


def open_container(data: bytes) -> Container:
    """Check the bytes of a file.

    Raises:
        NotAWorkbook: the bytes are something else.
        WorkbookTruncated: the bytes end too early.
        WorkbookDamaged: parts of the archive cannot be decompressed, or their checksums differ.
        PasswordProtected: the content is encrypted.
        ArchiveTooLarge: the decompressed archive is larger than the limits.
        SheetTooLarge: a sheet states or has cells beyond the limits.
    """
    if data.startswith(_ZIP):
        return _open_archive(data)
    if data.startswith(_COMPOUND_FILE):
        return _open_compound_file(data)
    raise _not_a_workbook(data)


def _hidden_cells(part: bytes) -> Iterator[tuple[str, HiddenContent]]:
    for cell in _elements(part, "c"):
        kind = cell.get("t")
        if kind == "e":
            yield cell.get("r", ""), "error"
        elif kind != "str" and cell.find("{*}f") is not None:
            yield cell.get("r", ""), "formula"


def _elements(part: bytes, name: str) -> Iterator[Element]:
    """The elements with a name, in any namespace. Each is cleared after its turn, to save memory."""
    try:
        for _, element in iterparse(io.BytesIO(part)) if part else ():
            if _local(element.tag) == name:
                yield element
            element.clear()
    except (ParseError, DefusedXmlException) as error:
        raise WorkbookDamaged("A part of the archive is not valid XML.") from error


def _local(name: str) -> str:
    """A name in XML without its namespace."""
    return name.rpartition("}")[2]


def _not_a_workbook(data: bytes) -> NotAWorkbook | WorkbookTruncated:
    """The error for bytes that are not a workbook, with the most helpful reason."""
    if not data:
        return NotAWorkbook("The file is empty.")
    if any(magic.startswith(data) for magic in (_ZIP, _COMPOUND_FILE)):
        return WorkbookTruncated(f"The file ends after {len(data)} bytes.")
    if data.startswith(_EMPTY_ZIP):
        return NotAWorkbook("The file is an empty archive.")
    if data.startswith(b"%PDF"):
        return NotAWorkbook("The file is a PDF document.")
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")) or b"<html" in start:
        return NotAWorkbook("The file is an HTML page, even if its name ends with .xlsx or .xls.")
    if start.startswith(b"<"):
        return NotAWorkbook("The file is an XML document, not an Excel workbook (.xlsx or .xls).")
    if b"\x00" not in data[:1024]:
        return NotAWorkbook("The file is text, such as CSV, not an Excel workbook (.xlsx or .xls).")
    return NotAWorkbook("The file is neither an .xlsx nor an .xls workbook.")


def _open_archive(data: bytes) -> WorkbookArchive:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except Exception as error:
        end = data.rfind(_EMPTY_ZIP)
        if end == -1 or end + 22 + int.from_bytes(data[end + 20 : end + 22], "little") > len(data):
            raise WorkbookTruncated("The archive ends before its directory does.") from error
        raise WorkbookDamaged("The archive's directory cannot be read.") from error
    repacked = io.BytesIO()
    with archive, zipfile.ZipFile(repacked, "w") as plain:
        entries = archive.infolist()
        _check_declared_sizes(entries)
        _check_kind({entry.filename.lower() for entry in entries})
        parts: dict[str, bytes] = {}
        for entry in entries:
            name = entry.filename.lower()
            if name.startswith(_NEVER_DECODED):
                continue
            if name in parts:
                raise WorkbookDamaged("The archive has two parts of one name.")
            part = parts[name] = _inflate(archive, entry)
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                _check_sheet_part(part)
            plain.writestr(entry.filename, part)
    return WorkbookArchive(repacked.getvalue(), parts)


def _check_declared_sizes(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > MAX_ENTRIES:
        raise ArchiveTooLarge(f"The archive has {len(entries):,} entries; at most {MAX_ENTRIES:,} are read.")
    inflated = sum(entry.file_size for entry in entries)
    if inflated > MAX_INFLATED:
        raise ArchiveTooLarge(f"The archive inflates to {inflated:,} bytes; at most {MAX_INFLATED:,} are read.")
    for entry in entries:
        _check_ratio(entry.file_size, entry.compress_size)


def _check_ratio(inflated: int, compressed: int) -> None:
    if inflated > RATIO_MATTERS_FROM and inflated > MAX_RATIO * compressed:
        raise ArchiveTooLarge(f"A part of the archive inflates more than {MAX_RATIO} times.")


def _check_kind(names: set[str]) -> None:
    if "xl/workbook.xml" in names:
        return
    if "xl/workbook.bin" in names:
        raise NotAWorkbook("The file is a binary workbook (.xlsb): save it as .xlsx.")
    if any(name.startswith("word/") for name in names):
        raise NotAWorkbook("The file is a Word document.")
    if "mimetype" in names:
        raise NotAWorkbook("The file is an OpenDocument file: save it as .xlsx.")
    raise NotAWorkbook("The file is an archive without a workbook.")


def _inflate(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """Decompress one part, at most to the size in the archive's directory, which was checked against the limits.

    A part that is larger fails its checksum at that size.
    """
    if entry.flag_bits & 0x1:
        raise PasswordProtected("A part of the archive is encrypted.")
    try:
        return archive.read(entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError, struct.error) as error:
        raise WorkbookDamaged("A part of the archive cannot be decompressed, or its checksum is wrong.") from error


def _check_sheet_part(part: bytes) -> None:
    """Refuse a sheet that states or has cells beyond the limits, since opening it would allocate its whole extent.

    This is cheap, since nearly all programs write the extent first and the rows in order.
    """
    claim = _DIMENSION.search(part, 0, 8_192)
    if claim is None:
        if _CELL_FAR_OUT.search(part):
            raise sheet_too_large()
        return
    extent = Extent(int(claim[2][:9]), column_index(claim[1][:9].decode()) + 1)
    if extent.too_large:
        raise sheet_too_large(extent)
    last = _LAST_CELL.search(part, max(0, part.rfind(b'c r="')))
    if last and int(last[1][:9]) > MAX_ROWS and _CELL_FAR_OUT.search(part):
        raise sheet_too_large()


def _open_compound_file(data: bytes) -> CompoundFile:
    if len(data) < 512:
        raise WorkbookTruncated(f"The file ends after {len(data)} bytes.")
    if len(data) < _size_by_allocation_table(data):
        raise WorkbookTruncated("The file ends before the last of its sectors.")
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise PasswordProtected("The workbook is encrypted with a password.")
    if _has_filepass(data):
        raise PasswordProtected("The workbook is encrypted with a password.")
    if not any(name.encode("utf-16-le") in data for name in ("Workbook\0", "Book\0")):
        raise NotAWorkbook("The file is an Office document of an old format, but not a workbook.")
    _check_dimensions_records(data)
    return CompoundFile(data)


def _size_by_allocation_table(data: bytes) -> int:
    """The size that the file must have according to its own table of sectors, in bytes."""
    sector_size = 1 << min(int.from_bytes(data[30:32], "little"), 12)
    tables = int.from_bytes(data[44:48], "little")
    if sector_size < 512 or tables > len(data) // sector_size:
        raise WorkbookTruncated("The file ends before the last of its sectors, or its header is damaged.")
    last = 0
    # The header lists the first 109 tables, enough for 7 MB. Later sectors of a larger file are not checked here.
    for number, sector in enumerate(struct.unpack("<109I", data[76:512])[:tables]):
        start = (sector + 1) * sector_size
        table = array("I", data[start : start + sector_size])
        if table.itemsize != 4 or len(table) * 4 != sector_size:
            raise WorkbookTruncated("The file ends before its table of sectors.")
        if sys.byteorder == "big":
            table.byteswap()
        used = next((index for index in range(len(table) - 1, -1, -1) if table[index] != 0xFFFFFFFF), None)
        if used is not None:
            last = max(last, number * len(table) + used)
    return (last + 2) * sector_size


def _has_filepass(data: bytes) -> bool:
    """Whether the workbook is encrypted: one of the first records after a BOF is then FILEPASS."""
    for beginning in re.finditer(rb"\x09\x08[\x08\x10]\x00\x00[\x05\x06]\x05\x00", data):
        position = beginning.start()
        for _ in range(4):
            identity, length = struct.unpack("<HH", data[position : position + 4].ljust(4, b"\0"))
            if identity == 0x2F:
                return True
            position += 4 + length
    return False


def _check_dimensions_records(data: bytes) -> None:
    """Refuse a sheet whose DIMENSIONS record states more than the limits."""
    start = -1
    while (start := data.find(b"\x00\x02\x0e\x00", start + 1)) != -1 and start + 18 <= len(data):
        first_row, rows, first_column, columns, reserved = struct.unpack_from("<IIHHH", data, start + 4)
        if first_row < rows <= 65_536 and first_column < columns <= 256 and reserved == 0 and rows > MAX_ROWS:
            raise sheet_too_large(Extent(rows, columns))
