"""Draining a partition of a real broker: what is read, where it stops, and what it leaves to the next one."""

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.structs import TopicPartition

from config.settings import Settings
from library.contracts.drains import DrainDone, DrainOutcome, DrainTopic, StreamState
from library.contracts.errors import LoadInterrupted
from library.contracts.streams import LeaderMissing, TopicMissing
from library.streams.cluster import NO_LEADER, Cluster, Leaders
from library.streams.control import Streams
from library.streams.drain import Drain, DrainLimits
from library.streams.producer import Outgoing
from library.streams.reader import Reader
from library.warehouse.archives import Archives
from library.warehouse.batches import TOMBSTONE
from library.warehouse.offsets import Offsets
from library.warehouse.pool import Pool, create_pool
from library.warehouse.sessions import Attempt
from library.warehouse.stream_loader import StreamLoader
from service.resources import warehouse_dsn
from tests.support.kafka import Kafka, values
from tests.support.streams import CATALOGUE, encoded, lab_result, record_topics
from tests.support.warehouse import LIMITS

NEW_TOTAL = NewPartitions(3)
PATIENCE = DrainLimits(batch_records=100, batch_bytes=10**7, record_bytes=10_000, seconds=30, wait=0.2)


@dataclass
class Stream:
    """A topic of laboratory results, and its drain."""

    kafka: Kafka
    pool: Pool
    drain: Drain
    topic: str

    async def send(self, *values: bytes | None, partition: int = 0) -> None:
        await self.kafka.send(self.topic, *(Outgoing(value, key=b"key", partition=partition) for value in values))

    async def run(self, partition: int = 0, drain: Drain | None = None, **options: Any) -> DrainDone:
        """Drain until all that Kafka holds is loaded."""
        asked = DrainTopic(topic=self.topic, partition=partition)
        ended = False

        async def watch() -> None:
            nonlocal ended
            while not await self.caught_up(partition):  # noqa: ASYNC110 - only the database knows
                await asyncio.sleep(0.05)
            ended = True

        watching = asyncio.create_task(watch())
        try:
            return await (drain or self.drain).run(
                asked, run_id="run", attempt=Attempt("drain000"), must_end=lambda: ended, **options
            )
        finally:
            watching.cancel()

    async def caught_up(self, partition: int) -> bool:
        found = await self.drain.offsets.find(self.topic, partition)
        if found is None:
            return False
        return found.end_offset == found.next_offset or found.state is StreamState.STOPPED

    async def values(self) -> list[float]:
        rows = await self.pool.fetch("SELECT lab_value FROM records.lab_result ORDER BY lab_value")
        return [row["lab_value"] for row in rows]

    async def position(self, partition: int = 0) -> Any:
        found = await self.drain.offsets.find(self.topic, partition)
        assert found is not None
        return found

    @property
    def control(self) -> Streams:
        return Streams(self.kafka.connection, self.drain.topics, self.drain.offsets, Archives(self.pool))


async def delete_before(stream: Stream, offset: int) -> None:
    """As retention does."""
    async with stream.kafka.admin() as admin:
        await admin.delete_records({TopicPartition(stream.topic, 0): RecordsToDelete(before_offset=offset)})


def result(number: int) -> bytes:
    return encoded(lab_result(number, lab_value=number))


@pytest_asyncio.fixture
async def stream(kafka: Kafka, pool: Pool) -> AsyncIterator[Stream]:
    """One partition."""
    topic = await kafka.make_topic("lab_results", partitions=1)
    with ThreadPoolExecutor(1) as threads:
        topics = record_topics(patient="p", admissions="a", lab_results=topic)
        loader = StreamLoader(pool, CATALOGUE, LIMITS)
        yield Stream(kafka, pool, Drain(kafka.connection, topics, Offsets(pool), loader, PATIENCE, threads), topic)


