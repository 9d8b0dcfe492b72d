"""Reads a topic from where its bronze table ends and appends it there, by the minute or by 64 MB."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import monotonic

import pyarrow as pa

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
"""Seconds that one read waits for records: so often it is told that the archive lives."""


@dataclass(frozen=True)
class AppendEvery:
    """When what was read is appended; every append makes a file and a version, so not by the batch.

    Attributes:
        seconds: after the first record was read.
        size: bytes that were read.
    """

    seconds: float = 60.0
    size: int = 64 * 1024 * 1024


async def _nobody_asks(_: Archived) -> None:
    """For who does not want to know."""


class Archive:
    """One process's work on one topic. Two at once do no harm: what one has appended, the other is refused."""

    def __init__(
        self, connection: Connection, storage: LakeStorage, topic: str, every: AppendEvery | None = None
    ) -> None:
        self._connection = connection
        self._storage = storage
        self._topic = topic
        self._every = every or AppendEvery()

    async def go_on(
        self,
        seconds: float,
        progress: Callable[[int], object] = lambda _: None,
        ending: Callable[[], bool] = lambda: False,
        standing: Callable[[Archived], Awaitable[None]] = _nobody_asks,
    ) -> Archived:
        """Archive for a time, beginning where the table ends, and on until what was read by then is due and appended.

        Appended sooner, the rest of each call would be one more version of the table.

        Args:
            seconds: for how long at least; partitions that are new are seen by the next call.
            progress: told, about each second, how many records there have been.
            ending: asked as often, whether to end before the time.
            standing: told what was done so far: at the beginning, after each append, where a partition cannot go on.

        Raises:
            TopicMissing: there is no such topic.
            KafkaUnavailable, LakeUnavailable, LakeOvertaken: a later call goes on from what the table says.
        """
        until = monotonic() + seconds
        table = await asyncio.to_thread(BronzeTable.open, self._storage, self._topic)
        async with Cluster(self._connection) as cluster:
            run = _Run(table, await cluster.topic(self._topic), self._every, standing)
        await standing(run.result())
        try:
            while (monotonic() < until or run.pending) and not ending():
                if not run.going:  # stopped, all of them: the next call looks again
                    await run.append()
                    progress(run.records)
                    await asyncio.sleep(_WAIT)
                    continue
                try:
                    await self._read_on(run, until, progress, ending)
                except OffsetOutOfRange as error:
                    await run.meet(error)
        except TopicMadeAnew:
            pass  # the next call begins with the new one; what was read before is of the old one, and is kept
        except TopicMissing:
            await run.append()  # nobody else has it any more
            raise
        await run.append()
        return run.result()

    async def _read_on(
        self, run: "_Run", until: float, progress: Callable[[int], object], ending: Callable[[], bool]
    ) -> None:
        async with Reader(self._connection, self._topic, run.going, topic_id=run.topic_id) as reader:
            while ((left := until - monotonic()) > 0 or run.pending) and not ending():
                wait = min(_WAIT, left) if left > 0 else _WAIT
                await run.take(await reader.read(max_records=_READ_RECORDS, max_bytes=_READ_BYTES, wait=wait))
                progress(run.records)


class _Run:
    """One call's state: what the table has, what was read and is not appended yet, and what was met on the way."""

    def __init__(
        self, table: BronzeTable, info: TopicInfo, every: AppendEvery, standing: Callable[[Archived], Awaitable[None]]
    ) -> None:
        self.topic_id = info.topic_id
        self.records = 0
        self._size = 0
        self._appends = 0
        self._table = table
        self._every = every
        self._standing = standing
        self._incarnation = table.incarnation(info.topic_id)
        self._positions: dict[int, int] = {}
        self._gaps: list[Gap] = []
        self._unsaid: list[Gap] = []
        self._stopped: dict[int, str] = {}
        self._rows: list[pa.RecordBatch] = []
        self._spans: dict[int, tuple[int, int]] = {}
        self._pending = 0
        self._since = 0.0
        for held in info.partitions:
            known = table.next_offset(self._incarnation, held.partition)
            self._positions[held.partition] = held.beginning if known is None else known

    @property
    def going(self) -> dict[int, int]:
        """The partitions that go on, and from where."""
        return {each: offset for each, offset in self._positions.items() if each not in self._stopped}

    @property
    def pending(self) -> bool:
        """Whether something was read that is not appended yet."""
        return bool(self._rows)

    async def take(self, batches: Sequence[Fetched]) -> None:
        """Keep what was read, and append when it is time."""
        for batch in batches:
            first, _ = self._spans.get(batch.partition, (batch.first, 0))
            self._positions[batch.partition] = batch.end
            self._spans[batch.partition] = first, batch.end
            if batch.records:
                self._since = self._since or monotonic()
                # As columns at once: they take a third of the memory that the records take.
                self._rows.append(as_rows(self._table.topic, self._incarnation, batch.records))
                self.records += len(batch.records)
                self._pending += batch.size
        if self.pending and (self._pending >= self._every.size or monotonic() - self._since >= self._every.seconds):
            await self.append()

    async def meet(self, error: OffsetOutOfRange) -> None:
        """Go on behind what retention has removed, and say so; stop where the topic has lost what the table holds.

        There, offsets are given a second time, to other records: what they are is not for an archive to guess. Also
        where the topic has grown beyond that offset since it was asked: it was shorter before.
        """
        if error.offset < error.beginning:
            gap = Gap(partition=error.partition, first=error.offset, end=error.beginning)
            self._gaps.append(gap)
            self._unsaid.append(gap)
            self._positions[error.partition] = error.beginning
        else:
            self._stopped[error.partition] = error.message
            await self._standing(self.result())

    async def append(self) -> None:
        """Append what was read; nothing where there is nothing."""
        if not self.pending:
            return
        gaps = [gap for gap in self._unsaid if self._positions[gap.partition] > gap.end]
        await asyncio.to_thread(self._table.append, self.topic_id, self._rows, self._spans, gaps)
        self._unsaid = [gap for gap in self._unsaid if gap not in gaps]
        self._appends += 1
        self._size += self._pending
        self._rows, self._spans, self._pending, self._since = [], {}, 0, 0.0
        await self._standing(self.result())

    def result(self) -> Archived:
        """What was done."""
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
