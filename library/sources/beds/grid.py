"""Reads the sheets of a workbook (.xlsx or .xls) as grids of cells, and the numbers and texts of cells."""

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

from library.sources.beds.compound_file import CompoundFile
from library.sources.beds.container import Container, open_container
from library.sources.beds.contracts import (
    FormulaWithoutValue,
    NumberExpected,
    PasswordProtected,
    SheetTooLarge,
    WorkbookDamaged,
    WorkbookRejected,
)
from library.sources.beds.extent import Extent, column_letters, sheet_too_large
from library.sources.beds.marks import Unmarked, shown, unmarked

MAX_SHEETS = 50
"""Most sheets of a workbook. The publisher's have 3 or 4."""

Cell = int | float | str | bool | dt.time | dt.date | dt.datetime | dt.timedelta
Row = Sequence[Cell]

DASHES = frozenset("-\u2010\u2011\u2012\u2013\u2014\u2212")
"""Number formats for accounts show zero as a dash. Some programs save the dash as text."""

_NUMBER = re.compile(r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)?(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_EPOCH_1900, _EPOCH_1904 = dt.date(1899, 12, 30), dt.date(1904, 1, 1)
_DELETE_MARK = "Delete the mark from the cell in a spreadsheet program, and send the workbook again."
_YEARS_OF_DAY_NUMBERS = range(2000, 2100)
"""Numbers that are no days of these years are not read as dates."""


@dataclass(frozen=True, slots=True)
class Grid:
    """One sheet.

    Attributes:
        name: the name on the sheet's tab.
        rows: all rows from the first, with equal numbers of cells, so indices are positions in the sheet.
        visible: whether the sheet is not hidden.
        container: the raw bytes, to look up single cells.
    """

    name: str
    rows: Sequence[Row]
    visible: bool
    container: Container

    def beds_of_row(self, row: int, columns: Sequence[int], *, above: float | None = None) -> Sequence[float | None]:
        """The numbers of beds in some cells of a row (at least two); see `beds`.

        A workbook has about 20,000 cells, and nearly all rows have plain numbers only. Such rows are checked as a
        whole, which is faster.
        """
        cells: Sequence[Cell] = itemgetter(*columns)(self.rows[row])
        if set(map(type, cells)) == {float}:
            numbers = cast("Sequence[float]", cells)
            if min(numbers) >= 0 and math.isfinite(sum(numbers)):
                return numbers
        return [self.beds(row, column, above=above) for column in columns]

    def beds(self, row: int, column: int, *, above: float | None = None) -> float | None:
        """The number of beds in a cell; `None` for an empty cell.

        A dash is zero, since the publisher's number format shows zero as a dash, and some programs save that as text.
        Text is read only if it is clearly a number: `1,827.5`, but not `1827,5`.

        Args:
            row: the row's index, from 0.
            column: the column's index, from 0.
            above: negative numbers are accepted if they are greater than this.

        Raises:
            NumberExpected: the cell has something else, or a number that is not possible for beds.
            FormulaWithoutValue: the cell has a formula that was never calculated.
            WorkbookDamaged: the cell is empty, and the sheet's XML cannot be read.
        """
        cell = self.rows[row][column]
        if isinstance(cell, str):
            content = text(cell)
            if not content:
                hidden = self.container.hidden_content(self.name, row, column)
                if hidden == "formula":
                    raise self.error(FormulaWithoutValue, "A formula has no stored result.", row, column)
                if hidden == "error":
                    raise self.error(NumberExpected, "The cell has an error instead of a number.", row, column)
                return None
            if content in DASHES:
                return 0.0
            number = number_in_text(content)
            if number is None:
                raise self._no_number(content, row, column)
        elif isinstance(cell, bool) or not isinstance(cell, int | float):
            kind = "true or false" if isinstance(cell, bool) else "a date or time"
            raise self.error(NumberExpected, f"The cell has {kind} instead of a number.", row, column)
        else:
            number = float(cell)
        if not math.isfinite(number):
            raise self.error(NumberExpected, "The number is not finite.", row, column)
        if number < 0 and (above is None or number <= above):
            raise self.error(NumberExpected, "The number is negative.", row, column)
        return number

    def _no_number(self, content: str, row: int, column: int) -> WorkbookRejected:
        # The number is not read without its mark: a mark may say that the number is an estimate, or is withheld.
        number, marks = unmarked(content)
        if marks and (number in DASHES or number_in_text(number) is not None):
            message = "The cell has a footnote mark beside its number."
            return self.error(NumberExpected, message, row, column, advice=_DELETE_MARK)
        message = f"The cell has a text of {len(shown(content))} characters instead of a number."
        return self.error(NumberExpected, message, row, column)

    def day(self, cell: Cell) -> Cell:
        """The date of a number that counts days, in the workbook's date system; any other cell unchanged.

        A date in a cell that is not formatted as a date is such a number.
        """
        if not isinstance(cell, int | float) or isinstance(cell, bool) or not 0 < cell < 100_000:
            return cell
        epoch = _EPOCH_1904 if self.container.dates_from_1904 else _EPOCH_1900
        day = epoch + dt.timedelta(days=int(cell))
        return day if day.year in _YEARS_OF_DAY_NUMBERS else cell

    def place(self, row: int, column: int) -> str:
        """The words for a cell's place: `cell E18 of sheet 'NHS Trust by Sector'`."""
        return f"cell {column_letters(column)}{row + 1} of sheet '{self.name}'"

    def mark_warning(self, found: Unmarked, what: str, row: int, column: int) -> list[str]:
        """The warning about a cell whose footnote marks were taken off, if it has any; `what` names its content."""
        if not found.marks:
            return []
        marks = ", ".join(f"'{mark}'" for mark in found.marks)
        return [f"C{self.place(row, column)[1:]} has a footnote mark ({marks}), which is no part of the {what}."]

    def error(
        self, kind: type[WorkbookRejected], message: str, row: int, column: int | None = None, *, advice: str = ""
    ) -> WorkbookRejected:
        """Make an error with its sheet, row and column as Excel counts them."""
        letters = None if column is None else column_letters(column)
        return kind(message, sheet=self.name, row=row + 1, column=letters, advice=advice)


def text(cell: Cell) -> str:
    """A cell's text without blanks around it, and with single blanks inside (no-break spaces are blanks)."""
    if not isinstance(cell, str):
        return ""
    return cell if cell.isalnum() else " ".join(cell.split())  # most texts are codes without blanks


def plain(cell: Cell) -> str:
    """A cell's text without footnote marks."""
    return unmarked(text(cell)).text


def label(cell: Cell) -> str:
    """A text for comparing headers: lower case, without footnote marks and final colon, with `and` for `&`."""
    return _label(cell) if isinstance(cell, str) and cell else ""


@lru_cache(maxsize=1_000)  # a workbook repeats its few headers in each sheet
def _label(cell: str) -> str:
    content = plain(plain(cell).rstrip(": "))  # a colon may be before or behind the mark
    return " ".join(content.rstrip(": ").replace("&", " and ").casefold().split())


def number_in_text(content: str) -> float | None:
    """The number in a text, with commas or blanks between thousands; `None` if the text is not a number."""
    if not content[-1:].isdigit() or not _NUMBER.fullmatch(content):
        return None
    return float(content.replace(",", "").replace(" ", ""))


def read_grids(data: bytes) -> list[Grid]:
    """Read all worksheets of a workbook, in order.

    Raises:
        WorkbookRejected: the bytes cannot be read as sheets; the subclass states the reason.
    """
    container = open_container(data)
    try:
        return _read_grids(container)
    except (PasswordProtected, SheetTooLarge, MemoryError, KeyboardInterrupt, SystemExit):
        raise
    except PasswordError as error:
        raise PasswordProtected("The workbook is encrypted with a password.") from error
    except BaseException as error:  # noqa: BLE001 - a panic of the library is not an Exception
        # The library's text may quote the file, so only the error's type is kept.
        raise WorkbookDamaged(f"The workbook's content cannot be decoded ({type(error).__name__}).") from None


def _read_grids(container: Container) -> list[Grid]:
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(container.data))
    sheets = [sheet for sheet in workbook.sheets_metadata if sheet.typ == SheetTypeEnum.WorkSheet]
    if len(sheets) > MAX_SHEETS:
        raise SheetTooLarge(f"The workbook has {len(sheets):,} sheets; at most {MAX_SHEETS} are read.")
    return [
        Grid(
            name=sheet.name,
            rows=_with_marks(_rows(workbook.get_sheet_by_name(sheet.name)), container, sheet.name),
            visible=sheet.visible == SheetVisibleEnum.Visible,
            container=container,
        )
        for sheet in sheets
    ]


def _with_marks(rows: list[list[Cell]], container: Container, sheet: str) -> Sequence[Row]:
    """The rows of a sheet. In an .xlsx file, the runs were set apart before."""
    if isinstance(container, CompoundFile):
        for (row, column), content in container.rich_texts(sheet).items():
            if row < len(rows) and column < len(rows[row]):
                rows[row][column] = content
    return rows


def _rows(sheet: CalamineSheet) -> list[list[Cell]]:
    if sheet.end is None:
        return []
    extent = Extent(sheet.end[0] + 1, sheet.end[1] + 1)
    if extent.too_large:
        raise sheet_too_large(extent, sheet=sheet.name)
    return sheet.to_python(skip_empty_area=False)