async def test_what_was_there_before_the_first_start_is_drained_batch_by_batch(stream: Stream) -> None:
    await stream.send(*(result(number) for number in range(250)))
    beats: list[None] = []
    done = await stream.run(heartbeat=lambda: beats.append(None))
    assert (done.outcome, done.records, done.next_offset) == (DrainOutcome.TIME, 250, 250)
    assert done.batches >= 3
    assert len(beats) >= done.batches
    assert await stream.values() == list(range(250))
    position = await stream.position()
    assert (position.next_offset, position.end_offset, position.generation, position.incarnation) == (250, 250, 1, 1)


async def test_the_next_one_goes_on_where_the_last_one_ended(stream: Stream) -> None:
    await stream.send(result(1))
    await stream.run()
    await stream.send(result(2))
    await stream.control.overview()  # sees that there is more
    done = await stream.run()
    assert (done.records, done.next_offset) == (1, 2)
    assert await stream.values() == [1, 2]
    assert await stream.pool.fetchval("SELECT count(*) FROM ingest.load") == 2


async def test_one_record_never_stops_the_stream(stream: Stream) -> None:
    bad = [b"no json", b"\xff\xfe", b"[]", None, b"x" * 10_001, encoded(lab_result(admission_id="abc"))]
    await stream.send(result(1), *bad, result(2))
    done = await stream.run()
    assert done.records == 8
    assert await stream.values() == [1, 2]
    refused = await stream.pool.fetch('SELECT "offset", reasons FROM ingest.rejection ORDER BY "offset"')
    assert [(row["offset"], row["reasons"][0]) for row in refused] == [
        (1, "not JSON"),
        (2, "not UTF-8"),
        (3, "not a JSON object"),
        (4, TOMBSTONE),
        (5, "larger than 10000 bytes"),
        (6, "admission_id: is not a whole number from 1 to 2147483647"),
    ]


async def test_a_record_of_10_megabytes_is_refused_and_passed(stream: Stream) -> None:
    topic = await stream.kafka.make_topic("large", max_message_bytes="20000000")
    large = replace(stream, topic=topic)
    large.drain = replace(stream.drain, topics=record_topics(patient="p", admissions="a", lab_results=topic))
    await large.send(encoded(lab_result(1, lab_units="x" * 10_000_000)), result(2))
    assert (await large.run()).records == 2
    assert await large.values() == [2]
    assert await large.pool.fetchval("SELECT raw IS NULL FROM ingest.rejection")


async def test_a_row_that_the_table_refuses_is_found_and_the_others_are_loaded(stream: Stream) -> None:
    await stream.pool.execute("ALTER TABLE records.lab_result ADD CONSTRAINT sane CHECK (lab_value <> 37)")
    await stream.send(*(result(number) for number in range(60)))
    done = await stream.run()
    assert done.records == 60
    assert await stream.values() == [number for number in range(60) if number != 37]
    refused = await stream.pool.fetchrow('SELECT "offset", reasons, raw FROM ingest.rejection')
    assert refused is not None
    assert (refused["offset"], refused["raw"]) == (37, result(37))
    assert refused["reasons"] == ["the warehouse refuses the row: SQLSTATE 23514, sane"]


async def test_aborted_records_are_not_loaded_and_the_offset_passes_them(stream: Stream) -> None:
    async with stream.kafka.transactions() as producer:
        async with producer.transaction():
            await producer.send_and_wait(stream.topic, result(1))
        await producer.begin_transaction()
        await producer.send_and_wait(stream.topic, result(2))
        await producer.abort_transaction()
    await stream.run()
    assert await stream.values() == [1]
    position = await stream.position()
    assert position.next_offset == position.end_offset == 4  # two records, and the marks of two transactions


async def test_offsets_that_retention_passed_before_the_first_start_are_no_gap(stream: Stream) -> None:
    await stream.send(*(result(number) for number in range(5)))
    await delete_before(stream, 3)
    done = await stream.run()
    assert (done.records, done.next_offset) == (2, 5)


