"""Locks and MERGE of a load, in a savepoint. Files and streams both use it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from library.contracts.errors import LoadInterrupted
from library.contracts.loads import DatasetCounts
from library.datasets.declaration import Catalogue
from library.datasets.strategies import Family, Upsert
from library.warehouse import statements
from library.warehouse.checks import Tally, affected
from library.warehouse.failures import MET_ANOTHER_LOAD, UNIQUE_VIOLATION, sqlstate
from library.warehouse.pool import Connection
from library.warehouse.steps import run_follow_ups, run_steps

_MEETINGS = 4
"""How often a load that conflicts with another one tries its merge before it gives up its connection."""


@dataclass(frozen=True)
class LoadLimits:
    """Limits of a load's transaction, time-outs in seconds; see `config.servers.PostgresSettings`."""

    lock: float
    statement: float
    idle_in_transaction: float
    work_mem: str

    async def set(self, connection: Connection, session_name: str) -> None:
        """Set them in the transaction, and the name by which its session is found."""
        await connection.execute(
            "SELECT set_config(name, value, true) FROM unnest($1::text[], $2::text[]) AS limits (name, value)",
            [
                "application_name",
                "lock_timeout",
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "work_mem",
            ],
            [
                session_name,
                f"{self.lock * 1000:.0f}ms",
                f"{self.statement * 1000:.0f}ms",
                f"{self.idle_in_transaction * 1000:.0f}ms",
                self.work_mem,
            ],
        )


async def repeated_alone[T](connection: Connection, merge: Callable[[bool], Awaitable[T]]) -> T:
    """Merge in a savepoint. After a conflict with another load, only the merge is repeated, not the COPY.

    Args:
        connection: in a transaction.
        merge: gets whether it must lock its datasets exclusively.
    """
    alone = False
    for _ in range(_MEETINGS):
        try:
            async with connection.transaction():
                return await merge(alone)
        except asyncpg.PostgresError as error:
            state = sqlstate(error)
            if state not in MET_ANOTHER_LOAD or (state == UNIQUE_VIOLATION and alone):
                raise
        alone = True
    raise LoadInterrupted(f"The load met others {_MEETINGS} times.")


async def merge_staged(
    connection: Connection,
    catalogue: Catalogue,
    tallies: Sequence[Tally],
    load_id: UUID,
    version: int,
    *,
    alone: bool = False,
) -> dict[str, DatasetCounts]:
    """Merge the staged rows of datasets, parents first, run the steps, and count the rows.

    If all parents are new, their children cannot be stored yet, so they are inserted. This is a third faster than a
    MERGE. If a child is stored after all, the repetition (`alone`) merges them.
    """
    counts: dict[str, DatasetCounts] = {}
    new: set[str] = set()
    followed = [tally.dataset for tally in tallies if tally.dataset.steps]
    for dataset in followed:
        await connection.execute(statements.keep_changed(dataset))
    for tally in tallies:
        dataset = tally.dataset
        strategy = dataset.strategy
        inserted = updated = deleted = 0
        if isinstance(strategy, Family) and strategy.parent.name in new:
            inserted = affected(await connection.execute(strategy.insert(dataset), load_id, version))
        else:
            if isinstance(strategy, Family):
                deleted = affected(await connection.execute(strategy.delete_missing(dataset)))
            merged = await connection.fetchrow(strategy.merge(dataset), load_id, version)
            inserted, updated = merged["inserted"], merged["updated"]
        if isinstance(strategy, Upsert) and catalogue.children(dataset):
            if inserted == tally.left and not alone:
                new.add(dataset.name)
            else:
                await connection.execute(strategy.create_winners(dataset, version))
        counts[dataset.name] = DatasetCounts(
            staged=tally.staged,
            rejected=tally.rejected,
            repeated=tally.repeated,
            inserted=inserted,
            updated=updated,
            unchanged=tally.left - inserted - updated,
            deleted=deleted,
            warned=tally.warned,
        )
    for dataset in followed:
        await run_steps(connection, dataset, counts[dataset.name])
    for tally in tallies:
        await run_follow_ups(connection, tally.dataset)
    return counts


async def lock_datasets(connection: Connection, tallies: Sequence[Tally], *, alone: bool) -> None:
    """Take the transaction's advisory locks, in an order that is the same for all.

    A strategy may share the lock at first (`ConcurrentUpsert`); a load that repeats has it alone. The lock of children
    is their parent's.
    """
    for dataset in sorted((tally.dataset for tally in tallies), key=lambda dataset: dataset.name):
        if dataset.parent is not None:
            continue
        shared = not (alone or dataset.strategy.needs_exclusive_lock)
        function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        await connection.execute(f"SELECT {function}(hashtextextended($1, 0))", f"dataset {dataset.name}")
