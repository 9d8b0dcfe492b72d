"""Sends records durably: acknowledged by all replicas, each once, awaited."""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from aiokafka.structs import RecordMetadata

from library.contracts.streams import KafkaUnavailable, TopicMissing
from library.streams.connection import Connection, as_ours, translated

_KEYS = 20_000
"""Keys whose hash is remembered: aiokafka's is pure Python, and records of one patient come again and again."""

_BATCH_BYTES = 128 * 1024
"""Bytes of one partition that are sent together while an earlier request is under way."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be sent.

    Attributes:
        key: decides the partition, where that is not given: records of one key stay in their order.
        value: `None` for a tombstone, which needs a key.
        timestamp: milliseconds; `None`: now.
    """

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int | None = None
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where a record is now."""

    partition: int
    offset: int


class Producer:
    """One connection that many callers share: `async with Producer(connection) as producer`.

    Args:
        deliver_within: seconds that `send` waits for the acknowledgements of all its records.
        stop_within: seconds for what is still under way at the end; without Kafka it would never come to one.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        deliver_within: float = 10.0,
        stop_within: float = 5.0,
        max_request_bytes: int = 1024 * 1024,
    ) -> None:
        self._connection = connection
        self._deliver_within = deliver_within
        self._stop_within = stop_within
        self._max_request_bytes = max_request_bytes
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Kafka need not be there yet: the first `send` connects."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def send(self, topic: str, records: Sequence[Outgoing]) -> list[Delivered]:
        """Send records; return, in their order, where they are once all replicas have all of them.

        Raises:
            KafkaUnavailable: not all were acknowledged in time. Some may be there, and others may still arrive.
            RecordTooLarge: one is larger than Kafka takes; the others may be there.
            TopicMissing: there is no such topic.
            KafkaRefused: no permission, wrong credentials.
        """
        subject = f"the topic {topic}"
        futures, failure = [], None
        try:
            with translated(subject):
                async with asyncio.timeout(self._deliver_within):
                    producer = self._working() or await self._started()
                    for each in records:
                        try:
                            futures.append(await _handed_over(producer, topic, each))
                        except KafkaError as error:  # the others are awaited all the same
                            failure = error
                            break
                    if len(futures) == 1 and failure is None:
                        answers = [await futures[0]]
                    else:
                        answers = await asyncio.gather(*futures, return_exceptions=True)
        except KafkaUnavailable as error:
            if self._knows_no(topic):
                raise TopicMissing(f"Kafka does not know {subject}.") from error
            raise
        failure = failure or next((answer for answer in answers if isinstance(answer, BaseException)), None)
        if failure is not None:
            raise as_ours(failure, subject) if isinstance(failure, KafkaError) else failure
        return [
            Delivered(answer.partition, answer.offset) for answer in answers if not isinstance(answer, BaseException)
        ]

    def _knows_no(self, topic: str) -> bool:
        """Whether there are brokers, and none of them has the topic; aiokafka waits for it until the time is over."""
        cluster = self._producer.client.cluster if self._producer is not None else None
        return bool(cluster and cluster.brokers() and cluster.partitions_for_topic(topic) is None)

    def _working(self) -> AIOKafkaProducer | None:
        """The producer, if its sender has not failed for good (a sequence of records was lost)."""
        producer = self._producer
        return None if producer is None or producer._sender.sender_task.done() else producer

    async def _started(self) -> AIOKafkaProducer:
        """A producer that works: one that does not is replaced."""
        async with self._starting:
            if self._producer is not None and self._working() is None:
                await self._stop()
            if self._producer is None:
                producer = AIOKafkaProducer(
                    **self._connection.options(),
                    acks="all",
                    enable_idempotence=True,
                    max_request_size=self._max_request_bytes,
                    max_batch_size=_BATCH_BYTES,
                    partitioner=_partition,
                )
                try:
                    await producer.start()
                except BaseException:
                    await _ended(producer, 0.5)
                    raise
                self._producer = producer
        return self._producer

    async def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _ended(producer, self._stop_within)


def _partition(key: bytes | None, all_partitions: list[int], available: list[int]) -> int:
    """As Java's clients choose it, so that a key has one partition whoever sends it."""
    if key is None:
        return random.choice(available or all_partitions)  # noqa: S311 - where it goes is no secret
    return all_partitions[(_hash(key) & 0x7FFFFFFF) % len(all_partitions)]


_hash: Callable[[bytes], int] = lru_cache(_KEYS)(murmur2)


async def _handed_over(producer: AIOKafkaProducer, topic: str, record: Outgoing) -> asyncio.Future[RecordMetadata]:
    """The future of a record that aiokafka has taken over."""
    future: asyncio.Future[RecordMetadata] = await producer.send(
        topic,
        record.value,
        key=record.key,
        partition=record.partition,
        timestamp_ms=record.timestamp,
        headers=list(record.headers),
    )
    return future


async def _ended(producer: AIOKafkaProducer, seconds: float) -> None:
    """Let what is under way arrive; what is still there when the time is over is given up.

    aiokafka's own `stop` would leave a task behind that waits for ever for what nobody sends any more.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(producer.flush(), seconds)
    producer._closed = True
    # First who opens connections, then those: one that is opened behind their end would never be closed.
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
        with suppress(TimeoutError, asyncio.CancelledError, KafkaError):
            await asyncio.wait_for(sender, 1)
    await producer.client.close()
