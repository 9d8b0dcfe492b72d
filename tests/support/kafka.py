"""Topics for tests: with names that no other test has, and records put there as any client would."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from config.settings import KafkaSettings
from library.contracts.streams import TopicMissing
from library.streams.cluster import NO_LEADER, Cluster, NewTopicSpec
from library.streams.connection import Connection
from library.streams.producer import Delivered, Outgoing, Producer
from library.streams.reader import KafkaRecord, Reader
from tests.faults.harness import until_async


@dataclass(frozen=True)
class Kafka:
    """A broker, and topics of one test.

    Attributes:
        settings: of the broker, with names of topics that no other test has; they are not made yet.
        connection: the same, as the library takes it.
    """

    settings: KafkaSettings
    connection: Connection
    _mark: str = field(default_factory=lambda: secrets.token_hex(4))

    @classmethod
    def on(cls, broker: KafkaSettings) -> "Kafka":
        """With settings of its own."""
        assert broker.bootstrap_servers is not None
        mark = secrets.token_hex(4)
        names = {
            name: f"{mark}-{getattr(broker, name)}" for name in KafkaSettings.model_fields if name.endswith("_topic")
        }
        return cls(broker.model_copy(update=names), Connection(broker.bootstrap_servers), mark)

    async def make_topic(self, name: str = "topic", partitions: int = 1, **options: str) -> str:
        """Make a topic, or make it anew; return its full name. Options: `cleanup_policy`, `max_message_bytes`.

        Nothing is removed for its age: records of tests say times of long ago, and a broker looks every five minutes.
        """
        full = f"{self._mark}-{name}"
        options = {"retention.ms": "-1"} | {option.replace("_", "."): value for option, value in options.items()}
        async with Cluster(self.connection) as cluster:
            assert await cluster.make_topics([NewTopicSpec(full, partitions, options=options)]) == [full]

            async def is_led() -> bool:
                try:
                    leaders = (await cluster.leaders(full)).by_partition
                except TopicMissing:
                    return False
                return len(leaders) == partitions and NO_LEADER not in leaders.values()

            await until_async(is_led)  # a topic is there before each of its partitions has a leader
        return full

    async def delete_topic(self, topic: str) -> None:
        """Delete a topic."""
        async with self.admin() as admin:
            (answer,) = (await admin.delete_topics([topic])).topic_error_codes
            assert answer[1] == 0

    async def send(self, topic: str, *records: Outgoing | bytes, partition: int | None = None) -> list[Delivered]:
        """Send records by our own producer; bytes are values."""
        outgoing = [each if isinstance(each, Outgoing) else Outgoing(each, partition=partition) for each in records]
        async with Producer(self.connection, max_request_bytes=32 * 1024 * 1024) as producer:
            return await producer.send(topic, outgoing)

    async def read_all(self, topic: str, offsets: dict[int, int] | None = None, **limits: Any) -> list[KafkaRecord]:
        """Read from the offsets (the partition 0 from its beginning) to what is the end now."""
        found: list[KafkaRecord] = []
        async with Reader(self.connection, topic, offsets or {0: 0}) as reader:
            while batches := await reader.read(**{"max_records": 10_000, "max_bytes": 10**8, "wait": 0.1} | limits):
                found += [record for batch in batches for record in batch.records]
        return found

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Aiokafka's own client for what only tests do."""
        admin = AIOKafkaAdminClient(**self.connection.options())
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()

    @asynccontextmanager
    async def transactions(self) -> AsyncIterator[AIOKafkaProducer]:
        """A producer of transactions, which is none of ours."""
        producer = AIOKafkaProducer(**self.connection.options(), transactional_id=f"test-{secrets.token_hex(4)}")
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()


def values(records: Sequence[KafkaRecord]) -> list[bytes | None]:
    """The records' values."""
    return [record.value for record in records]
