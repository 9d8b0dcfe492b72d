"""Everything that a worker runs: workflows, and activities with their queues."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from activities.abandoned import AbandonedRuns
from activities.lake import LakeActivities
from activities.runs import RunActivities
from activities.streams import DrainStarter, StreamActivities
from activities.upkeep import UpkeepActivities
from library.access.idempotency import IdempotencyKeys
from library.lake.archive import AppendEvery
from library.streams.drain import Drain, DrainLimits
from library.warehouse.archives import Archives
from library.warehouse.offsets import Offsets
from library.warehouse.stream_loader import StreamLoader
from service.resources import kafka_connection, lake_storage, streams, topics
from service.sources import SOURCES
from service.sources.source import Source
from service.worker.parts import CATALOGUE, Activity, ByQueue, Part, Resources
from workflows.lake import ArchiveTopicWorkflow, TidyLakeWorkflow
from workflows.policies import COMPUTE, IO, LOAD, STREAMS, WORKFLOWS
from workflows.streams import DrainTopicWorkflow, KeepDrainsWorkflow
from workflows.upkeep import UpkeepWorkflow


def _every_source(resources: Resources) -> ByQueue:
    pool, runs, store = resources.pool, resources.runs, resources.store
    reports = {name: partial(report, pool) for part in PARTS for name, report in part.reports.items()}
    bookkeeping = RunActivities(pool, runs, reports)
    leftovers = [part.upkeep(resources) for part in PARTS if part.upkeep is not None]
    abandoned = AbandonedRuns(pool, runs, resources.client)
    upkeep = UpkeepActivities(pool, store, abandoned, IdempotencyKeys(pool), leftovers)
    return {
        WORKFLOWS: [bookkeeping.begin_run, bookkeeping.finish_run],
        IO: [upkeep.keep_up],
        LOAD: [resources.loads.load_staged],
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


def _part_of(source: Source) -> Part | None:
    """What a source brings, if it has a `worker.py`: the records source brings datasets alone."""
    name = f"service.sources.{source.name}.worker"
    return cast(Part, import_module(name).PART) if find_spec(name) else None


PARTS = (
    Part((UpkeepWorkflow,), _every_source),
    Part((DrainTopicWorkflow, KeepDrainsWorkflow), _streams),
    Part((ArchiveTopicWorkflow, TidyLakeWorkflow), _lake),
    *(part for source in SOURCES if (part := _part_of(source)) is not None),
)
"""What serves every source, and what each brings."""

ALL_WORKFLOWS = tuple(workflow for part in PARTS for workflow in part.workflows)


def activities_by_queue(resources: Resources) -> dict[str, list[Activity]]:
    """The activities of each queue, made with their dependencies."""
    found: dict[str, list[Activity]] = defaultdict(list)
    for part in PARTS:
        for queue, activities in part.activities(resources).items():
            found[queue] += activities
    return found
