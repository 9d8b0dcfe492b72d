"""What a worker is made of, by source: datasets, workflows, and activities with their queues."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

from pydantic import JsonValue
from temporalio.client import Client

from activities.abandoned import AbandonedRuns
from activities.beds import WorkbookActivities
from activities.fhir import FhirActivities, FhirClients
from activities.fhir_files import FhirFileActivities
from activities.fhir_imports import FhirImportActivities
from activities.lake import LakeActivities
from activities.loads import LoadActivities
from activities.runs import RunActivities
from activities.staging import Stager
from activities.streams import DrainStarter, StreamActivities
from activities.upkeep import UpkeepActivities
from config.settings import Settings
from library.access.idempotency import IdempotencyKeys
from library.datasets.declaration import Catalogue, Dataset
from library.lake.archive import AppendEvery
from library.objects.store import ObjectStore
from library.sources.beds import datasets as beds
from library.sources.beds.catalogue import current_edition
from library.sources.fhir import datasets as fhir
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.staging import READER_VERSION as FHIR_READER_VERSION
from library.sources.records import datasets as records
from library.streams.drain import Drain, DrainLimits
from library.warehouse.archives import Archives
from library.warehouse.loader import Loader
from library.warehouse.merging import LoadLimits
from library.warehouse.offsets import Offsets
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from library.warehouse.stream_loader import StreamLoader
from service.resources import download_guard, file_guard, kafka_connection, lake_storage, streams, topics
from workflows.beds import IngestWorkbookWorkflow
from workflows.fhir import ImportObservationsWorkflow, ImportZipcodeWorkflow
from workflows.fhir_files import ImportFhirWorkflow
from workflows.lake import ArchiveTopicWorkflow, TidyLakeWorkflow
from workflows.policies import COMPUTE, FHIR, IO, LOAD, STREAMS, WORKFLOWS
from workflows.streams import DrainTopicWorkflow, KeepDrainsWorkflow
from workflows.upkeep import UpkeepWorkflow

type Activity = Callable[..., Any]
type ByQueue = Mapping[str, Sequence[Activity]]


@dataclass(frozen=True)
class Resources:
    """What activities are made with; what several sources share is made once."""

    settings: Settings
    client: Client
    pool: Pool
    store: ObjectStore

    @cached_property
    def runs(self) -> RunLog:
        """Runs as users see them."""
        return RunLog(self.pool)

    @cached_property
    def limits(self) -> LoadLimits:
        """Of the transactions of loads."""
        postgres = self.settings.postgres
        return LoadLimits(
            lock=postgres.lock_timeout,
            statement=postgres.statement_timeout,
            idle_in_transaction=postgres.idle_in_transaction_timeout,
            work_mem=postgres.load_work_mem,
        )

    @cached_property
    def stager(self) -> Stager:
        """Reads landed objects."""
        readers = ThreadPoolExecutor(self.settings.worker.compute_slots, thread_name_prefix="stage")
        return Stager(self.pool, self.store, self.runs, readers)

    @cached_property
    def loads(self) -> LoadActivities:
        """Loads what was staged."""
        return LoadActivities(self.pool, self.store, Loader(self.pool, self.store, CATALOGUE, self.limits), self.runs)

    @cached_property
    def fhir(self) -> FhirClients:
        """Clients of the FHIR servers."""
        return FhirClients(self.settings.fhir, ca_file=self.settings.downloads.ca_file)

    @cached_property
    def imports(self) -> FhirImports:
        """What imports by zip code remember."""
        return FhirImports(self.pool, FHIR_READER_VERSION)

    async def close(self) -> None:
        """Let go of what activities have opened."""
        await self.fhir.close()


@dataclass(frozen=True)
class Part:
    """What a source brings to a worker, or what serves all of them.

    Attributes:
        activities: makes them, by queue; those of `workflows` are local ones.
        reports: by the workflow's name, what is added to the report of a run when it ends, given the id of its load.
    """

    workflows: tuple[type, ...]
    activities: Callable[[Resources], ByQueue]
    datasets: tuple[Dataset, ...] = ()
    reports: Mapping[str, Callable[[Pool, str], Awaitable[Mapping[str, JsonValue]]]] = field(default_factory=dict)


def _every_source(resources: Resources) -> ByQueue:
    pool, runs, store = resources.pool, resources.runs, resources.store
    reports = {name: partial(report, pool) for part in PARTS for name, report in part.reports.items()}
    bookkeeping = RunActivities(pool, runs, reports)
    abandoned = AbandonedRuns(pool, runs, resources.client)
    upkeep = UpkeepActivities(pool, store, abandoned, IdempotencyKeys(pool), resources.imports)
    return {
        WORKFLOWS: [bookkeeping.begin_run, bookkeeping.finish_run],
        IO: [upkeep.keep_up],
        LOAD: [resources.loads.load_staged],
    }


def _beds(resources: Resources) -> ByQueue:
    settings = resources.settings
    workbooks = WorkbookActivities(resources.stager, settings.workbook, download_guard(settings))
    return {IO: [workbooks.download_workbook], COMPUTE: [workbooks.stage_workbook]}


def _fhir(resources: Resources) -> ByQueue:
    settings, imports = resources.settings, resources.imports
    pages = FhirActivities(resources.store, resources.runs, resources.fhir, imports)
    files = FhirFileActivities(resources.stager, resources.fhir, file_guard(settings))
    # Loads that stage never wait for the readers of files.
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
        ],
    }


def _streams(resources: Resources) -> ByQueue:
    drains = _stream_activities(resources)
    return {IO: [drains.keep_drains], STREAMS: [drains.drain_partition]}


def _stream_activities(resources: Resources) -> StreamActivities:
    """Without Kafka they find nothing to do."""
    settings, pool = resources.settings, resources.pool
    starter = DrainStarter(resources.client, settings.worker.queue_prefix, WORKFLOWS)
    if not settings.kafka.enabled or settings.kafka.bootstrap_servers is None:
        return StreamActivities(None, None, starter)
    wanted = settings.streams
    drain = Drain(
        kafka_connection(settings),
        topics(settings),
        Offsets(pool),
        StreamLoader(pool, CATALOGUE, resources.limits),
        DrainLimits(
            batch_records=wanted.batch_records,
            batch_bytes=wanted.batch_bytes,
            record_bytes=wanted.record_bytes,
            seconds=wanted.seconds,
            wait=wanted.wait,
        ),
        ThreadPoolExecutor(2, thread_name_prefix="decode"),
    )
    return StreamActivities(drain, streams(settings, pool), starter)


def _lake(resources: Resources) -> ByQueue:
    settings = resources.settings
    every = AppendEvery(settings.lake.append_seconds, settings.lake.append_bytes)
    storage, archives = lake_storage(settings), Archives(resources.pool)
    lake = LakeActivities(partial(kafka_connection, settings), storage, resources.store, every, archives)
    return {COMPUTE: [lake.tidy_lake], STREAMS: [lake.archive_topic]}


PARTS = (
    Part((UpkeepWorkflow,), _every_source),
    Part((IngestWorkbookWorkflow,), _beds, beds.DATASETS, {"ingest-workbook": current_edition}),
    Part((ImportZipcodeWorkflow, ImportObservationsWorkflow, ImportFhirWorkflow), _fhir, fhir.DATASETS),
    Part((DrainTopicWorkflow, KeepDrainsWorkflow), _streams, records.DATASETS),
    Part((ArchiveTopicWorkflow, TidyLakeWorkflow), _lake),
)
"""The one list to which a new source is added."""

CATALOGUE = Catalogue([dataset for part in PARTS for dataset in part.datasets])
"""Every dataset that can be loaded."""

ALL_WORKFLOWS = tuple(workflow for part in PARTS for workflow in part.workflows)


def activities_by_queue(resources: Resources) -> dict[str, list[Activity]]:
    """The activities of each queue, made with their dependencies."""
    found: dict[str, list[Activity]] = defaultdict(list)
    for part in PARTS:
        for queue, activities in part.activities(resources).items():
            found[queue] += activities
    return found
