"""Running workbooks through real workers in tests."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from temporalio.client import Client, WorkflowFailureError

from config.settings import Settings
from library.contracts.runs import Run
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.sources.beds.starts import ingest_workbook, land_workbook
from service.starts import Starter, run_id
from service.temporal import connect
from service.worker.parts import Resources
from tests.support.workers import serving
from workflows.policies import QUEUES

NHS = Path(__file__).parents[1] / "data" / "nhs"


@dataclass(frozen=True)
class Workbooks:
    """Sends workbooks as `wardflow ingest` does."""

    starter: Starter
    runs: RunLog
    client: Client

    async def ingest(self, path: Path, *, reload: bool = False) -> Run:
        """Land a workbook, run it to its end and return the run."""
        landed = await land_workbook(self.starter, path)
        handle = await ingest_workbook(self.starter, landed, subject=path.name, reload=reload)
        with suppress(WorkflowFailureError):  # the run says why
            await asyncio.wait_for(handle.result(), 60)
        found = await self.runs.get(run_id(handle))
        assert found is not None
        return found


@asynccontextmanager
async def workbooks(
    settings: Settings, pool: Pool, store: ObjectStore, queues: Sequence[str] = QUEUES
) -> AsyncIterator[Workbooks]:
    """With workers in this process for as long as the context lasts."""
    client = await connect(settings)
    async with serving(Resources(settings, client, pool, store), queues):
        yield Workbooks(Starter(settings, client, store, pool), RunLog(pool), client)


@asynccontextmanager
async def missing(pool: Pool, table: str) -> AsyncIterator[None]:
    """While a table has another name, loads into it are refused for good."""
    schema, _, name = table.partition(".")
    await pool.execute(f"ALTER TABLE {table} RENAME TO away")
    try:
        yield
    finally:
        await pool.execute(f"ALTER TABLE {schema}.away RENAME TO {name}")
