"""NHS bed occupancy: the quarterly return KH03."""

from http import HTTPStatus

from library.sources.beds import contracts, datasets
from library.sources.beds.contracts import WorkbookTooLarge
from service.sources.source import Source

READ_BEDS = "read:beds"

SOURCE = Source(
    name=contracts.SOURCE,
    schema=datasets.SCHEMA,
    datasets=datasets.DATASETS,
    contracts=("library.sources.beds.contracts",),
    concerns_patients=False,
    workflows_without_patients=("workbook-",),
    scopes=(READ_BEDS,),
    commands={"ingest": "commands"},
    fetching=("download_workbook",),
    statuses={WorkbookTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE},
)
