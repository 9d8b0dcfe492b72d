"""Patients and their observations, from FHIR R4 servers and files."""

from http import HTTPStatus

from library.sources.fhir import contracts, datasets
from library.sources.fhir.errors import FhirError, FileDamaged, InvalidZipcode, PageTooLarge, UnknownServer
from service.sources.source import Source

SOURCE = Source(
    name=contracts.SOURCE,
    schema=datasets.SCHEMA,
    datasets=datasets.DATASETS,
    contracts=("library.sources.fhir.contracts", "library.sources.fhir.errors", "library.sources.fhir.file_contracts"),
    keeps_objects=True,
    commands={"import": "commands", "sandbox": "sandbox_command"},
    fetching=(
        "fetch_patient_page",
        "fetch_observation_page",
        "read_patients",
        "begin_export",
        "fetch_manifest",
        "download_exported",
    ),
    stack_parts=("fhir_sandbox",),
    statuses={
        PageTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        FileDamaged: HTTPStatus.UNPROCESSABLE_ENTITY,
        InvalidZipcode: HTTPStatus.UNPROCESSABLE_ENTITY,
        UnknownServer: HTTPStatus.UNPROCESSABLE_ENTITY,
        FhirError: HTTPStatus.BAD_GATEWAY,
    },
)
