"""Drains as Temporal runs them: kept up by a schedule's workflow, reset, frozen, and begun anew without a word lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from activities.streams import DrainStarter
from config.sections import EncryptionSettings
from config.settings import Settings
from library.objects.store import ObjectStore
from library.streams.producer import Outgoing
from library.warehouse.pool import Pool
from service.drains import start_drains
from service.resources import streams
from service.temporal import connect
from service.worker.parts import Resources
from tests.support.histories import recorded
from tests.support.kafka import Kafka
from tests.support.streams import admission, encoded, lab_result, patient
from tests.support.workers import serving
from workflows.policies import IO, STREAMS, WORKFLOWS
from workflows.streams import ACTIVITIES, KeepDrainsWorkflow

MOST_EVENTS = 1_000


@dataclass(frozen=True)
class Drains:
    """Three topics, and workers that serve them."""

    settings: Settings
    pool: Pool
    store: ObjectStore
    kafka: Kafka
    client: Client

    async def keep(self) -> int:
        """What the schedule does each minute; returns how many drains are under way."""
        prefix = self.settings.worker.queue_prefix
        handle = await self.client.start_workflow(
            KeepDrainsWorkflow.run, id=f"{prefix}keep-drains", task_queue=prefix + WORKFLOWS
        )
        return (await handle.result()).partitions

    def drain(self, topic: str, partition: int = 0) -> WorkflowHandle[Any, Any]:
        """A partition's drain."""
        return self.client.get_workflow_handle(f"{self.settings.worker.queue_prefix}drain-{topic}-{partition}")

    async def send(self, topic: str, *records: Any, partition: int | None = None) -> None:
        """Records, keyed by their patients."""
        outgoing = [
            Outgoing(encoded(record), key=record["patient_id"].encode(), partition=partition) for record in records
        ]
        await self.kafka.send(topic, *outgoing)

    async def rows(self, table: str) -> int:
        """How many rows there are."""
        return int(await self.pool.fetchval(f"SELECT count(*) FROM records.{table}"))

    @asynccontextmanager
    async def working(self, *queues: str) -> AsyncIterator[None]:
        """With a worker in this process, of some queues only where they are named."""
        resources = Resources(self.settings, self.client, self.pool, self.store)
        async with serving(resources, queues or (WORKFLOWS, IO, STREAMS)):
            yield


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 60) -> None:
    """Wait for what only a server knows."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def drains(settings: Settings, pool: Pool, store: ObjectStore, kafka: Kafka) -> AsyncIterator[Drains]:
    """Topics with two partitions each; drains that are left are ended."""
    for name in ("patient", "admissions", "lab_results"):
        await kafka.make_topic(name, partitions=2)
    short = settings.streams.model_copy(update={"seconds": 1.0, "wait": 0.2})
    settings = settings.model_copy(update={"kafka": kafka.settings, "streams": short})
    made = Drains(settings, pool, store, kafka, await connect(settings))
    yield made
    for topic in made.settings.kafka.topics:
        with suppress(RPCError):
            await made.client.get_workflow_handle(f"{settings.worker.queue_prefix}archive-{topic}").terminate()
        for partition in range(3):
            with suppress(RPCError):  # never started, or ended
                await made.drain(topic, partition).terminate()


async def test_the_schedule_starts_a_drain_for_every_partition_and_records_become_rows(drains: Drains) -> None:
    named = drains.settings.kafka
    await drains.send(named.patient_topic, *(patient(number) for number in range(20)))
    await drains.send(named.admissions_topic, *(admission(number) for number in range(30)))
    async with drains.working():
        assert await drains.keep() == 6
        assert await drains.keep() == 6  # those that are under way are left alone
        await drains.send(named.lab_results_topic, *(lab_result(number) for number in range(40)))

        async def all_there() -> bool:
            return [await drains.rows(table) for table in ("patient", "admission", "lab_result")] == [20, 30, 40]

        await until(all_there)
        described = [await drains.drain(topic, n).describe() for topic in named.topics for n in range(2)]
        assert {each.status for each in described} == {WorkflowExecutionStatus.RUNNING}


async def test_a_drain_ends_when_its_topic_is_paused_and_is_not_started_again(drains: Drains) -> None:
    topic = drains.settings.kafka.lab_results_topic
    steering = streams(drains.settings, drains.pool)
    async with drains.working():
        await drains.keep()
        await steering.pause(topic)
        for partition in range(2):
            await asyncio.wait_for(drains.drain(topic, partition).result(), 60)
        assert await drains.keep() == 4
        await drains.send(topic, lab_result(1))
        await steering.resume(topic)
        assert await drains.keep() == 6
        await until(lambda: has_rows(drains, 1))


async def test_a_topic_resumed_while_its_drain_ends_is_drained_at_once(drains: Drains) -> None:
    topic = drains.settings.kafka.lab_results_topic
    steering = streams(drains.settings, drains.pool)
    await drains.send(topic, lab_result(1), partition=0)
    paused = await steering.pause(topic)
    await DrainStarter(drains.client, drains.settings.worker.queue_prefix, WORKFLOWS).start(topic, 0)

    async def waiting() -> int:
        return len((await drains.drain(topic).describe()).raw_description.pending_activities)

    async def looked() -> bool:
        return await waiting() == 0

    async with drains.working(WORKFLOWS):
        await until(waiting)
    async with drains.working(STREAMS):
        await until(looked)  # the activity found it paused; the workflow has not heard of that yet
    assert all(position.paused for position in paused)
    await start_drains(drains.client, drains.settings, await steering.resume(topic))
    async with drains.working():
        await until(lambda: has_rows(drains, 1))


async def test_a_drain_that_was_reset_goes_on_from_the_stored_offset(drains: Drains) -> None:
    topic = drains.settings.kafka.lab_results_topic
    await drains.send(topic, *(lab_result(number) for number in range(50)), partition=0)
    async with drains.working():
        await drains.keep()
        await until(lambda: has_rows(drains, 50))
        handle = drains.drain(topic)
        history = await handle.fetch_history()
        first = next(
            event.event_id for event in history.events if event.HasField("workflow_task_completed_event_attributes")
        )
        before = await handle.describe()
        await drains.client.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=drains.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id, run_id=before.run_id),
                reason="as from the Web UI",
                workflow_task_finish_event_id=first,
                request_id="reset",
            )
        )
        await drains.send(topic, *(lab_result(number) for number in range(40, 60)), partition=0)
        await until(lambda: has_rows(drains, 60))
        assert (await handle.describe()).run_id != before.run_id
    staged = await drains.pool.fetch("SELECT report FROM ingest.load")
    assert sum(row["report"]["records"] for row in staged) == 70  # each record once


async def test_a_day_of_draining_has_short_histories(drains: Drains) -> None:
    short = drains.settings.streams.model_copy(update={"seconds": 0.01, "wait": 0.01})
    hasty = replace(drains, settings=drains.settings.model_copy(update={"streams": short}))
    topic = drains.settings.kafka.lab_results_topic
    starter = DrainStarter(drains.client, drains.settings.worker.queue_prefix, WORKFLOWS)
    async with hasty.working():
        await starter.start(topic, 0)
        handle = drains.drain(topic)
        first = (await handle.describe()).run_id

        async def goes_on_as_new() -> bool:
            return (await handle.describe()).run_id != first

        await until(goes_on_as_new, 100)
        history = await drains.client.get_workflow_handle(handle.id, run_id=first).fetch_history()
        scheduled = sum(event.HasField("activity_task_scheduled_event_attributes") for event in history.events)
        assert scheduled == ACTIVITIES
        assert len(history.events) < MOST_EVENTS


async def test_a_worker_that_ends_leaves_its_drains_to_the_next_one(drains: Drains) -> None:
    topic = drains.settings.kafka.lab_results_topic
    async with drains.working():
        await drains.keep()
        await drains.send(topic, *(lab_result(number) for number in range(10)))
        await until(lambda: has_rows(drains, 10))
    await drains.send(topic, *(lab_result(number) for number in range(10, 20)))
    async with drains.working():
        await until(lambda: has_rows(drains, 20))


async def test_a_history_holds_nothing_of_a_record(drains: Drains) -> None:
    clear = drains.settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    in_clear = replace(drains, settings=clear, client=await connect(clear))
    topic = drains.settings.kafka.patient_topic
    await in_clear.send(topic, patient(1, language="Sentinelese"), {"patient_id": "Sentinel", "x": 1}, partition=0)
    async with in_clear.working():
        await in_clear.keep()

        async def both_are_dealt_with() -> bool:
            refused = await drains.pool.fetchval("SELECT count(*) FROM ingest.rejection")
            return [await drains.rows("patient"), refused] == [1, 1]

        await until(both_are_dealt_with)
        await streams(clear, drains.pool).pause(topic)
        await asyncio.wait_for(in_clear.drain(topic).result(), 60)
        told = await recorded(in_clear.drain(topic), "drain-topic")
        kept = in_clear.client.get_workflow_handle(f"{clear.worker.queue_prefix}keep-drains")
        await recorded(kept, "keep-drains")
    assert topic in told
    assert "Sentinel" not in told


async def has_rows(drains: Drains, count: int) -> bool:
    return await drains.rows("lab_result") == count


async def test_a_topic_of_which_nothing_is_known_goes_to_the_lake_alone(drains: Drains) -> None:
    topic = await drains.kafka.make_topic("unknown")
    lake = drains.settings.lake.model_copy(update={"topics": (topic,)})
    knowing = replace(drains, settings=drains.settings.model_copy(update={"lake": lake}))
    async with knowing.working():
        assert await knowing.keep() == 6
        archive = drains.client.get_workflow_handle(f"{drains.settings.worker.queue_prefix}archive-{topic}")
        assert (await archive.describe()).status is WorkflowExecutionStatus.RUNNING
        with suppress(RPCError):
            await archive.terminate()
    with pytest.raises(RPCError, match="not found"):
        await drains.drain(topic).describe()
