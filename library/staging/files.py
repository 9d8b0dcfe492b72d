"""Writes typed values or text as staged CSV that Postgres accepts.

Each column type has an encoder, which is stricter than Postgres. It refuses `today`, `now`, `infinity` and NaN, days
that do not exist, numbers outside of the type's range, and NUL. A refused row goes to the rejections, with all reasons.
"""

import csv
import math
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TextIO
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Double,
    Integer,
    SmallInteger,
    Text,
    Uuid,
)

from library.datasets.declaration import Dataset
from library.datasets.sql import LINE, PARENT

RAW_LIMIT = 64 * 1024
"""Maximum bytes of a refused row that are stored. A longer row can be found in the landed object, by its line."""

type Cell = str | int | float | None
type Encoder = Callable[[Any], Cell]

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.*", re.ASCII)


def staged_columns(dataset: Dataset) -> tuple[str, ...]:
    """The header of the dataset's staged CSV."""
    parent = (PARENT,) if dataset.parent else ()
    return (LINE, *parent, *(column.name for column in dataset.columns))


class Staging:
    """A folder of staged CSV files, one for each dataset, and one for rejections.

    Attributes:
        rows: the number of rows in the file of each dataset.
        refused: the number of refused rows. If it is 0, there is no file of rejections.
    """

    def __init__(self, folder: Path, datasets: Iterable[Dataset]) -> None:
        self._folder = folder
        self._datasets = tuple(datasets)
        self._stack = ExitStack()
        self.rows: dict[str, int] = {}
        self.refused = 0

    def __enter__(self) -> Self:
        self._writers = {}
        for dataset in self._datasets:
            file = self._open(f"{dataset.name}.csv")
            writer = csv.writer(file, quoting=csv.QUOTE_STRINGS, lineterminator="\n")
            writer.writerow(staged_columns(dataset))
            self._writers[dataset.name] = (file, writer, tuple(_encoder(column) for column in dataset.columns))
            self.rows[dataset.name] = 0
        self._rejections: Any = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add(self, dataset: Dataset, row: NamedTuple, *, line: int, parent: int | None = None, raw: bytes = b"") -> bool:
        """Stage a row, or refuse it.

        Args:
            dataset: the dataset of the row.
            row: the dataset's `row`. Each cell has the column's type, or is text in the form of that type.
            line: the line of the landed object, from 1. Rows of a parent must have different lines.
            parent: the line of the parent's row, for a child.
            raw: the original form of the row; it is stored if the row is refused.

        Returns:
            Whether the row was staged.
        """
        if type(row) is not dataset.row:
            raise _wrong_type(dataset, type(row))
        return self._add(dataset, row, line=line, parent=parent, raw=raw)

    def _add(self, dataset: Dataset, row: Sequence[object], *, line: int, parent: int | None, raw: bytes = b"") -> bool:
        _, writer, encoders = self._writers[dataset.name]
        cells: list[Cell] = [line] if dataset.parent is None else [line, parent]
        try:
            cells += [encode(value) for encode, value in zip(encoders, row, strict=True)]
        except _CellRefused:
            self.refuse(dataset, _reasons(dataset, encoders, row), line=line, raw=raw)
            return False
        self.rows[dataset.name] += 1
        writer.writerow(cells)
        return True

    def add_columns(
        self,
        dataset: Dataset,
        columns: NamedTuple,
        *,
        lines: Sequence[int],
        parent: int | None = None,
    ) -> bool:
        """Stage many rows like `add`, at a fraction of its cost if they are plain; returns whether all were staged.

        Args:
            dataset: the dataset of the rows.
            columns: the dataset's `row`, with a sequence of cells for each column; see `add`.
            lines: the lines of the landed object, one for each row.
            parent: the line of the parent's row, for children of one parent.
        """
        if type(columns) is not dataset.row:
            raise _wrong_type(dataset, type(columns))
        file, _, encoders = self._writers[dataset.name]
        try:
            encoded = [
                _encoded(column, encode, values)
                for column, encode, values in zip(dataset.columns, encoders, columns, strict=True)
            ]
        except _CellRefused:
            rows = zip(lines, zip(*columns, strict=True), strict=True)
            staged = [self._add(dataset, row, line=line, parent=parent) for line, row in rows]
            return all(staged)
        places = [_each_once(str, lines)] + ([] if dataset.parent is None else [[str(parent)] * len(lines)])
        file.write("".join([f"{row}\n" for row in map(",".join, zip(*places, *encoded, strict=True))]))
        self.rows[dataset.name] += len(lines)
        return True

    def add_cells(
        self,
        dataset: Dataset,
        row: type[NamedTuple],
        cells: Sequence[Cell],
        *,
        line: int,
        parent: int | None = None,
    ) -> None:
        """Stage a row whose cells are encoded already. The reader is responsible for correct cells.

        This is for readers of many wide rows, whose decoder has already checked types, UTF-8 and finite numbers.
        Encoding each cell again would take half of their time.

        Args:
            dataset: the dataset of the row.
            row: the dataset's `row`; the cells have its order.
            cells: one for each column.
            line: see `add`.
            parent: see `add`.
        """
        if row is not dataset.row:
            raise _wrong_type(dataset, row)
        _, writer, encoders = self._writers[dataset.name]
        if len(cells) != len(encoders):
            raise ValueError(f"{dataset.name} has {len(encoders)} staged columns, not {len(cells)}")
        self.rows[dataset.name] += 1
        writer.writerow((line, *cells) if dataset.parent is None else (line, parent, *cells))

    def refuse(self, dataset: Dataset, reasons: Sequence[str], *, line: int, raw: bytes | None) -> None:
        """Write a refused row to the rejections, with its reasons, and with its raw form if it is short."""
        if self._rejections is None:
            self._rejections = csv.writer(self._open("rejections.csv"), quoting=csv.QUOTE_STRINGS, lineterminator="\n")
            self._rejections.writerow(("dataset", "line", "reasons", "raw"))
        self.refused += 1
        kept = None if raw is None or len(raw) > RAW_LIMIT else "\\x" + raw.hex()
        self._rejections.writerow((dataset.name, line, text_array(reasons), kept))

    def _open(self, name: str) -> TextIO:
        return self._stack.enter_context((self._folder / name).open("w", encoding="utf-8", newline=""))


