"""Workbooks of bed occupancy (KH03)."""

from temporalio import workflow

from workflows.policies import DOWNLOAD, STAGE
from workflows.runs import act, loaded, recorded

with workflow.unsafe.imports_passed_through():
    from activities.beds import WorkbookActivities
    from library.contracts.loads import LoadResult
    from library.sources.beds.contracts import SOURCE, DownloadWorkbook, IngestWorkbook, StageWorkbook


@workflow.defn(name="ingest-workbook")
class IngestWorkbookWorkflow:
    """Download a workbook (if only its URL is given) → stage → load, unless the ledger has it already."""

    @workflow.run
    async def run(self, request: IngestWorkbook) -> LoadResult:
        """Ingest one workbook."""

        async def recipe(run_id: str) -> LoadResult:
            workbook = request.workbook or await act(
                DOWNLOAD, WorkbookActivities.download_workbook, DownloadWorkbook(run_id=run_id, url=request.url or "")
            )
            stage = StageWorkbook(run_id=run_id, workbook=workbook, reload=request.reload)
            return await loaded(await act(STAGE, WorkbookActivities.stage_workbook, stage))

        return await recorded(SOURCE, request.workbook.key if request.workbook else None, recipe)
