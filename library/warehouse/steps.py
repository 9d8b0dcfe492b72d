"""Steps that follow the merge of a dataset: run in the load's transaction, for the keys that it wrote."""

from collections.abc import Iterable

import asyncpg

from library.contracts.errors import LoadRejected
from library.contracts.loads import DatasetCounts
from library.datasets.declaration import Dataset, Step
from library.datasets.sql import changed
from library.warehouse.failures import constraint_name, is_transient, sqlstate
from library.warehouse.pool import Connection
from library.warehouse.statements import WORTH_ANALYZING


class StepFailed(LoadRejected):
    """A step that follows a merge failed, so nothing of the load was stored."""

    default_advice = "Correct the step in its dataset's declaration. The error is not in a single row."


async def run_steps(connection: Connection, dataset: Dataset, counts: DatasetCounts) -> None:
    """Run the steps of a dataset, if the load wrote any of its rows.

    Args:
        connection: in the load's transaction, with the dataset's lock; the keys are in `changed`.
        dataset: the dataset whose rows were written.
        counts: the counts of its rows in this load.

    Raises:
        StepFailed: a retry cannot succeed. Other errors, such as a deadlock, are raised unchanged.
    """
    written = counts.inserted + counts.updated + counts.deleted
    if not written:
        return
    if written > WORTH_ANALYZING:
        await connection.execute(f"ANALYZE {changed(dataset.model)}")
    await _run(connection, dataset, dataset.steps)


async def run_follow_ups(connection: Connection, dataset: Dataset) -> None:
    """Run the follow-ups of a dataset, after all merges of a load with rows of it.

    Raises:
        StepFailed: as in `run_steps`.
    """
    await _run(connection, dataset, dataset.follow_ups)


async def _run(connection: Connection, dataset: Dataset, steps: Iterable[Step]) -> None:
    for step in steps:
        try:
            await connection.execute(step.sql)
        except asyncpg.PostgresError as error:
            if is_transient(error):
                raise
            where = f", {constraint_name(error)}" if constraint_name(error) else ""
            message = f"The step '{step.name}' of {dataset.name} failed: SQLSTATE {sqlstate(error)}{where}."
            raise StepFailed(message) from error
