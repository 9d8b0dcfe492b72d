"""Starting runs: land what arrived, start its workflow, enter the run. No run without a stored object."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import structlog
from temporalio.client import Client, WorkflowHandle
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from config.settings import Settings
from library.contracts.beds import IngestWorkbook, WorkbookTooLarge
from library.contracts.loads import LoadResult
from library.contracts.objects import ObjectRef
from library.contracts.runs import RunStarted
from library.objects.store import ObjectStore, Progress
from library.sources.beds.staging import SOURCE, workbook_identity
from library.warehouse import ledger
from library.warehouse.failures import DISCONNECTED
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from workflows.beds import IngestWorkbookWorkflow
from workflows.policies import WORKFLOWS
from workflows.runs import SOURCE as SOURCE_ATTRIBUTE

_log = structlog.get_logger(__name__)

EXCEL = {
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

type WorkbookHandle = WorkflowHandle[IngestWorkbookWorkflow, LoadResult]


@dataclass(frozen=True)
class Starter:
    """Lands objects and starts runs."""

    settings: Settings
    client: Client
    store: ObjectStore
    pool: Pool

    async def land_workbook(self, path: Path, *, progress: Progress = lambda _: None) -> ObjectRef:
        """Store a workbook's bytes.

        Raises:
            WorkbookTooLarge: it has more bytes than a workbook may have; nothing was stored.
        """
        if (size := path.stat().st_size) > (limit := self.settings.workbook.max_bytes):
            raise WorkbookTooLarge(f"The file has {size:,} bytes; {limit:,} are allowed.")
        content_type = EXCEL.get(path.suffix.lower(), "application/octet-stream")
        return await asyncio.to_thread(self.store.land, SOURCE, path, content_type=content_type, progress=progress)

    async def ingest_workbook(self, workbook: ObjectRef, *, subject: str, reload: bool = False) -> WorkbookHandle:
        """Start the run of a landed workbook, or join the one that is open.

        Args:
            workbook: the landed bytes; their sha256 is the run's business identity.
            subject: the file's name, for people; it is kept in `ingest.run` and stays out of Temporal.
            reload: load it once more although the ledger has it.
        """
        number = await ledger.next_reload(self.pool, workbook_identity(workbook)) if reload else 0
        handle = await self.client.start_workflow(
            IngestWorkbookWorkflow.run,
            IngestWorkbook(workbook=workbook, reload=number),
            id=f"workbook-{workbook.sha256}" + (f"-reload-{number}" if number else ""),
            task_queue=self.settings.worker.queue_prefix + WORKFLOWS,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=TypedSearchAttributes([SearchAttributePair(SOURCE_ATTRIBUTE, SOURCE)]),
        )
        await self._enter(handle, subject, workbook)
        return handle

    async def _enter(self, handle: WorkbookHandle, subject: str, workbook: ObjectRef) -> None:
        started = RunStarted(
            run_id=run_id(handle),
            workflow_id=handle.id,
            workflow="ingest-workbook",
            source=SOURCE,
            subject=subject,
            started_at=datetime.now(UTC),
            object_key=workbook.key,
        )
        try:
            await RunLog(self.pool).begin(started)
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            # The run is under way whatever Postgres says now; its first step enters it.
            _log.warning("run not entered by its starter", run_id=started.run_id, error=type(error).__name__)


def run_id(handle: WorkbookHandle) -> str:
    """The run's id: the first run id of its execution chain."""
    return handle.first_execution_run_id or handle.result_run_id or ""
