"""The sheets of a workbook as grids of cells, whatever the format, with the meaning of single cells."""

import datetime as dt
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import cast

from python_calamine import CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

from library.sources.beds.container import (
    Container,
    Extent,
    column_letters,
    open_container,
    sheet_too_large,
)
from library.sources.beds.contracts import (
    FormulaWithoutValue,
    NumberExpected,
    PasswordProtected,
    SheetTooLarge,
    WorkbookDamaged,
    WorkbookRejected,
)

MAX_SHEETS = 50
"""Sheets of a workbook; the publisher's have 3 or 4."""

Cell = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta
Row = Sequence[Cell]

DASHES = frozenset("-\u2010\u2011\u2012\u2013\u2014\u2212")
"""How number formats for accounts show a zero, once a program has turned the cell into text."""

_NUMBER = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)?(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_FOOTNOTE = re.compile(r"(?:\s*(?:\[notes? \d+\]|\(\d+\)|\*+|:))+$")


@dataclass(frozen=True, slots=True)
class Grid:
    """One sheet.

    Attributes:
        name: as its tab says.
        rows: all rows from the first, each with as many cells, so that indices are positions in the sheet.
        visible: whether a person sees the sheet.
        container: where the raw bytes of a cell can be asked for.
    """

    name: str
    rows: Sequence[Row]
    visible: bool
    container: Container

    def beds_of_row(self, row: int, columns: Sequence[int], *, above: float | None = None) -> Sequence[float | None]:
        """The numbers of beds in some cells of a row (at least two); see `beds`.

        Nearly all rows hold plain numbers throughout, and a workbook has some 20,000 cells: such rows are judged as a
        whole.
        """
        cells: Sequence[Cell] = itemgetter(*columns)(self.rows[row])
        if set(map(type, cells)) == {float}:
            numbers = cast("Sequence[float]", cells)
            if min(numbers) >= 0 and math.isfinite(sum(numbers)):
                return numbers
        return [self.beds(row, column, above=above) for column in columns]

    def beds(self, row: int, column: int, *, above: float | None = None) -> float | None:
        """The number of beds in a cell (row and column from 0); `None` for an empty one.

        A dash is a zero: the publisher's number format shows zero so, and programs that save what is shown write it as
        a text. An empty cell is left to the caller. Text is read where it is a number beyond doubt: `1,827.5`, not
        `1827,5`.

        Args:
            row: from 0.
            column: from 0.
            above: negative numbers are taken where they are greater than this one.

        Raises:
            NumberExpected: it holds something else, or a number that beds cannot have.
            FormulaWithoutValue: it holds a formula that was never calculated.
            WorkbookDamaged: it is empty, and the sheet's XML cannot be read.
        """
        cell = self.rows[row][column]
        if isinstance(cell, str):
            content = text(cell)
            if not content:
                hidden = self.container.behind_an_empty_cell(self.name, row, column)
                if hidden == "formula":
                    raise self.error(FormulaWithoutValue, "A formula has no stored result.", row, column)
                if hidden == "error":
                    raise self.error(NumberExpected, "An error stands where a number belongs.", row, column)
                return None
            if content in DASHES:
                return 0.0
            number = number_in_text(content)
            if number is None:
                message = f"A text of {len(content)} characters stands where a number belongs."
                raise self.error(NumberExpected, message, row, column)
        elif isinstance(cell, bool) or not isinstance(cell, int | float):
            kind = "A truth value" if isinstance(cell, bool) else "A date or time"
            raise self.error(NumberExpected, f"{kind} stands where a number belongs.", row, column)
        else:
            number = float(cell)
        if not math.isfinite(number):
            raise self.error(NumberExpected, "The number is not finite.", row, column)
        if number < 0 and (above is None or number <= above):
            raise self.error(NumberExpected, "The number is negative.", row, column)
        return number

    def error(
        self, kind: type[WorkbookRejected], message: str, row: int, column: int | None = None
    ) -> WorkbookRejected:
        """An error that says where it happened, as Excel counts."""
        letters = None if column is None else column_letters(column)
        return kind(message, sheet=self.name, row=row + 1, column=letters)


def text(cell: Cell) -> str:
    """A cell's text without the blanks around it, and with single plain ones in it (no-break spaces are blanks)."""
    if not isinstance(cell, str):
        return ""
    return cell if cell.isalnum() else " ".join(cell.split())  # most are codes, with no blank in them


def label(cell: Cell) -> str:
    """A text as headers are compared: without case, footnote marks, trailing colon, and with `&` as `and`."""
    return _label(cell) if isinstance(cell, str) and cell else ""


@lru_cache(maxsize=1_000)  # a workbook repeats its few headers in each sheet
def _label(cell: str) -> str:
    content = text(cell)
    return " ".join(_FOOTNOTE.sub("", content).replace("&", " and ").casefold().split())


def number_in_text(content: str) -> float | None:
    """The number that a text shows, with thousands separated by commas or blanks; `None` where it is none."""
    if not content[-1:].isdigit() or not _NUMBER.fullmatch(content):
        return None
    return float(content.replace(",", "").replace(" ", ""))


def read_grids(data: bytes) -> list[Grid]:
    """All worksheets of a workbook, in its order.

    Raises:
        WorkbookRejected: one of its types that tell why the bytes cannot be read as sheets of cells.
    """
    container = open_container(data)
    try:
        return _read_grids(container)
    except (PasswordProtected, SheetTooLarge, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except PasswordError as error:
        raise PasswordProtected("The workbook is encrypted with a password.") from error
    except BaseException as error:  # noqa: BLE001 - a panic of the library is not an Exception
        # The library's own words may quote the file, so that only the kind of error goes on.
        raise WorkbookDamaged(f"The workbook's content cannot be decoded ({type(error).__name__}).") from None


def _read_grids(container: Container) -> list[Grid]:
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(container.data))
    sheets = [sheet for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    if len(sheets) > MAX_SHEETS:
        raise SheetTooLarge(f"The workbook has {len(sheets):,} sheets; at most {MAX_SHEETS} are read.")
    return [
        Grid(
            name=sheet.name,
            rows=_rows(workbook.get_sheet_by_name(sheet.name)),
            visible=sheet.visible == SheetVisibleEnum.Visible,
            container=container,
        )
        for sheet in sheets
    ]


def _rows(sheet: CalamineSheet) -> Sequence[Row]:
    if sheet.end is None:
        return []
    extent = Extent(sheet.end[0] + 1, sheet.end[1] + 1)
    if extent.too_large:
        raise sheet_too_large(extent, sheet=sheet.name)
    return sheet.to_python(skip_empty_area=False)
