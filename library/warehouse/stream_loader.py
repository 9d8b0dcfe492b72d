"""Loads each batch of records with its offset in one transaction, for any source and dataset.

COPY into tables that the connection keeps → check → last row of each key → move the offset → lock → merge → ledger →
commit. Only the stored offset decides: a second attempt at the same batch finds it moved, and writes nothing.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import asyncpg

from library.contracts.drains import DrainIdentity
from library.contracts.errors import LoadRejected
from library.contracts.loads import DatasetCounts
from library.datasets.declaration import Catalogue
from library.datasets.fields import table_of
from library.datasets.ingest import Rejection
from library.datasets.sql import staged_name
from library.staging.files import staged_columns
from library.telemetry.metrics import count_rows
from library.warehouse import ledger, offsets, statements
from library.warehouse.batches import Batch, Feed
from library.warehouse.checks import Origin, Tally, check, keep_last_of_each_key
from library.warehouse.failures import BAD_CELL, DISCONNECTED, constraint_name, sqlstate, translate
from library.warehouse.merging import LoadLimits, lock_datasets, merge_staged, repeated_alone
from library.warehouse.pool import Connection, Pool, transaction
from library.warehouse.sessions import Attempt, Beat, watched

_ABOUT_A_ROW = (BAD_CELL, "23502", "23514", "23505", "54000")
"""A cell or a row that the table cannot hold: data exceptions, constraints, a key too long for its index."""

_AT_ONCE = 3
"""Batches of one process that are in a transaction at a time: one copies while others merge. More would wait for the
processor, and Postgres ends a transaction whose client is silent for long."""

_REJECTION = ("load_id", "source", "topic", "incarnation", "partition", "dataset", "offset", "reasons", "raw")


class BatchRefused(LoadRejected):
    """A decoded row does not fit its table, so the batch must be split."""


class BatchStale(Exception):
    """The stored offset is not the batch's beginning, or the partition was paused, stopped or rewound."""


@dataclass
class DrainLedger:
    """The committed batches of one activity of a drain: one row of the ledger, to which each batch is added.

    Only one session writes the row. A second activity that begins at the same offset of the same generation finds its
    first batch stale as soon as the other one has committed.
    """

    feed: Feed
    identity: DrainIdentity
    run_id: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    counts: dict[str, DatasetCounts] = field(default_factory=dict)
    records: int = 0
    batches: int = 0

    def with_more(self, counts: Mapping[str, DatasetCounts]) -> dict[str, DatasetCounts]:
        """The committed counts and those of one more batch."""
        return {name: self.counts.get(name, DatasetCounts()) + more for name, more in counts.items()}

    def add(self, batch: Batch, counts: Mapping[str, DatasetCounts]) -> None:
        """Add a committed batch."""
        self.counts = self.with_more(counts)
        self.records += len(batch.records)
        self.batches += 1


class StreamLoader:
    """Loads batches into datasets."""

    def __init__(self, pool: Pool, catalogue: Catalogue, limits: LoadLimits) -> None:
        self.pool = pool
        self._catalogue = catalogue
        self._limits = limits
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def load(
        self,
        batch: Batch,
        drain: DrainLedger,
        attempt: Attempt,
        *,
        beat: Beat = lambda: None,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Load a batch and move its partition's offset, both or neither.

        Args:
            batch: what to load.
            drain: the ledger of the activity; the batch is added to it.
            attempt: the attempt, for the session's name.
            beat: called while Postgres is active.
            on_step: called with the name of each finished step: copied, merged, committed.

        Raises:
            BatchStale: the offset was moved since; nothing was loaded.
            BatchRefused: a row does not fit its table.
            LoadInterrupted: a retry can succeed.
            LoadRejected: a retry cannot succeed.
        """
        try:
            async with self._turns, self.pool.acquire() as connection, transaction(connection):
                await self._limits.set(connection, attempt.session_name(drain.identity.session))
                tallies = await self._copy(connection, batch, drain.feed)
                on_step("copied")
                async with watched(self.pool, connection, beat):
                    if batch.filled:
                        for tally in tallies:
                            await check(connection, _origin(batch, drain), tally)
                        await keep_last_of_each_key(connection, tallies)
                    counts = await repeated_alone(connection, partial(self._merge, connection, batch, drain, tallies))
                    on_step("merged")
        except asyncpg.PostgresError as error:
            if batch.filled and sqlstate(error).startswith(_ABOUT_A_ROW):
                where = constraint_name(error)
                raise BatchRefused(f"SQLSTATE {sqlstate(error)}" + (f", {where}" if where else "")) from error
            raise translate(error) from error
        except DISCONNECTED as error:
            raise translate(error) from error
        drain.add(batch, counts)
        count_rows(drain.feed.source, counts)
        on_step("committed")

    async def _copy(self, connection: Connection, batch: Batch, feed: Feed) -> list[Tally]:
        tallies = []
        if batch.filled:
            await connection.execute("; ".join(statements.keep_staged(dataset) for dataset in feed.datasets))
        for dataset in feed.datasets:
            rows = batch.rows[dataset.name]
            if rows:
                await connection.copy_records_to_table(
                    staged_name(dataset), records=rows, columns=staged_columns(dataset)
                )
            refused = sum(rejected[0] == dataset.name for rejected in batch.rejected)
            tallies.append(Tally(dataset, staged=len(rows) + refused, rejected=refused, left=len(rows)))
        return tallies

    async def _merge(
        self, connection: Connection, batch: Batch, drain: DrainLedger, tallies: list[Tally], alone: bool
    ) -> dict[str, DatasetCounts]:
        if not await offsets.advance(connection, batch):
            raise BatchStale
        load_id, version = drain.identity.load_id, drain.feed.reader_version
        merged = {}
        if batch.filled:
            await lock_datasets(connection, tallies, alone=alone)
            merged = await merge_staged(connection, self._catalogue, tallies, load_id, version, alone=alone)
        await self._enter_rejections(connection, batch, drain)
        refused = {tally.dataset.name: DatasetCounts(staged=tally.staged, rejected=tally.rejected) for tally in tallies}
        counts = refused | merged
        await ledger.add_to(
            connection,
            drain.identity,
            run_id=drain.run_id,
            reader_version=version,
            started_at=drain.started_at,
            counts=drain.with_more(counts),
            report={"records": drain.records + len(batch.records), "next_offset": batch.following},
        )
        return counts

    async def _enter_rejections(self, connection: Connection, batch: Batch, drain: DrainLedger) -> None:
        """Insert the batch's rejections. After a rewind they replace the earlier ones of these records."""
        place = batch.place
        if place.generation > 1:
            await connection.execute(
                "DELETE FROM ingest.rejection WHERE topic = $1 AND incarnation = $2 AND partition = $3 "
                'AND "offset" >= $4 AND "offset" < $5 AND load_id <> $6',
                place.topic,
                place.incarnation,
                place.partition,
                batch.first,
                batch.following,
                drain.identity.load_id,
            )
        if batch.rejected:
            alike = (drain.identity.load_id, drain.feed.source, place.topic, place.incarnation, place.partition)
            await connection.copy_records_to_table(
                table_of(Rejection).name,
                schema_name=table_of(Rejection).schema,
                columns=_REJECTION,
                records=[alike + rejected for rejected in batch.rejected],
            )


def _origin(batch: Batch, drain: DrainLedger) -> Origin:
    place = batch.place
    named = {"topic": place.topic, "incarnation": place.incarnation, "partition": place.partition}
    return Origin(drain.identity.load_id, drain.feed.source, named, "offset")
