"""Activities of the beds source: a landed workbook becomes staged rows."""

import asyncio
import tempfile
from concurrent.futures import Executor
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from temporalio import activity

from config.settings import WorkbookSettings
from library.contracts.beds import StageWorkbook, WorkbookTooLarge
from library.contracts.loads import LoadRequest, Staged
from library.objects.staged import upload
from library.objects.store import ObjectStore, Progress
from library.sources.beds.staging import stage_in_child, workbook_identity
from library.telemetry.metrics import observe_stage
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog


@dataclass(frozen=True)
class WorkbookActivities:
    """From the store, through a reading process with limits, back into the store.

    Attributes:
        threads: where the blocking parts run; as many as there are slots.
    """

    pool: Pool
    store: ObjectStore
    runs: RunLog
    threads: Executor
    limits: WorkbookSettings

    @activity.defn(name="stage_workbook")
    async def stage_workbook(self, asked: StageWorkbook) -> Staged:
        """Read a landed workbook into staged objects, unless the ledger already holds its load."""
        identity = workbook_identity(asked.workbook, reload=asked.reload)
        if done := await ledger.find(self.pool, identity.load_id, run_id=asked.run_id):
            return done
        await self.runs.enter_phase(asked.run_id, "stage")
        loop, context = asyncio.get_running_loop(), copy_context()

        def beat(_: int = 0) -> None:
            loop.call_soon_threadsafe(activity.heartbeat, context=context)

        request, warnings = await loop.run_in_executor(self.threads, self._stage, asked, beat)
        await self.runs.warn(asked.run_id, warnings)
        return request

    def _stage(self, asked: StageWorkbook, beat: Progress) -> tuple[LoadRequest, tuple[str, ...]]:
        workbook = asked.workbook
        if workbook.size > self.limits.max_bytes:
            raise WorkbookTooLarge(f"The file has {workbook.size:,} bytes; {self.limits.max_bytes:,} are allowed.")
        with tempfile.TemporaryDirectory(prefix="wardflow-stage-") as name, observe_stage("beds", workbook.size):
            folder = Path(name)
            source = folder / "workbook"
            self.store.download(workbook, source, progress=beat)
            read = stage_in_child(source, folder, workbook, self.limits)
            beat(0)
            request = upload(
                self.store,
                folder,
                read.rows,
                identity=workbook_identity(workbook, reload=asked.reload),
                landed=workbook,
                run_id=asked.run_id,
                report=read.report,
            )
        return request, read.warnings
