"""Streams as operators see and steer them: drains into the warehouse, and archives in the lake."""

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
"""Seconds that a look at Kafka may take where what was last seen of it will do."""

type LeftOut = Callable[[str, WardflowError], object]
"""Told which topic cannot go on now, and why."""

type Target = int | datetime | Literal["earliest", "latest"]
"""Where to rewind to: an offset, the first record from a time on, or an end of the partition."""


@dataclass(frozen=True)
class Streams:
    """Lists drains and archives; pauses, resumes and rewinds drains."""

    connection: Connection
    topics: Topics
    offsets: Offsets
    archives: Archives

    async def overview(self) -> tuple[list[StreamStatus], list[ArchiveStatus]]:
        """Every partition that drains know, and every one that archives know, those of topics of the lake alone too.

        Where Kafka does not answer at once, drains have the end that was seen last, and archives no lag.
        """
        ends: dict[tuple[str, int], int] = {}
        try:
            async with asyncio.timeout(_KAFKA_MAY_TAKE), Cluster(self.connection) as cluster:
                for topic in self.topics:
                    with _by_itself(topic):
                        if found := await self._look(cluster, topic):
                            ends |= {(topic, each.partition): each.end for each in found.partitions}
        except (TimeoutError, WardflowError):
            pass  # `looked_at` says how old a drain's end is
        drains = await self.offsets.status(feed.topic for feed in self.topics.drained)
        return drains, await self.archives.status(self.topics, ends)

    async def to_drain(self, left_out: LeftOut = lambda *_: None) -> list[tuple[str, int]]:
        """The partitions that Kafka lists now and that are neither paused nor stopped.

        A partition without a leader, or a topic that Kafka refuses, waits for the next look, and keeps no other from
        going on.
        """
        found = []
        async with Cluster(self.connection) as cluster:
            for feed in self.topics.drained:
                with _by_itself(feed.topic, left_out):
                    found += await self._to_drain(cluster, feed.topic, left_out)
        return found

    async def to_archive(self, left_out: LeftOut = lambda *_: None) -> list[str]:
        """The declared topics that Kafka has now, those too that feed nothing but the lake."""
        found = []
        async with Cluster(self.connection) as cluster:
            for topic in self.topics:
                with _by_itself(topic, left_out):
                    await cluster.leaders(topic)
                    found.append(topic)  # what is without a leader, the archive's next call looks for again
        return found

    async def pause(self, topic: str) -> list[StreamPosition]:
        """Let nobody go on with a topic; a batch that is under way does not commit."""
        await self._known(topic)
        return await self.offsets.pause(topic, paused=True)

    async def resume(self, topic: str) -> list[StreamPosition]:
        """Let drains go on with a paused topic; who asks starts them."""
        await self._known(topic)
        return await self.offsets.pause(topic, paused=False)

    async def rewind(self, topic: str, to: Target, partition: int | None = None) -> list[StreamPosition]:
        """Begin a new generation at an offset or a time, for all partitions or one.

        What is replayed is merged as everything is: rows end as they were, or as a mended decoder reads them. Drains
        that are under way commit nothing any more and go on from there. It is the way on, too, for what is stopped.

        Raises:
            StreamUnknown: no such topic, or no such partition.
            OffsetNotHeld: a partition does not hold that offset; nothing was changed.
            KafkaUnavailable: Kafka does not answer, or one of the partitions has no leader; nothing was changed.
        """
        self.topics.feed(topic)
        async with Cluster(self.connection) as cluster:
            found = await self._look(cluster, topic, begin=True)
            if found is None:
                raise TopicMissing(f"Kafka does not know the topic {topic}.")
            at = await cluster.offsets_at(topic, to) if isinstance(to, datetime) else {}
        away = set(found.leaderless)
        if isinstance(to, datetime):
            away.update({each.partition for each in found.partitions} - at.keys())  # it went between the two questions
        if away := away if partition is None else away & {partition}:
            raise LeaderMissing(topic, *away)
        held = {each.partition: each for each in found.partitions if partition in (None, each.partition)}
        if not held:
            raise StreamUnknown(f"The topic {topic} has no partition {partition}.")
        targets = {number: _offset(topic, each, to, at) for number, each in held.items()}
        return await self.offsets.rewind(topic, topic_id=str(found.topic_id), to=targets)

    async def _to_drain(self, cluster: Cluster, topic: str, left_out: LeftOut) -> list[tuple[str, int]]:
        held = await self._look(cluster, topic)
        if held and held.leaderless:
            left_out(topic, LeaderMissing(topic, *held.leaderless))
        stored = await self.offsets.of([topic])
        left_alone = {each.partition for each in stored if each.paused or each.state is StreamState.STOPPED}
        listed = [each.partition for each in held.partitions] if held else []
        return [(topic, partition) for partition in listed if partition not in left_alone]

    async def _known(self, topic: str) -> None:
        """Have a row for each partition, so that new ones are paused as well; without Kafka those that are there do."""
        self.topics.feed(topic)
        try:
            async with asyncio.timeout(_KAFKA_MAY_TAKE), Cluster(self.connection) as cluster:
                await self._look(cluster, topic, begin=True)
        except (TimeoutError, KafkaUnavailable, KafkaRefused):
            if not await self.offsets.of([topic]):
                raise KafkaUnavailable("Nothing was drained of this topic yet, and Kafka does not answer.") from None

    async def _look(self, cluster: Cluster, topic: str, *, begin: bool = False) -> TopicInfo | None:
        """Keep what Kafka says of a topic, with a row for each partition where drains are to find one."""
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
def _by_itself(topic: str, left_out: LeftOut = lambda *_: None) -> Iterator[None]:
    """What keeps one topic from going on keeps no other; a topic that is not there yet is nothing to tell of."""
    try:
        yield
    except TopicMissing:
        pass
    except KafkaRefused as error:
        left_out(topic, error)


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
