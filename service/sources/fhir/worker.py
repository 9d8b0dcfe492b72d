"""The FHIR source's part of a worker."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

from pydantic import JsonValue

from activities.fhir.files import FhirFileActivities
from activities.fhir.imports import FhirImportActivities
from activities.fhir.pages import FhirActivities, FhirClients
from activities.reloads import SourceReload
from library.sources.fhir.contracts import FILE, SOURCE
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.leftovers import forget_ended
from library.sources.fhir.reading import digests, reader_settings
from library.sources.fhir.staging import READER_VERSION
from library.warehouse.older import OTHERS
from service.sources.fhir.starts import file_guard
from service.worker.parts import ByQueue, Forget, Resources, WorkerPart
from workflows.fhir.files import ImportFhirWorkflow
from workflows.fhir.zipcodes import ImportObservationsWorkflow, ImportZipcodeWorkflow
from workflows.policies import COMPUTE, FHIR, IO, LOAD


def _activities(resources: Resources) -> ByQueue:
    settings = resources.settings
    imports = FhirImports(resources.pool, READER_VERSION, digests(settings.fhir))
    clients = FhirClients(settings.fhir, ca_file=settings.downloads.ca_file)
    resources.at_end(clients.close)
    pages = FhirActivities(resources.store, resources.runs, clients, imports)
    files = FhirFileActivities(resources.stager, clients, file_guard(settings))
    # These loads also stage, so they must not wait for the readers of files.
    stager = replace(resources.stager, threads=ThreadPoolExecutor(settings.worker.load_slots, "stage-page"))
    imported = FhirImportActivities(imports, stager, resources.loads, settings.fhir)
    return {
        IO: [imported.plan_searches, imported.finish_import, files.count_patient_unknown],
        COMPUTE: [files.stage_fhir],
        LOAD: [imported.load_pages],
        FHIR: [
            pages.fetch_patient_page,
            pages.fetch_observation_page,
            pages.read_patients,
            files.begin_export,
            files.fetch_manifest,
            files.download_exported,
            files.read_notices,
        ],
    }


def _reload(resources: Resources) -> SourceReload:
    fhir = resources.settings.fhir
    clients = FhirClients(fhir, ca_file=resources.settings.downloads.ca_file)
    files = FhirFileActivities(resources.stager, clients, file_guard(resources.settings))
    imports = FhirImports(resources.pool, READER_VERSION, digests(fhir))

    async def report() -> Mapping[str, JsonValue]:
        zipcodes: list[JsonValue] = [*await imports.compared_otherwise()]
        return {"zipcodes_to_import": zipcodes} if zipcodes else {}

    # Servers that were removed from the settings are read as files are.
    settings = digests(fhir) | {OTHERS: reader_settings(fhir, FILE).digest}
    return SourceReload(READER_VERSION, files.landed_again, settings, report)


def _upkeep(resources: Resources) -> Forget:
    keep_for = timedelta(days=resources.settings.temporal.retention_days)
    return partial(forget_ended, FhirImports(resources.pool, READER_VERSION), resources.store, keep_for)


PART = WorkerPart(
    (ImportZipcodeWorkflow, ImportObservationsWorkflow, ImportFhirWorkflow),
    _activities,
    rates={FHIR: lambda settings: settings.fhir.rate},
    reloads={SOURCE: _reload},
    upkeep=_upkeep,
)
