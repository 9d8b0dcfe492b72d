"""The beds source's part of a worker."""

from activities.beds import WorkbookActivities
from library.sources.beds.catalogue import current_edition
from service.sources.beds.starts import workbook_guard
from service.worker.parts import ByQueue, Resources, WorkerPart
from workflows.beds import IngestWorkbookWorkflow
from workflows.policies import COMPUTE, IO


def _activities(resources: Resources) -> ByQueue:
    settings = resources.settings
    workbooks = WorkbookActivities(resources.stager, settings.workbook, workbook_guard(settings))
    return {IO: [workbooks.download_workbook], COMPUTE: [workbooks.stage_workbook]}


PART = WorkerPart((IngestWorkbookWorkflow,), _activities, reports={"ingest-workbook": current_edition})
