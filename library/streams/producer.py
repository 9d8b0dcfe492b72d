"""Sends records durably: each is stored once, and `send` returns after all replicas have it."""

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
"""Number of cached key hashes. aiokafka's hash is pure Python, and keys of patients repeat."""

_BATCH_BYTES = 128 * 1024
"""Most bytes of one partition that are collected for one request."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to send.

    Attributes:
        key: decides the partition if none is given. Records with the same key stay in order.
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
    """Where a record was stored."""

    partition: int
    offset: int


class Producer:
    """One connection for many callers: `async with Producer(connection) as producer`.

    Args:
        deliver_within: seconds that `send` waits for the acknowledgements of all its records.
        stop_within: seconds to wait at the end for records that are being sent.
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
        """Does not connect. The first `send` does, so Kafka may start later."""
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def send(self, topic: str, records: Sequence[Outgoing]) -> list[Delivered]:
        """Send records, wait until all replicas have them, and return their places in the same order.

        Raises:
            KafkaUnavailable: not all were acknowledged in time. Some may be stored, or may be stored later.
            RecordTooLarge: a record is larger than Kafka allows. The others may be stored.
            TopicMissing: there is no such topic.
            KafkaRefused: a permission is missing, or the credentials are wrong.
        """
        subject = f"the topic {topic}"
        futures, failure = [], None
        try:
            with translated(subject):
                async with asyncio.timeout(self._deliver_within):
                    producer = self._working() or await self._started()
                    for each in records:
                        try:
                            futures.append(await _enqueue(producer, topic, each))
                        except KafkaError as error:  # still wait for the records before it
                            failure = error
                            break
                    if len(futures) == 1 and failure is None:
                        answers = [await futures[0]]
                    else:
                        answers = await asyncio.gather(*futures, return_exceptions=True)
        except KafkaUnavailable as error:
            if self._is_missing(topic):
                raise TopicMissing(f"Kafka does not know {subject}.") from error
            raise
        failure = failure or next((answer for answer in answers if isinstance(answer, BaseException)), None)
        if failure is not None:
            raise as_ours(failure, subject) if isinstance(failure, KafkaError) else failure
        return [
            Delivered(answer.partition, answer.offset) for answer in answers if not isinstance(answer, BaseException)
        ]

    def _is_missing(self, topic: str) -> bool:
        """Whether the brokers do not have the topic. For such a topic aiokafka waits until the time-out."""
        cluster = self._producer.client.cluster if self._producer is not None else None
        return bool(cluster and cluster.brokers() and cluster.partitions_for_topic(topic) is None)

    def _working(self) -> AIOKafkaProducer | None:
        """The producer, unless its sender has ended, as it does after a lost sequence of records."""
        producer = self._producer
        return None if producer is None or producer._sender.sender_task.done() else producer

    async def _started(self) -> AIOKafkaProducer:
        """Start a producer, or replace one whose sender has ended."""
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
                    await _close(producer, 0.5)
                    raise
                self._producer = producer
        return self._producer

    async def _stop(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            await _close(producer, self._stop_within)


def _partition(key: bytes | None, all_partitions: list[int], available: list[int]) -> int:
    """Choose the partition as Java's clients do, so that a key has the same partition with every client."""
    if key is None:
        return random.choice(available or all_partitions)  # noqa: S311 - the partition is no secret
    return all_partitions[(_hash(key) & 0x7FFFFFFF) % len(all_partitions)]


_hash: Callable[[bytes], int] = lru_cache(_KEYS)(murmur2)


async def _enqueue(producer: AIOKafkaProducer, topic: str, record: Outgoing) -> asyncio.Future[RecordMetadata]:
    """Give a record to aiokafka, and return the future of its delivery."""
    future: asyncio.Future[RecordMetadata] = await producer.send(
        topic,
        record.value,
        key=record.key,
        partition=record.partition,
        timestamp_ms=record.timestamp,
        headers=list(record.headers),
    )
    return future


async def _close(producer: AIOKafkaProducer, seconds: float) -> None:
    """Wait up to `seconds` for records that are being sent, then close the producer.

    aiokafka's own `stop` is not used: without Kafka it leaves a task that waits forever.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(producer.flush(), seconds)
    producer._closed = True
    # End the sender before the client: a connection that the sender opens later would never be closed.
    sender = producer._sender.sender_task
    if sender is not None:
        sender.cancel()
        with suppress(TimeoutError, asyncio.CancelledError, KafkaError):
            await asyncio.wait_for(sender, 1)
    await producer.client.close()
