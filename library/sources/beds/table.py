"""What both tables have in common: the columns of codes and names, and rows of organisations or England."""

import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from library.sources.beds.contracts import HeaderUnknown, OrganisationRepeated, OrganisationUnreadable, PeriodMissing
from library.sources.beds.grid import DASHES, Cell, Grid, Row, label, number_in_text, plain, text
from library.sources.beds.marks import Unmarked, shown, unmarked
from library.sources.beds.names import ParentKind
from library.sources.beds.period import Quarter, quarter_of_row

_ROLES = {
    "year": "year",
    "financial year": "year",
    "period": "period",
    "period end": "period",
    "period ending": "period",
    "quarter": "period",
    "sha code": "parent",
    "strategic health authority code": "parent",
    "at code": "parent",
    "area team code": "parent",
    "region code": "parent",
    "org code": "code",
    "organisation code": "code",
    "organization code": "code",
    "provider code": "code",
    "org name": "name",
    "organisation name": "name",
    "organization name": "name",
    "provider name": "name",
}
_PARENT_KINDS: dict[str, ParentKind] = {
    "sha code": "strategic_health_authority",
    "strategic health authority code": "strategic_health_authority",
    "at code": "area_team",
    "area team code": "area_team",
    "region code": "region",
}
_HEADER_ROWS = 200
"""The header is searched in this many rows from the top."""

_CODE = re.compile(r"[A-Z0-9]{3,5}")
_SMALL_AT_AN_END = re.compile(r"[a-z]{1,2}[A-Z0-9]+|[A-Z0-9]+[a-z]{1,2}")
_CODE_CELL, _NAME_CELL = "organisation's code", "organisation's name"
_CORRECT_CODE = "Correct the code in a spreadsheet program: delete the mark, or write all letters as capitals."
_NO_PARENT = DASHES | {""}
_NEVER_CODES = frozenset({"TOTAL", "NOTE", "NOTES", "CODE", "KEY"})


@dataclass(frozen=True, slots=True)
class Header:
    """The positions of a table's header and of its columns of codes and names; indices from 0.

    Attributes:
        year, period: `None` if the table does not have them. The lines above it may name the quarter.
    """

    row: int
    year: int | None
    period: int | None
    parent: int
    parent_kind: ParentKind
    code: int
    name: int

    @property
    def data(self) -> int:
        """The first column of numbers."""
        return max(self.code, self.name, self.parent, self.year or 0, self.period or 0) + 1


class TableRow(NamedTuple):
    """A row of the table, with its kind; code, name and parent without footnote marks.

    Attributes:
        warnings: about the footnote marks.
    """

    kind: Literal["organisation", "england", "unidentified"]
    position: int
    code: str
    name: str
    parent: str
    warnings: tuple[str, ...]


def find_header_row(grid: Grid) -> int | None:
    """The first row that can be the header of a table by organisation.

    It has a header for organisation codes, or headers for parent codes and organisation names (then the header for
    codes is unknown). A table by region has no organisation names; a national series has no codes.
    """
    for index, row in enumerate(grid.rows[:_HEADER_ROWS]):
        roles = {_ROLES.get(label(cell)) for cell in row if isinstance(cell, str) and cell}
        if "code" in roles or {"parent", "name"} <= roles:
            return index
    return None


def read_header(grid: Grid, row: int) -> Header:
    """Find the columns of codes and names in a header row.

    Raises:
        HeaderUnknown: one of them is missing, or is there twice.
    """
    columns: dict[str, int] = {}
    for column, cell in enumerate(grid.rows[row]):
        role = _ROLES.get(label(cell))
        if role is None:
            continue
        if role in columns:
            raise grid.error(HeaderUnknown, f"There are two columns for the {_described(role)}.", row, column)
        columns[role] = column
    for role in ("parent", "code", "name"):
        if role not in columns:
            raise grid.error(HeaderUnknown, f"There is no known header for the column of the {_described(role)}.", row)
    return Header(
        row=row,
        year=columns.get("year"),
        period=columns.get("period"),
        parent=columns["parent"],
        parent_kind=_PARENT_KINDS[label(grid.rows[row][columns["parent"]])],
        code=columns["code"],
        name=columns["name"],
    )


def unread_headers(grid: Grid, header: Header) -> Iterator[str]:
    """A warning for each unknown header before the columns of numbers. Such a column is not read."""
    for cell in grid.rows[header.row][: header.data]:
        if label(cell) and label(cell) not in _ROLES:
            yield f"The column '{shown(text(cell))[:100]}' of sheet '{grid.name}' is not read."


def marked_headers(grid: Grid, row: int, known: Container[str] | None = None) -> Iterator[str]:
    """A warning for each header of a row with a footnote mark; only for the known ones if these are given."""
    for column, cell in enumerate(grid.rows[row]):
        if known is None or label(cell) in known:
            yield from grid.mark_warning(unmarked(text(cell)), "header", row, column)


