"""What operators do with streams: list drains and archives; pause, resume and rewind drains."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from library.contracts.drains import OffsetNotHeld, StreamPosition, StreamState, StreamStatus, StreamUnknown
from library.contracts.errors import WardflowError
from library.contracts.lake import ArchiveStatus
from library.contracts.streams import (
    KafkaRefused,
    KafkaUnavailable,
    LeaderMissing,
    PartitionRange,
    TopicInfo,
    TopicMissing,
)
from library.streams.cluster import Cluster
from library.streams.connection import Connection
from library.streams.topics import Topics
from library.warehouse.archives import Archives
from library.warehouse.offsets import Offsets

_KAFKA_MAY_TAKE = 2.0
"""Seconds to wait for Kafka where stored positions can be used instead."""

type OnSkipped = Callable[[str, WardflowError], object]
"""Called with a topic that is skipped now, and the reason."""

type Target = int | datetime | Literal["earliest", "latest"]
"""Where to rewind to: an offset, the first record at or after a time, or one end of the partition."""


@dataclass(frozen=True)
class Streams:
    """Lists drains and archives; pauses, resumes and rewinds drains."""

    connection: Connection
    topics: Topics
    offsets: Offsets
    archives: Archives

    async def overview(self) -> tuple[list[StreamStatus], list[ArchiveStatus]]:
        """The status of every drained partition, and of every archived partition.

        If Kafka does not answer in time, drains show the end that was stored last, and archives show no lag.
        """
        ends: dict[tuple[str, int], int] = {}
        try:
            async with asyncio.timeout(_KAFKA_MAY_TAKE), Cluster(self.connection) as cluster:
                for topic in self.topics:
                    with _skip_on_error(topic):
                        if found := await self._update(cluster, topic):
                            ends |= {(topic, each.partition): each.end for each in found.partitions}
        except (TimeoutError, WardflowError):
            pass  # `looked_at` shows how old a drain's end is
        drains = await self.offsets.status(feed.topic for feed in self.topics.drained)
        return drains, await self.archives.status(self.topics, ends)

    async def to_drain(self, on_skipped: OnSkipped = lambda *_: None) -> list[tuple[str, int]]:
        """The partitions in Kafka that are neither paused nor stopped.

        Partitions without a leader and topics that Kafka refuses are skipped. The other ones are not affected.
        """
        found = []
        async with Cluster(self.connection) as cluster:
            for feed in self.topics.drained:
                with _skip_on_error(feed.topic, on_skipped):
                    found += await self._to_drain(cluster, feed.topic, on_skipped)
        return found

    async def to_archive(self, on_skipped: OnSkipped = lambda *_: None) -> list[str]:
        """The declared topics that exist in Kafka, including those that only the lake reads."""
        found = []
        async with Cluster(self.connection) as cluster:
            for topic in self.topics:
                with _skip_on_error(topic, on_skipped):
                    await cluster.leaders(topic)
                    found.append(topic)  # the archive skips partitions without a leader itself
        return found

    async def pause(self, topic: str) -> list[StreamPosition]:
        """Pause a topic. Loaded rows stay; new records wait in Kafka. A running batch does not commit."""
        await self._require_positions(topic)
        return await self.offsets.pause(topic, paused=True)

    async def resume(self, topic: str) -> list[StreamPosition]:
        """Resume a paused topic. The caller starts the drains."""
        await self._require_positions(topic)
        return await self.offsets.pause(topic, paused=False)

    async def rewind(self, topic: str, to: Target, partition: int | None = None) -> list[StreamPosition]:
        """Begin a new generation at an offset or a time, for all partitions or one.

        Records that are read again are merged as usual, so rows stay equal unless the decoder changed. Running drains
        commit nothing more, and the next ones begin at the new offset. A stopped partition is drained again.

        Raises:
            StreamUnknown: there is no such topic or partition.
            OffsetNotHeld: a partition does not hold the offset. Nothing was changed.
            KafkaUnavailable: Kafka does not answer, or a partition has no leader. Nothing was changed.
        """
        self.topics.feed(topic)
        async with Cluster(self.connection) as cluster:
            found = await self._update(cluster, topic, begin=True)
            if found is None:
                raise TopicMissing(f"Kafka does not know the topic {topic}.")
            at = await cluster.offsets_at(topic, to) if isinstance(to, datetime) else {}
        away = set(found.leaderless)
        if isinstance(to, datetime):
            away.update({each.partition for each in found.partitions} - at.keys())  # lost between the two requests
        if away := away if partition is None else away & {partition}:
            raise LeaderMissing(topic, *away)
        held = {each.partition: each for each in found.partitions if partition in (None, each.partition)}
        if not held:
            raise StreamUnknown(f"The topic {topic} has no partition {partition}.")
        targets = {number: _offset(topic, each, to, at) for number, each in held.items()}
        return await self.offsets.rewind(topic, topic_id=str(found.topic_id), to=targets)

    async def _to_drain(self, cluster: Cluster, topic: str, on_skipped: OnSkipped) -> list[tuple[str, int]]:
        held = await self._update(cluster, topic)
        if held and held.leaderless:
            on_skipped(topic, LeaderMissing(topic, *held.leaderless))
        stored = await self.offsets.of([topic])
        excluded = {each.partition for each in stored if each.paused or each.state is StreamState.STOPPED}
        listed = [each.partition for each in held.partitions] if held else []
        return [(topic, partition) for partition in listed if partition not in excluded]

    async def _require_positions(self, topic: str) -> None:
        """Store a row for each partition, so that new ones are paused too. Without Kafka, stored rows are enough."""
        self.topics.feed(topic)
        try:
            async with asyncio.timeout(_KAFKA_MAY_TAKE), Cluster(self.connection) as cluster:
                await self._update(cluster, topic, begin=True)
        except (TimeoutError, KafkaUnavailable, KafkaRefused):
            if not await self.offsets.of([topic]):
                raise KafkaUnavailable("This topic was never drained, and Kafka does not answer.") from None

    async def _update(self, cluster: Cluster, topic: str, *, begin: bool = False) -> TopicInfo | None:
        """Ask Kafka about a topic and store the ends of its partitions. `begin` also stores missing positions."""
        try:
            found = await cluster.topic(topic)
        except TopicMissing:
            return None
        if begin:
            for each in found.partitions:
                await self.offsets.begin(topic, each.partition, topic_id=str(found.topic_id), beginning=each.beginning)
        await self.offsets.look(topic, {each.partition: each.end for each in found.partitions})
        return found


@contextmanager
def _skip_on_error(topic: str, on_skipped: OnSkipped = lambda *_: None) -> Iterator[None]:
    """Skip a topic that Kafka refuses or does not have yet, so that the other topics are not affected."""
    try:
        yield
    except TopicMissing:
        pass
    except KafkaRefused as error:
        on_skipped(topic, error)


def _offset(topic: str, held: PartitionRange, to: Target, at: Mapping[int, int]) -> int:
    if isinstance(to, datetime):
        return at[held.partition]
    if to == "earliest":
        return held.beginning
    if to == "latest":
        return held.end
    if not held.beginning <= to <= held.end:
        raise OffsetNotHeld(
            f"Partition {held.partition} of the topic {topic} holds offsets {held.beginning} to {held.end}, not {to}."
        )
    return to
