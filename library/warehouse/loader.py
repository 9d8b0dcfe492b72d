"""The loader of all datasets, for any source. One load is one transaction.

Look in the ledger → COPY into temporary tables → check → keep the last row of each key → claim → lock → merge → commit.
Any crash before the commit leaves nothing, any repeat after it changes nothing, and nothing that others wait for is
held during COPY.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import asyncpg

from library.contracts.errors import ObjectMissing, StagedObjectMalformed
from library.contracts.loads import LoadOutcome, LoadRequest, LoadResult, StagedObject
from library.contracts.objects import ObjectRef
from library.datasets.declaration import Catalogue, Dataset
from library.datasets.sql import staged_name
from library.objects.staged import StagedObjects
from library.staging.files import staged_columns
from library.warehouse import ledger, statements
from library.warehouse.checks import (
    Origin,
    Tally,
    affected,
    check,
    enter_readers_rejections,
    keep_last_of_each_key,
)
from library.warehouse.failures import BAD_CELL, DISCONNECTED, sqlstate, translate
from library.warehouse.merging import LoadLimits, lock_datasets, merge_staged, repeated_alone
from library.warehouse.pool import Connection, Pool, transaction
from library.warehouse.salvage import Salvaged, copy_salvaged, salvage
from library.warehouse.sessions import Attempt, Beat, end_earlier_attempts, watched

_FETCHED_AHEAD = 4 * 1024 * 1024
"""Staged objects up to this size are fetched before their turn, since the request costs more than their bytes."""

type FetchedObjects = Mapping[str, bytes]
"""Contents of objects, by their keys."""

type OnStep = Callable[[str], None]
"""Called with the name of each finished step; tests freeze or kill the process there."""


@dataclass(frozen=True)
class _Load:
    """The arguments of one load: the request, the staged files, and the progress callbacks."""

    request: LoadRequest
    objects: StagedObjects
    entries: list[tuple[Dataset, StagedObject]]
    attempt: Attempt
    beat: Beat
    on_step: OnStep
    started_at: datetime

    async def chunks(self, ref: ObjectRef, ahead: FetchedObjects) -> AsyncIterator[bytes]:
        """A staged object's bytes."""
        if ref.key in ahead:
            yield ahead[ref.key]
            return
        async for chunk in self.objects.stream(ref):
            yield chunk
            self.beat()


class _AlreadyLoadedError(Exception):
    """Another attempt has committed this load meanwhile. Rolls the transaction back."""


class _BadCellError(Exception):
    """COPY met a cell that its column cannot hold."""


