"""Workers that drain are killed and frozen; every record is a row, once, whatever they were at."""

import asyncio
from typing import Any

import pytest

from activities.streams import DrainStarter
from config.settings import Settings
from library.streams.producer import Outgoing
from library.warehouse.pool import Pool
from service.temporal import connect
from tests.faults.harness import Workers, environment_of
from tests.faults.worker import Deed, Point
from tests.support.commands import Commands
from tests.support.kafka import Kafka
from tests.support.streams import encoded, patient
from workflows.policies import IO, STREAMS, WORKFLOWS

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

RECORDS, AFTERWARDS = 3_000, 600
QUEUES = (WORKFLOWS, IO, STREAMS)


def environment(kafka: Kafka) -> dict[str, str]:
    """Settings of Kafka, and batches so small that there are many."""
    return {
        "kafka__bootstrap_servers": kafka.connection.bootstrap_servers,
        "kafka__patient_topic": kafka.settings.patient_topic,
        "streams__batch_records": "100",
        "streams__wait": "0.2",
        "streams__seconds": "5",
    }


async def drained(pool: Pool, records: int, seconds: float = 120) -> None:
    async with asyncio.timeout(seconds):
        while await pool.fetchval("SELECT next_offset FROM ingest.stream_offset") != records:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def send(kafka: Kafka, topic: str, numbers: range) -> None:
    """A third of the records are no JSON, and keys repeat themselves."""
    records = [
        Outgoing(b"no json" if number % 3 == 2 else encoded(patient(number % 1_000, language=str(number))))
        for number in numbers
    ]
    await kafka.send(topic, *records)


async def each_once(pool: Pool, records: int) -> None:
    """Every record is accounted for once, and of each key the last one counts."""
    languages = {row["patient_id"].int: row["language"] for row in await pool.fetch("SELECT * FROM records.patient")}
    assert languages == {number % 1_000: str(number) for number in range(records) if number % 3 != 2}
    refused = [row["offset"] for row in await pool.fetch('SELECT "offset" FROM ingest.rejection ORDER BY 1')]
    assert refused == [number for number in range(records) if number % 3 == 2]
    counts = [row["counts"]["records.patient"] for row in await pool.fetch("SELECT counts FROM ingest.load")]
    assert sum(count["staged"] for count in counts) == records
    assert sum(count["rejected"] for count in counts) == len(refused)


@pytest.mark.parametrize(
    ("point", "deed"), [("merged", "freeze"), ("merged", "die"), ("committed", "freeze"), ("committed", "die")]
)
async def test_a_worker_that_stops_while_it_drains_is_followed_by_another_and_may_come_back(
    workers: Workers, settings: Settings, pool: Pool, kafka: Kafka, point: Point, deed: Deed
) -> None:
    topic = await kafka.make_topic("patient")
    await send(kafka, topic, range(RECORDS))
    more: dict[str, Any] = environment(kafka) | {"postgres__idle_in_transaction_timeout": "2"}
    first = await workers.start(queues=QUEUES, stops=(point, deed), **more)
    client = await connect(settings)
    await DrainStarter(client, settings.worker.queue_prefix, WORKFLOWS).start(topic, 0)
    await first.reached()
    await workers.start(queues=QUEUES, **more)
    await drained(pool, RECORDS)
    if deed == "freeze":
        first.thaw()
    await send(kafka, topic, range(RECORDS, RECORDS + AFTERWARDS))
    await drained(pool, RECORDS + AFTERWARDS)
    await each_once(pool, RECORDS + AFTERWARDS)
    await client.get_workflow_handle(f"{settings.worker.queue_prefix}drain-{topic}-0").terminate()


async def test_the_command_line_lists_pauses_resumes_and_rewinds(settings: Settings, kafka: Kafka) -> None:
    topic = await kafka.make_topic("patient")
    await kafka.send(topic, Outgoing(encoded(patient(1))))
    told = environment_of(settings) | {f"WARDFLOW_{name.upper()}": value for name, value in environment(kafka).items()}

    commands = Commands(told)

    async def wardflow(*words: str) -> tuple[int, str]:
        result = await commands.call(*words)
        return result.exit_code, result.output

    async def listed() -> dict[str, Any]:
        found: list[dict[str, Any]] = await commands.answer("streams", "list")
        return found[0]

    assert (await wardflow("streams", "pause", topic))[0] == 0
    assert ((await listed())["state"], (await listed())["lag"]) == ("paused", 1)
    assert (await wardflow("streams", "resume", topic))[0] == 0
    code, said = await wardflow("streams", "rewind", topic, "--to", "latest")
    assert (code, (await listed())["generation"]) == (0, 2), said
    assert topic in (await wardflow("streams", "list"))[1]
    code, said = await wardflow("streams", "rewind", topic, "--time", "2024-01-01")
    assert code == 1
    assert "without a zone" in said
    client = await connect(settings)
    await client.get_workflow_handle(f"{settings.worker.queue_prefix}drain-{topic}-0").terminate()
