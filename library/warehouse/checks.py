"""Checks the staged rows between COPY and MERGE. Only temporary tables and rejections are changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

from library.contracts.errors import ExpectationFailed, StagedObjectMalformed
from library.contracts.loads import LoadRequest
from library.datasets.declaration import Action, Dataset
from library.warehouse import statements
from library.warehouse.pool import Connection


@dataclass(frozen=True)
class Origin:
    """The origin of a load's rows, as columns of `ingest.rejection`.

    Attributes:
        place: the columns that name the object or the partition, with their values.
        position: the column with the row's position in it.
    """

    load_id: UUID
    source: str
    place: dict[str, object]
    position: str

    @classmethod
    def of_object(cls, request: LoadRequest) -> Self:
        """A landed object, and the lines in it."""
        return cls(request.identity.load_id, request.identity.source, {"object_key": request.landed.key}, "line")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are equal in all rejections of the load, and the column of the position."""
        return ("load_id", "source", *self.place, self.position)

    @property
    def values(self) -> tuple[object, ...]:
        """The values of these columns, without the position."""
        return (self.load_id, self.source, *self.place.values())


@dataclass
class Tally:
    """The counts of a dataset's rows so far.

    Attributes:
        staged: rows of the reader, including those that it refused.
        left: rows that are still in the temporary table.
    """

    dataset: Dataset
    staged: int = 0
    rejected: int = 0
    repeated: int = 0
    left: int = 0
    warned: dict[str, int] = field(default_factory=dict)

    def refuse(self, rows: int) -> None:
        """Count rows that were moved from the temporary table to the rejections."""
        self.rejected += rows
        self.left -= rows


async def check(connection: Connection, origin: Origin, tally: Tally) -> None:
    """Check the expectations of a dataset, and move staged rows that must not be loaded to the rejections.

    Raises:
        ExpectationFailed: a row does not meet an expectation whose action is `fail`.
    """
    dataset = tally.dataset
    expectations = (*statements.built_in_expectations(dataset), *dataset.expectations)
    counts = await connection.fetchrow(statements.count_failures(dataset, expectations)) if expectations else ()
    failed = {rule: count for rule, count in zip(expectations, counts, strict=True) if count}
    for rule, count in failed.items():
        if rule.action is Action.FAIL:
            raise ExpectationFailed(f"{count} rows of {dataset.name} do not meet '{rule.name}'.")
    if any(rule.action is Action.QUARANTINE for rule in failed):
        tally.refuse(
            await _reject(connection, origin, statements.reject_failures(dataset, tuple(failed), origin.columns))
        )
    if dataset.parent is not None:
        tally.refuse(await _reject(connection, origin, statements.reject_orphans(dataset, origin.columns)))
    warnings = [rule for rule in failed if rule.action is Action.WARN]
    if warnings:  # counted again, without the rows that were refused for other reasons
        counts = await connection.fetchrow(statements.count_failures(dataset, warnings))
        tally.warned = {rule.name: count for rule, count in zip(warnings, counts, strict=True) if count}


async def keep_last_of_each_key(connection: Connection, tallies: Sequence[Tally]) -> None:
    """Drop rows if a newer or later row of the load has the same key, and the children of dropped parents.

    Args:
        connection: in the load's transaction.
        tallies: of the load's datasets, parents first.
    """
    repeated = {tally.dataset.name: 0 for tally in tallies}
    for tally in tallies:
        dataset = tally.dataset
        dropped = 0
        if dataset.parent is not None and repeated[dataset.parent.name]:
            dropped += affected(await connection.execute(statements.drop_orphans(dataset)))
        if await connection.fetchval(statements.has_repeated_keys(dataset)):
            dropped += affected(await connection.execute(statements.drop_repeated_keys(dataset)))
        repeated[dataset.name] = dropped
        tally.repeated += dropped
        tally.left -= dropped


async def enter_readers_rejections(connection: Connection, request: LoadRequest, tallies: list[Tally]) -> None:
    """Copy the reader's own rejections from their temporary table to `ingest.rejection`, and count them.

    Raises:
        StagedObjectMalformed: a rejection names a dataset that is not part of the load.
    """
    rows = await connection.fetch(statements.enter_readers_rejections(), *Origin.of_object(request).values)
    by_name = {tally.dataset.name: tally for tally in tallies}
    for row in rows:
        if row["dataset"] not in by_name:
            raise StagedObjectMalformed(f"Rejections name a dataset that is not part of the load: {row['dataset']}.")
        by_name[row["dataset"]].staged += row["rows"]
        by_name[row["dataset"]].rejected += row["rows"]


def affected(status: str) -> int:
    """The number of rows in a command's status: `DELETE 3`."""
    return int(status.rsplit(" ", 1)[1])


async def _reject(connection: Connection, origin: Origin, statement: str) -> int:
    return affected(await connection.execute(statement, *origin.values))
