"""Names and small parts of the SQL of a load. Names are quoted, and values are parameters."""

from collections.abc import Iterable
from typing import Any, cast

from sqlalchemy.dialects import postgresql

from library.datasets.declaration import Dataset, Loaded

LINE = "_line"
"""Column of a staged row: its line in the landed object, or the record's offset."""
PARENT = "_parent"
"""Column of a staged child: the line of its parent's row."""

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


def staged(dataset: Dataset) -> str:
    """The temporary table with the staged rows.

    A load's table ends with its transaction. A stream's connection keeps its table, and empties it at each commit.
    """
    return f"pg_temp.{quote(staged_name(dataset))}"


def staged_name(dataset: Dataset) -> str:
    """The temporary table's name, unquoted."""
    return f"staged {dataset.name}"


def changed(model: type[Loaded]) -> str:
    """The temporary table from which the steps of a model's dataset read the keys of the rows that the load wrote.

    It has the columns of the key, each key once, and `_change`: `inserted`, `updated` or `deleted`. Unchanged rows are
    not in it.
    """
    return f"pg_temp.{quote(changed_name(model))}"


def changed_name(model: type[Loaded]) -> str:
    """The temporary table's name, unquoted."""
    return f"changed {cast(Any, model).__table__.fullname}"


def columns(names: Iterable[str], alias: str = "") -> str:
    """Quoted names with commas between them."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(f"{prefix}{quote(name)}" for name in names)


def equal(left: str, right: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The condition that columns of two tables are equal, pair by pair."""
    return " AND ".join(f"{left}.{quote(one)} = {right}.{quote(other)}" for one, other in pairs)
