"""A made-up source for tests of the loader: wards that own beds, with an order; and readings, which have no family."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple, cast
from uuid import UUID

from sqlalchemy import Column, Date, DateTime, Dialect, Double, SmallInteger, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.schema import CreateTable
from sqlmodel import Field

from library.datasets.declaration import Action, Catalogue, Dataset, Expectation, Loaded
from library.datasets.strategies import ConcurrentUpsert, Family, Upsert

SCHEMA = "made_up"


class Ward(Loaded, table=True):
    """A parent, ordered by `version`."""

    __tablename__ = "ward"
    __table_args__ = ({"schema": SCHEMA},)

    code: str = Field(sa_type=Text, primary_key=True)
    name: str | None = Field(default=None, sa_type=Text)
    version: int = Field(sa_type=SmallInteger)
    seen_first: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


class WardRow(NamedTuple):
    code: str
    name: str | None = None
    version: int | None = None
    seen_first: datetime | None = None


class Bed(Loaded, table=True):
    """A child: the beds of a ward are replaced as a set."""

    __tablename__ = "bed"
    __table_args__ = ({"schema": SCHEMA},)

    ward_code: str = Field(sa_type=Text, primary_key=True)
    number: int = Field(sa_type=SmallInteger, primary_key=True)
    kind: str = Field(sa_type=Text)


class BedRow(NamedTuple):
    ward_code: str
    number: int
    kind: str


class Reading(Loaded, table=True):
    """No family, an order, every kind of expectation."""

    __tablename__ = "reading"
    __table_args__ = ({"schema": SCHEMA},)

    id: int = Field(primary_key=True)
    taken_at: datetime = Field(sa_type=DateTime(timezone=True))
    day: date | None = Field(default=None, sa_type=Date)
    value: float | None = Field(default=None, sa_type=Double)
    note: str | None = Field(default=None, sa_type=Text)
    tags: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text)))
    batch: UUID | None = None


class ReadingRow(NamedTuple):
    id: object
    taken_at: object = None
    day: object = None
    value: object = None
    note: object = None
    tags: Sequence[str] | None = None
    batch: object = None


WARD = Dataset(Ward, WardRow, Upsert(order=("version",), written_once=("seen_first",)))
BED = Dataset(
    Bed, BedRow, Family(WARD, parent_key=("ward_code",)), expectations=(Expectation("known_kind", "kind <> 'sofa'"),)
)
READING = Dataset(
    Reading,
    ReadingRow,
    ConcurrentUpsert(order=("taken_at",)),
    expectations=(
        Expectation("value_in_range", "value IS NULL OR value BETWEEN 0 AND 1000"),
        Expectation("note_short", "note IS NULL OR length(note) < 10", Action.WARN),
        Expectation("no_poison", "note IS DISTINCT FROM 'poison'", Action.FAIL),
    ),
)
DATASETS = (WARD, BED, READING)
CATALOGUE = Catalogue(DATASETS)


def tables_sql() -> list[str]:
    """Statements that make the tables."""
    dialect: Dialect = cast(Any, postgresql.dialect)()
    return [f"CREATE SCHEMA {SCHEMA}"] + [
        str(CreateTable(dataset.table).compile(dialect=dialect)) for dataset in DATASETS
    ]