class Loader:
    """Loads staged objects into datasets."""

    def __init__(self, pool: Pool, store: StagedObjects, catalogue: Catalogue, limits: LoadLimits) -> None:
        self._pool = pool
        self._store = store
        self._catalogue = catalogue
        self._limits = limits

    async def load(
        self,
        request: LoadRequest,
        *,
        attempt: Attempt,
        objects: StagedObjects | None = None,
        beat: Beat = lambda: None,
        on_step: OnStep = lambda _: None,
    ) -> LoadResult:
        """Load one request into the warehouse, completely or not at all.

        Args:
            request: the load.
            objects: the folder of the staged files, if they are not in the store.
            attempt: the attempt. Sessions of the owner's earlier attempts are ended first.
            beat: called as the load makes progress.
            on_step: called with the name of each finished step: copied, checked, merged, committed.

        Raises:
            LoadInterrupted: a retry can succeed; nothing was loaded.
            LoadRejected: a retry cannot succeed; nothing was loaded.
            ObjectMissing, ObjectDamaged, StoreUnavailable: the staged objects cannot be read.
        """
        load = _Load(request, objects or self._store, self._entries(request), attempt, beat, on_step, datetime.now(UTC))
        load_id = request.identity.load_id
        try:
            if done := await ledger.find(self._pool, load_id, run_id=request.run_id):
                return done
            await end_earlier_attempts(self._pool, load_id, attempt)
            try:
                result = await self._transaction(load, {})
            except _BadCellError:
                result = await self._by_cell(load)
        except (_AlreadyLoadedError, ObjectMissing):
            # Staged objects are removed after the commit, so a missing one may mean that the load is done.
            if done := await ledger.find(self._pool, load_id, run_id=request.run_id):
                return done
            raise
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            raise translate(error) from error
        on_step("committed")
        return result

    def _entries(self, request: LoadRequest) -> list[tuple[Dataset, StagedObject]]:
        """The staged objects with their datasets, parents first, then by name: the order of locks and merges."""
        by_name = {entry.dataset: entry for entry in request.staged}
        if len(by_name) != len(request.staged):
            raise StagedObjectMalformed("A dataset is staged twice in one load.")
        if unknown := sorted(name for name in by_name if name not in self._catalogue):
            raise StagedObjectMalformed(f"No dataset is declared under the names {unknown}.")
        datasets = [self._catalogue[name] for name in by_name]
        family = {child.name for dataset in datasets for child in self._catalogue.children(dataset)}
        family |= {dataset.parent.name for dataset in datasets if dataset.parent}
        if missing := sorted(family - set(by_name)):
            raise StagedObjectMalformed(f"Parents and children are loaded together; not staged: {missing}.")
        ordered = sorted(datasets, key=lambda dataset: (dataset.parent is not None, dataset.name))
        return [(dataset, by_name[dataset.name]) for dataset in ordered]

    async def _by_cell(self, load: _Load) -> LoadResult:
        with tempfile.TemporaryDirectory(prefix="wardflow-salvage-") as name:
            salvaged = {
                dataset.name: await salvage(load.objects, dataset, entry, Path(name), load.beat)
                for dataset, entry in load.entries
            }
            try:
                return await self._transaction(load, salvaged)
            except _BadCellError as error:
                raise StagedObjectMalformed(
                    "The reader's rejections are not of the form that they have to have."
                ) from error

    async def _transaction(self, load: _Load, salvaged: Mapping[str, Salvaged]) -> LoadResult:
        ahead = {} if salvaged else await self._fetch_ahead(load)
        async with self._pool.acquire() as connection, transaction(connection):
            await self._limits.set(connection, load.attempt.session_name(load.request.identity.load_id))
            tallies = [
                await self._copy(connection, load, dataset, entry, salvaged.get(dataset.name), ahead)
                for dataset, entry in load.entries
            ]
            if load.request.rejections is not None:
                await self._copy_rejections(connection, load, load.request.rejections, ahead)
            load.on_step("copied")
            origin = Origin.of_object(load.request)
            async with watched(self._pool, connection, load.beat):
                if load.request.rejections is not None:
                    await enter_readers_rejections(connection, load.request, tallies)
                for tally in tallies:
                    await check(connection, origin, tally)
                await keep_last_of_each_key(connection, tallies)
                load.on_step("checked")
                result = await repeated_alone(connection, partial(self._merge, connection, load, tallies))
                load.on_step("merged")
                return result

    async def _fetch_ahead(self, load: _Load) -> FetchedObjects:
        """Fetch the small objects of the load at the same time."""
        refs = [entry.object for _, entry in load.entries]
        refs += [load.request.rejections] if load.request.rejections else []
        small = [ref for ref in refs if ref.size <= _FETCHED_AHEAD]
        contents = await asyncio.gather(*map(load.objects.fetch, small))
        return {ref.key: content for ref, content in zip(small, contents, strict=True)}

    async def _copy(
        self,
        connection: Connection,
        load: _Load,
        dataset: Dataset,
        entry: StagedObject,
        salvaged: Salvaged | None,
        ahead: FetchedObjects,
    ) -> Tally:
        if salvaged is not None:
            async with watched(self._pool, connection, load.beat):
                rows, left = await copy_salvaged(connection, load.request, dataset, salvaged)
        else:
            await connection.execute(statements.create_staged(dataset))
            name, columns = staged_name(dataset), staged_columns(dataset)
            rows = left = await copied(connection, name, columns, load.chunks(entry.object, ahead))
        if rows != entry.rows:
            raise StagedObjectMalformed(f"A staged object of {dataset.name} was to have {entry.rows} rows, not {rows}.")
        if left > statements.WORTH_ANALYZING:
            await connection.execute(statements.analyze(dataset))
        return Tally(dataset, staged=rows, rejected=rows - left, left=left)

    async def _copy_rejections(
        self, connection: Connection, load: _Load, rejections: ObjectRef, ahead: FetchedObjects
    ) -> None:
        await connection.execute(
            "CREATE TEMP TABLE staged_rejections (dataset text, line bigint, reasons text[], raw bytea) ON COMMIT DROP"
        )
        columns = ("dataset", "line", "reasons", "raw")
        await copied(connection, "staged_rejections", columns, load.chunks(rejections, ahead))

    async def _merge(self, connection: Connection, load: _Load, tallies: list[Tally], alone: bool) -> LoadResult:
        request = load.request
        if not await ledger.claim(connection, request, started_at=load.started_at):
            raise _AlreadyLoadedError
        # Loads of one landed object exclude each other.
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"object {request.landed.key}"
        )
        await lock_datasets(connection, tallies, alone=alone)
        load_id, version = request.identity.load_id, request.identity.reader_version
        counts = await merge_staged(connection, self._catalogue, tallies, load_id, version, alone=alone)
        await ledger.replace_rejections(connection, request)
        result = await ledger.complete(connection, load_id, counts)
        return result.model_copy(update={"outcome": LoadOutcome.LOADED})


async def copied(connection: Connection, table: str, columns: tuple[str, ...], chunks: AsyncIterator[bytes]) -> int:
    """COPY staged CSV as it arrives; returns the number of rows."""
    try:
        status = await connection.copy_to_table(table, source=chunks, format="csv", header="MATCH", columns=columns)
    except asyncpg.PostgresError as error:
        if sqlstate(error).startswith(BAD_CELL):
            raise _BadCellError from error
        raise
    return affected(status)
