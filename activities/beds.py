"""Activities of the beds source."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from temporalio import activity

from activities.staging import Reading, Stager
from config.settings import WorkbookSettings
from library.contracts.beds import StageWorkbook, WorkbookTooLarge
from library.contracts.loads import Staged
from library.contracts.objects import ObjectRef
from library.sources.beds.staging import stage_in_child, workbook_identity


@dataclass(frozen=True)
class WorkbookActivities:
    """A landed workbook becomes staged rows."""

    stager: Stager
    limits: WorkbookSettings

    @activity.defn(name="stage_workbook")
    async def stage_workbook(self, asked: StageWorkbook) -> Staged:
        """Read a landed workbook, in a process of its own, into staged objects."""
        workbook = asked.workbook
        if workbook.size > self.limits.max_bytes:
            raise WorkbookTooLarge(f"The file has {workbook.size:,} bytes; {self.limits.max_bytes:,} are allowed.")
        identity = workbook_identity(workbook, reload=asked.reload)
        return await self.stager.stage(workbook, identity, asked.run_id, partial(self._read, workbook))

    def _read(self, workbook: ObjectRef, source: Path, folder: Path) -> Reading:
        return Reading(*stage_in_child(source, folder, workbook, self.limits))
