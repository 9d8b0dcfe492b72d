"""How a dataset is declared: once, as data. The loader uses nothing but the declaration."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Column, Dialect, SmallInteger, Table
from sqlalchemy.dialects import postgresql
from sqlmodel import SQLModel

from library.datasets.fields import field, table_of

IDENTIFIER_LIMIT = 63
"""Bytes of an identifier. Postgres cuts longer ones silently, so two names could be equal."""


class Loaded(SQLModel):
    """Columns that the loader fills in each row of each dataset.

    Attributes:
        filled_in: names of the first columns, if the reader does not fill them in (see `Streamed`).
    """

    filled_in: ClassVar[tuple[str, ...]] = ()

    load_id: UUID = field(
        "The load that wrote the row last. `ingest.load` has its origin.",
        "65009f02-689c-5c5e-8604-6ba18afdb58c",
        nullable=False,
        index=False,
    )
    reader_version: int = field(
        "The version of the reader that made the row. At equal order, the higher one wins.",
        nullable=False,
        sa_type=SmallInteger,
    )


LOADER_COLUMNS = ("load_id", "reader_version")

_POSTGRES: Dialect = cast(Any, postgresql.dialect)()


class Action(StrEnum):
    """What happens to a row that fails an expectation."""

    WARN = "warn"
    """It is loaded, and counted."""
    QUARANTINE = "quarantine"
    """The row goes to `ingest.rejection`, with the names of all expectations that it failed."""
    FAIL = "fail"
    """The whole load is refused."""


@dataclass(frozen=True)
class Expectation:
    """A predicate that each staged row should meet. If it is null, the row does not meet it.

    Attributes:
        name: a stable name, since rejections and counts are stored with it.
        predicate: SQL over the dataset's columns, a constant of the program.
        action: what happens to a row that does not meet it.
    """

    name: str
    predicate: str
    action: Action = Action.QUARANTINE


@dataclass(frozen=True)
class Step:
    """Statements that update other tables after a dataset's merge, in the same transaction.

    They run after every way in which the dataset's rows are written, only if the load changed a row, and in the order
    in which they are declared. They must not write tables that steps of another dataset write: nothing keeps the two
    apart.

    Attributes:
        name: the step's name in the error if it fails.
        sql: one statement or several, a constant of the program without parameters. `library.datasets.sql.changed`
            names the temporary table with the keys of the rows that the load wrote.
    """

    name: str
    sql: str


class Strategy(ABC):
    """How staged rows become stored rows. `library.datasets.strategies` has one class for each."""

    @property
    def order(self) -> tuple[str, ...]:
        """Columns, never null, that order the versions of one key. Empty: the later load wins."""
        return ()

    @property
    def parent(self) -> "Dataset | None":
        """The dataset whose rows own the rows of this one, or None."""
        return None

    @property
    def not_compared(self) -> frozenset[str]:
        """Columns with the time or the origin of a row. If only they differ, the row is unchanged."""
        return frozenset()

    @property
    def needs_exclusive_lock(self) -> bool:
        """Whether each load locks the dataset exclusively, from before the merge to the commit."""
        return True

    @abstractmethod
    def check(self, dataset: "Dataset") -> None:
        """Raise a ValueError if the dataset cannot be loaded this way."""

    @abstractmethod
    def merge(self, dataset: "Dataset") -> str:
        """SQL that writes the staged rows ($1 load, $2 reader version) and counts what it wrote."""


@dataclass(frozen=True)
class Dataset:
    """A table that can be loaded.

    Attributes:
        model: the SQLModel of the table; the primary key is the dataset's key.
        row: the NamedTuple that a reader returns, with the names of the columns that it fills, in their order. Its
            fields are cells, or whole columns if the reader returns many rows at once.
        strategy: how staged rows become stored rows.
        expectations: conditions for each row, in addition to the types and the not-null columns of the model.
        steps: statements after the merge. They need the strategy's exclusive lock.
        follow_ups: statements after the merges of each load with rows of this dataset, also if it changed none. They
            read the staged rows (`library.datasets.sql.staged`), and need the exclusive lock too. Unlike steps, they
            keep no keys, so they cost little if they find nothing to do.
        patient: the column with the id of the patient whom a row is about. The audit has its pseudonym.
    """

    model: type[Loaded]
    row: type[NamedTuple]
    strategy: Strategy
    expectations: tuple[Expectation, ...] = ()
    steps: tuple[Step, ...] = ()
    follow_ups: tuple[Step, ...] = ()
    patient: str | None = None

    def __post_init__(self) -> None:
        if not self.key:
            raise ValueError(f"{self.name}: a dataset needs a key")
        if len(f"winners {self.name}".encode()) > IDENTIFIER_LIMIT:
            raise ValueError(f"{self.name}: the name is too long for the temporary tables that are called after it")
        self._check_row()
        self.strategy.check(self)
        steps = (*self.steps, *self.follow_ups)
        if steps and not self.strategy.needs_exclusive_lock:
            kind = type(self.strategy).__name__
            raise ValueError(f"{self.name}: steps need the dataset's lock alone, and {kind} shares it")
        if len({step.name for step in steps}) < len(steps):
            raise ValueError(f"{self.name}: two steps have the same name")
        if self.patient is not None and self.patient not in self.table.c:
            raise ValueError(f"{self.name}: it has no column {self.patient} with a patient's id")

    def _check_row(self) -> None:
        columns, filled = tuple(column.name for column in self.columns), self.model.filled_in
        if columns[: len(filled)] != filled:
            raise ValueError(f"{self.name}: its first columns must be {', '.join(filled)}, not {', '.join(columns)}")
        expected, fields = columns[len(filled) :], self.row._fields
        differences = [f"{name} is missing" for name in expected if name not in fields]
        differences += [f"{name} is no column" for name in fields if name not in expected]
        differences = differences or [
            f"field {number} is {field}, and column {number} is {column}"
            for number, (column, field) in enumerate(zip(expected, fields, strict=True), start=1)
            if field != column
        ]
        if differences:
            raise ValueError(f"{self.name}: {self.row.__name__} differs from the table: {', '.join(differences)}")

    @cached_property
    def table(self) -> Table:
        """The SQLAlchemy table of the model."""
        return table_of(self.model)

    @cached_property
    def name(self) -> str:
        """Schema and table: `beds.occupancy`."""
        return self.table.fullname

    @cached_property
    def columns(self) -> tuple["Column[Any]", ...]:
        """The staged columns, in order: those that neither Postgres nor the loader fills in."""
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
        """Names of the columns that are not in the key, not in the order, and are compared."""
        apart = {*self.key, *self.order, *self.strategy.not_compared}
        return tuple(column.name for column in self.columns if column.name not in apart)

    @cached_property
    def parent(self) -> "Dataset | None":
        """The dataset whose rows own the rows of this one, or None."""
        return self.strategy.parent

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The columns that order the versions of one key."""
        return self.strategy.order


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
