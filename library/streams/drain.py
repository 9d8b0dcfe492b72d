"""Drains a partition for a while: reads, decodes and loads, the next batch read and decoded while one is loaded."""

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
from library.warehouse.batches import Batch, Feed, Place, all_refused, decoded
from library.warehouse.failures import DISCONNECTED, translate
from library.warehouse.offsets import Offsets
from library.warehouse.sessions import Attempt, Beat, end_earlier_attempts
from library.warehouse.stream_loader import BatchRefused, BatchStale, DrainLedger, StreamLoader


@dataclass(frozen=True)
class DrainLimits:
    """How much at once, and for how long; see `config.sections.StreamSettings`."""

    batch_records: int
    batch_bytes: int
    record_bytes: int
    seconds: float
    wait: float


@dataclass(frozen=True)
class Drain:
    """What a drain works with.

    Attributes:
        threads: where batches are decoded.
    """

    connection: Connection
    topics: Topics
    offsets: Offsets
    loader: StreamLoader
    limits: DrainLimits
    threads: Executor

    async def run(
        self,
        asked: DrainTopic,
        *,
        run_id: str,
        attempt: Attempt,
        beat: Beat = lambda: None,
        ending: Callable[[], bool] = lambda: False,
    ) -> DrainDone:
        """Drain a partition until its time is over, or until it cannot go on.

        Args:
            asked: the partition.
            run_id: for the ledger.
            attempt: who drains: sessions of this owner's earlier attempts are ended first.
            beat: called as the drain makes progress.
            ending: asked after each batch whether to end early.

        Raises:
            StreamUnknown: the topic feeds no dataset.
            KafkaUnavailable, LoadInterrupted: a repeat can succeed.
        """
        feed = self.topics.feed(asked.topic)
        try:
            await end_earlier_attempts(self.loader.pool, asked.session, attempt)
            position = await self._begin(asked)
            if position.paused or position.state is StreamState.STOPPED:
                outcome = DrainOutcome.STOPPED if position.state is StreamState.STOPPED else DrainOutcome.PAUSED
                return DrainDone(outcome=outcome, next_offset=position.next_offset)
            return await _Going(self, feed, position, run_id, attempt, beat, ending).on()
        except WardflowError as error:
            with suppress(asyncpg.PostgresError, *DISCONNECTED):
                await self.offsets.note(asked.topic, asked.partition, error.message)
            raise
        except (asyncpg.PostgresError, *DISCONNECTED) as error:
            raise translate(error) from error

    async def _begin(self, asked: DrainTopic) -> StreamPosition:
        if position := await self.offsets.find(asked.topic, asked.partition):
            return position
        async with Cluster(self.connection) as cluster:
            topic = await cluster.topic(asked.topic)
        held = held_by(topic, asked.partition)
        return await self.offsets.begin(
            asked.topic, asked.partition, topic_id=str(topic.topic_id), beginning=held.beginning
        )


class _Going:
    """One activity of a drain."""

    def __init__(
        self,
        drain: Drain,
        feed: Feed,
        position: StreamPosition,
        run_id: str,
        attempt: Attempt,
        beat: Beat,
        ending: Callable[[], bool],
    ) -> None:
        self._with, self._feed, self._position = drain, feed, position
        self._attempt, self._beat, self._ending = attempt, beat, ending
        self._deadline = monotonic() + drain.limits.seconds
        self._place = Place(position.topic, position.partition, position.incarnation, position.generation)
        identity = DrainIdentity(
            source=feed.source,
            topic=position.topic,
            partition=position.partition,
            generation=position.generation,
            first_offset=position.next_offset,
        )
        self._ledger = DrainLedger(feed, identity, run_id)

    async def on(self) -> DrainDone:
        """Go on from the stored offset."""
        position = self._position
        try:
            async with Reader(
                self._with.connection,
                position.topic,
                {position.partition: position.next_offset},
                topic_id=UUID(position.topic_id),
            ) as reader:
                outcome = await self._drain(reader)
        except (OffsetOutOfRange, TopicMadeAnew) as error:
            # What it had read before stands: the reader raises only once that is loaded.
            stopped = await self._with.offsets.stop(self._position, f"{error.message} {error.advice}")
            outcome = DrainOutcome.STOPPED if stopped else DrainOutcome.SUPERSEDED
        except BatchStale:
            outcome = DrainOutcome.SUPERSEDED
        return DrainDone(
            outcome=outcome,
            records=self._ledger.records,
            batches=self._ledger.batches,
            next_offset=self._position.next_offset,
        )

    async def _drain(self, reader: Reader) -> DrainOutcome:
        ahead = asyncio.create_task(self._next(reader))
        try:
            while True:
                batch = await ahead
                over = self._ending() or monotonic() >= self._deadline
                if not over:
                    ahead = asyncio.create_task(self._next(reader))
                if batch is not None:
                    await self._load(batch)
                elif not await self._with.offsets.holds(self._position):
                    return DrainOutcome.SUPERSEDED
                self._beat()
                if over:
                    return DrainOutcome.TIME
        finally:
            ahead.cancel()
            await asyncio.wait([ahead])
            if not ahead.cancelled():
                ahead.exception()  # of what was read in vain nobody has to hear

    async def _next(self, reader: Reader) -> Batch | None:
        """The next batch, decoded; `None` where there is nothing new."""
        limits = self._with.limits
        read = await reader.read(max_records=limits.batch_records, max_bytes=limits.batch_bytes, wait=limits.wait)
        if not read:
            return None
        (fetched,) = read
        return await self._decoded(
            fetched.records, first=fetched.first, following=fetched.end, end=fetched.end + fetched.behind
        )

    async def _decoded(self, records: list[batches.Record], *, first: int, following: int, end: int) -> Batch:
        def decode() -> Batch:
            return decoded(
                self._feed,
                self._place,
                records,
                first=first,
                following=following,
                end=end,
                most=self._with.limits.record_bytes,
            )

        return await asyncio.get_running_loop().run_in_executor(self._with.threads, decode)

    async def _load(self, batch: Batch) -> None:
        """Load a batch; one that holds a row which the table cannot hold is parted until that row is alone."""
        try:
            await self._with.loader.load(batch, self._ledger, self._attempt, beat=self._beat)
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
                await self._load(await self._decoded(part, first=first, following=following, end=batch.end))
            return
        self._position = self._position.model_copy(update={"next_offset": batch.following})
