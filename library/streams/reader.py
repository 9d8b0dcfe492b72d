"""Reads a topic's partitions from offsets that the caller keeps: no consumer group, nothing skipped, nothing reset."""

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

type Record = ConsumerRecord
"""One record as aiokafka gives it: `offset`, `timestamp` (milliseconds) and `timestamp_type` (0: the producer's, 1: the
broker's), `key`, `value` (each bytes or None), `headers` (pairs of str and bytes). Read as it is: a copy of each would
cost more than all else that a drain does with it."""

_FETCH_BYTES = 4 * 1024 * 1024
"""Bytes that a broker sends at once for one partition; at least one batch of records comes whole, however large."""

_MOVING = (
    errors.NotLeaderForPartitionError,
    errors.LeaderNotAvailableError,
    errors.ReplicaNotAvailableError,
    errors.UnknownTopicOrPartitionError,
)
"""What a broker says of a partition that was just made, or whose leader has changed: asked again, it knows better."""

_MOVES_WITHIN = 0.05


@dataclass(slots=True)
class Fetched:
    """What one read brought of a partition: its committed records, in the order of their offsets.

    Attributes:
        first: the offset that the batch was read from.
        end: the offset to go on from. Greater than that of the last record plus one where records were compacted
            away, aborted, or no records but marks of transactions; so it grows even where `records` is empty.
        size: bytes of keys, values and headers.
        behind: how many offsets further the partition goes on: committed records at most, as of the last look.
    """

    partition: int
    first: int
    end: int
    records: list[Record] = field(default_factory=list)
    size: int = 0
    behind: int = 0


class Reader:
    """Reads partitions of one topic, each from its own offset on: `async with Reader(…) as reader`.

    A batch may be read while the one before it is worked on. Whatever is raised: what was returned before stands, and
    a new reader goes on from any offset.

    Args:
        offsets: by partition, the offset to begin with.
        topic_id: of the topic that the offsets were taken from; `None`: whatever is there now.
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
        self._leaders = Leaders(UUID(int=0), {})  # until it is open

    async def __aenter__(self) -> Self:
        await self._cluster.__aenter__()
        try:
            await self._look()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cluster.__aexit__(kind, error, trace)

    async def read(self, *, max_records: int, max_bytes: int, wait: float) -> list[Fetched]:
        """Read on: one batch for each partition that has gone on, none if none did.

        Args:
            max_records: of all batches together.
            max_bytes: after which no more is read; the last record may pass it.
            wait: seconds to wait for a first record. Once there is one, what can be had at once is taken, no more.

        Raises:
            OffsetOutOfRange: a partition does not hold the offset to read next.
            TopicMadeAnew: it is not the topic any more that `topic_id` says. None of its records are returned.
            TopicMissing: it was deleted.
            KafkaUnavailable: Kafka does not answer, or a partition's leader moves; a new reader may be luckier.
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
        # After the records: an id that is still the same now was the same when they were read, for ids never return.
        await self._look()
        for batch in batches.values():
            batch.behind = max(0, self._ends[batch.partition] - batch.end)
        return [batch for batch in batches.values() if batch.end > batch.first]

    def _take(self, batch: Fetched, max_records: int, max_bytes: int) -> None:
        """Move records from what was fetched into the batch."""
        fetched = self._open[batch.partition]
        records, taken, size = batch.records, 0, 0
        while taken < max_records and size < max_bytes:
            try:
                record = next(fetched, None)
            except UnicodeDecodeError:
                fetched = self._open[batch.partition] = self._leniently(batch.partition, fetched)
                record = next(fetched, None)
            if record is None:
                del self._open[batch.partition], self._fetched[batch.partition]
                break
            records.append(record)
            taken += 1
            size += size_of(record)
        batch.size += size
        batch.end = fetched.next_fetch_offset
        del self._offsets[batch.partition]  # to its end: whose turn was longest ago is asked for first
        self._offsets[batch.partition] = batch.end

    def _leniently(self, partition: int, failed: PartitionRecords) -> PartitionRecords:
        """What is left of what was fetched, read by a parser that no name of a header stops.

        Which transactions are being aborted there, the one that failed has found out: their marks lie behind it.
        """
        offset = failed.next_fetch_offset
        where, rest = TopicPartition(self.topic, partition), LenientRecords(self._fetched[partition], offset)
        going_on = PartitionRecords(where, rest, None, offset, None, None, True, COMMITTED)
        going_on._aborted_transactions = failed._aborted_transactions
        going_on._aborted_producers = failed._aborted_producers
        return going_on

    async def _fetch(self, max_bytes: int, wait: float) -> None:
        """Ask the leaders for what comes next; a partition that has none keeps no other from going on."""
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
        for node, asked in by_node.items():
            # With several leaders none of them keeps the others waiting for long.
            milliseconds = int(min(wait, 30.0 if len(by_node) == 1 else 0.1) * 1000)
            request = FetchRequest(milliseconds, 1, max(max_bytes, 1), COMMITTED, [(self.topic, asked)], rack_id="")
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
                await self._look()  # made anew? then that is what is to be said
                held = held_by(await self._cluster.topic(self.topic), partition)
                raise OffsetOutOfRange(self.topic, partition, offset, beginning=held.beginning, end=held.end)
            if error in _MOVING:
                await self._look()  # raises where the topic is gone
                await asyncio.sleep(_MOVES_WITHIN)
                return
            with translated(f"the topic {self.topic}"):
                raise error(self.topic)
        high_watermark, last_stable = ends
        self._ends[partition] = last_stable if last_stable >= 0 else high_watermark
        aborted = (
            rest[-3] if version >= 11 else rest[-2]
        )  # behind it stand a replica to prefer (from 11 on) and the records
        records = MemoryRecords(rest[-1] or b"")
        if records.has_next():
            where = TopicPartition(self.topic, partition)
            self._fetched[partition] = rest[-1]
            self._open[partition] = PartitionRecords(where, records, aborted, offset, None, None, True, COMMITTED)

    async def _look(self) -> None:
        """See who leads, and whether the topic is still the same one."""
        self._leaders = await self._cluster.leaders(self.topic)
        if self.topic_id is None:
            self.topic_id = self._leaders.topic_id
        elif self.topic_id != self._leaders.topic_id:
            raise TopicMadeAnew(f"The topic {self.topic} was deleted and made anew.")


def size_of(record: Record) -> int:
    """Bytes of key, value and headers."""
    size = len(record.key or b"") + len(record.value or b"")
    for name, value in record.headers:
        size += len(name) + len(value or b"")
    return size
