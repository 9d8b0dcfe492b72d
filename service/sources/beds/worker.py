"""The beds source's part of a worker."""

from activities.beds import WorkbookActivities
from activities.reloads import SourceReload
from library.sources.beds.catalogue import current_edition
from library.sources.beds.contracts import SOURCE
from library.sources.beds.reader import READER_VERSION
from service.sources.beds.starts import workbook_guard
from service.worker.parts import ByQueue, Resources, WorkerPart
from workflows.beds import IngestWorkbookWorkflow
from workflows.policies import COMPUTE, IO


def _activities(resources: Resources) -> ByQueue:
    settings = resources.settings
    workbooks = WorkbookActivities(resources.stager, settings.workbook, workbook_guard(settings))
    return {IO: [workbooks.download_workbook], COMPUTE: [workbooks.stage_workbook]}


def _reload(resources: Resources) -> SourceReload:
    settings = resources.settings
    workbooks = WorkbookActivities(resources.stager, settings.workbook, workbook_guard(settings))
    return SourceReload(READER_VERSION, workbooks.landed_again)


PART = WorkerPart(
    (IngestWorkbookWorkflow,),
    _activities,
    reports={"ingest-workbook": current_edition},
    reloads={SOURCE: _reload},
)
