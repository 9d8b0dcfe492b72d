"""NHS bed occupancy: the quarterly return KH03."""

from library.sources.beds import datasets
from service.sources.source import Source

SOURCE = Source(
    name="beds",
    schema=datasets.SCHEMA,
    datasets=datasets.DATASETS,
    concerns_patients=False,
    workflows_without_patients=("workbook-",),
)
