"""What a worker is made of: every workflow, every activity and its queue, in one place."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Any

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import (
    FixedSizeSlotSupplier,
    ResourceBasedSlotConfig,
    ResourceBasedSlotSupplier,
    ResourceBasedTunerConfig,
    Worker,
    WorkerDeploymentConfig,
    WorkerTuner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.abandoned import AbandonedRuns
from activities.beds import WorkbookActivities
from activities.boundary import ErrorBoundary
from activities.fhir import FhirActivities, FhirClients, FhirImportActivities
from activities.fhir_files import FhirFileActivities
from activities.lake import LakeActivities
from activities.loads import LoadActivities
from activities.runs import RunActivities
from activities.staging import Stager
from activities.streams import DrainStarter, StreamActivities
from activities.upkeep import UpkeepActivities
from config.sections import WorkerSettings
from config.settings import Settings
from library.access.idempotency import IdempotencyKeys
from library.datasets import beds, fhir, records
from library.datasets.declaration import Catalogue
from library.lake.archive import AppendEvery
from library.objects.store import ObjectStore
from library.streams.drain import Drain, DrainLimits
from library.warehouse.fhir_imports import FhirImports
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

CATALOGUE = Catalogue((*beds.DATASETS, *fhir.DATASETS, *records.DATASETS))
"""Every dataset that can be loaded."""

ALL_WORKFLOWS: tuple[type, ...] = (
    IngestWorkbookWorkflow,
    ImportZipcodeWorkflow,
    ImportObservationsWorkflow,
    ImportFhirWorkflow,
    DrainTopicWorkflow,
    KeepDrainsWorkflow,
    ArchiveTopicWorkflow,
    TidyLakeWorkflow,
    UpkeepWorkflow,
)

_HEARTBEAT_THROTTLE = timedelta(seconds=2)
"""How late a cancellation reaches an activity at most; the default is a minute."""

type Activity = Callable[..., Any]


@dataclass(frozen=True)
class Resources:
    """What activities are made with."""

    settings: Settings
    client: Client
    pool: Pool
    store: ObjectStore

    @cached_property
    def fhir(self) -> FhirClients:
        """Clients of the FHIR servers."""
        return FhirClients(self.settings.fhir, ca_file=self.settings.downloads.ca_file)

    async def close(self) -> None:
        """Let go of what activities have opened."""
        await self.fhir.close()


def activities_by_queue(resources: Resources) -> dict[str, list[Activity]]:
    """The activities of each queue, made with their dependencies; those of `workflows` are local ones."""
    settings, pool, store = resources.settings, resources.pool, resources.store
    runs = RunLog(pool)
    limits = LoadLimits(
        lock=settings.postgres.lock_timeout,
        statement=settings.postgres.statement_timeout,
        idle_in_transaction=settings.postgres.idle_in_transaction_timeout,
        work_mem=settings.postgres.load_work_mem,
    )
    readers = ThreadPoolExecutor(settings.worker.compute_slots, thread_name_prefix="stage")
    stager = Stager(pool, store, runs, readers)
    bookkeeping = RunActivities(pool, runs)
    workbooks = WorkbookActivities(stager, settings.workbook, download_guard(settings))
    loads = LoadActivities(pool, store, Loader(pool, store, CATALOGUE, limits), runs)
    imports = FhirImports(pool)
    pages = FhirActivities(stager, resources.fhir, imports)
    files = FhirFileActivities(stager, resources.fhir, file_guard(settings))
    imported = FhirImportActivities(imports, loads, settings.fhir)
    upkeep = UpkeepActivities(pool, store, AbandonedRuns(pool, runs, resources.client), IdempotencyKeys(pool), imports)
    drains = _streams(resources, limits)
    every = AppendEvery(settings.lake.append_seconds, settings.lake.append_bytes)
    lake = LakeActivities(partial(kafka_connection, settings), lake_storage(settings), store, every)
    return {
        WORKFLOWS: [bookkeeping.begin_run, bookkeeping.finish_run],
        IO: [
            upkeep.keep_up,
            drains.keep_drains,
            workbooks.download_workbook,
            imported.plan_searches,
            imported.finish_import,
        ],
        COMPUTE: [workbooks.stage_workbook, files.stage_fhir, lake.tidy_lake],
        LOAD: [loads.load_staged, imported.load_pages],
        FHIR: [
            pages.fetch_patient_page,
            pages.fetch_observation_page,
            pages.read_patients,
            files.begin_export,
            files.fetch_manifest,
            files.download_exported,
        ],
        STREAMS: [drains.drain_partition, lake.archive_topic],
    }


def _streams(resources: Resources, limits: LoadLimits) -> StreamActivities:
    """The activities of streams; without Kafka they find nothing to do."""
    settings, pool = resources.settings, resources.pool
    starter = DrainStarter(resources.client, settings.worker.queue_prefix, WORKFLOWS)
    if not settings.kafka.enabled or settings.kafka.bootstrap_servers is None:
        return StreamActivities(None, None, starter)
    wanted, loader = settings.streams, StreamLoader(pool, CATALOGUE, limits)
    drain = Drain(
        kafka_connection(settings),
        topics(settings),
        Offsets(pool),
        loader,
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


def workers(resources: Resources, queues: Sequence[str]) -> list[Worker]:
    """A Temporal worker for each of the queues."""
    options = resources.settings.worker
    by_queue = activities_by_queue(resources)
    slots = {
        IO: options.io_slots,
        COMPUTE: options.compute_slots,
        LOAD: options.load_slots,
        FHIR: options.fhir_slots,
        STREAMS: options.streams_slots,
    }
    made = []
    for queue in queues:
        serves: dict[str, Any] = (
            {
                "workflows": ALL_WORKFLOWS,
                "activities": by_queue[queue],
                "no_remote_activities": True,
                "max_concurrent_workflow_tasks": options.workflows_slots,
            }
            if queue == WORKFLOWS
            else {"activities": by_queue[queue], "tuner": _tuner(options, slots[queue])}
        )
        if queue == FHIR:  # held by Temporal, over all workers
            serves["max_task_queue_activities_per_second"] = resources.settings.fhir.rate
        made.append(
            Worker(
                resources.client,
                task_queue=options.queue_prefix + queue,
                interceptors=[ErrorBoundary()],
                workflow_runner=workflow_runner(),
                graceful_shutdown_timeout=timedelta(seconds=options.graceful_shutdown),
                max_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
                default_heartbeat_throttle_interval=_HEARTBEAT_THROTTLE,
                deployment_config=_deployment(resources.settings),
                **serves,
            )
        )
    return made


def _tuner(options: WorkerSettings, slots: int) -> WorkerTuner:
    """How many activities of a queue run at once.

    The slots stay the bound where the machine decides too: connections and threads are made for so many.
    """
    if options.tuner == "slots":
        return WorkerTuner.create_fixed(activity_slots=slots)
    targets = ResourceBasedTunerConfig(options.target_memory, options.target_cpu)
    return WorkerTuner.create_composite(
        activity_supplier=ResourceBasedSlotSupplier(ResourceBasedSlotConfig(1, slots), targets),
        workflow_supplier=FixedSizeSlotSupplier(1),
        local_activity_supplier=FixedSizeSlotSupplier(1),
        nexus_supplier=FixedSizeSlotSupplier(1),
    )


def workflow_runner() -> SandboxedWorkflowRunner:
    """The sandbox, with what holds no state passed through.

    Contracts are the same classes inside and outside; policies and what all runs share would be executed anew for
    each run.
    """
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(
            "library.contracts", "workflows.policies", "workflows.runs"
        )
    )


def _deployment(settings: Settings) -> WorkerDeploymentConfig | None:
    if not settings.worker.build_id:
        return None
    return WorkerDeploymentConfig(
        version=WorkerDeploymentVersion(settings.worker.deployment_name, settings.worker.build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.PINNED,
    )
