"""Patients, admissions and laboratory results, posted by API."""

from library.sources.records import datasets
from library.sources.records.apis import Api
from service.sources.source import AuditedParameters, Source

SOURCE = Source(
    name=datasets.SOURCE,
    schema=datasets.SCHEMA,
    datasets=datasets.DATASETS,
    posting_apis=tuple(str(api) for api in Api),
    commands={"simulate": "commands"},
    parameters=AuditedParameters(
        named=(
            "admission_id",
            "diagnosis",
            "from",
            "gender",
            "lab_name",
            "language",
            "marital_status",
            "max_value",
            "min_value",
            "race",
            "to",
        ),
    ),
)
