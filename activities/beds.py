"""Activities of the beds source."""

import asyncio
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from temporalio import activity

from activities.staging import Landed, Reading, Stager
from config.beds import WorkbookSettings
from library.contracts.loads import Staged
from library.contracts.objects import ObjectRef
from library.sources.beds.contracts import SOURCE, DownloadWorkbook, StageWorkbook, WorkbookTooLarge
from library.sources.beds.staging import stage_in_child, workbook_identity
from library.web.download import download
from library.web.guard import Guard


@dataclass(frozen=True)
class WorkbookActivities:
    """Download a workbook, and stage its rows."""

    stager: Stager
    limits: WorkbookSettings
    guard: Guard

    @activity.defn(name="download_workbook")
    async def download_workbook(self, request: DownloadWorkbook) -> ObjectRef:
        """Download a workbook, land it, and write its key into the run."""
        await self.stager.runs.enter_phase(request.run_id, "download")
        with tempfile.TemporaryDirectory(prefix="wardflow-download-") as folder:
            path = Path(folder) / "workbook"
            await download(
                request.url, path, self.guard, expect=("ole2", "zip"), progress=lambda _: activity.heartbeat()
            )
            landed = await asyncio.to_thread(
                self.stager.store.land, SOURCE, path, content_type="application/octet-stream"
            )
        await self.stager.runs.enter_object(request.run_id, landed.key)
        return landed

    @activity.defn(name="stage_workbook")
    async def stage_workbook(self, request: StageWorkbook) -> Staged:
        """Read a landed workbook in a child process, and stage its rows."""
        workbook = request.workbook
        if workbook.size > self.limits.max_bytes:
            raise WorkbookTooLarge(f"The file has {workbook.size:,} bytes; {self.limits.max_bytes:,} are allowed.")
        identity = workbook_identity(workbook, reload=request.reload)
        return await self.stager.stage(Landed(workbook, identity, request.run_id, partial(self._read, workbook)))

    def _read(self, workbook: ObjectRef, source: Path, folder: Path) -> Reading:
        return Reading(*stage_in_child(source, folder, workbook, self.limits))
