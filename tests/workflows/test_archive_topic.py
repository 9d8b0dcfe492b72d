"""The archive as a service: started for every topic, in short histories that hold nothing of a record."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from temporalio.client import Client, WorkflowHandle

from config.sections import EncryptionSettings
from config.servers import LakeSettings
from config.settings import Settings
from library.contracts.lake import ArchiveTopic, TidyLake
from library.lake.archive import Archive
from library.objects.store import ObjectStore
from library.streams.cluster import Cluster, NewTopicSpec
from library.streams.producer import Outgoing
from library.warehouse.pool import Pool
from service.resources import lake_storage, streams
from service.temporal import connect
from service.worker.parts import Resources
from tests.support.histories import recorded
from tests.support.kafka import Kafka
from tests.support.lake import SOON, in_kafka, until_in_lake
from tests.support.workers import serving
from workflows.lake import REPEATS, ArchiveTopicWorkflow, TidyLakeWorkflow
from workflows.policies import WORKFLOWS
from workflows.streams import KeepDrainsWorkflow

FIRST_ACTIVITIES = 4


@pytest_asyncio.fixture
async def streaming(settings: Settings, kafka: Kafka, pool: Pool, store: ObjectStore) -> AsyncIterator[Settings]:
    """Settings with Kafka and a hurried archive, and workers that serve them."""
    update = {
        "kafka": kafka.settings,
        "lake": LakeSettings(append_seconds=0.2),
        "encryption": EncryptionSettings(enabled=False),
    }
    made = settings.model_copy(update=update)
    async with serving(Resources(made, await connect(made), pool, store)):
        yield made


@pytest_asyncio.fixture
async def client(streaming: Settings) -> Client:
    return await connect(streaming)


async def activities_completed(handle: WorkflowHandle[Any, Any]) -> int:
    """How many of them the history tells of."""
    events = (await handle.fetch_history()).events
    return sum(event.HasField("activity_task_completed_event_attributes") for event in events)


async def test_every_declared_topic_that_there_is_gets_an_archive_and_its_records_are_in_the_lake(
    streaming: Settings, client: Client, kafka: Kafka, servers: Settings, pool: Pool
) -> None:
    prefix, topic = streaming.worker.queue_prefix, kafka.settings.patient_topic
    async with Cluster(kafka.connection) as cluster:
        await cluster.make_topics([NewTopicSpec(topic, 2)])
    await kafka.send(topic, *(Outgoing(b"no json %d" % number, key=b"%d" % number) for number in range(100)))
    for name in ("once", "twice"):  # a second look joins what is under way
        kept = await client.execute_workflow(
            KeepDrainsWorkflow.run, id=f"{prefix}keep-{name}", task_queue=prefix + WORKFLOWS
        )
        assert (kept.archives, kept.partitions) == (1, 2)
    await until_in_lake(servers, topic, await in_kafka(kafka, topic))
    shown: dict[int, int] = {}
    async with asyncio.timeout(30):
        while sum(shown.values()) < 100:
            _, known = await streams(streaming, pool).overview()
            shown = {each.partition: each.next_offset for each in known if each.topic == topic}
            await asyncio.sleep(0.1)
    assert {(each.topic, each.state, each.lag, each.reason) for each in known} == {(topic, "archiving", 0, None)}
    for workflow in [f"archive-{topic}", *(f"drain-{topic}-{partition}" for partition in range(2))]:
        await client.get_workflow_handle(prefix + workflow).terminate()


async def test_a_history_of_the_archive_stays_short_and_holds_nothing_of_a_record(
    streaming: Settings, client: Client, kafka: Kafka
) -> None:
    topic = await kafka.make_topic("any")
    await kafka.send(topic, Outgoing(b"Nightingale", key=b"Florence", headers=(("Crimea", b"Scutari"),)))
    prefix = streaming.worker.queue_prefix
    handle = await client.start_workflow(
        ArchiveTopicWorkflow.run,
        ArchiveTopic(topic=topic, seconds=0.5),
        id=f"{prefix}archive-{topic}",
        task_queue=prefix + WORKFLOWS,
    )
    async with asyncio.timeout(60):
        while await activities_completed(handle) < FIRST_ACTIVITIES:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.2)
    await handle.terminate()
    told = await recorded(handle, "archive-topic")
    events = (await handle.describe()).history_length
    assert events / FIRST_ACTIVITIES * REPEATS < 1_000
    assert '"records": 1' in told, "what was looked into is not in clear"
    assert not [word for word in ("Nightingale", "Florence", "Crimea", "Scutari") if word in told]


async def test_tables_are_tidied_by_a_run_of_its_own(streaming: Settings, client: Client, kafka: Kafka) -> None:
    topic = await kafka.make_topic("tidied")
    for number in range(8):
        await kafka.send(topic, b"%d" % number)
        while not (await Archive(kafka.connection, lake_storage(streaming), topic, SOON).run(0.3)).appends:
            pass  # a busy broker has not answered within that time
    prefix = streaming.worker.queue_prefix
    handle = await client.start_workflow(
        TidyLakeWorkflow.run, TidyLake(), id=f"{prefix}tidy-lake", task_queue=prefix + WORKFLOWS
    )
    done = {each.topic: each for each in (await asyncio.wait_for(handle.result(), 60)).tables}
    await recorded(handle, "tidy-lake")
    assert (done[topic].files_compacted, done[topic].files_written) == (8, 1)
