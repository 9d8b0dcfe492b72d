"""What an .xls file holds behind cells that read as empty.

A compound file is sectors, a table that chains them to streams, and a directory that names these. The workbook is one
of the streams, made of records: first those about the whole, where a BOUNDSHEET says at which record each sheet begins,
then those of one sheet after the other, cells in front of everything that has records of its own, such as charts.

No number in the file is believed here: sectors that lead nowhere or in a circle, and lengths beyond the end, end what
is looked through. What is not found then counts as not there.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Hidden = Literal["formula", "error"]

_ENTRY = 128
"""Bytes of an entry of the directory."""
_OWN_SECTORS = 4_096
"""Bytes from which a stream has sectors of its own. No workbook with a table of ours is smaller."""

_BOF, _EOF = 0x0809, 0x000A
_BOUNDSHEET, _FORMULA, _BOOLERR = 0x0085, 0x0006, 0x0205
_RESULTS: dict[int, Hidden] = {2: "error", 3: "formula"}
"""Results of a formula that read as an empty cell: an error, and none."""


@dataclass(frozen=True)
class CompoundFile:
    """The bytes of an .xls file."""

    data: bytes
    _hidden: dict[str, dict[tuple[int, int], Hidden]] = field(default_factory=dict, init=False, repr=False)

    def behind_an_empty_cell(self, sheet: str, row: int, column: int) -> Hidden | None:
        """What a cell that reads as empty holds: a formula without a result, an error, or nothing."""
        if sheet not in self._hidden:  # a sheet may have thousands of empty cells
            self._hidden[sheet] = _hidden_cells(self._workbook, sheet)
        return self._hidden[sheet].get((row, column))

    @cached_property
    def _workbook(self) -> bytes:
        return _workbook(self.data)


def _hidden_cells(workbook: bytes, sheet: str) -> dict[tuple[int, int], Hidden]:
    found: dict[tuple[int, int], Hidden] = {}
    records = _records(workbook, _beginning_of(sheet, workbook))
    if next(records, (0, b""))[0] != _BOF:
        return found
    for kind, content in records:
        if kind in (_BOF, _EOF):  # what begins inside of a sheet is a chart: its cells are not those of the sheet
            break
        if kind == _FORMULA and content[12:14] == b"\xff\xff" and content[6] in _RESULTS:
            found[struct.unpack_from("<HH", content)] = _RESULTS[content[6]]
        elif kind == _BOOLERR and content[7:8] == b"\x01":
            found[struct.unpack_from("<HH", content)] = "error"
    return found


def _beginning_of(sheet: str, workbook: bytes) -> int:
    """Where a sheet's records begin; the workbook's end where there is no such sheet."""
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
    # Compressed means that the higher byte of each character is 0 and left out.
    return boundsheet[8:].decode("utf-16-le" if boundsheet[7:8] == b"\x01" else "latin-1", "replace")


def _records(workbook: bytes, position: int) -> Iterator[tuple[int, bytes]]:
    while position + 4 <= len(workbook):
        kind, length = struct.unpack_from("<HH", workbook, position)
        position += 4 + length
        yield kind, workbook[position - length : position]


def _workbook(data: bytes) -> bytes:
    """The stream with the workbook's records; empty where there is none."""
    size = 1 << min(max(int.from_bytes(data[30:32], "little"), 9), 12)
    table = _table(data, size)
    directory = _stream(data, size, table, _number(data, 48))
    streams: dict[str, tuple[int, int]] = {}
    for start in range(0, len(directory), _ENTRY):
        name = directory[start : start + 64].decode("utf-16-le", "replace").partition("\0")[0]
        streams.setdefault(name, (_number(directory, start + 116), _number(directory, start + 120)))
    first, length = streams.get("Workbook") or streams.get("Book") or (0, 0)
    return _stream(data, size, table, first)[:length] if length >= _OWN_SECTORS else b""


def _table(data: bytes, size: int) -> list[int]:
    """Which sector follows on each. The table lies in sectors itself: the header names the first 109 of them."""
    needed = len(data) * 4 // size**2 + 1
    parts = list(_numbers(data[76:512]))
    more = _number(data, 68)
    while len(parts) < needed and (listed := _numbers(_sector(data, size, more))):
        parts += listed[:-1]
        more = listed[-1]
    return [number for part in parts[:needed] for number in _numbers(_sector(data, size, part))]


def _stream(data: bytes, size: int, table: list[int], first: int) -> bytes:
    parts: list[bytes] = []
    while first < len(table) and len(parts) < len(table):
        parts.append(_sector(data, size, first))
        first = table[first]
    return b"".join(parts)


def _sector(data: bytes, size: int, number: int) -> bytes:
    return data[(number + 1) * size : (number + 2) * size]


def _number(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 4], "little")


def _numbers(data: bytes) -> tuple[int, ...]:
    count = len(data) // 4
    return struct.unpack(f"<{count}I", data[: count * 4])
