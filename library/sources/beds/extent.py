"""The limits of a sheet's rows and columns, checked before the spreadsheet library allocates the sheet's extent.

A cell that is formatted but empty is no content, and neither is an extent that a sheet only states.
"""

import re
import struct
from typing import NamedTuple

from library.sources.beds.compound_file import CompoundFile
from library.sources.beds.contracts import SheetTooLarge

MAX_ROWS = 5_000
MAX_COLUMNS = 300

_DIMENSION = re.compile(rb'<(?:\w+:)?dimension\s+ref="(?:[A-Z]+\d+:)?([A-Z]+)(\d+)"')
_LAST_CELL = re.compile(rb'c r="[A-Z]+(\d+)"')
_FAR_OUT = rb'c r="(?:[A-Z]{3}|[A-Z]+\d{5})'
_CELL_FAR_OUT = re.compile(_FAR_OUT + rb"[^>]*[^/>]>")
"""A cell with content from column AAA on, or from row 10,000 on. Cells between these and the limits are found after
opening, which costs little."""
_EMPTY_CELL_FAR_OUT = re.compile(
    rb"<(?:\w+:)?"
    + _FAR_OUT
    + rb"[^>]*[^/>]>\s*(?:<(?:\w+:)?(?:v|is)\s*/>|<(?:\w+:)?v>\s*</(?:\w+:)?v>"
    + rb"|<(?:\w+:)?is>\s*(?:<(?:\w+:)?t\b[^>]*>\s*(?:</(?:\w+:)?t>\s*)?)?</(?:\w+:)?is>)?\s*</(?:\w+:)?c>"
)
"""A cell that is only formatted, or has an empty text."""

_XLS = 256
"""Most columns of a sheet of an .xls file."""
_DIMENSIONS = 0x0200
_WITH_CONTENT = frozenset({0x0006, 0x00BD, 0x00D6, 0x00FD, 0x0203, 0x0204, 0x0205, 0x027E})
"""Kinds of records that are cells with content: formulas, numbers, texts, and true, false or an error."""


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


def sheet_part_within_limits(part: bytes) -> bytes:
    """The XML of a sheet without empty cells far out.

    This is cheap, since nearly all programs write the extent first and the rows in order.

    Raises:
        SheetTooLarge: a cell far out has content.
    """
    claim = _DIMENSION.search(part, 0, 8_192)
    extent = Extent(int(claim[2][:9]), column_index(claim[1][:9].decode()) + 1) if claim else None
    if extent and not extent.too_large:
        last = _LAST_CELL.search(part, max(0, part.rfind(b'c r="')))
        if last is None or int(last[1][:9]) <= MAX_ROWS:
            return part
    if not _CELL_FAR_OUT.search(part):
        return part
    part = _EMPTY_CELL_FAR_OUT.sub(b"", part)
    if _CELL_FAR_OUT.search(part):
        raise sheet_too_large(extent if extent and extent.too_large else None)
    return part


def compound_file_within_limits(file: CompoundFile) -> CompoundFile:
    """An .xls file in which no sheet states more rows or columns than an .xls can have within the limits.

    The spreadsheet library allocates what a sheet states.

    Raises:
        SheetTooLarge: a row beyond the limit has content.
    """
    if not _states_too_much(file.data):
        return file
    changes: dict[int, bytes] = {}
    position = 0
    for kind, content in file.records():
        if kind in _WITH_CONTENT and int.from_bytes(content[:2], "little") >= MAX_ROWS:
            raise sheet_too_large()
        if kind == _DIMENSIONS and len(content) == 14:
            first_row, rows, first_column, columns = struct.unpack_from("<IIHH", content)
            extent = (min(first_row, MAX_ROWS), min(rows, MAX_ROWS), min(first_column, _XLS), min(columns, _XLS))
            changes[position + 4] = struct.pack("<IIHH", *extent)
        position += 4 + len(content)
    return file.with_changes(changes)


def _states_too_much(data: bytes) -> bool:
    """Whether a sheet may state too much. Other bytes can look like its record; then the records are read in vain."""
    start = -1
    while (start := data.find(b"\x00\x02\x0e\x00", start + 1)) != -1 and start + 18 <= len(data):
        _, rows, _, columns = struct.unpack_from("<IIHH", data, start + 4)
        if rows > MAX_ROWS or columns > _XLS:
            return True
    return False