def _wrong_type(dataset: Dataset, row: type) -> TypeError:
    return TypeError(f"{dataset.name}: a row must be a {dataset.row.__name__}, not a {row.__name__}")


class _CellRefused(ValueError):
    """A value does not fit its column. The text gives the reason, never the value."""


def _reasons(dataset: Dataset, encoders: Sequence[Encoder], row: Sequence[object]) -> list[str]:
    found = []
    for column, encode, value in zip(dataset.columns, encoders, row, strict=True):
        try:
            encode(value)
        except _CellRefused as refusal:
            found.append(f"{column.name}: {refusal}")
    return found


def _encoded(column: "Column[Any]", encode: Encoder, values: Sequence[Any]) -> list[str]:
    """A column of cells as CSV. Cells that are all plain or all equal are checked together."""
    kinds = set(map(type, values))
    if kinds == {float} and isinstance(column.type, Double) and all(map(math.isfinite, values)):
        return list(map(repr, values))
    if kinds == {str} and isinstance(column.type, Text):
        together = "".join(values)
        if together.isascii() and "\0" not in together and '"' not in together:
            return _each_once(lambda value: f'"{value}"', values)
    if len(kinds) == 1 and values.count(values[0]) == len(values):
        return [_csv(encode(values[0]))] * len(values)
    return [_csv(encode(value)) for value in values]


def _each_once[T: (int, str)](write: Callable[[T], str], values: Sequence[T]) -> list[str]:
    """Encode each distinct value once, since values repeat."""
    written = {value: write(value) for value in set(values)}
    return [written[value] for value in values]


