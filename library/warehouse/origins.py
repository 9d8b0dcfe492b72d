"""Finds out where a row of a dataset is from: its load, its run, and its landed object or its record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError
from sqlalchemy import BigInteger, Column, ColumnElement, SmallInteger, and_, bindparam, case, func, null, select
from sqlalchemy.orm import aliased
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlmodel import col

from library.contracts.origins import NotAKey, OriginLoad, OriginObject, OriginRun
from library.datasets.declaration import Dataset, sql_type
from library.datasets.fields import table_of
from library.datasets.ingest import Load, StoredRun, StreamOffset
from library.datasets.streamed import Streamed
from library.objects.store import compression_of
from library.warehouse.pool import Pool
from library.warehouse.queries.parameters import BIGINT, INTEGER, NO_NUL, Day, Moment, Number
from library.warehouse.queries.statement import Statement

type Columns = ReadOnlyColumnCollection[str, Column[Any]]

_SMALLINT = 2**15 - 1
_SHA256 = "[0-9a-f]{64}"
_TYPES: Mapping[type, Any] = {
    UUID: UUID,
    str: Annotated[str, Field(pattern=NO_NUL)],
    datetime: Moment,
    date: Day,
    float: Number,
    bool: bool,
}
"""By the type of a column in Python: the type that checks a text."""


@dataclass(frozen=True)
class RowKey:
    """The key of a row.

    Attributes:
        values: by column, in the order of the key.
    """

    dataset: Dataset
    values: Mapping[str, Any]

    @property
    def patient(self) -> str | None:
        """The id of the patient whom the row is about, if the key has it."""
        column = self.dataset.patient
        return str(self.values[column]) if column in self.dataset.key else None


@dataclass(frozen=True)
class StoredRecord:
    """The place of a row's record in Kafka.

    Attributes:
        topic_id: Kafka's id of the topic as it is now.
        remade: how often the topic was made anew after the record. `None`: this is not known.
    """

    topic: str
    partition: int
    offset: int
    topic_id: str
    remade: int | None


@dataclass(frozen=True)
class StoredOrigin:
    """What the warehouse knows of a row's origin: it has either an object or a record.

    Attributes:
        patient: the id of the patient whom the row is about, if it says so.
    """

    load: OriginLoad
    run: OriginRun | None
    object: OriginObject | None
    record: StoredRecord | None
    patient: str | None


def row_key(dataset: Dataset, texts: Sequence[str]) -> RowKey:
    """The key with these values, in the order of the key's columns.

    Raises:
        NotAKey: there are too few or too many values, or one has another type. No value is repeated in the message.
    """
    columns = [dataset.table.c[name] for name in dataset.key]
    named = ", ".join(f"{each.name} ({sql_type(each)})" for each in columns)
    advice = f"The key of {dataset.name} is: {named}."
    if len(texts) != len(columns):
        raise NotAKey(f"key: {len(texts)} given, and {dataset.name} needs {len(columns)}.", advice=advice)
    values = {}
    for column, text in zip(columns, texts, strict=True):
        try:
            values[column.name] = _type_of(column).validate_python(text)
        except ValidationError:
            raise NotAKey(f"key: the value of {column.name} is no {sql_type(column)}.", advice=advice) from None
    return RowKey(dataset, values)


def _type_of(column: Column[Any]) -> TypeAdapter[Any]:
    kind = column.type.python_type
    if kind is int:
        is_small, is_big = isinstance(column.type, SmallInteger), isinstance(column.type, BigInteger)
        most = _SMALLINT if is_small else BIGINT if is_big else INTEGER
        return TypeAdapter(Annotated[int, Field(ge=-most - 1, le=most)])
    return TypeAdapter(_TYPES[kind])


async def find_origin(pool: Pool, key: RowKey, source: str) -> StoredOrigin | None:
    """Where a row is from; `None`: there is no such row.

    Args:
        pool: the warehouse.
        key: the row's key.
        source: the name of the dataset's source.
    """
    rows = await _statement(key.dataset).fetch(pool, **key.values)
    if not rows:
        return None
    row = rows[0]
    load = OriginLoad(
        id=row["load_id"], source=source, reader_version=row["reader_version"], committed_at=row["committed_at"]
    )
    run = None if row["run_id"] is None else OriginRun(id=row["run_id"], subject=row["subject"])
    if _is_streamed(key.dataset):
        record = StoredRecord(row["topic"], row["partition"], row["offset"], row["topic_id"], row["remade"])
        return StoredOrigin(load, run, None, record, row["patient"])
    landed = OriginObject(
        key=row["object_key"],
        content_size=row["object_size"],
        content_sha256=row["object_sha256"],
        stored_compression=compression_of(row["object_key"]),
    )
    return StoredOrigin(load, run, landed, None, row["patient"])


@lru_cache
def _statement(dataset: Dataset) -> Statement:
    row = dataset.table.c
    shown: list[Any] = [
        row.load_id,
        row.reader_version,
        col(Load.committed_at),
        col(Load.run_id),
        col(StoredRun.subject),
        (null() if dataset.patient is None else row[dataset.patient]).label("patient"),
    ]
    # The ledger forgets loads of topics after a time, and a drain has no row in `ingest.run`.
    known = dataset.table.outerjoin(Load, col(Load.id) == row.load_id).outerjoin(
        StoredRun, col(StoredRun.id) == col(Load.run_id)
    )
    if _is_streamed(dataset):
        position = table_of(StreamOffset).c
        shown += [row.topic, row.partition, row.offset, position.topic_id, _remade(row, position).label("remade")]
        known = known.join(StreamOffset, and_(position.topic == row.topic, position.partition == row.partition))
    else:
        # A row may name its object itself. The ledger has an index of sha256, which each key contains.
        object_key = row.object_key if "object_key" in row else col(Load.object_key)
        of_object = aliased(Load, name="of_object")
        landed = (
            select(col(of_object.object_sha256), col(of_object.object_size))
            .where(
                col(of_object.object_sha256) == func.substring(object_key, _SHA256),
                col(of_object.object_key) == object_key,
            )
            .limit(1)
            .lateral("landed")
        )
        shown += [object_key.label("object_key"), landed.c.object_sha256, landed.c.object_size]
        known = known.join(landed, and_(True))
    return Statement(select(*shown).select_from(known).where(*(row[name] == bindparam(name) for name in dataset.key)))


def _remade(row: Columns, position: Columns) -> ColumnElement[Any]:
    """How often the topic was made anew after a row's record; null: the generations do not say it.

    A row has no incarnation. Each new incarnation begins a new generation, but a rewind does so too.
    """
    newest = func.least(position.incarnation, row.generation)
    oldest = func.greatest(1, position.incarnation - (position.generation - row.generation))
    return case(
        (row.generation == position.generation, 0), (newest == oldest, position.incarnation - newest), else_=null()
    )


def _is_streamed(dataset: Dataset) -> bool:
    return issubclass(dataset.model, Streamed)
