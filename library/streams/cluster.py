"""Asks a Kafka cluster about its brokers and topics, and creates topics."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.protocol.offset import OffsetRequest

from library.contracts.streams import KafkaUnavailable, LeaderMissing, PartitionRange, TopicInfo, TopicMissing
from library.streams.connection import Connection, as_ours, translated
from library.streams.metadata import TopicMetadataRequest

COMMITTED = 1
"""Isolation level `read_committed`: no records of open or aborted transactions."""

_MOVING = (errors.NotLeaderForPartitionError, errors.LeaderNotAvailableError)
NO_LEADER = -1
_BEGINNING = -2
_END = -1


@dataclass(frozen=True)
class NewTopicSpec:
    """A topic to create.

    Attributes:
        options: Kafka's topic options, such as `cleanup.policy` and `retention.ms`.
    """

    name: str
    partitions: int
    replication: int = 1
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Leaders:
    """A topic's id, and the leader's node id for each partition: `NO_LEADER` if its broker is away."""

    topic_id: UUID
    by_partition: Mapping[int, int]


class Cluster:
    """An open connection to a cluster: `async with Cluster(connection) as cluster`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._client: Any = None

    async def __aenter__(self) -> Self:
        self._client = AIOKafkaClient(**self._connection.options())
        try:
            with translated("the cluster"):
                try:
                    await self._client.bootstrap()
                except errors.KafkaConnectionError as error:
                    raise await self._connect_error() or error from None
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    def brokers(self) -> int:
        """The number of brokers when the connection was opened."""
        return len(self._client.cluster.brokers())

    async def topic(self, name: str) -> TopicInfo:
        """Describe a topic: its id, and the offsets that its partitions hold.

        Raises:
            TopicMissing: there is no topic of that name.
            KafkaUnavailable: Kafka does not answer.
        """
        leaders = await self.leaders(name)
        beginnings = await self._offsets(name, leaders, dict.fromkeys(leaders.by_partition, _BEGINNING))
        ends = await self._offsets(name, leaders, dict.fromkeys(leaders.by_partition, _END))
        known = sorted(beginnings.keys() & ends.keys())
        ranges = [PartitionRange(partition=each, beginning=beginnings[each], end=ends[each]) for each in known]
        leaderless = tuple(sorted(set(leaders.by_partition).difference(known)))
        return TopicInfo(name=name, topic_id=leaders.topic_id, partitions=tuple(ranges), leaderless=leaderless)

    async def offsets_at(self, name: str, at: datetime) -> dict[int, int]:
        """By partition, the offset of the first record at or after a time; the partition's end if there is none.

            Partitions without a leader are left out.

        Raises:
            TopicMissing: there is no topic of that name.
            KafkaUnavailable: Kafka does not answer.
        """
        leaders = await self.leaders(name)
        milliseconds = max(0, int(at.timestamp() * 1000))  # for Kafka, negative times mean the beginning or the end
        found = await self._offsets(name, leaders, dict.fromkeys(leaders.by_partition, milliseconds))
        ends = await self._offsets(name, leaders, dict.fromkeys(leaders.by_partition, _END))
        return {each: found[each] if found[each] >= 0 else ends[each] for each in found.keys() & ends.keys()}

    async def make_topics(self, topics: Sequence[NewTopicSpec]) -> list[str]:
        """Create the missing topics, and return their names. Existing topics are not changed.

        Raises:
            KafkaRefused: the cluster refuses a name, a number of replicas or an option.
        """
        admin = AIOKafkaAdminClient(**self._connection.options())
        made = []
        try:
            with translated("the topics"):
                await admin.start()
                new_topics = [
                    NewTopic(each.name, each.partitions, each.replication, topic_configs=dict(each.options))
                    for each in topics
                ]
                answer = await admin.create_topics(new_topics)
            for name, code, *_ in answer.topic_errors:
                error = errors.for_code(code)
                if error is errors.NoError:
                    made.append(name)
                elif error is not errors.TopicAlreadyExistsError:
                    raise as_ours(error(), f"the topic {name}")
        finally:
            await admin.close()
        return made

    async def leaders(self, topic: str) -> Leaders:
        """The leaders of the topic's partitions now.

        Raises:
            TopicMissing: there is no topic of that name.
            KafkaUnavailable: Kafka does not answer.
        """
        with translated(f"the topic {topic}"):
            node = self._client.get_random_node()
            if node is None:
                raise KafkaUnavailable("Kafka has no broker now.")
            answer = await self._client.send(node, TopicMetadataRequest(topic))
            ((code, _, topic_id, _, partitions, *_),) = answer.topics
            if code:
                raise errors.for_code(code)(topic)
        return Leaders(topic_id, {partition: leader for _, partition, leader, *_ in partitions})

    async def send(self, node: int, request: object) -> Any:  # noqa: ANN401 - aiokafka has no types
        """Send a request to one broker. The caller translates aiokafka's errors."""
        return await self._client.send(node, request)

    async def _connect_error(self) -> BaseException | None:
        """Connect to the first broker and return its error. aiokafka's bootstrap only logs a failed login."""
        options = self._connection.options()
        del options["bootstrap_servers"]
        host, port, _ = self._client.hosts[0]
        try:
            (await create_conn(host, port, **options)).close()
        except (errors.KafkaError, OSError, TimeoutError) as error:
            return error
        return None

    async def _offsets(self, topic: str, leaders: Leaders, times: Mapping[int, int]) -> dict[int, int]:
        """The offset of each partition that has a leader, at a time in milliseconds, or at its beginning or end."""
        by_node: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for partition, milliseconds in times.items():
            by_node[leaders.by_partition[partition]].append((partition, milliseconds))
        by_node.pop(NO_LEADER, None)
        found = {}
        with translated(f"the topic {topic}"):
            for node, partition_times in by_node.items():
                answer = await self._client.send(node, OffsetRequest(-1, COMMITTED, [(topic, partition_times)]))
                ((_, partitions),) = answer.topics
                for partition, code, _, offset in partitions:
                    if errors.for_code(code) in _MOVING:
                        continue  # its leader changes now
                    if code:
                        raise errors.for_code(code)(topic)
                    found[partition] = offset
        return found


def require(leaders: Leaders, topic: str, partition: int) -> int:
    """The node id of the partition's leader.

    Raises:
        TopicMissing: the topic has no such partition.
        LeaderMissing: the partition has no leader now.
    """
    leader = leaders.by_partition.get(partition)
    if leader is None:
        raise TopicMissing(f"The topic {topic} has no partition {partition}.")
    if leader == NO_LEADER:
        raise LeaderMissing(topic, partition)
    return leader


def held_by(topic: TopicInfo, partition: int) -> PartitionRange:
    """The offsets that a partition holds.

    Raises:
        TopicMissing: the topic has no such partition.
        LeaderMissing: the partition has no leader now.
    """
    found = next((each for each in topic.partitions if each.partition == partition), None)
    if found is None and partition in topic.leaderless:
        raise LeaderMissing(topic.name, partition)
    if found is None:
        raise TopicMissing(f"The topic {topic.name} has no partition {partition}.")
    return found
