"""Everything that a worker runs: workflows, and activities with their queues."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial

from activities.abandoned import AbandonedRuns
from activities.lake import LakeActivities
from activities.reloads import ReloadActivities
from activities.runs import RunActivities
from activities.streams import DrainStarter, StreamActivities
from activities.upkeep import UpkeepActivities
from config.settings import Settings
from library.access.idempotency import IdempotencyKeys
from library.contracts.lake import TidyLake
from library.lake.archive import AppendEvery
from library.streams.drain import Drain, DrainLimits
from library.warehouse.archives import Archives
from library.warehouse.offsets import Offsets
from library.warehouse.stream_loader import StreamLoader
from service.resources import kafka_connection, lake_storage, streams, topics
from service.schedules import Scheduled
from service.sources import modules
from service.worker.parts import CATALOGUE, Activity, ByQueue, Resources, WorkerPart
from workflows.lake import ArchiveTopicWorkflow, TidyLakeWorkflow
from workflows.policies import COMPUTE, IO, LOAD, STREAMS, WORKFLOWS
from workflows.reloads import ReloadOlderWorkflow
from workflows.streams import DrainTopicWorkflow, KeepDrainsWorkflow
from workflows.upkeep import UpkeepWorkflow

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


def _has_kafka(settings: Settings) -> bool:
    return settings.kafka.enabled


def _how_to_tidy(settings: Settings) -> tuple[TidyLake]:
    return (TidyLake(keep_hours=settings.lake.keep_hours),)


def _every_source(resources: Resources) -> ByQueue:
    pool, runs, store = resources.pool, resources.runs, resources.store
    reports = {name: partial(report, pool) for part in PARTS for name, report in part.reports.items()}
    bookkeeping = RunActivities(pool, runs, reports)
    leftovers = [part.upkeep(resources) for part in PARTS if part.upkeep is not None]
    abandoned = AbandonedRuns(pool, runs, resources.client)
    upkeep = UpkeepActivities(pool, store, abandoned, IdempotencyKeys(pool), leftovers)
    # A reload stages and loads in one activity, so it must not wait for the readers of files.
    readers = ThreadPoolExecutor(resources.settings.worker.load_slots, thread_name_prefix="reload")
    sources = {name: make(resources) for part in PARTS for name, make in part.reloads.items()}
    reloads = ReloadActivities(replace(resources.stager, threads=readers), resources.loads, sources)
    return {
        WORKFLOWS: [bookkeeping.begin_run, bookkeeping.finish_run],
        IO: [upkeep.keep_up, reloads.finish_reload],
        LOAD: [resources.loads.load_staged, reloads.reload_objects],
    }


def _streams(resources: Resources) -> ByQueue:
    drains = _stream_activities(resources)
    return {IO: [drains.keep_drains], STREAMS: [drains.drain_partition]}


def _stream_activities(resources: Resources) -> StreamActivities:
    """Activities of streams. Without Kafka they do nothing."""
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
    WorkerPart(
        (UpkeepWorkflow, ReloadOlderWorkflow),
        _every_source,
        schedules=(Scheduled("upkeep", UpkeepWorkflow.run, _MINUTE),),
    ),
    WorkerPart(
        (DrainTopicWorkflow, KeepDrainsWorkflow),
        _streams,
        # Posted records must be queryable a moment later, also in the first minute.
        schedules=(Scheduled("keep-drains", KeepDrainsWorkflow.run, _MINUTE, wanted=_has_kafka, at_once=True),),
    ),
    WorkerPart(
        (ArchiveTopicWorkflow, TidyLakeWorkflow),
        _lake,
        schedules=(Scheduled("tidy-lake", TidyLakeWorkflow.run, _HOUR, _how_to_tidy),),
    ),
    *(module.PART for module in modules("worker")),
)
"""The part of all sources, and the part of each source."""

SCHEDULES = tuple(schedule for part in PARTS for schedule in part.schedules)
RATES = {queue: rate for part in PARTS for queue, rate in part.rates.items()}
"""For each queue, the maximum number of activities a second."""
ALL_WORKFLOWS = tuple(workflow for part in PARTS for workflow in part.workflows)


def activities_by_queue(resources: Resources) -> dict[str, list[Activity]]:
    """The activities of each queue, made with their dependencies."""
    found: dict[str, list[Activity]] = defaultdict(list)
    for part in PARTS:
        for queue, activities in part.activities(resources).items():
            found[queue] += activities
    return found
