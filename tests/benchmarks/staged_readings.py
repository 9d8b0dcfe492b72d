"""A million made-up readings, staged: their CSV is written by Postgres and stored as `Staging` and `upload` would."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from config.settings import Settings
from library.contracts.loads import LoadIdentity, LoadRequest, StagedObject
from library.contracts.objects import ObjectRef
from library.datasets.sql import staged
from library.objects.store import ObjectStore
from library.staging.files import staged_columns
from library.warehouse.loader import Loader
from library.warehouse.merging import LoadLimits
from library.warehouse.pool import Pool
from library.warehouse.sessions import Attempt
from library.warehouse.statements import create_staged
from service.resources import warehouse_dsn
from tests.benchmarks.measure import Stopwatch
from tests.benchmarks.psql import seconds_of
from tests.support.made_up import CATALOGUE, READING, tables_sql

MILLION = 1_000_000
FLOOR = "made_up.floor"
"""The floor's own table: the same columns and the same index, under another name."""
STAGED = staged(READING)


@dataclass(frozen=True)
class Readings:
    """Staged rows, as a local file for psql and as an object in the store for the loader."""

    file: Path
    object: ObjectRef
    rows: int


@dataclass
class Field:
    """A database with the made-up tables, where the loader and its floor do the same work in turns."""

    settings: Settings
    pool: Pool
    store: ObjectStore
    folder: Path
    _written: list[Readings] = field(default_factory=list)
    _numbers: Any = field(default_factory=lambda: count(1))

    @property
    def dsn(self) -> str:
        """Of this database."""
        return warehouse_dsn(self.settings)

    @property
    def loader(self) -> Loader:
        """As a worker is given it."""
        return Loader(self.pool, self.store, CATALOGUE, limits(self.settings))

    async def prepare(self) -> None:
        """Make the tables. Autovacuum leaves them alone: it would come in the middle of somebody's turn."""
        for statement in tables_sql():
            await self.pool.execute(statement)
        await self.pool.execute(f"CREATE TABLE {FLOOR} (LIKE {READING.name} INCLUDING ALL)")
        for table in (READING.name, FLOOR):
            await self.pool.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")

    async def staged(self, rows: int = MILLION, *, changed_every: int = 0, name: str = "readings") -> Readings:
        """Write and store so many rows; of those that are `changed_every` apart the value is another one."""
        value = "id % 997 + 0.25"
        if changed_every:
            value = f"CASE WHEN id % {changed_every} = 0 THEN id % 991 + 0.5 ELSE {value} END"
        file = self.folder / f"{name}-{rows}.csv"
        async with self.pool.acquire() as connection:
            await connection.copy_from_query(
                f"SELECT id AS _line, id, timestamptz '2024-01-01' + id * interval '1 second' AS taken_at, "
                f"date '2024-01-01' + id % 366 AS day, {value} AS value, 'note ' || id % 1000 AS note, "
                "ARRAY['ward ' || id % 50, 'made up'] AS tags, md5(id::text)::uuid AS batch "
                f"FROM generate_series(1, {rows}) id",
                output=file,
                format="csv",
                header=True,
            )
        with file.open() as written:
            assert written.readline().strip().split(",") == list(staged_columns(READING))
        made = Readings(file, self.store.put("staged/benchmark", file, content_type="text/csv"), rows)
        self._written.append(made)
        return made

    def request(self, readings: Readings) -> LoadRequest:
        """A load of its own of these rows."""
        number = next(self._numbers)
        return LoadRequest(
            identity=LoadIdentity(source="made_up", sha256=readings.object.sha256, reader_version=1, reload=number),
            landed=readings.object,
            staged=(StagedObject(dataset=READING.name, object=readings.object, rows=readings.rows),),
            run_id=f"benchmark {number}",
        )

    async def load(self, readings: Readings, on_step: Callable[[str], None] = lambda _: None) -> float:
        """Seconds that the loader takes."""
        request = self.request(readings)
        took = Stopwatch()
        await self.loader.load(request, attempt=Attempt("benchmrk"), on_step=on_step)
        return took()

    async def floor(self, readings: Readings, *then: str) -> float:
        """Seconds that psql takes to copy the rows into a temporary table and to execute the statements."""
        work_mem = self.settings.postgres.load_work_mem
        return await seconds_of(
            self.dsn, "BEGIN;", f"SET LOCAL work_mem = '{work_mem}';", *copied(readings), *then, "COMMIT;"
        )

    async def empty(self) -> None:
        """Both tables as new."""
        await self.pool.execute(f"TRUNCATE {READING.name}, {FLOOR}")
        await self.settle()

    def clean(self) -> None:
        """Remove the files and the objects: a million rows are 128 MB, and pytest keeps folders."""
        for readings in self._written:
            readings.file.unlink()
        self.store.remove(readings.object.key for readings in self._written)

    async def settle(self) -> None:
        """Do now what Postgres would do some time later, in the middle of somebody's turn."""
        for table in (READING.name, FLOOR):
            await self.pool.execute(f"VACUUM (ANALYZE) {table}")
        # A checkpoint without the right to order one: Postgres makes one whenever a database is dropped.
        await self.pool.execute("CREATE DATABASE checkpoint")
        await self.pool.execute("DROP DATABASE checkpoint")


def limits(settings: Settings) -> LoadLimits:
    """As a worker's wiring makes them."""
    postgres = settings.postgres
    return LoadLimits(
        lock=postgres.lock_timeout,
        statement=postgres.statement_timeout,
        idle_in_transaction=postgres.idle_in_transaction_timeout,
        work_mem=postgres.load_work_mem,
    )


def copied(readings: Readings) -> tuple[str, str]:
    """How psql brings the rows into a temporary table, which is gone with the transaction."""
    columns = ", ".join(staged_columns(READING))
    return (
        f"{create_staged(READING)};",
        rf"\copy {STAGED} ({columns}) FROM '{readings.file}' WITH (FORMAT csv, HEADER match)",
    )
