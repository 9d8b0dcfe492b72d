"""Reads records of an .xls file: what the spreadsheet library does not show, or must not see.

It shows formulas without a result, and errors, as empty cells.

A compound file has sectors, a table that chains them to streams, and a directory with the names of the streams. One
stream is the workbook. It is a list of records: first those of the whole workbook, in which a BOUNDSHEET states where
each sheet begins, then those of each sheet. In a sheet, cells come before parts with their own records, such as charts.

Numbers in the file may be wrong. A chain that leads nowhere or in a circle, or a length beyond the end, ends the
search, and cells that were not found count as empty.
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import Literal

from library.sources.beds.rich_texts import texts_with_marks

HiddenContent = Literal["formula", "error"]

_ENTRY = 128
"""Size of a directory entry in bytes."""
_OWN_SECTORS = 4_096
"""A stream of this size or more has its own sectors. Every workbook with a table of this source is larger."""

_BOF, _EOF, _DATEMODE = 0x0809, 0x000A, 0x0022
_BOUNDSHEET, _FORMULA, _BOOLERR, _LABELSST = 0x0085, 0x0006, 0x0205, 0x00FD
_RESULTS: dict[int, HiddenContent] = {2: "error", 3: "formula"}
"""Results of a formula that the spreadsheet library shows as empty: an error, and no result."""


@dataclass(frozen=True)
class CompoundFile:
    """The bytes of an .xls file."""

    data: bytes
    _hidden: dict[str, dict[tuple[int, int], HiddenContent]] = field(default_factory=dict, init=False, repr=False)

    def hidden_content(self, sheet: str, row: int, column: int) -> HiddenContent | None:
        """What an empty cell really contains: a formula without a result, an error, or nothing."""
        if sheet not in self._hidden:  # cached, since a sheet may have thousands of empty cells
            self._hidden[sheet] = _hidden_cells(self._workbook, sheet)
        return self._hidden[sheet].get((row, column))

    def rich_texts(self, sheet: str) -> dict[tuple[int, int], str]:
        """By row and column, the texts of a sheet that have footnote marks as superscript runs."""
        if not self._rich_texts:
            return {}
        places = {}
        for kind, content in _cells(self._workbook, sheet):
            if kind == _LABELSST and len(content) >= 10:
                row, column, _, number = struct.unpack_from("<HHHI", content)
                if number in self._rich_texts:
                    places[row, column] = self._rich_texts[number]
        return places

    @property
    def dates_from_1904(self) -> bool:
        """Whether days are counted from 1 January 1904, as old Macs did."""
        for kind, content in self.records():
            if kind == _DATEMODE:
                return content[:1] == b"\x01"
            if kind == _EOF:
                break
        return False

    def records(self) -> Iterator[tuple[int, bytes]]:
        """The kinds and contents of all records of the workbook."""
        return _records(self._workbook, 0)

    def with_changes(self, changes: Mapping[int, bytes]) -> "CompoundFile":
        """A copy with other bytes at some positions of the stream of records."""
        stream = bytearray(self._workbook)
        for position, content in changes.items():
            stream[position : position + len(content)] = content
        data = bytearray(self.data)
        size, table, (first, _) = _place_of_workbook(self.data)
        for start, sector in zip(range(0, len(stream), size), _chain(table, first), strict=False):
            part = stream[start : start + size]
            data[(sector + 1) * size : (sector + 1) * size + len(part)] = part
        return CompoundFile(bytes(data))

    @cached_property
    def _rich_texts(self) -> dict[int, str]:
        return texts_with_marks(takewhile(lambda record: record[0] != _EOF, self.records()))

    @cached_property
    def _workbook(self) -> bytes:
        size, table, (first, length) = _place_of_workbook(self.data)
        return _stream(self.data, size, table, first)[:length] if length >= _OWN_SECTORS else b""


def _hidden_cells(workbook: bytes, sheet: str) -> dict[tuple[int, int], HiddenContent]:
    found: dict[tuple[int, int], HiddenContent] = {}
    for kind, content in _cells(workbook, sheet):
        if kind == _FORMULA and content[12:14] == b"\xff\xff" and content[6] in _RESULTS:
            found[struct.unpack_from("<HH", content)] = _RESULTS[content[6]]
        elif kind == _BOOLERR and content[7:8] == b"\x01":
            found[struct.unpack_from("<HH", content)] = "error"
    return found


def _cells(workbook: bytes, sheet: str) -> Iterator[tuple[int, bytes]]:
    """The records of a sheet. A BOF inside of a sheet begins a chart, whose cells do not count."""
    records = _records(workbook, _beginning_of(sheet, workbook))
    if next(records, (0, b""))[0] == _BOF:
        yield from takewhile(lambda record: record[0] not in (_BOF, _EOF), records)


def _beginning_of(sheet: str, workbook: bytes) -> int:
    """The position of a sheet's records; the workbook's end if there is no such sheet."""
    unicode = workbook[4:6] == b"\x00\x06"  # since Excel 97
    for kind, content in _records(workbook, 0):
        if kind == _BOUNDSHEET and _name(content, unicode=unicode) == sheet:
            return _number(content, 0)
        if kind == _EOF:
            break
    return len(workbook)


def _name(boundsheet: bytes, *, unicode: bool) -> str:
    if not unicode:
        return boundsheet[7:].decode("cp1252", "replace")
    # In a compressed name the higher byte of each character is 0 and left out.
    return boundsheet[8:].decode("utf-16-le" if boundsheet[7:8] == b"\x01" else "latin-1", "replace")


def _records(workbook: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    while position + 4 <= len(workbook):
        kind, length = struct.unpack_from("<HH", workbook, position)
        position += 4 + length
        yield kind, workbook[position - length : position]


def _place_of_workbook(data: bytes) -> tuple[int, list[int], tuple[int, int]]:
    """The size of a sector, the table of sectors, and of the workbook's stream the first sector and the length."""
    size = 1 << min(max(int.from_bytes(data[30:32], "little"), 9), 12)
    table = _table(data, size)
    directory = _stream(data, size, table, _number(data, 48))
    streams: dict[str, tuple[int, int]] = {}
    for start in range(0, len(directory), _ENTRY):
        name = directory[start : start + 64].decode("utf-16-le", "replace").partition("\0")[0]
        streams.setdefault(name, (_number(directory, start + 116), _number(directory, start + 120)))
    return size, table, streams.get("Workbook") or streams.get("Book") or (0, 0)


def _table(data: bytes, size: int) -> list[int]:
    """The next sector of each sector. This table is stored in sectors too; the header lists the first 109 of them."""
    needed = len(data) * 4 // size**2 + 1
    parts = list(_numbers(data[76:512]))
    more = _number(data, 68)
    while len(parts) < needed and (listed := _numbers(_sector(data, size, more))):
        parts += listed[:-1]
        more = listed[-1]
    return [number for part in parts[:needed] for number in _numbers(_sector(data, size, part))]


def _stream(data: bytes, size: int, table: list[int], first: int) -> bytes:
    return b"".join(_sector(data, size, number) for number in _chain(table, first))


def _chain(table: list[int], first: int) -> Iterator[int]:
    """The sectors of a stream. A chain that is longer than the table leads in a circle and ends."""
    for _ in table:
        if first >= len(table):
            break
        yield first
        first = table[first]


def _sector(data: bytes, size: int, number: int) -> bytes:
    return data[(number + 1) * size : (number + 2) * size]


def _number(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 4], "little")


def _numbers(data: bytes) -> tuple[int, ...]:
    count = len(data) // 4
    return struct.unpack(f"<{count}I", data[: count * 4])
