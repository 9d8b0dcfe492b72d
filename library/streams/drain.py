"""Drains a partition: reads, decodes and loads batches. The next batch is read while one is loaded."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from uuid import UUID

import asyncpg

from library.contracts.drains import DrainDone, DrainIdentity, DrainOutcome, DrainTopic, StreamPosition, StreamState
from library.contracts.errors import WardflowError
from library.contracts.streams import OffsetOutOfRange, TopicMadeAnew
from library.streams.cluster import Cluster, held_by
from library.streams.connection import Connection
from library.streams.reader import Reader
from library.streams.topics import Topics
from library.warehouse import batches
from library.warehouse.batches import Batch, DrainedPartition, Feed, all_refused, decoded
from library.warehouse.failures import DISCONNECTED, translate
from library.warehouse.offsets import Offsets
from library.warehouse.sessions import Attempt, Beat, end_earlier_attempts
from library.warehouse.stream_loader import BatchRefused, BatchStale, DrainLedger, StreamLoader


@dataclass(frozen=True)
class DrainLimits:
    """Limits of batches and of time; see `config.sections.StreamSettings`."""

    batch_records: int
    batch_bytes: int
    record_bytes: int
    seconds: float
    wait: float


@dataclass(frozen=True)
class Drain:
    """Drains partitions. One object serves all drains of a process.

    Attributes:
        threads: the threads that decode batches.
    """

    connection: Connection
    topics: Topics
    offsets: Offsets
    loader: StreamLoader
    limits: DrainLimits
    threads: Executor

    async def run(
        self,
        request: DrainTopic,
        *,
        run_id: str,
        attempt: Attempt,
        heartbeat: Beat = lambda: None,
        must_end: Callable[[], bool] = lambda: False,
    ) -> DrainDone:
        """Drain a partition until the time is over, or until the partition is paused or stopped.

        Args:
            request: the partition.
            run_id: the run's id in the ledger.
            attempt: identifies this attempt. Database sessions of earlier attempts are ended first.
            heartbeat: called when the drain makes progress.
            must_end: called after each batch; `True` ends the drain early.

        Raises:
            StreamUnknown: the topic has no dataset.
            KafkaUnavailable, LoadInterrupted: a retry can succeed.
        """
        feed = self.topics.feed(request.topic)
        try:
            await end_earlier_attempts(self.loader.pool, request.session, attempt)
            position = await self._begin(request)
            if position.paused or position.state is StreamState.STOPPED:
                outcome = DrainOutcome.STOPPED if position.state is StreamState.STOPPED else DrainOutcome.PAUSED
                return DrainDone(outcome=outcome, next_offset=position.next_offset)
            return await _DrainRun(self, feed, position, run_id, attempt, heartbeat, must_end).run()
        except WardflowError as error:
            with suppress(asyncpg.PostgresError, *DISCONNECTED):
                await self.offsets.note(request.topic, request.partition, error.message)
            raise
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            raise translate(error) from error

    async def _begin(self, request: DrainTopic) -> StreamPosition:
        if position := await self.offsets.find(request.topic, request.partition):
            return position
        async with Cluster(self.connection) as cluster:
            topic = await cluster.topic(request.topic)
        held = held_by(topic, request.partition)
        return await self.offsets.begin(
            request.topic, request.partition, topic_id=str(topic.topic_id), beginning=held.beginning
        )


class _DrainRun:
    """The state of one drain of a partition."""

    def __init__(
        self,
        drain: Drain,
        feed: Feed,
        position: StreamPosition,
        run_id: str,
        attempt: Attempt,
        heartbeat: Beat,
        must_end: Callable[[], bool],
    ) -> None:
        self._drain, self._feed, self._position = drain, feed, position
        self._attempt, self._heartbeat, self._must_end = attempt, heartbeat, must_end
        self._deadline = monotonic() + drain.limits.seconds
        self._place = DrainedPartition(position.topic, position.partition, position.incarnation, position.generation)
        identity = DrainIdentity(
            source=feed.source,
            topic=position.topic,
            partition=position.partition,
            generation=position.generation,
            first_offset=position.next_offset,
        )
        self._ledger = DrainLedger(feed, identity, run_id)

    async def run(self) -> DrainDone:
        """Drain from the stored offset on."""
        position = self._position
        try:
            async with Reader(
                self._drain.connection,
                position.topic,
                {position.partition: position.next_offset},
                topic_id=UUID(position.topic_id),
            ) as reader:
                outcome = await self._load_batches(reader)
        except (OffsetOutOfRange, TopicMadeAnew) as error:
            # All batches before the error are loaded, since it comes from the read after them.
            stopped = await self._drain.offsets.stop(self._position, f"{error.message} {error.advice}")
            outcome = DrainOutcome.STOPPED if stopped else DrainOutcome.SUPERSEDED
        except BatchStale:
            outcome = DrainOutcome.SUPERSEDED
        return DrainDone(
            outcome=outcome,
            records=self._ledger.records,
            batches=self._ledger.batches,
            next_offset=self._position.next_offset,
        )

    async def _load_batches(self, reader: Reader) -> DrainOutcome:
        ahead = asyncio.create_task(self._read_batch(reader))
        try:
            while True:
                batch = await ahead
                over = self._must_end() or monotonic() >= self._deadline
                if not over:
                    ahead = asyncio.create_task(self._read_batch(reader))
                if batch is not None:
                    await self._load(batch)
                elif not await self._drain.offsets.holds(self._position):
                    return DrainOutcome.SUPERSEDED
                self._heartbeat()
                if over:
                    return DrainOutcome.TIME
        finally:
            ahead.cancel()
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()  # retrieve the exception of the unused read, or asyncio logs a warning

    async def _read_batch(self, reader: Reader) -> Batch | None:
        """Read and decode the next batch; `None`: there are no new records."""
        limits = self._drain.limits
        read = await reader.read(max_records=limits.batch_records, max_bytes=limits.batch_bytes, wait=limits.wait)
        if not read:
            return None
        (fetched,) = read
        return await self._decode(
            fetched.records, first=fetched.first, following=fetched.end, end=fetched.end + fetched.lag
        )

    async def _decode(self, records: list[batches.BatchRecord], *, first: int, following: int, end: int) -> Batch:
        def decode() -> Batch:
            return decoded(
                self._feed,
                self._place,
                records,
                first=first,
                following=following,
                end=end,
                most=self._drain.limits.record_bytes,
            )

        return await asyncio.get_running_loop().run_in_executor(self._drain.threads, decode)

    async def _load(self, batch: Batch) -> None:
        """Load a batch. If the table refuses it, split it in halves until the bad row is alone, and reject that row."""
        try:
            await self._drain.loader.load(batch, self._ledger, self._attempt, beat=self._heartbeat)
        except BatchRefused as refused:
            records = list(batch.records)
            if len(records) == 1:
                reason = f"the warehouse refuses the row: {refused.message}"
                await self._load(
                    all_refused(
                        self._feed,
                        batch.place,
                        records,
                        reason,
                        first=batch.first,
                        following=batch.following,
                        end=batch.end,
                    )
                )
                return
            middle = len(records) // 2
            between = records[middle].offset
            for part, first, following in (
                (records[:middle], batch.first, between),
                (records[middle:], between, batch.following),
            ):
                await self._load(await self._decode(part, first=first, following=following, end=batch.end))
            return
        self._position = self._position.model_copy(update={"next_offset": batch.following})
