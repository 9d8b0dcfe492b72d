"""What Kafka held is in the lake, offset by offset, each once; looked at with DuckDB."""

import asyncio
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition

from config.settings import Settings
from library.contracts.lake import Archived, Gap, LakeOvertaken
from library.contracts.streams import TopicMissing
from library.lake.archive import AppendEvery, Archive
from library.lake.bronze import BronzeTable
from library.lake.rows import as_rows
from library.lake.storage import LakeStorage
from library.streams.cluster import NO_LEADER, Cluster, Leaders
from library.streams.producer import Outgoing
from library.streams.reader import Reader
from service.resources import lake_storage
from tests.support.kafka import Kafka
from tests.support.lake import SOON, in_kafka, in_lake


@pytest.fixture
def storage(servers: Settings) -> LakeStorage:
    return lake_storage(servers)


async def archived(
    kafka: Kafka, storage: LakeStorage, topic: str, *, seconds: float = 2.0, every: Any = SOON
) -> Archived:
    return await Archive(kafka.connection, storage, topic, every).run(seconds)


async def test_every_record_is_in_the_lake_as_it_was_in_kafka(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic(partitions=3, max_message_bytes="20000000")
    await kafka.send(
        topic,
        Outgoing(b'{"patient_id": "x"}', key=b"x", headers=(("source", b"api"), ("source", b"\xff")), partition=0),
        Outgoing(None, key=b"gone", partition=0),
        Outgoing(b"no key", timestamp=1_700_000_000_123, partition=1),
        Outgoing(b"\xff\x00 no text", key=b"\x00", partition=1),
        Outgoing(b"", key=b"", partition=2),
        Outgoing(secrets.token_bytes(10_000_000), partition=2),
    )
    done = await archived(kafka, storage, topic)
    assert (done.incarnation, done.records, done.positions) == (1, 6, {0: 2, 1: 2, 2: 2})
    expected = await in_kafka(kafka, topic)
    assert len(expected) == 6
    assert in_lake(servers, topic, tmp_path) == expected


async def test_an_archive_goes_on_where_the_table_ends_and_repeats_nothing(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, *(b"%d" % number for number in range(1_000)))
    first = await archived(kafka, storage, topic)
    nothing = await archived(kafka, storage, topic, seconds=0.3)
    await kafka.send(topic, *(b"more %d" % number for number in range(10)))
    second = await archived(kafka, storage, topic)
    assert [(done.records, done.appends) for done in (first, nothing, second)] == [(1_000, 1), (0, 0), (10, 1)]
    assert in_lake(servers, topic, tmp_path) == await in_kafka(kafka, topic)


async def test_an_append_is_made_when_the_bound_of_bytes_is_reached(kafka: Kafka, storage: LakeStorage) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, *(bytes(1_000) for _ in range(100)))
    done = await archived(kafka, storage, topic, every=AppendEvery(seconds=60, size=100_000))
    assert (done.records, done.appends, done.size) == (100, 1, 100_000)


