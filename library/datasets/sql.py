"""Names and small parts of the SQL of a load. Names are quoted, and values are parameters."""

from collections.abc import Iterable, Sequence

from sqlalchemy.dialects import postgresql
from sqlmodel import SQLModel

from library.datasets.declaration import LOADER_COLUMNS, Dataset, Loaded
from library.datasets.fields import table_of

LINE = "_line"
"""Column of a staged row: its line in the landed object, or the record's offset."""
PARENT = "_parent"
"""Column of a staged child: the line of its parent's row."""

LOAD_ID, READER_VERSION = LOADER_COLUMNS
"""Columns of each stored row: the load that wrote it, and the version of the reader."""

CHANGE = "_change"
"""Column of a key that was written: `inserted`, `updated` or `deleted`."""

_quoted = postgresql.dialect().identifier_preparer.quote_identifier  # type: ignore[no-untyped-call]  # dialect() has no types


def quote(name: str) -> str:
    """The name as an SQL identifier."""
    return str(_quoted(name))


def quote_literal(text: str) -> str:
    """A constant of the program as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def table(dataset: Dataset) -> str:
    """The stored table."""
    return f"{quote(dataset.table.schema or 'public')}.{quote(dataset.table.name)}"


def insert_into(model: type[SQLModel], names: Sequence[str]) -> str:
    """`INSERT INTO` a model's table with some of its columns.

    Raises:
        KeyError: the model has no such column.
    """
    into = table_of(model)
    named = columns(into.c[name].name for name in names)
    return f"INSERT INTO {quote(into.schema or 'public')}.{quote(into.name)} ({named})"


def staged(dataset: Dataset) -> str:
    """The temporary table with the staged rows.

    A load's table ends with its transaction. A stream's connection keeps its table, and empties it at each commit.
    """
    return f"pg_temp.{quote(staged_name(dataset))}"


def staged_name(dataset: Dataset) -> str:
    """The temporary table's name, unquoted."""
    return f"staged {dataset.name}"


def staged_table(model: type[Loaded]) -> str:
    """The temporary table with the staged rows, for the dataset's follow-ups."""
    return f"pg_temp.{quote(f'staged {table_of(model).fullname}')}"


def changed(model: type[Loaded]) -> str:
    """The temporary table with the keys of the rows that a load wrote, for the dataset's steps.

    It has the columns of the key, each key once, and `_change`: `inserted`, `updated` or `deleted`. Unchanged rows are
    not in it.
    """
    return f"pg_temp.{quote(changed_name(model))}"


def changed_name(model: type[Loaded]) -> str:
    """The temporary table's name, unquoted."""
    return f"changed {table_of(model).fullname}"


def columns(names: Iterable[str], alias: str = "") -> str:
    """Quoted names with commas between them."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(f"{prefix}{quote(name)}" for name in names)


def equal(left: str, right: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The condition that columns of two tables are equal, pair by pair."""
    return " AND ".join(f"{left}.{quote(one)} = {right}.{quote(other)}" for one, other in pairs)
