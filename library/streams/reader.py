"""Reads partitions of a topic from offsets that the caller stores. It never skips records or resets offsets."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from aiokafka import errors
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from library.contracts.streams import LeaderMissing, OffsetOutOfRange, TopicMadeAnew
from library.streams.cluster import COMMITTED, Cluster, Leaders, held_by, require
from library.streams.connection import Connection, translated
from library.streams.lenient import LenientRecords

type KafkaRecord = ConsumerRecord
"""One record of aiokafka: `offset`, `timestamp` (milliseconds), `timestamp_type` (0: the producer's, 1: the broker's),
`key` and `value` (bytes or None), `headers` (pairs of str and bytes). It is not copied, since a copy would cost more
time than the rest of a drain."""

_FETCH_BYTES = 4 * 1024 * 1024
"""Most bytes that a broker sends at once for one partition. One batch always comes whole, even if it is larger."""

_MOVING = (
    errors.NotLeaderForPartitionError,
    errors.LeaderNotAvailableError,
    errors.ReplicaNotAvailableError,
    errors.UnknownTopicOrPartitionError,
)
"""Errors for a partition that is new or whose leader changes. They end soon, so the request is sent again."""

_RETRY_AFTER = 0.05
"""Seconds before that."""


@dataclass(slots=True)
class Fetched:
    """The committed records of one partition that one read returned, in the order of their offsets.

    Attributes:
        first: the offset where the read began.
        end: the next offset to read. It can be far behind the last record, since compacted records, aborted records
            and transaction markers have offsets too. So it grows even if `records` is empty.
        size: bytes of keys, values and headers.
        lag: the number of offsets from `end` to the partition's end, as Kafka last stated it.
    """

    partition: int
    first: int
    end: int
    records: list[KafkaRecord] = field(default_factory=list)
    size: int = 0
    lag: int = 0


class Reader:
    """Reads partitions of one topic, each from its own offset: `async with Reader(…) as reader`.

    A batch can be read while the one before it is processed. After an error, batches that were returned before stay
    valid, and a new reader can begin at any offset.

    Args:
        offsets: by partition, the offset to begin with.
        topic_id: the id of the topic that the offsets belong to; `None`: accept the topic that exists now.
    """

    def __init__(
        self, connection: Connection, topic: str, offsets: Mapping[int, int], *, topic_id: UUID | None = None
    ) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self._cluster = Cluster(connection)
        self._offsets = dict(offsets)
        self._ends: dict[int, int] = {}
        self._open: dict[int, PartitionRecords] = {}
        self._fetched: dict[int, bytes] = {}
        self._leaders = Leaders(UUID(int=0), {})  # replaced when the reader is opened

    async def __aenter__(self) -> Self:
        await self._cluster.__aenter__()
        try:
            await self._update_leaders()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cluster.__aexit__(kind, error, trace)

    async def read(self, *, max_records: int, max_bytes: int, wait: float) -> list[Fetched]:
        """Read the next records: one batch for each partition that has new offsets.

        Args:
            max_records: the limit of all batches together.
            max_bytes: stop after this many bytes; the last record may pass the limit.
            wait: seconds to wait for the first record. After it, only records that are ready are taken.

        Raises:
            OffsetOutOfRange: a partition does not hold the offset to read next.
            TopicMadeAnew: the topic has another id than `topic_id`. None of its records are returned.
            TopicMissing: the topic was deleted.
            KafkaUnavailable: Kafka does not answer, or a partition's leader changes. A new reader may succeed.
        """
        batches: dict[int, Fetched] = {}
        deadline = monotonic() + wait
        records = size = 0
        while records < max_records and size < max_bytes:
            if not self._open:
                remaining = 0.0 if batches else max(0.0, deadline - monotonic())
                await self._fetch(max_bytes - size, remaining)
                if not self._open and (batches or monotonic() >= deadline):
                    break
            for partition in list(self._open):
                batch = batches.setdefault(
                    partition, Fetched(partition, self._offsets[partition], self._offsets[partition])
                )
                before = len(batch.records), batch.size
                with translated(f"the topic {self.topic}"):
                    self._take(batch, max_records - records, max_bytes - size)
                records += len(batch.records) - before[0]
                size += batch.size - before[1]
        # Check the topic's id after the read: ids are never used again, so an equal id was the same during the read.
        await self._update_leaders()
        for batch in batches.values():
            batch.lag = max(0, self._ends[batch.partition] - batch.end)
        return [batch for batch in batches.values() if batch.end > batch.first]

    def _take(self, batch: Fetched, max_records: int, max_bytes: int) -> None:
        """Move fetched records into the batch."""
        fetched = self._open[batch.partition]
        records, taken, size = batch.records, 0, 0
        while taken < max_records and size < max_bytes:
            try:
                record = next(fetched, None)
            except UnicodeDecodeError:
                fetched = self._open[batch.partition] = self._lenient(batch.partition, fetched)
                record = next(fetched, None)
            if record is None:
                del self._open[batch.partition], self._fetched[batch.partition]
                break
            records.append(record)
            taken += 1
            size += size_of(record)
        batch.size += size
        batch.end = fetched.next_fetch_offset
        del self._offsets[batch.partition]  # re-insert at the end, so partitions take turns
        self._offsets[batch.partition] = batch.end

    def _lenient(self, partition: int, failed: PartitionRecords) -> PartitionRecords:
        """Read the rest of the fetched bytes with the parser that accepts all header names.

        The aborted transactions are copied from the failed parser, since it has read their markers already.
        """
        offset = failed.next_fetch_offset
        where, rest = TopicPartition(self.topic, partition), LenientRecords(self._fetched[partition], offset)
        records = PartitionRecords(where, rest, None, offset, None, None, True, COMMITTED)
        records._aborted_transactions = failed._aborted_transactions
        records._aborted_producers = failed._aborted_producers
        return records

    async def _fetch(self, max_bytes: int, wait: float) -> None:
        """Ask the leaders for the next records. Partitions without a leader are skipped."""
        by_node: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
        missing: LeaderMissing | None = None
        for partition, offset in self._offsets.items():
            try:
                node = require(self._leaders, self.topic, partition)
            except LeaderMissing as error:
                missing = error
                continue
            by_node[node].append((partition, offset, min(_FETCH_BYTES, max_bytes)))
        if missing is not None and not by_node:
            raise missing
        for node, partition_offsets in by_node.items():
            # With several leaders, wait only briefly for each.
            milliseconds = int(min(wait, 30.0 if len(by_node) == 1 else 0.1) * 1000)
            topics = [(self.topic, partition_offsets)]
            request = FetchRequest(milliseconds, 1, max(max_bytes, 1), COMMITTED, topics, rack_id="")
            with translated(f"the topic {self.topic}"):
                answer = await self._cluster.send(node, request)
            for _, partitions in answer.topics:
                for partition, code, high_watermark, last_stable, *rest in partitions:
                    await self._open_one(partition, code, (high_watermark, last_stable), rest, answer.API_VERSION)

    async def _open_one(self, partition: int, code: int, ends: tuple[int, int], rest: list[Any], version: int) -> None:
        offset = self._offsets[partition]
        if code:
            error = errors.for_code(code)
            if error is errors.OffsetOutOfRangeError:
                await self._update_leaders()  # raises if the topic was created again, which is the better error
                held = held_by(await self._cluster.topic(self.topic), partition)
                raise OffsetOutOfRange(self.topic, partition, offset, beginning=held.beginning, end=held.end)
            if error in _MOVING:
                await self._update_leaders()  # raises if the topic was deleted
                await asyncio.sleep(_RETRY_AFTER)
                return
            with translated(f"the topic {self.topic}"):
                raise error(self.topic)
        high_watermark, last_stable = ends
        self._ends[partition] = last_stable if last_stable >= 0 else high_watermark
        # The last fields are: aborted transactions, the preferred replica (from version 11 on), the records.
        aborted = rest[-3] if version >= 11 else rest[-2]
        records = MemoryRecords(rest[-1] or b"")
        if records.has_next():
            where = TopicPartition(self.topic, partition)
            self._fetched[partition] = rest[-1]
            self._open[partition] = PartitionRecords(where, records, aborted, offset, None, None, True, COMMITTED)

    async def _update_leaders(self) -> None:
        """Ask for the leaders, and check that the topic is still the same one."""
        self._leaders = await self._cluster.leaders(self.topic)
        if self.topic_id is None:
            self.topic_id = self._leaders.topic_id
        elif self.topic_id != self._leaders.topic_id:
            raise TopicMadeAnew(f"The topic {self.topic} was deleted and created again.")


def size_of(record: KafkaRecord) -> int:
    """The size of key, value and headers, in bytes."""
    size = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += len(name) + len(value or b"")
    return size