def table_rows(grid: Grid, header: Header, numbers: Sequence[int]) -> Iterator[TableRow]:
    """The rows below the header that belong to the table, without blank rows, notes and footers.

    A blank row does not end the table: there is one between England and the organisations, and there may be others in
    an edited workbook. A row with beds is never skipped without an error.

    Args:
        grid: the sheet.
        header: the columns of codes and names.
        numbers: the columns with beds.

    Raises:
        OrganisationUnreadable: a row has beds, but no valid organisation code.
        OrganisationRepeated: two rows have the same code.
    """
    seen: dict[str, int] = {}
    for index in range(header.row + 1, len(grid.rows)):
        row = grid.rows[index]
        found = unmarked(text(row[header.code]), inside=False)
        code = "" if found.text in DASHES else found.text.upper()
        name = unmarked(text(row[header.name]))
        has_beds = any(_is_number(row[column]) for column in numbers)
        if name.text.casefold() == "england" or (not name.text and code == "ENGLAND"):
            marks = _mark_warnings(grid, index, (found, _CODE_CELL, header.code), (name, _NAME_CELL, header.name))
            yield TableRow("england", index, "", name.text, "", marks)
        elif _CODE.fullmatch(code) and code not in _NEVER_CODES and (has_beds or _is_dated(row, header)):
            _check_capitals(grid, found.text, index, header.code)
            if code in seen:
                message = f"The same organisation code is in row {seen[code] + 1}."
                raise grid.error(OrganisationRepeated, message, index, header.code)
            seen[code] = index
            parent = unmarked(text(row[header.parent]), inside=False)
            _check_capitals(grid, parent.text, index, header.parent)
            warnings: tuple[str, ...] = ()
            if found.marks or name.marks or parent.marks:
                warnings = _mark_warnings(
                    grid,
                    index,
                    (found, _CODE_CELL, header.code),
                    (name, _NAME_CELL, header.name),
                    (parent, "parent's code", header.parent),
                )
            parent_code = parent.text.upper()
            if not _CODE.fullmatch(parent_code) and parent_code not in _NO_PARENT:
                cell = grid.place(index, header.parent)
                warnings += (f"The parent's code is not one of 3 to 5 letters and digits ({cell}).",)
            yield TableRow("organisation", index, code, name.text, parent_code, warnings)
        elif has_beds:
            if code or not isinstance(row[header.code], str):
                message = "A row has beds, but its organisation code is not one of 3 to 5 letters and digits."
                raise grid.error(OrganisationUnreadable, message, index, header.code)
            yield TableRow("unidentified", index, "", name.text, "", ())


def _check_capitals(grid: Grid, code: str, row: int, column: int) -> None:
    """Refuse a code like `RZ1a`: its small letter may be a footnote mark, or a part of the code."""
    if not (code.isupper() or code.islower()) and _SMALL_AT_AN_END.fullmatch(code):
        message = "The code has capital letters, and a small one that may be a footnote mark."
        raise grid.error(OrganisationUnreadable, message, row, column, advice=_CORRECT_CODE)


def _mark_warnings(grid: Grid, index: int, *cells: tuple[Unmarked, str, int]) -> tuple[str, ...]:
    """The warnings about footnote marks of a row: of each cell the text, what it is, and its column."""
    return tuple(warning for found, what, column in cells for warning in grid.mark_warning(found, what, index, column))


class RowQuarters:
    """Collects the quarters of a table's rows, and decides the workbook's quarter."""

    def __init__(self, grid: Grid, header: Header) -> None:
        self._grid = grid
        self._header = header
        self._warnings: list[str] = []
        self._known: dict[tuple[Cell, Cell], Quarter | None] = {}
        self._count: Counter[Quarter] = Counter()
        self._of_row: dict[int, Quarter | None] = {}

    def add(self, index: int) -> None:
        """Add the quarter of a row. A row without year and period is not counted."""
        row = self._grid.rows[index]
        year = "" if self._header.year is None else row[self._header.year]
        period = "" if self._header.period is None else row[self._header.period]
        if year == "" and period == "":
            return
        if (year, period) not in self._known:
            for cell, what, column in ((year, "year", self._header.year), (period, "period", self._header.period)):
                self._warnings += self._grid.mark_warning(unmarked(text(cell)), what, index, column or 0)
            self._known[year, period] = quarter_of_row(year, self._grid.day(period))
        quarter = self._known[year, period]
        self._of_row[index] = quarter
        if quarter:
            self._count[quarter] += 1

    def decide(self, above: Quarter | None) -> tuple[Quarter, list[str]]:
        """The workbook's quarter: that of more than half of the rows, or that of the lines above if no row has one.

        Returns:
            The quarter, and warnings: about lines with another quarter, and about the first cell of each year and
            period that has a footnote mark.

        Raises:
            PeriodMissing: there is no quarter, or no quarter has more than half of the rows.
        """
        if not self._count:
            if above is None:
                raise PeriodMissing(
                    "Neither the rows nor the lines above them state a year and a quarter.", sheet=self._grid.name
                )
            missing = "No row states a year and a quarter. Those of the lines above the table were used."
            return above, [missing, *self._warnings]
        quarter, rows = self._count.most_common(1)[0]
        if 2 * rows <= len(self._of_row):
            raise PeriodMissing("The rows state different quarters, and none is in most rows.", sheet=self._grid.name)
        if above not in (None, quarter):
            other = "The lines above the table state another quarter than its rows. That of the rows was used."
            return quarter, [other, *self._warnings]
        return quarter, self._warnings

    def is_odd(self, index: int, quarter: Quarter) -> bool:
        """Whether a row states another quarter than the workbook's."""
        return index in self._of_row and self._of_row[index] != quarter


def _described(role: str) -> str:
    return {
        "parent": "parent's code (SHA, AT or region)",
        "code": "organisation's code",
        "name": "organisation's name",
    }.get(role, role)


def _is_dated(row: Row, header: Header) -> bool:
    return any(column is not None and row[column] != "" for column in (header.year, header.period))


def _is_number(cell: Cell) -> bool:
    if isinstance(cell, str):
        return bool(cell) and number_in_text(plain(cell)) is not None
    return isinstance(cell, int | float) and not isinstance(cell, bool)