def _csv(cell: Cell) -> str:
    """A cell as the `csv` module writes it with QUOTE_STRINGS, at a third of its cost."""
    if isinstance(cell, str):
        return '"' + cell.replace('"', '""') + '"'
    return "" if cell is None else repr(cell)


def _encoder(column: "Column[Any]") -> Encoder:
    encode = next((found for kind, found in _ENCODERS if isinstance(column.type, kind)), None)
    if encode is None:
        raise TypeError(f"no encoder for {column.table.fullname}.{column.name}: {column.type!r}")
    if column.nullable:
        return lambda value: None if value is None else encode(value)
    return encode


def _text(value: object) -> str:
    if type(value) is str and value.isascii() and "\0" not in value:
        return value  # nearly all values; the checks below are slower
    if not isinstance(value, str):
        raise _CellRefused("missing" if value is None else "not a text")
    if "\0" in value:
        raise _CellRefused("holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _CellRefused("holds half a surrogate pair") from None
    return value


def _integer(bits: int) -> Encoder:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def encode(value: object) -> int:
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _CellRefused("missing" if value is None else "not a whole number")
        if not low <= value <= high:
            raise _CellRefused(f"outside {low} to {high}")
        return value

    return encode


def _double(value: object) -> float:
    if type(value) is float and math.isfinite(value):
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _CellRefused("missing" if value is None else "not a number")
    try:
        number = float(value)
    except OverflowError:
        raise _CellRefused("beyond what a double can hold") from None
    if not math.isfinite(number):
        raise _CellRefused("not a finite number")
    return number


def _date(value: object) -> str:
    if isinstance(value, str):
        if not _DAY.fullmatch(value):
            raise _CellRefused("not a date of the form YYYY-MM-DD")
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise _CellRefused("a day that the calendar does not have") from None
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _CellRefused("missing" if value is None else "not a date")
    return value.isoformat()


def _instant(value: object) -> str:
    if isinstance(value, str):
        if not _INSTANT.fullmatch(value):
            raise _CellRefused("not a time of the form YYYY-MM-DDThh:mm:ss+00:00")
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise _CellRefused("a time that the calendar or the clock does not have") from None
    if not isinstance(value, datetime):
        raise _CellRefused("missing" if value is None else "not a time")
    if value.utcoffset() is None:
        raise _CellRefused("a time without a zone")
    return value.isoformat()


def _boolean(value: object) -> str:
    if not isinstance(value, bool):
        raise _CellRefused("missing" if value is None else "neither true nor false")
    return "t" if value else "f"


def _uuid(value: object) -> str:
    if type(value) is UUID:
        return _uuid_text(value)
    if isinstance(value, str):
        try:
            value = UUID(value)
        except ValueError:
            raise _CellRefused("not a UUID") from None
    if not isinstance(value, UUID):
        raise _CellRefused("missing" if value is None else "not a UUID")
    return str(value)


@lru_cache(maxsize=1_000)  # the rows of a family have the same parent
def _uuid_text(value: UUID) -> str:
    return str(value)


def _texts(value: object) -> str:
    if not isinstance(value, list | tuple):
        raise _CellRefused("missing" if value is None else "not a list of texts")
    return text_array(_text(item) for item in value) if value else "{}"


def text_array(items: Iterable[str]) -> str:
    """A `text[]` literal."""
    quoted = (f'"{item.replace(chr(92), chr(92) * 2).replace(chr(34), chr(92) + chr(34))}"' for item in items)
    return "{" + ",".join(quoted) + "}"


_ENCODERS: tuple[tuple[type[Any], Encoder], ...] = (
    (ARRAY, _texts),
    (Uuid, _uuid),
    (Boolean, _boolean),
    (DateTime, _instant),
    (Date, _date),
    (SmallInteger, _integer(16)),
    (BigInteger, _integer(64)),
    (Integer, _integer(32)),
    (Double, _double),
    (Text, _text),
)
"""The first entry whose type matches is used. Subclasses come first: SQLAlchemy's types derive from each other."""
