"""What a worker is made of: every workflow, every activity and its queue, in one place."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.abandoned import AbandonedRuns
from activities.beds import WorkbookActivities
from activities.boundary import ErrorBoundary
from activities.fhir import FhirActivities, FhirClients, FhirImportActivities
from activities.fhir_files import FhirFileActivities
from activities.loads import LoadActivities
from activities.runs import RunActivities
from activities.staging import Stager
from activities.upkeep import UpkeepActivities
from config.settings import Settings
from library.access.idempotency import IdempotencyKeys
from library.datasets import beds, fhir
from library.datasets.declaration import Catalogue
from library.objects.store import ObjectStore
from library.warehouse.fhir_imports import FhirImports
from library.warehouse.loader import Loader, LoadLimits
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.resources import download_guard, file_guard
from workflows.beds import IngestWorkbookWorkflow
from workflows.fhir import ImportObservationsWorkflow, ImportZipcodeWorkflow
from workflows.fhir_files import ImportFhirWorkflow
from workflows.policies import COMPUTE, FHIR, IO, LOAD, WORKFLOWS
from workflows.upkeep import UpkeepWorkflow

CATALOGUE = Catalogue((*beds.DATASETS, *fhir.DATASETS))
"""Every dataset that can be loaded."""

ALL_WORKFLOWS: tuple[type, ...] = (
    IngestWorkbookWorkflow,
    ImportZipcodeWorkflow,
    ImportObservationsWorkflow,
    ImportFhirWorkflow,
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
    abandoned = AbandonedRuns(pool, runs, resources.client)
    upkeep = UpkeepActivities(pool, store, abandoned, IdempotencyKeys(pool), imports)
    return {
        WORKFLOWS: [bookkeeping.begin_run, bookkeeping.finish_run],
        IO: [upkeep.keep_up, workbooks.download_workbook, imported.plan_searches, imported.finish_import],
        COMPUTE: [workbooks.stage_workbook, files.stage_fhir],
        LOAD: [loads.load_staged, imported.load_pages],
        FHIR: [
            pages.fetch_patient_page,
            pages.fetch_observation_page,
            pages.read_patients,
            files.begin_export,
            files.fetch_manifest,
            files.download_exported,
        ],
    }


def workers(resources: Resources, queues: Sequence[str]) -> list[Worker]:
    """A Temporal worker for each of the queues."""
    options = resources.settings.worker
    by_queue = activities_by_queue(resources)
    slots = {
        IO: options.io_slots,
        COMPUTE: options.compute_slots,
        LOAD: options.load_slots,
        FHIR: options.fhir_slots,
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
            else {"activities": by_queue[queue], "max_concurrent_activities": slots[queue]}
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
