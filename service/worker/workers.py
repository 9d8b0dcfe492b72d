"""Temporal's workers: one for each queue, with as many slots as the settings say."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

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

from activities.boundary import ErrorBoundary
from activities.reopening import RunReopening
from config.sections import WorkerSettings
from config.settings import Settings
from service.sources import SOURCES
from service.worker.parts import Resources
from service.worker.wiring import ALL_WORKFLOWS, RATES, activities_by_queue
from workflows.policies import COMPUTE, FHIR, IO, LOAD, STREAMS, WORKFLOWS

_HEARTBEAT_THROTTLE = timedelta(seconds=2)
"""Maximum delay of a cancellation until it reaches an activity. The default is a minute."""


def workers(resources: Resources, queues: Sequence[str]) -> list[Worker]:
    """A Temporal worker for each of the queues."""
    options = resources.settings.worker
    by_queue = activities_by_queue(resources)
    reopening = RunReopening(resources.runs, resources.client)
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
        if queue in RATES:
            serves["max_task_queue_activities_per_second"] = RATES[queue](resources.settings)
        made.append(
            Worker(
                resources.client,
                task_queue=options.queue_prefix + queue,
                interceptors=[ErrorBoundary(), reopening],
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
    """The number of activities of a queue that run at once.

    The slots are also the limit if the machine's load decides, since connections and threads are made for this number.
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
    """The sandbox. Modules without state are passed through.

    Contracts are the same classes inside and outside; policies and what all runs share would be executed anew for
    each run.
    """
    return SandboxedWorkflowRunner(
        restrictions=SandboxRestrictions.default.with_passthrough_modules(
            "library.contracts",
            "workflows.policies",
            "workflows.runs",
            *(contracts for source in SOURCES for contracts in source.contracts),
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