async def test_an_offset_out_of_range_stops_the_partition_with_its_reason_until_it_is_rewound(stream: Stream) -> None:
    await stream.send(*(result(number) for number in range(3)))
    await stream.run()
    await stream.send(*(result(number) for number in range(3, 9)))
    await delete_before(stream, 6)

    assert (await stream.run()).outcome is DrainOutcome.STOPPED
    position = await stream.position()
    assert position.state is StreamState.STOPPED
    assert "offsets 6 to 9; the next one to read is 3" in position.reason
    assert (await stream.run()).outcome is DrainOutcome.STOPPED  # it stays stopped
    assert await stream.control.to_drain() == []

    await stream.control.rewind(stream.topic, "earliest")
    assert (await stream.run()).records == 3
    assert await stream.values() == [0, 1, 2, 6, 7, 8]


async def test_a_topic_made_anew_stops_its_partitions_and_a_rewind_begins_a_new_incarnation(stream: Stream) -> None:
    await stream.send(result(1), result(2), b"no json")
    await stream.run()
    await stream.kafka.delete_topic(stream.topic)
    with pytest.raises(TopicMissing):
        await stream.run()
    assert (await stream.kafka.make_topic("lab_results")) == stream.topic
    await stream.send(result(3), b"no json either")

    assert (await stream.run()).outcome is DrainOutcome.STOPPED
    assert "created again" in (await stream.position()).reason
    assert await stream.values() == [1, 2]

    await stream.control.rewind(stream.topic, "earliest")
    await stream.run()
    assert await stream.values() == [1, 2, 3]
    position = await stream.position()
    assert (position.incarnation, position.generation, position.next_offset) == (2, 2, 2)
    refused = await stream.pool.fetch('SELECT incarnation, "offset" FROM ingest.rejection ORDER BY 1')
    assert [tuple(row) for row in refused] == [(1, 2), (2, 1)]  # of each incarnation its own


async def test_partitions_that_are_added_later_are_drained_too(stream: Stream) -> None:
    await stream.send(result(1))
    await stream.run()
    async with stream.kafka.admin() as admin:
        await admin.create_partitions({stream.topic: NEW_TOTAL})
    async with asyncio.timeout(20):
        while len(found := await stream.control.to_drain()) < 3:  # a new partition's leader is found in a moment
            pass
    assert found == [(stream.topic, 0), (stream.topic, 1), (stream.topic, 2)]
    await stream.send(result(2), partition=2)
    await stream.run(partition=2)
    assert await stream.values() == [1, 2]


async def test_two_drains_of_one_partition_at_once_load_each_record_once(stream: Stream) -> None:
    await stream.send(*(result(number) for number in range(1_000)))

    async def keep_on() -> int:
        records = 0
        while True:
            done = await stream.run()
            records += done.records
            if done.outcome is DrainOutcome.TIME:
                return records

    both = await asyncio.gather(keep_on(), keep_on())
    assert sum(both) == 1_000
    assert await stream.values() == list(range(1_000))
    counts = await stream.pool.fetch("SELECT counts -> 'records.lab_result' ->> 'staged' AS staged FROM ingest.load")
    assert sum(int(row["staged"]) for row in counts) == 1_000


async def test_a_rewind_of_a_running_drain_makes_it_begin_anew(stream: Stream) -> None:
    await stream.send(*(result(number) for number in range(10)))
    await stream.run()
    running = asyncio.create_task(
        stream.drain.run(DrainTopic(topic=stream.topic, partition=0), run_id="run", attempt=Attempt("drain000"))
    )
    await stream.control.rewind(stream.topic, 4)
    assert (await running).outcome is DrainOutcome.SUPERSEDED
    assert (await stream.run()).records == 6
    assert await stream.values() == list(range(10))


async def test_a_pause_ends_an_idle_drain_and_a_resume_lets_it_go_on(stream: Stream) -> None:
    await stream.send(result(1))
    await stream.run()
    running = asyncio.create_task(
        stream.drain.run(DrainTopic(topic=stream.topic, partition=0), run_id="run", attempt=Attempt("drain000"))
    )
    await stream.control.pause(stream.topic)
    assert (await running).outcome is DrainOutcome.SUPERSEDED
    await stream.send(result(2))
    assert (await stream.run()).outcome is DrainOutcome.PAUSED
    assert await stream.control.to_drain() == []
    await stream.control.resume(stream.topic)
    await stream.run()
    assert await stream.values() == [1, 2]


