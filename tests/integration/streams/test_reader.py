"""What a reader returns, and what it refuses, against a real broker."""

import asyncio
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from library.contracts.streams import KafkaUnavailable, OffsetOutOfRange, TopicMadeAnew, TopicMissing
from library.streams.cluster import Cluster
from library.streams.connection import Connection
from library.streams.producer import Outgoing, Producer
from library.streams.reader import Fetched, Reader
from service.stack.preflight import port_is_free
from tests.support.kafka import Kafka, values

PLENTY = {"max_records": 10_000, "max_bytes": 10**8}


async def test_a_record_comes_back_as_it_was_sent(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    sent = Outgoing(b"\xff\x00 no text", key=b"k", headers=(("a", b"1"), ("a", b"")), timestamp=1_700_000_000_123)
    (delivered,) = await kafka.send(topic, sent)
    (record,) = await kafka.read_all(topic)
    assert (delivered.partition, delivered.offset) == (record.partition, record.offset) == (0, 0)
    assert (record.value, record.key, record.timestamp) == (sent.value, sent.key, sent.timestamp)
    assert tuple(record.headers) == sent.headers


async def test_a_batch_ends_at_its_bound_of_records_and_the_next_goes_on_there(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, *(b"%d" % number for number in range(25)))
    async with Reader(kafka.connection, topic, {0: 3}) as reader:
        batches = [(await reader.read(max_records=10, max_bytes=10**8, wait=5))[0] for _ in range(3)]
        assert await reader.read(**PLENTY, wait=0) == []
    assert [(batch.first, batch.end, batch.lag) for batch in batches] == [(3, 13, 12), (13, 23, 2), (23, 25, 0)]
    assert [value for batch in batches for value in values(batch.records)] == [
        b"%d" % number for number in range(3, 25)
    ]


async def test_a_batch_ends_with_the_record_that_passes_its_bound_of_bytes(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, *(bytes(1_000) for _ in range(10)))
    async with Reader(kafka.connection, topic, {0: 0}) as reader:
        (batch,) = await reader.read(max_records=100, max_bytes=2_500, wait=5)
    assert (batch.end, batch.size) == (3, 3_000)


async def test_several_partitions_are_read_at_once_and_each_from_its_own_offset(kafka: Kafka) -> None:
    topic = await kafka.make_topic(partitions=3)
    for partition in range(3):
        await kafka.send(topic, b"a", b"b", b"c", partition=partition)
    async with Reader(kafka.connection, topic, {0: 0, 1: 2, 2: 3}) as reader:
        batches = await reader.read(**PLENTY, wait=5)
    assert {batch.partition: values(batch.records) for batch in batches} == {0: [b"a", b"b", b"c"], 1: [b"c"]}


async def test_a_first_record_is_waited_for_and_no_longer_than_asked(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    async with Reader(kafka.connection, topic, {0: 0}) as reader:
        assert await reader.read(**PLENTY, wait=0.2) == []
        waiting = asyncio.create_task(reader.read(**PLENTY, wait=30))
        await kafka.send(topic, b"late")
        (batch,) = await asyncio.wait_for(waiting, 10)
    assert values(batch.records) == [b"late"]


async def test_records_of_an_aborted_transaction_are_passed_over_and_the_end_goes_on_behind_them(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    async with kafka.transactions() as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        async with Reader(kafka.connection, topic, {0: 0}) as reader:
            batches = await reader.read(**PLENTY, wait=5)
            while batches[-1].end < 4:  # two records, two marks
                batches += await reader.read(**PLENTY, wait=5)
        async with Reader(kafka.connection, topic, {0: 2}) as reader:
            (only_aborted,) = await reader.read(**PLENTY, wait=5)
    assert [value for batch in batches for value in values(batch.records)] == [b"kept"]
    assert only_aborted == Fetched(partition=0, first=2, end=4)


async def test_records_of_an_open_transaction_are_waited_for(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    async with kafka.transactions() as producer, Reader(kafka.connection, topic, {0: 0}) as reader:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"open")
        await kafka.send(topic, b"behind it")
        assert await reader.read(**PLENTY, wait=0.2) == []
        await producer.commit_transaction()
        (batch,) = await reader.read(**PLENTY, wait=5)
    assert values(batch.records) == [b"open", b"behind it"]


async def test_a_tombstone_and_a_record_without_a_key_are_records(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, Outgoing(None, key=b"gone"), Outgoing(b"", key=None), Outgoing(b"", key=b""))
    found = await kafka.read_all(topic)
    assert [(record.key, record.value) for record in found] == [(b"gone", None), (None, b""), (b"", b"")]


async def test_of_a_compacted_topic_the_last_record_of_each_key_is_read_and_offsets_have_gaps(kafka: Kafka) -> None:
    topic = await kafka.make_topic(
        cleanup_policy="compact", segment_ms="50", min_cleanable_dirty_ratio="0.001", max_compaction_lag_ms="100"
    )
    for round_ in range(4):
        await kafka.send(topic, *(Outgoing(b"%d" % round_, key=b"k%d" % number) for number in range(5)))
        await asyncio.sleep(0.1)  # a segment is closed by the first record after its time
    await kafka.send(topic, Outgoing(b"last", key=b"another"))

    async def offsets() -> list[int]:
        return [record.offset for record in await kafka.read_all(topic)]

    async with asyncio.timeout(60):
        while 0 in await offsets():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.2)
    found = await kafka.read_all(topic)
    assert [(record.key, record.value) for record in found[-6:]] == [
        *((b"k%d" % number, b"3") for number in range(5)),
        (b"another", b"last"),
    ]
    assert [record.offset for record in found[-6:]] == [15, 16, 17, 18, 19, 20]
    assert len(found) < 21


@pytest.mark.parametrize("offset", [7, 4])
async def test_an_offset_that_is_not_there_is_an_error_that_tells_what_is(kafka: Kafka, offset: int) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, *(b"%d" % number for number in range(6)))
    async with kafka.admin() as admin:
        from aiokafka.admin import RecordsToDelete
        from aiokafka.structs import TopicPartition

        await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(before_offset=5)})
    async with Reader(kafka.connection, topic, {0: offset}) as reader:
        with pytest.raises(
            OffsetOutOfRange, match=rf"holds offsets 5 to 6; the next one to read is {offset}"
        ) as refused:
            await reader.read(**PLENTY, wait=1)
    assert (refused.value.beginning, refused.value.end, refused.value.offset) == (5, 6, offset)