async def test_a_call_goes_on_until_its_rest_is_due_so_that_calls_make_no_more_appends_than_the_clock(
    kafka: Kafka, storage: LakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = 0.0
    monkeypatch.setattr("library.lake.archive.monotonic", lambda: time.monotonic() + passed)
    topic, read = await kafka.make_topic(), [0]
    await kafka.send(topic, b"first")
    archive = Archive(kafka.connection, storage, topic, AppendEvery(seconds=3_600))
    archiving = asyncio.create_task(archive.run(60, on_read=read.append))

    async def reads_on(records: int) -> None:
        """Wait until the archive has read so many records, and has then looked for more."""
        looks = len(read)
        async with asyncio.timeout(60):
            while read[-1] != records or len(read) <= looks:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    await reads_on(1)
    passed = 1_800  # the time of the call is over
    await kafka.send(topic, b"within its time")
    await reads_on(2)
    assert not archiving.done()
    passed = 3_700
    done = await asyncio.wait_for(archiving, 60)
    assert (done.records, done.appends) == (2, 1)


async def test_of_two_archives_of_one_snapshot_the_second_is_refused_and_nothing_is_there_twice(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, *(b"%d" % number for number in range(100)))
    async with Reader(kafka.connection, topic, {0: 0}) as reader:
        (batch,) = await reader.read(max_records=60, max_bytes=10**6, wait=5)
        (rest,) = await reader.read(max_records=60, max_bytes=10**6, wait=5)
    assert reader.topic_id is not None
    quicker, zombie = [await asyncio.to_thread(BronzeTable.open, storage, topic) for _ in range(2)]
    rows = [as_rows(topic, 1, batch.records)]
    await asyncio.to_thread(quicker.append, reader.topic_id, rows, {0: (0, batch.end)})
    with pytest.raises(LakeOvertaken):
        await asyncio.to_thread(zombie.append, reader.topic_id, rows, {0: (0, batch.end)})
    # The quicker archive continues after its own append.
    await asyncio.to_thread(
        quicker.append, reader.topic_id, [as_rows(topic, 1, rest.records)], {0: (rest.first, rest.end)}
    )
    assert in_lake(servers, topic, tmp_path) == await in_kafka(kafka, topic)


async def test_an_archive_whose_own_append_brought_in_anothers_is_refused_all_the_same(
    kafka: Kafka, storage: LakeStorage
) -> None:
    topic = await kafka.make_topic(partitions=2)
    await kafka.send(topic, b"in both")
    await kafka.send(topic, b"in both", partition=1)
    async with Cluster(kafka.connection) as cluster:
        topic_id = (await cluster.topic(topic)).topic_id
    rows = [as_rows(topic, 1, await kafka.read_all(topic))]
    first = await asyncio.to_thread(BronzeTable.open, storage, topic)
    await asyncio.to_thread(first.append, topic_id, rows, {0: (0, 1)})
    quicker, zombie = [await asyncio.to_thread(BronzeTable.open, storage, topic) for _ in range(2)]
    await asyncio.to_thread(quicker.append, topic_id, rows, {0: (1, 2)})
    await asyncio.to_thread(zombie.append, topic_id, rows, {1: (0, 1)})
    with pytest.raises(LakeOvertaken):
        await asyncio.to_thread(zombie.append, topic_id, rows, {0: (1, 2)})


async def test_many_archives_at_once_leave_each_record_once(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic(partitions=4)
    await kafka.send(topic, *(Outgoing(b"%d" % number, key=b"%d" % number) for number in range(5_000)))
    every = AppendEvery(seconds=0.05, size=10_000)
    tries = [archived(kafka, storage, topic, seconds=1.5, every=every) for _ in range(4)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert all(isinstance(each, Archived | LakeOvertaken) for each in results)
    await archived(kafka, storage, topic)
    assert in_lake(servers, topic, tmp_path) == await in_kafka(kafka, topic)


async def test_a_topic_made_anew_is_another_incarnation_in_the_same_table(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, b"old", b"older")
    await archived(kafka, storage, topic)
    old = await in_kafka(kafka, topic)
    await kafka.delete_topic(topic)
    async with Cluster(kafka.connection) as cluster:
        with pytest.raises(TopicMissing):
            while True:  # a deletion takes a moment
                await cluster.leaders(topic)
    with pytest.raises(TopicMissing):
        await archived(kafka, storage, topic)
    await kafka.make_topic()
    await kafka.send(topic, b"new")
    done = await archived(kafka, storage, topic)
    assert (done.incarnation, done.records) == (2, 1)
    assert in_lake(servers, topic, tmp_path / "1", incarnation=1) == old
    assert in_lake(servers, topic, tmp_path / "2", incarnation=2) == await in_kafka(kafka, topic)


async def test_new_partitions_are_archived_from_their_beginning(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, b"a")
    await archived(kafka, storage, topic)
    async with kafka.admin() as admin:
        from aiokafka.admin import NewPartitions

        await admin.create_partitions({topic: NewPartitions(3)})
    await kafka.send(topic, b"b", partition=2)
    assert (await archived(kafka, storage, topic)).positions == {0: 1, 1: 0, 2: 1}
    assert in_lake(servers, topic, tmp_path) == await in_kafka(kafka, topic)


async def test_partitions_without_a_leader_at_the_beginning_are_archived_as_soon_as_they_have_one(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await kafka.make_topic(partitions=2)
    await kafka.send(topic, Outgoing(b"led", partition=0), Outgoing(b"not led", partition=1))
    monkeypatch.setattr("library.lake.archive._LOOK_AGAIN", 0.1)
    leaders, away = Cluster.leaders, [0, 1]

    async def without(cluster: Cluster, name: str) -> Leaders:
        found = await leaders(cluster, name)
        return replace(found, by_partition={**found.by_partition, **dict.fromkeys(away, NO_LEADER)})

    monkeypatch.setattr(Cluster, "leaders", without)
    archive = Archive(kafka.connection, storage, topic, SOON)
    done = await archive.run(4, on_read=lambda _: away and away.pop())
    assert (done.records, done.positions, done.gaps) == (2, {0: 1, 1: 1}, ())
    assert in_lake(servers, topic, tmp_path) == await in_kafka(kafka, topic)


async def test_what_retention_took_before_its_turn_is_a_gap_that_the_result_and_the_table_tell(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, *(b"%d" % number for number in range(3)))
    await archived(kafka, storage, topic)
    before = await in_kafka(kafka, topic)
    await kafka.send(topic, *(b"%d" % number for number in range(3, 10)))
    async with kafka.admin() as admin:
        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=8)})
    done = await archived(kafka, storage, topic)
    assert done.gaps == (Gap(partition=0, first=3, end=8),)
    assert in_lake(servers, topic, tmp_path) == before + await in_kafka(kafka, topic)
    commits = (tmp_path / "lake" / "bronze" / topic / "_delta_log").glob("*.json")
    assert any('"gaps":"[{\\"partition\\": 0, \\"first\\": 3, \\"end\\": 8}]"' in each.read_text() for each in commits)


async def test_a_partition_that_lost_what_the_table_holds_stops_and_the_others_go_on(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic(partitions=2)
    await kafka.send(topic, b"a", partition=0)
    async with Cluster(kafka.connection) as cluster:
        topic_id = (await cluster.topic(topic)).topic_id
    (record,) = await kafka.read_all(topic)
    table = await asyncio.to_thread(BronzeTable.open, storage, topic)
    await asyncio.to_thread(table.append, topic_id, [as_rows(topic, 1, [record])], {0: (0, 50)})
    await kafka.send(topic, b"b", partition=1)
    done = await archived(kafka, storage, topic)
    assert done.positions == {0: 50, 1: 1}
    assert "the next one to read is 50" in done.stopped[0]
    assert in_lake(servers, topic, tmp_path) == await in_kafka(kafka, topic)


async def test_aborted_records_are_not_in_the_lake(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic()
    async with kafka.transactions() as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept")
    done = await archived(kafka, storage, topic)
    assert (done.records, done.positions) == (1, {0: 4})
    assert [row[4] for row in in_lake(servers, topic, tmp_path)] == [b"kept"]


async def test_compaction_and_vacuum_while_the_archive_goes_on_change_no_row(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic(partitions=2)
    sent = 0

    async def send() -> None:
        nonlocal sent
        while True:
            await kafka.send(topic, *(Outgoing(b"%d" % (sent + each), key=b"%d" % each) for each in range(50)))
            sent += 50

    sending = asyncio.create_task(send())
    compacted = 0
    archive = Archive(kafka.connection, storage, topic, AppendEvery(seconds=0.05))
    archiving = asyncio.create_task(archive.run(100, must_end=lambda: compacted > 10))
    while not archiving.done():
        await asyncio.wait({archiving}, timeout=1.5)
        table = await asyncio.to_thread(BronzeTable.open, storage, topic)
        compacted += (await asyncio.to_thread(table.tidy, 24)).files_compacted
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert (await archiving).appends > 10
    await archived(kafka, storage, topic)
    assert compacted > 10
    expected = await in_kafka(kafka, topic)
    assert len(expected) >= sent
    assert in_lake(servers, topic, tmp_path / "before") == expected
    table = await asyncio.to_thread(BronzeTable.open, storage, topic)
    assert (await asyncio.to_thread(table.tidy, 0)).files_removed >= compacted
    assert in_lake(servers, topic, tmp_path / "after") == expected


async def test_what_was_read_before_a_topic_was_deleted_is_kept(
    kafka: Kafka, storage: LakeStorage, servers: Settings, tmp_path: Path
) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, *(b"%d" % number for number in range(10)))
    held, read = await in_kafka(kafka, topic), asyncio.Event()
    archive = Archive(kafka.connection, storage, topic, AppendEvery(seconds=60))
    going = asyncio.create_task(archive.run(60, on_read=lambda records: read.set() if records == 10 else None))
    await asyncio.wait_for(read.wait(), 30)
    await kafka.delete_topic(topic)
    with pytest.raises(TopicMissing):
        await asyncio.wait_for(going, 60)
    assert in_lake(servers, topic, tmp_path) == held
