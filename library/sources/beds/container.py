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
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from config.servers import MEBIBYTE
from library.sources.beds.compound_file import CompoundFile, HiddenContent
from library.sources.beds.contracts import (
    ArchiveTooLarge,
    NotAWorkbook,
    PasswordProtected,
    WorkbookDamaged,
    WorkbookTruncated,
)
from library.sources.beds.encryption import with_standard_password
from library.sources.beds.extent import column_letters, compound_file_within_limits, sheet_part_within_limits
from library.sources.beds.runs import with_runs_set_apart

MAX_ENTRIES = 1_000
"""Most parts of an archive. The publisher's have about 30."""
MAX_INFLATED = 64 * MEBIBYTE
"""Most bytes of all parts together, decompressed. The publisher's have 1 MB."""
MAX_RATIO = 100
"""Largest ratio of the decompressed size of a part to its compressed size. The publisher's XML reaches 14."""
RATIO_MATTERS_FROM = MEBIBYTE
"""The ratio is checked only above this size in bytes, since small parts of spaces compress very well."""

_NEVER_DECODED = ("docprops/", "customxml/", "xl/theme/", "xl/printersettings/", "xl/media/", "xl/drawings/")

_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


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

    @property
    def dates_from_1904(self) -> bool:
        """Whether days are counted from 1 January 1904, as old Macs did.

        Raises:
            WorkbookDamaged: the XML is not well-formed, or declares entities.
        """
        # An extension may have another element of this name. It comes later.
        first = next(_elements(self._part("xl/workbook.xml"), "workbookPr"), None)
        return first is not None and first.get("date1904") in ("1", "true", "on")

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
        PasswordProtected: the content is encrypted with another password than Excel's standard one.
        ArchiveTooLarge: the decompressed archive is larger than the limits.
        SheetTooLarge: a sheet has cells with content beyond the limits.
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
        _check_kind({_part_name(entry).lower() for entry in entries})
        parts: dict[str, bytes] = {}
        for entry in entries:
            name = _part_name(entry).lower()
            if name.startswith(_NEVER_DECODED) or name.endswith("/"):
                continue
            if name in parts:
                raise WorkbookDamaged("The archive has two parts of one name.")
            part = parts[name] = _prepared(name, _inflate(archive, entry))
            plain.writestr(_part_name(entry), part)
    return WorkbookArchive(repacked.getvalue(), parts)


def _part_name(entry: zipfile.ZipInfo) -> str:
    """The name of a part. Some programs write backslashes, or begin names with a slash; Excel opens both."""
    return entry.filename.replace("\\", "/").lstrip("/")


def _prepared(name: str, part: bytes) -> bytes:
    """A part as the spreadsheet library gets it.

    Raises:
        SheetTooLarge: it is a sheet with content beyond the limits.
        WorkbookDamaged: it has superscripts, and is not well-formed XML.
    """
    if name.endswith(".rels"):
        return part.replace(b"\\", b"/")
    if name.startswith("xl/worksheets/") and name.endswith(".xml"):
        return with_runs_set_apart(sheet_part_within_limits(part))
    return with_runs_set_apart(part) if name == "xl/sharedstrings.xml" else part


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


def _open_compound_file(data: bytes, *, decrypted: bool = False) -> Container:
    if len(data) < 512:
        raise WorkbookTruncated(f"The file ends after {len(data)} bytes.")
    if len(data) < _size_by_allocation_table(data):
        raise WorkbookTruncated("The file ends before the last of its sectors.")
    if "EncryptedPackage".encode("utf-16-le") in data or _has_filepass(data):
        if decrypted:
            raise PasswordProtected("The workbook is encrypted twice.")
        plain = with_standard_password(data)
        return _open_archive(plain) if plain.startswith(_ZIP) else _open_compound_file(plain, decrypted=True)
    if not any(name.encode("utf-16-le") in data for name in ("Workbook\0", "Book\0")):
        raise NotAWorkbook("The file is an Office document of an old format, but not a workbook.")
    return compound_file_within_limits(CompoundFile(data))


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
        sectors = data[start : start + sector_size]
        if len(sectors) != sector_size:
            raise WorkbookTruncated("The file ends before its table of sectors.")
        table = array("I", sectors)
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
