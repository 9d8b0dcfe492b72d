"""Workbooks of bed occupancy (KH03)."""

from temporalio import workflow

from workflows.policies import STAGE
from workflows.runs import act, loaded, recorded

with workflow.unsafe.imports_passed_through():
    from activities.beds import WorkbookActivities
    from library.contracts.beds import IngestWorkbook, StageWorkbook
    from library.contracts.loads import LoadResult


@workflow.defn(name="ingest-workbook")
class IngestWorkbookWorkflow:
    """A landed workbook → staged → loaded, unless the ledger has it already."""

    @workflow.run
    async def run(self, request: IngestWorkbook) -> LoadResult:
        """Ingest one workbook."""
        workbook = request.workbook

        async def recipe(run_id: str) -> LoadResult:
            wanted = StageWorkbook(run_id=run_id, workbook=workbook, reload=request.reload)
            return await loaded(await act(STAGE, WorkbookActivities.stage_workbook, wanted))

        return await recorded("beds", workbook.key, recipe)
