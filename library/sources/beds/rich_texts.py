"""Finds texts of an .xls file that have footnote marks as superscript runs.

The texts of all cells are in one table (SST), which continues over several records. A text lists its runs: the first
character of each, and its font. A number in the file may be wrong. Then the search ends, and later texts have no marks.
"""

import struct
from collections.abc import Iterable, Iterator

from library.sources.beds.marks import RUN_END, RUN_START, are_marks

_FONT, _SST, _CONTINUE = 0x0031, 0x00FC, 0x003C
_WIDE, _EXTENDED, _RICH = 0x01, 0x04, 0x08
_RAISED_OR_LOWERED = (1, 2)


def texts_with_marks(records: Iterable[tuple[int, bytes]]) -> dict[int, str]:
    """By its number in the table, each text that has marks; a mark stands between `RUN_START` and `RUN_END`.

    Args:
        records: the kinds and contents of the workbook's own records.
    """
    moved: set[int] = set()
    fonts, before = 0, 0
    table: list[bytes] = []
    for kind, content in records:
        if kind == _FONT:
            if int.from_bytes(content[8:10], "little") in _RAISED_OR_LOWERED:
                moved.add(fonts if fonts < 4 else fonts + 1)  # no font has the number 4
            fonts += 1
        elif kind == _SST or (kind == _CONTINUE and before == _SST):
            table.append(content)
        before = _SST if kind == _CONTINUE and before == _SST else kind
    if not moved or not table:
        return {}
    found = {}
    for number, (text, runs) in enumerate(_texts(table)):
        if any(font in moved for _, font in runs) and (marked := _marked(text, runs, moved)):
            found[number] = marked
    return found


def _marked(text: bytes, runs: list[tuple[int, int]], moved: set[int]) -> str:
    """The text with its marks set apart; empty if it has none. Positions are counted in units of UTF-16."""
    starts = [0, *(start for start, _ in runs), len(text) // 2]
    fonts = [-1, *(font for _, font in runs)]  # the cell's own font comes first
    parts = [
        (text[2 * start : 2 * end].decode("utf-16-le", "replace"), font in moved)
        for start, end, font in zip(starts, starts[1:], fonts, strict=False)
    ]
    marks = are_marks(parts)
    if not any(marks):
        return ""
    return "".join(
        f"{RUN_START}{part}{RUN_END}" if is_mark else part for (part, _), is_mark in zip(parts, marks, strict=True)
    )


def _texts(table: list[bytes]) -> Iterator[tuple[bytes, list[tuple[int, int]]]]:
    """Each text as UTF-16, with its runs: the first character and the number of the font."""
    reading = _Continued([table[0][8:], *table[1:]])
    try:
        while True:
            count, flags = struct.unpack("<HB", reading.take(3))
            runs = int.from_bytes(reading.take(2), "little") if flags & _RICH else 0
            extension = int.from_bytes(reading.take(4), "little") if flags & _EXTENDED else 0
            text = reading.characters(count, wide=bool(flags & _WIDE))
            yield text, [struct.unpack("<HH", reading.take(4)) for _ in range(runs)]
            reading.take(extension)
    except EOFError:
        return


class _Continued:
    """Reads bytes from several records as if they were one."""

    def __init__(self, records: list[bytes]) -> None:
        self._records = records
        self._position = 0

    def take(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            taken += self._part(count - len(taken))
        return taken

    def characters(self, count: int, *, wide: bool) -> bytes:
        """Characters as UTF-16. Each further record begins with a byte that says how wide its characters are."""
        text = b""
        while len(text) < 2 * count:
            if self._position >= len(self._records[0]):
                wide = bool(self.take(1)[0] & _WIDE)
            part = self._part((2 if wide else 1) * (count - len(text) // 2))
            text += part if wide else part.decode("latin-1").encode("utf-16-le")
        return text

    def _part(self, most: int) -> bytes:
        """At least one byte, and at most to the end of a record."""
        while self._position >= len(self._records[0]):
            if len(self._records) == 1:
                raise EOFError
            del self._records[0]
            self._position = 0
        part = self._records[0][self._position : self._position + most]
        self._position += len(part)
        return part
