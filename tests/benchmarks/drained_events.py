"""A backlog of laboratory results on four partitions, and two that drain it: a worker, and the bare floor."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from temporalio.client import WorkflowHandle

from activities.streams import DrainStarter
from config.settings import Settings
from library.datasets.sql import staged, staged_name
from library.objects.store import ObjectStore
from library.sources.records.datasets import LAB_RESULT
from library.staging.files import staged_columns
from library.streams.producer import Outgoing, Producer
from library.warehouse import statements
from library.warehouse.pool import Pool
from service.temporal import connect
from service.worker.parts import Resources
from tests.benchmarks.measure import Stopwatch
from tests.support.kafka import Kafka
from tests.support.processes import worker_process
from tests.support.workers import serving
from workflows.policies import IO, STREAMS, WORKFLOWS

EVENTS = int(os.environ.get("EVENTS", "1000000"))
PARTITIONS = 4
BATCH = 20_000
_BYTES = 300
_SENT_AT_ONCE = 10_000
FLOOR = "records.floor"


class Event(msgspec.Struct, gc=False):
    """What the floor decodes: the same types, and no more than that is looked at."""

    patient_id: UUID
    admission_id: Annotated[int, msgspec.Meta(ge=1)]
    lab_name: str
    lab_value: float
    lab_units: str
    lab_date_time: datetime


def event(number: int) -> bytes:
    """A laboratory result of 300 bytes."""
    record = {
        "patient_id": str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)),
        "admission_id": 1 + number % 7,
        "lab_name": f"METABOLIC: ANALYTE {number % 90}",
        "lab_value": number % 997 + 0.25,
        "lab_units": "",
        "lab_date_time": f"2024-{1 + number % 12:02}-{1 + number % 28:02} {number % 24:02}:{number % 60:02}:00.123",
    }
    record["lab_units"] = "x" * (_BYTES - len(json.dumps(record, separators=(",", ":"))))
    return json.dumps(record, separators=(",", ":")).encode()


@dataclass
class Backlog:
    """The topic, and the tables that it is drained into.

    Attributes:
        drainers: the workers that drained it last.
    """

    settings: Settings
    pool: Pool
    store: ObjectStore
    kafka: Kafka
    topic: str
    drainers: set[str] = field(default_factory=set)

    async def fill(self) -> None:
        """Send all events, evenly over the partitions."""
        async with Producer(self.kafka.connection, deliver_within=120) as producer:
            for start in range(0, EVENTS, _SENT_AT_ONCE):
                numbers = range(start, min(start + _SENT_AT_ONCE, EVENTS))
                await producer.send(self.topic, [Outgoing(event(n), partition=n % PARTITIONS) for n in numbers])
        await self.pool.execute(f"CREATE TABLE {FLOOR} (LIKE {LAB_RESULT.name} INCLUDING ALL)")
        await self.pool.execute("CREATE TABLE records.floor_offset (partition int PRIMARY KEY, next_offset bigint)")
        for table in (FLOOR, LAB_RESULT.name):
            await self.pool.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")

    async def empty(self) -> None:
        """All as new, and nothing left for Postgres to do in the middle of somebody's turn."""
        tables = f"{FLOOR}, {LAB_RESULT.name}, ingest.stream_offset, ingest.load, records.floor_offset"
        await self.pool.execute(f"TRUNCATE {tables}")
        await self.pool.executemany(
            "INSERT INTO records.floor_offset VALUES ($1, 0)", [(number,) for number in range(PARTITIONS)]
        )
        await self.pool.execute("CREATE DATABASE checkpoint")  # dropping one makes a checkpoint
        await self.pool.execute("DROP DATABASE checkpoint")

    async def floor(self, *, emptied: bool = True) -> float:
        """Seconds of reading, decoding, COPY, MERGE and offsets, batch after batch."""
        if emptied:
            await self.empty()
        places = [TopicPartition(self.topic, number) for number in range(PARTITIONS)]
        consumer = AIOKafkaConsumer(
            **self.kafka.connection.options(),
            auto_offset_reset="none",
            isolation_level="read_committed",
            max_partition_fetch_bytes=4 * 1024 * 1024,
        )
        await consumer.start()
        try:
            async with self.pool.acquire() as connection:
                await connection.execute(statements.keep_staged(LAB_RESULT))
                consumer.assign(places)
                for place in places:
                    consumer.seek(place, 0)
                took, done = Stopwatch(), 0
                while done < EVENTS:
                    read = await consumer.getmany(timeout_ms=1_000, max_records=BATCH)
                    rows = [row for place, records in read.items() for row in self._rows(place.partition, records)]
                    await self._load(connection, rows, {place.partition: each for place, each in read.items()})
                    done += len(rows)
                return took()
        finally:
            await consumer.stop()

    def _rows(self, partition: int, records: list[Any]) -> list[tuple[Any, ...]]:
        decode, topic = _DECODE, self.topic
        at = datetime.fromtimestamp(records[0].timestamp / 1000, UTC)
        rows = []
        for record in records:
            offset, found = record.offset, decode(record.value)
            taken_at = found.lab_date_time.replace(tzinfo=UTC)
            key = (found.patient_id, found.admission_id, found.lab_name, taken_at)
            rows.append((offset, topic, partition, offset, at, 1, *key, found.lab_value, found.lab_units))
        return rows

    async def _load(self, connection: Any, rows: list[tuple[Any, ...]], read: dict[int, list[Any]]) -> None:
        async with connection.transaction():
            await connection.copy_records_to_table(
                staged_name(LAB_RESULT), records=rows, columns=staged_columns(LAB_RESULT)
            )
            await connection.execute(_MERGE, UUID(int=1))
            for partition, records in read.items():
                moved = await connection.fetchval(
                    "UPDATE records.floor_offset SET next_offset = $3 WHERE partition = $1 AND next_offset = $2 "
                    "RETURNING true",
                    partition,
                    records[0].offset,
                    records[-1].offset + 1,
                )
                assert moved

    async def drained(self, *, processes: int = 0, archive: bool = False) -> float:
        """Seconds that workers take, from the start of their drains to the last commit.

        Args:
            processes: how many workers, each a process; 0: one in this process, as the floor is.
            archive: whether the topic goes into the lake meanwhile.
        """
        await self.empty()
        self._client = await connect(self.settings)
        async with self._worker_processes(processes) if processes else self._worker_here():
            starter = DrainStarter(self._client, self.settings.worker.queue_prefix, WORKFLOWS)
            if archive:
                await starter.archive(self.topic)
            took = Stopwatch()
            await asyncio.gather(*(starter.start(self.topic, number) for number in range(PARTITIONS)))
            while not await self.pool.fetchval(_DRAINED, EVENTS):  # noqa: ASYNC110 - as anybody would look
                await asyncio.sleep(0.02)
            seconds = took()
            await self.pool.execute("UPDATE ingest.stream_offset SET paused = true")
            drains = [self._workflow(f"drain-{self.topic}-{number}") for number in range(PARTITIONS)]
            for drain in drains:
                await drain.result()
            if archive:
                await self._workflow(f"archive-{self.topic}").terminate()
        histories = [await drain.fetch_history() for drain in drains]
        self.drainers = {
            event.activity_task_started_event_attributes.identity
            for history in histories
            for event in history.events
            if event.HasField("activity_task_started_event_attributes")
        }
        return seconds

    async def rows_as_of_the_floor(self) -> int:
        """How many rows say the same in both tables."""
        said = ", ".join((*LAB_RESULT.key, "lab_value", "lab_units"))
        found: int = await self.pool.fetchval(
            f"SELECT count(*) FROM (SELECT {said} FROM {FLOOR} INTERSECT SELECT {said} FROM {LAB_RESULT.name}) same"
        )
        return found

    def _workflow(self, name: str) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(self.settings.worker.queue_prefix + name)

    @asynccontextmanager
    async def _worker_here(self) -> AsyncIterator[None]:
        resources = Resources(self.settings, self._client, self.pool, self.store)
        async with serving(resources, (WORKFLOWS, IO, STREAMS)):
            yield

    @asynccontextmanager
    async def _worker_processes(self, count: int) -> AsyncIterator[None]:
        told = {
            "KAFKA__ENABLED": "true",
            "KAFKA__BOOTSTRAP_SERVERS": self.kafka.settings.bootstrap_servers or "",
            "KAFKA__LAB_RESULTS_TOPIC": self.topic,
        }
        async with AsyncExitStack() as stack:
            for _ in range(count):
                await stack.enter_async_context(worker_process(self.settings, **told))
            yield


_DECODE = msgspec.json.Decoder(Event).decode
_TOLD = [column.name for column in LAB_RESULT.columns]
_NAMES = ", ".join(f'"{name}"' for name in _TOLD)
_WRITTEN = ", ".join(f'"{name}" = s."{name}"' for name in _TOLD if name not in LAB_RESULT.key)
_DRAINED = "SELECT sum(next_offset) >= $1 FROM ingest.stream_offset"
_MERGE = (
    f"MERGE INTO {FLOOR} t USING {staged(LAB_RESULT)} s "
    f"ON {' AND '.join(f't.{name} = s.{name}' for name in LAB_RESULT.key)} "
    f"WHEN MATCHED THEN UPDATE SET {_WRITTEN}, load_id = $1 "
    f"WHEN NOT MATCHED THEN INSERT ({_NAMES}, load_id, reader_version) "
    f"VALUES ({', '.join(f's."{name}"' for name in _TOLD)}, $1, 1)"
)
