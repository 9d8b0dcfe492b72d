"""Made-up datasets with steps: rooms of clinics, from files; stays of patients, from a stream.

The steps store the number of rows of each ward (`total`). They count all rows of each ward that a key touched. So two
loads at once would each miss the other's rows, if they did not hold the dataset's exclusive lock.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

from sqlalchemy import Dialect, SmallInteger, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable
from sqlmodel import Field

from library.contracts.loads import LoadRequest
from library.datasets.declaration import Catalogue, Dataset, Loaded, Step
from library.datasets.sql import changed
from library.datasets.strategies import Family, Upsert
from library.datasets.streamed import ORDER, Streamed
from library.staging.files import Staging
from library.streams.topics import Topics
from library.warehouse.batches import Decoded, Feed
from library.warehouse.pool import Pool
from tests.support.warehouse import MadeUpSource

SCHEMA = "made_up_steps"
GATE = 4_711
"""An advisory lock. While it is held, every load waits in its first step, between merge and commit."""
TOPIC = "stays"


class Clinic(Loaded, table=True):
    __tablename__ = "clinic"
    __table_args__ = ({"schema": SCHEMA},)

    code: str = Field(sa_type=Text, primary_key=True)
    version: int = Field(sa_type=SmallInteger)


class ClinicRow(NamedTuple):
    code: str
    version: int


class Room(Loaded, table=True):
    __tablename__ = "room"
    __table_args__ = ({"schema": SCHEMA},)

    clinic: str = Field(sa_type=Text, primary_key=True)
    number: int = Field(sa_type=SmallInteger, primary_key=True)
    ward: str = Field(sa_type=Text)


class RoomRow(NamedTuple):
    clinic: str
    number: int
    ward: str


class Stay(Streamed, table=True):
    __tablename__ = "stay"
    __table_args__ = ({"schema": SCHEMA},)

    patient: str = Field(sa_type=Text, primary_key=True)
    number: int = Field(sa_type=SmallInteger, primary_key=True)
    ward: str = Field(sa_type=Text)


class StayRow(NamedTuple):
    patient: str
    number: int
    ward: str


def _steps(model: type[Loaded], first: str) -> tuple[Step, ...]:
    name = cast(Any, model).__tablename__
    key = f"{first}, number"
    return (
        Step("gate", f"SELECT pg_advisory_xact_lock_shared({GATE}), {SCHEMA}.meet()"),
        Step("heard", f"INSERT INTO {SCHEMA}.heard SELECT '{name}', {key}, _change FROM {changed(model)}"),
        Step(
            "totals",
            f"""
            WITH touched AS (
                SELECT ward FROM {SCHEMA}.fact f JOIN {changed(model)} c ON f.owner = c.{first} AND f.number = c.number
                WHERE f.dataset = '{name}'
                UNION
                SELECT ward FROM {SCHEMA}.{name} JOIN {changed(model)} USING ({key})
            )
            INSERT INTO {SCHEMA}.total
            SELECT '{name}', ward, (SELECT count(*) FROM {SCHEMA}.{name} t WHERE t.ward = touched.ward) FROM touched
            ON CONFLICT (dataset, ward) DO UPDATE SET rows = excluded.rows;

            DELETE FROM {SCHEMA}.fact f USING {changed(model)} c
            WHERE f.dataset = '{name}' AND f.owner = c.{first} AND f.number = c.number;

            INSERT INTO {SCHEMA}.fact
            SELECT '{name}', {key}, ward FROM {SCHEMA}.{name} JOIN {changed(model)} USING ({key})
            """,
        ),
    )


CLINIC = Dataset(Clinic, ClinicRow, Upsert(order=("version",)))
ROOM = Dataset(Room, RoomRow, Family(parent=CLINIC, parent_key=("clinic",)), steps=_steps(Room, "clinic"))
STAY = Dataset(Stay, StayRow, Upsert(order=ORDER), steps=_steps(Stay, "patient"))
CATALOGUE = Catalogue((CLINIC, ROOM, STAY))


def _decode(value: bytes) -> Decoded:
    return None, (StayRow(*json.loads(value)),)


TOPICS = Topics((Feed(TOPIC, SCHEMA, datasets=(STAY,), decode=_decode),))


_MEETING = f"""
    CREATE SEQUENCE {SCHEMA}.meetings START 2;
    CREATE FUNCTION {SCHEMA}.meet() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('{SCHEMA}.meetings') = 1 THEN RAISE serialization_failure; END IF;
    END $$
