"""NHS bed occupancy: the quarterly return KH03."""

from http import HTTPStatus

from library.sources.beds import contracts, datasets, views
from library.sources.beds.contracts import WorkbookTooLarge
from library.sources.beds.names import READ_BEDS
from service.sources.source import Source

SOURCE = Source(
    name=contracts.SOURCE,
    schema=datasets.SCHEMA,
    datasets=datasets.DATASETS,
    views=views.VIEWS,
    contracts=("library.sources.beds.contracts",),
    concerns_patients=False,
    scope=READ_BEDS,
    keeps_objects=True,
    workflows_without_patients=("workbook-", "reload-older-beds"),
    scopes=(READ_BEDS,),
    commands={"ingest": "commands"},
    fetching=("download_workbook",),
    statuses={WorkbookTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE},
)