async def test_a_topic_made_anew_is_an_error_even_where_the_offset_is_there_again(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    await kafka.send(topic, b"old")
    async with Reader(kafka.connection, topic, {0: 1}) as reader:
        assert await reader.read(**PLENTY, wait=0) == []
        await kafka.delete_topic(topic)
        with pytest.raises(TopicMissing):
            while True:  # a deletion takes a moment
                await reader.read(**PLENTY, wait=0)
        await kafka.make_topic()
        await kafka.send(topic, b"new", b"newer")
        with pytest.raises(TopicMadeAnew):
            await reader.read(**PLENTY, wait=1)
    with pytest.raises(TopicMadeAnew):
        async with Reader(kafka.connection, topic, {0: 1}, topic_id=reader.topic_id):
            pass


async def test_a_partition_that_is_not_there_and_a_topic_that_is_not_there_are_missing(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    async with Reader(kafka.connection, topic, {1: 0}) as reader:
        with pytest.raises(TopicMissing, match="has no partition 1"):
            await reader.read(**PLENTY, wait=0)
    with pytest.raises(TopicMissing):
        async with Reader(kafka.connection, f"no-{topic}", {0: 0}):
            pass


async def test_a_record_of_ten_megabytes_is_read_whole(kafka: Kafka) -> None:
    topic = await kafka.make_topic(max_message_bytes="20000000")
    await kafka.send(topic, b"before", bytes(10_000_000), b"after")
    found = await kafka.read_all(topic, max_bytes=1_000)
    assert [len(record.value) for record in found] == [6, 10_000_000, 5]


async def test_the_cluster_tells_which_offsets_a_topic_holds_and_which_belong_to_a_time(kafka: Kafka) -> None:
    topic = await kafka.make_topic(partitions=2)
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    stamp = int(noon.timestamp() * 1000)
    await kafka.send(topic, *(Outgoing(b"x", timestamp=stamp + more, partition=0) for more in (-2, -1, 0, 1)))
    async with Cluster(kafka.connection) as cluster:
        info = await cluster.topic(topic)
        assert [(each.partition, each.beginning, each.end) for each in info.partitions] == [(0, 0, 4), (1, 0, 0)]
        assert await cluster.offsets_at(topic, noon) == {0: 2, 1: 0}
        assert await cluster.offsets_at(topic, datetime(2030, 1, 1, tzinfo=UTC)) == {0: 4, 1: 0}


async def test_without_a_broker_reader_and_producer_say_so_in_time() -> None:
    port = next(port for port in range(12_000, 12_100) if port_is_free(port))
    nowhere = Connection(f"127.0.0.1:{port}")
    with pytest.raises(KafkaUnavailable):
        async with Reader(nowhere, "topic", {0: 0}):
            pass
    async with asyncio.timeout(10), Producer(nowhere, deliver_within=1) as producer:
        with pytest.raises(KafkaUnavailable):
            await producer.send("topic", [Outgoing(b"x")])


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_are_read_however_their_producer_has_compressed_them(kafka: Kafka, compression: str) -> None:
    topic = await kafka.make_topic()
    producer = AIOKafkaProducer(**kafka.connection.options(), compression_type=compression)
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(topic, b"%d" % number) for number in range(100)])
    finally:
        await producer.stop()
    assert values(await kafka.read_all(topic)) == [b"%d" % number for number in range(100)]


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_case_40_records_are_read_however_their_topic_compresses_them(kafka: Kafka, compression: str) -> None:
    topic = await kafka.make_topic(compression_type=compression)
    await kafka.send(topic, *(Outgoing(b"%d" % number) for number in range(7)))
    assert values(await kafka.read_all(topic)) == [b"%d" % number for number in range(7)]


