"""How a dataset is declared: once, as data. The loader knows nothing else of it, and no dataset by name."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Column, Dialect, SmallInteger, Table
from sqlalchemy.dialects import postgresql
from sqlmodel import Field, SQLModel

IDENTIFIER_LIMIT = 63
"""Bytes that Postgres keeps of an identifier; it cuts longer ones silently, and two names may become one."""


class Loaded(SQLModel):
    """Columns that the loader fills in each row of each dataset.

    Attributes:
        load_id: the load that wrote the row last; `ingest.load` says where it came from.
        reader_version: of the reader that produced the row: at equal order, the higher one wins.
    """

    load_id: UUID = Field(nullable=False, index=False)
    reader_version: int = Field(nullable=False, sa_type=SmallInteger)


LOADER_COLUMNS = ("load_id", "reader_version")

_POSTGRES: Dialect = cast(Any, postgresql.dialect)()


class Action(StrEnum):
    """What becomes of a row that fails an expectation."""

    WARN = "warn"
    """It is loaded, and counted."""
    QUARANTINE = "quarantine"
    """It goes to `ingest.rejection` with the names of all that it failed."""
    FAIL = "fail"
    """The whole load is refused."""


@dataclass(frozen=True)
class Expectation:
    """A predicate that each staged row should meet; one that is null for a row counts as not met.

    Attributes:
        name: stable, since rejections and counts are kept under it.
        predicate: SQL over the dataset's columns, a constant of the program.
        action: what becomes of a row that does not meet it.
    """

    name: str
    predicate: str
    action: Action = Action.QUARANTINE


@dataclass(frozen=True)
class Dataset:
    """A table that can be loaded.

    Attributes:
        model: its SQLModel; the primary key is the dataset's key.
        order: "newer wins": columns, never null, that order the versions of one key. Empty: the later load wins.
        expectations: what each row should meet, beyond the types and the not-null columns of the model.
        parent: the dataset whose rows own this one's as a set.
        parent_key: the columns of this one's key that name the parent, in the order of the parent's key.
        written_once: columns that say when and whence, not what: kept from the first load, and never compared.
        provenance: columns that say whence a row is: written whenever the row is, and never compared.
        loads_meet: whether concurrent loads often write the same keys; if not, the first try does without a lock.
    """

    model: type[Loaded]
    order: tuple[str, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    parent: "Dataset | None" = None
    parent_key: tuple[str, ...] = ()
    written_once: tuple[str, ...] = ()
    provenance: tuple[str, ...] = ()
    loads_meet: bool = True

    def __post_init__(self) -> None:
        if self.parent is not None:
            if self.parent.parent is not None:
                raise ValueError(f"{self.name}: a parent cannot have a parent itself")
            if self.order:
                raise ValueError(f"{self.name}: a child goes with its parent and has no order of its own")
            if not set(self.parent_key) <= set(self.key) or len(self.parent_key) != len(self.parent.key):
                raise ValueError(f"{self.name}: its key must contain a column for each of {self.parent.key}")
        names = {column.name for column in self.columns}
        if missing := {*self.order, *self.written_once, *self.provenance} - names:
            raise ValueError(f"{self.name}: no such columns: {sorted(missing)}")
        nullable = {column.name for column in self.columns if column.nullable}
        if unordered := set(self.order) & nullable:
            raise ValueError(f"{self.name}: order columns are never null: {sorted(unordered)}")
        if len(f"winners {self.name}".encode()) > IDENTIFIER_LIMIT:
            raise ValueError(f"{self.name}: the name is too long for the temporary tables that are called after it")
        if not self.key:
            raise ValueError(f"{self.name}: a dataset needs a key")
        if both := set(self.order) & {*self.written_once, *self.provenance}:
            raise ValueError(f"{self.name}: what orders versions changes with them: {sorted(both)}")
        if both := set(self.written_once) & set(self.provenance):
            raise ValueError(f"{self.name}: written once or with each version, not both: {sorted(both)}")

    @cached_property
    def table(self) -> Table:
        """The SQLAlchemy table of the model."""
        return cast(Table, cast(Any, self.model).__table__)

    @cached_property
    def name(self) -> str:
        """Schema and table: `beds.occupancy`."""
        return self.table.fullname

    @cached_property
    def columns(self) -> tuple["Column[Any]", ...]:
        """The staged columns, in order: all but those that Postgres computes and those that the loader fills in."""
        return tuple(
            column
            for column in self.table.columns
            if column.computed is None and column.identity is None and column.name not in LOADER_COLUMNS
        )

    @cached_property
    def key(self) -> tuple[str, ...]:
        """Names of the key's columns."""
        return tuple(column.name for column in self.table.primary_key.columns)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """Names of the columns that say something: not those of the key and the order, nor those that say whence."""
        apart = {*self.key, *self.order, *self.written_once, *self.provenance}
        return tuple(column.name for column in self.columns if column.name not in apart)


def sql_type(column: "Column[Any]") -> str:
    """The column's Postgres type as SQL: `DOUBLE PRECISION`, `TEXT[]`."""
    return str(column.type.compile(dialect=_POSTGRES))


class Catalogue:
    """The datasets that a process can load, by name."""

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        self._by_name = {dataset.name: dataset for dataset in datasets}

    def __getitem__(self, name: str) -> Dataset:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self._by_name.values())

    def children(self, parent: Dataset) -> tuple[Dataset, ...]:
        """The datasets whose rows are owned by this one's."""
        return tuple(dataset for dataset in self if dataset.parent is parent)