"""
"""A step that fails once after `setval('meetings', 1, false)`, as if it had met another load."""


async def make_tables(pool: Pool) -> None:
    """The datasets, and what their steps write."""
    dialect: Dialect = cast(Any, postgresql.dialect)()
    await pool.execute(f"CREATE SCHEMA {SCHEMA}")
    for dataset in CATALOGUE:
        await pool.execute(str(CreateTable(dataset.table).compile(dialect=dialect)))
    await pool.execute(_MEETING)
    await pool.execute(f"CREATE TABLE {SCHEMA}.heard (dataset text, owner text, number int, change text)")
    await pool.execute(f"CREATE TABLE {SCHEMA}.fact (dataset text, owner text, number int, ward text)")
    await pool.execute(
        f"CREATE TABLE {SCHEMA}.total (dataset text, ward text, rows bigint CHECK (ward <> 'forbidden'), "
        "PRIMARY KEY (dataset, ward))"
    )


def rooms(source: MadeUpSource, clinic: str, version: int, *wards: str | None) -> LoadRequest:
    """A file with a clinic; `wards` are those of its rooms 1, 2, …; `None`: there is no such room."""

    def stage(staging: Staging) -> None:
        staging.add(CLINIC, ClinicRow(clinic, version), line=1)
        for number, ward in enumerate(wards, start=1):
            if ward is not None:
                staging.add(ROOM, RoomRow(clinic, number, ward), line=1, parent=1)

    return source.staged([CLINIC, ROOM], stage, source.landed())


def stay(patient: str, number: int, ward: str) -> bytes:
    """A record."""
    return json.dumps([patient, number, ward]).encode()


async def heard(pool: Pool) -> list[tuple[str, int, str]]:
    """The keys that steps were given since the last question."""
    rows = await pool.fetch(f"DELETE FROM {SCHEMA}.heard RETURNING owner, number, change")
    return sorted(tuple(row) for row in rows)


async def totals(pool: Pool, dataset: Dataset) -> tuple[dict[str, int], dict[str, int]]:
    """Rows of each ward: as the steps left them, and as they are."""
    kept = await pool.fetch(
        f"SELECT ward, rows FROM {SCHEMA}.total WHERE rows > 0 AND dataset = $1", dataset.table.name
    )
    there = await pool.fetch(f"SELECT ward, count(*) AS rows FROM {dataset.name} GROUP BY ward")
    return {row["ward"]: row["rows"] for row in kept}, {row["ward"]: row["rows"] for row in there}


@asynccontextmanager
async def gate_closed(pool: Pool) -> AsyncIterator[None]:
    """Loads wait in their first step meanwhile."""
    async with pool.acquire() as connection:
        await connection.execute(f"SELECT pg_advisory_lock({GATE})")
        try:
            yield
        finally:
            await connection.execute(f"SELECT pg_advisory_unlock({GATE})")


async def waiting(pool: Pool) -> Sequence[str]:
    """The locks that sessions of this database wait for: `gate` or `dataset`, one entry for each session."""
    rows = await pool.fetch(
        "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return sorted("gate" if row["objid"] == GATE else "dataset" for row in rows)


async def until_waiting(pool: Pool, *expected: str) -> None:
    """Wait until sessions wait for exactly these locks."""
    async with asyncio.timeout(5):
        while await waiting(pool) != sorted(expected):  # noqa: ASYNC110 - Postgres does not notify about locks
            await asyncio.sleep(0.01)