async def send_with_a_header_that_is_no_text(kafka: Kafka, topic: str) -> None:
    """Three records, as a client in C can send them."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, 0, 10_000)
    for number in range(3):
        headers = [("naXme", b"%d" % number)] if number == 1 else []
        builder.append(number, 1_700_000_000_000, b"key", b"%d" % number, headers)
    batch = bytearray(bytes(builder.build()).replace(b"naXme", b"na\xffme"))
    batch[17:21] = calc_crc32c(bytes(batch[21:])).to_bytes(4, "big")
    client = AIOKafkaClient(**kafka.connection.options())
    await client.bootstrap()
    answer = await client.send(1, ProduceRequest(None, -1, 5_000, [(topic, [(0, bytes(batch))])]))
    await client.close()
    assert answer.topics[0][1][0][1] == 0


async def test_a_header_whose_name_is_no_text_stops_nothing(kafka: Kafka) -> None:
    """Java's clients cannot send one; those in C can."""
    topic = await kafka.make_topic()
    await kafka.send(topic, b"before")
    await send_with_a_header_that_is_no_text(kafka, topic)
    await kafka.send(topic, b"after")
    for max_records in (1, 100):
        found = await kafka.read_all(topic, max_records=max_records)
        assert [record.offset for record in found] == [0, 1, 2, 3, 4]
        assert values(found) == [b"before", b"0", b"1", b"2", b"after"]
        assert tuple(found[2].headers) == (("na\N{REPLACEMENT CHARACTER}me", b"1"),)


async def test_behind_a_header_that_is_no_text_transactions_are_told_apart_still(kafka: Kafka) -> None:
    topic = await kafka.make_topic()
    async with kafka.transactions() as producer:
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted")
        await producer.abort_transaction()
        await send_with_a_header_that_is_no_text(kafka, topic)
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept")
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"aborted too")
        await producer.abort_transaction()
    assert values(await kafka.read_all(topic)) == [b"0", b"1", b"2", b"kept"]
