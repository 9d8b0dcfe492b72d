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
        landed = self.landed(request.workbook, request.run_id, reload=request.reload)
        return await self.stager.stage(landed)

    def landed(self, workbook: ObjectRef, run_id: str, *, reload: int = 0) -> Landed:
        """Describe a landed workbook for staging.

        Raises:
            WorkbookTooLarge: it is larger than the settings allow.
        """
        if workbook.size > self.limits.max_bytes:
            raise WorkbookTooLarge(f"The file has {workbook.size:,} bytes; {self.limits.max_bytes:,} are allowed.")
        identity = workbook_identity(workbook, reload=reload)
        return Landed(workbook, identity, run_id, partial(self._read, workbook))

    async def landed_again(self, workbook: ObjectRef, _: str, run_id: str) -> Landed:
        """Describe a workbook that was loaded before, for a reload."""
        return self.landed(workbook, run_id)

    def _read(self, workbook: ObjectRef, source: Path, folder: Path) -> Reading:
        return Reading(*stage_in_child(source, folder, workbook, self.limits))