async def test_a_cancelled_drain_leaves_whole_batches_and_the_next_one_goes_on(stream: Stream) -> None:
    await stream.send(*(result(number) for number in range(1_000)))
    first = asyncio.Event()
    running = asyncio.create_task(
        stream.drain.run(
            DrainTopic(topic=stream.topic, partition=0), run_id="run", attempt=Attempt("drain000"), heartbeat=first.set
        )
    )
    await first.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    position = await stream.position()
    assert 0 < position.next_offset < 1_000
    assert len(await stream.values()) == position.next_offset
    await stream.run()
    assert await stream.values() == list(range(1_000))


async def test_what_a_drain_fails_with_is_shown_until_it_goes_on(stream: Stream) -> None:
    await stream.send(result(1))
    await stream.run()
    broken = replace(stream.drain, connection=replace(stream.kafka.connection, bootstrap_servers="127.0.0.1:9"))
    with pytest.raises(Exception, match="Kafka did not answer"):
        await stream.run(drain=broken)
    assert "Kafka did not answer" in (await stream.position()).reason
    await stream.run()  # there is nothing new
    assert (await stream.position()).reason is None


async def test_a_postgres_that_is_away_is_tried_again(stream: Stream, settings: Settings) -> None:
    gone = await create_pool(warehouse_dsn(settings), size=1)
    await gone.close()
    broken = replace(stream.drain, offsets=Offsets(gone), loader=StreamLoader(gone, CATALOGUE, LIMITS))
    await stream.send(result(1))
    with pytest.raises(LoadInterrupted):
        await broken.run(DrainTopic(topic=stream.topic, partition=0), run_id="run", attempt=Attempt("drain000"))


async def test_status_says_how_far_behind_and_how_fast(stream: Stream) -> None:
    await stream.send(result(1), result(2))
    await stream.run()
    ((status,), _) = await stream.control.overview()
    assert (status.lag, status.freshness) == (0, 0)
    assert status.rate > 0
    await stream.send(result(3))
    ((status,), _) = await stream.control.overview()
    assert status.lag == 1
    assert status.freshness is not None
    assert status.freshness > 0
    assert json.loads(status.model_dump_json())["end_offset"] == 3


async def test_a_partition_that_misses_its_leader_keeps_no_other_from_being_drained_or_archived(
    kafka: Kafka, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [await kafka.make_topic(name, partitions=2) for name in ("patient", "admissions", "lab_results")]
    patient, admissions, lab_results = names
    topics = record_topics(patient=patient, admissions=admissions, lab_results=lab_results)
    streams = Streams(kafka.connection, topics, Offsets(pool), Archives(pool))
    leaders = Cluster.leaders

    async def without_one(cluster: Cluster, topic: str) -> Leaders:
        found = await leaders(cluster, topic)
        return replace(found, by_partition={**found.by_partition, 1: NO_LEADER}) if topic == patient else found

    monkeypatch.setattr(Cluster, "leaders", without_one)
    every, told = {(topic, partition) for topic in names for partition in range(2)}, list[str]()
    assert set(await streams.to_drain(lambda topic, _: told.append(topic))) == every - {(patient, 1)}
    assert set(await streams.to_archive()) == set(names)
    assert told == [patient]
    await kafka.send(patient, Outgoing(b"led", partition=0), Outgoing(b"not led", partition=1))
    async with Reader(kafka.connection, patient, {0: 0, 1: 0}) as reader:
        (batch,) = await reader.read(max_records=10, max_bytes=10**6, wait=10)
        assert (batch.partition, values(batch.records)) == (0, [b"led"])
    with pytest.raises(LeaderMissing):
        async with Reader(kafka.connection, patient, {1: 0}) as reader:
            await reader.read(max_records=10, max_bytes=10**6, wait=1)
    with pytest.raises(LeaderMissing):
        await streams.rewind(patient, "earliest")
    assert [each.partition for each in await streams.rewind(patient, "earliest", 0)] == [0]
    monkeypatch.undo()
    assert set(await streams.to_drain()) == every
