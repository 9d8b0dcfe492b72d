"""A day at one record a second over twelve partitions, played fast: what it leaves in histories, lake and ledger.

Every time is divided by the same number: rate, an activity's minute, the archive's append. What Temporal and the store
take is not, so that slightly fewer activities and appends fit into the time that is played.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import pytest
from deltalake import DeltaTable
from temporalio.client import Client

from activities.streams import DrainStarter
from config.settings import Settings
from library.contracts.lake import ArchiveTopic
from library.lake.storage import LakeStorage
from library.streams.producer import Outgoing, Producer
from library.warehouse.pool import Pool
from service.resources import lake_storage
from service.temporal import connect
from tests.benchmarks.measure import Report
from tests.support.kafka import Kafka
from tests.support.processes import worker_process
from tests.support.streams import admission, encoded, lab_result, patient
from workflows.lake import ArchiveTopicWorkflow
from workflows.policies import WORKFLOWS

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(0)]

FASTER = 30
SECONDS = 240.0
DAY = 86_400.0
SHARE = SECONDS * FASTER / DAY
PARTITIONS = 4
MAKERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "patient": patient,
    "admissions": admission,
    "lab_results": lab_result,
}


async def send(kafka: Kafka, topics: list[str]) -> int:
    """A record at a time to each topic in turn, for the whole time; how many there were."""
    made = cycle(zip(topics, MAKERS.values(), strict=True))
    began, sent = asyncio.get_running_loop().time(), 0
    async with Producer(kafka.connection) as producer:
        while (late := asyncio.get_running_loop().time() - began) < SECONDS:
            await asyncio.sleep(max(0.0, sent / FASTER - late))
            topic, record = next(made)
            await producer.send(topic, [Outgoing(encoded(record(sent)), partition=sent // len(MAKERS) % PARTITIONS)])
            sent += 1
    return sent


async def longest_history(client: Client, workflow: str, prefix: str, since: datetime) -> int:
    """Of all runs of the workflows of a type, links of their chains among them."""
    query = f"WorkflowType = '{workflow}' AND StartTime >= '{since.isoformat()}'"
    handles = [
        client.get_workflow_handle(each.id, run_id=each.run_id)
        async for each in client.list_workflows(query)
        if each.id.startswith(prefix)
    ]
    return max([(await handle.describe()).history_length for handle in handles])


def commits(storage: LakeStorage, topic: str) -> int:
    """Versions of a topic's table."""
    return DeltaTable(storage.location(topic), storage_options=storage.options()).version() + 1


async def test_a_day_leaves_little_behind(settings: Settings, pool: Pool, kafka: Kafka, report: Report) -> None:
    topics = [await kafka.make_topic(name, partitions=PARTITIONS) for name in MAKERS]
    told = {
        "KAFKA__ENABLED": "true",
        "KAFKA__BOOTSTRAP_SERVERS": kafka.settings.bootstrap_servers or "",
        "STREAMS__SECONDS": str(60 / FASTER),
        "STREAMS__WAIT": str(1 / FASTER),
        "LAKE__APPEND_SECONDS": str(60 / FASTER),
    }
    told |= {f"KAFKA__{name.upper()}_TOPIC": topic for name, topic in zip(MAKERS, topics, strict=True)}
    client, prefix, since = await connect(settings), settings.worker.queue_prefix, datetime.now(UTC)
    starter = DrainStarter(client, prefix, WORKFLOWS)
    async with worker_process(settings, **told):
        for topic in topics:
            for partition in range(PARTITIONS):
                await starter.start(topic, partition)
            await client.start_workflow(
                ArchiveTopicWorkflow.run,
                ArchiveTopic(topic=topic, seconds=300 / FASTER),
                id=f"{prefix}archive-{topic}",
                task_queue=prefix + WORKFLOWS,
            )
        sent = await send(kafka, topics)
        async with asyncio.timeout(60):
            while await pool.fetchval("SELECT sum(next_offset) FROM ingest.stream_offset") < sent:  # noqa: ASYNC110 - another process drains
                await asyncio.sleep(0.1)
        versions = max([await asyncio.to_thread(commits, lake_storage(settings), topic) for topic in topics])
        rows = await pool.fetchval("SELECT count(*) FROM ingest.load")
        events = max([await longest_history(client, name, prefix, since) for name in ("drain-topic", "archive-topic")])
        for topic in topics:
            await client.get_workflow_handle(f"{prefix}archive-{topic}").terminate()
        await pool.execute("UPDATE ingest.stream_offset SET paused = true")
    played = f"{timedelta(seconds=SECONDS * FASTER)} played in {SECONDS:.0f} s, {sent:,} records"
    tidied = 24
    figures = [
        report.enter("events of the longest history", str(events), "≤ 1,000", kept=events <= 1_000, parts=played),
        report.enter(
            "lake commits of a topic in a day",
            f"{versions / SHARE + tidied:,.0f}",
            "≤ 1,440",
            kept=versions / SHARE + tidied <= 1_440,
            parts=f"{versions} in that time, and {tidied} of compaction",
        ),
        report.enter(
            "ledger rows in a day",
            f"{rows / SHARE:,.0f}",
            "≤ 20,000",
            kept=rows / SHARE <= 20_000,
            parts=f"{rows} in that time",
        ),
    ]
    assert sent >= 0.95 * SECONDS * FASTER
    assert all(figure.kept for figure in figures)
