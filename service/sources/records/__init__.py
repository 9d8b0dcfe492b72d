"""Patients, admissions and laboratory results, posted by API."""

from library.sources.records import datasets
from library.sources.records.apis import Api
from service.sources.source import Source

SOURCE = Source(
    name=datasets.SOURCE,
    schema=datasets.SCHEMA,
    datasets=datasets.DATASETS,
    posting_apis=tuple(str(api) for api in Api),
    commands={"simulate": "commands"},
)
