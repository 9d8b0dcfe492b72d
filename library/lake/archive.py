"""Copies a topic's new records to its bronze table: once a minute, or after 64 MB."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import pyarrow as pa

from config.servers import MEBIBYTE
from library.contracts.lake import Archived, Gap
from library.contracts.streams import OffsetOutOfRange, TopicInfo, TopicMadeAnew, TopicMissing
from library.lake.bronze import BronzeTable
from library.lake.rows import as_rows
from library.lake.storage import LakeStorage
from library.streams.cluster import Cluster
from library.streams.connection import Connection
from library.streams.reader import Fetched, Reader

_READ_BYTES = 8 * 1024 * 1024
_READ_RECORDS = 20_000
_WAIT = 1.0
"""Seconds that one read waits for records. The heartbeat comes as often."""
_LOOK_AGAIN = 5.0
"""Seconds after which partitions without a leader are looked for again."""


@dataclass(frozen=True)
class AppendEvery:
    """How often records are appended. Each append makes a file and a table version, so batches are collected.

    Attributes:
        seconds: append this long after the first record was read.
        size: append after this many bytes were read.
    """

    seconds: float = 60.0
    size: int = 64 * MEBIBYTE


async def _ignore(_: Archived) -> None:
    """The default for `on_progress`."""


class Archive:
    """Archives one topic. Two at once do no harm: the table refuses a second append of the same records."""

    def __init__(
        self, connection: Connection, storage: LakeStorage, topic: str, every: AppendEvery | None = None
    ) -> None:
        self._connection = connection
        self._storage = storage
        self._topic = topic
        self._every = every or AppendEvery()

    async def run(
        self,
        seconds: float,
        on_read: Callable[[int], object] = lambda _: None,
        must_end: Callable[[], bool] = lambda: False,
        on_progress: Callable[[Archived], Awaitable[None]] = _ignore,
    ) -> Archived:
        """Archive for a time, then until the records that were read are due and appended.

        To append the last records at once would add one table version to each call.

        Args:
            seconds: the least time. New partitions are found by the next call; partitions that have no leader at the
                beginning (a broker just started) are archived as soon as they have one.
            on_read: called about once a second with the number of records so far.
            must_end: called as often; `True` ends the call early.
            on_progress: called with the result so far: at the beginning, after each append, when a partition stops.

        Raises:
            TopicMissing: there is no such topic.
            KafkaUnavailable, LakeUnavailable, LakeOvertaken: a later call continues where the table ends.
        """
        until = monotonic() + seconds
        table = await asyncio.to_thread(BronzeTable.open, self._storage, self._topic)
        async with Cluster(self._connection) as cluster:
            state = _ArchiveCall(table, await cluster.topic(self._topic), self._every, on_progress)
        await on_progress(state.result())
        try:
            while (monotonic() < until or state.pending) and not must_end():
                if state.is_to_look_again():
                    async with Cluster(self._connection) as cluster:
                        state.include(await cluster.topic(self._topic))
                if not state.open_partitions:  # all are stopped, which the next call checks again, or have no leader
                    await state.append()
                    on_read(state.records)
                    await asyncio.sleep(_WAIT)
                    continue
                try:
                    await self._read(state, until, on_read, must_end)
                except OffsetOutOfRange as error:
                    await state.handle(error)
        except TopicMadeAnew:
            pass  # append the old topic's records; the next call reads the new topic
        except TopicMissing:
            await state.append()  # Kafka no longer has these records
            raise
        await state.append()
        return state.result()

    async def _read(
        self, state: "_ArchiveCall", until: float, on_read: Callable[[int], object], must_end: Callable[[], bool]
    ) -> None:
        async with Reader(self._connection, self._topic, state.open_partitions, topic_id=state.topic_id) as reader:
            while ((left := until - monotonic()) > 0 or state.pending) and not must_end():
                if state.is_to_look_again():
                    return
                wait = min(_WAIT, left) if left > 0 else _WAIT
                await state.add(await reader.read(max_records=_READ_RECORDS, max_bytes=_READ_BYTES, wait=wait))
                on_read(state.records)


class _ArchiveCall:
    """The state of one call: positions, records that wait for the append, gaps, stopped partitions."""

    def __init__(
        self,
        table: BronzeTable,
        info: TopicInfo,
        every: AppendEvery,
        on_progress: Callable[[Archived], Awaitable[None]],
    ) -> None:
        self.topic_id = info.topic_id
        self.records = 0
        self._size = 0
        self._appends = 0
        self._table = table
        self._every = every
        self._on_progress = on_progress
        self._incarnation = table.incarnation(info.topic_id)
        self._positions: dict[int, int] = {}
        self._gaps: list[Gap] = []
        self._gaps_to_write: list[Gap] = []
        self._stopped: dict[int, str] = {}
        self._rows: list[pa.RecordBatch] = []
        self._spans: dict[int, tuple[int, int]] = {}
        self._pending = 0
        self._since = 0.0
        self._look_again_at: float | None = None
        self.include(info)

    def include(self, info: TopicInfo) -> None:
        """Archive the partitions that have a leader. Those that have none are to be looked for again soon.

        Raises:
            TopicMadeAnew: the topic is not the one of this call.
        """
        if info.topic_id != self.topic_id:
            raise TopicMadeAnew(f"The topic {info.name} was deleted and created again.")
        for held in info.partitions:
            if held.partition not in self._positions:
                known = self._table.next_offset(self._incarnation, held.partition)
                self._positions[held.partition] = held.beginning if known is None else known
        self._look_again_at = monotonic() + _LOOK_AGAIN if {*info.leaderless} - self._positions.keys() else None

    def is_to_look_again(self) -> bool:
        """Whether a partition had no leader a while ago."""
        return self._look_again_at is not None and monotonic() >= self._look_again_at

    @property
    def open_partitions(self) -> dict[int, int]:
        """The partitions that are not stopped, with the next offset of each."""
        return {each: offset for each, offset in self._positions.items() if each not in self._stopped}

    @property
    def pending(self) -> bool:
        """Whether records were read that are not appended yet."""
        return bool(self._rows)

    async def add(self, batches: Sequence[Fetched]) -> None:
        """Keep the records of a read, and append when it is time."""
        for batch in batches:
            first, _ = self._spans.get(batch.partition, (batch.first, 0))
            self._positions[batch.partition] = batch.end
            self._spans[batch.partition] = first, batch.end
            if batch.records:
                self._since = self._since or monotonic()
                # Arrow columns take a third of the memory of the record objects.
                self._rows.append(as_rows(self._table.topic, self._incarnation, batch.records))
                self.records += len(batch.records)
                self._pending += batch.size
        if self.pending and (self._pending >= self._every.size or monotonic() - self._since >= self._every.seconds):
            await self.append()

    async def handle(self, error: OffsetOutOfRange) -> None:
        """Skip records that retention removed and note the gap; stop if the topic lost archived records.

        After such a loss Kafka gives the same offsets to other records, and the archive cannot tell them apart. It
        stops even if the topic has grown beyond that offset again.
        """
        if error.offset < error.beginning:
            gap = Gap(partition=error.partition, first=error.offset, end=error.beginning)
            self._gaps.append(gap)
            self._gaps_to_write.append(gap)
            self._positions[error.partition] = error.beginning
        else:
            self._stopped[error.partition] = error.message
            await self._on_progress(self.result())

    async def append(self) -> None:
        """Append the records that were read, if there are any."""
        if not self.pending:
            return
        gaps = [gap for gap in self._gaps_to_write if self._positions[gap.partition] > gap.end]
        await asyncio.to_thread(self._table.append, self.topic_id, self._rows, self._spans, gaps)
        self._gaps_to_write = [gap for gap in self._gaps_to_write if gap not in gaps]
        self._appends += 1
        self._size += self._pending
        self._rows, self._spans, self._pending, self._since = [], {}, 0, 0.0
        await self._on_progress(self.result())

    def result(self) -> Archived:
        """What was done so far."""
        return Archived(
            topic=self._table.topic,
            incarnation=self._incarnation,
            records=self.records,
            size=self._size,
            appends=self._appends,
            positions=dict(sorted(self._positions.items())),
            gaps=tuple(self._gaps),
            stopped=self._stopped,
        )
