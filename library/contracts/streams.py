"""Topics as Kafka states them, and what can go wrong with a stream.

WardflowError
├── KafkaUnavailable (retryable)
│   └── LeaderMissing
├── KafkaRefused
│   └── RecordTooLarge
├── KafkaTurnedOff          (a ConfigurationError)
├── TopicMissing
├── TopicMadeAnew
└── OffsetOutOfRange
"""

from uuid import UUID

from library.contracts.base import Contract
from library.contracts.errors import ConfigurationError, WardflowError


class PartitionRange(Contract):
    """What a partition holds.

    Attributes:
        beginning: offset of the oldest record that is still there, or would be.
        end: offset from which on nothing is committed yet.
    """

    partition: int
    beginning: int
    end: int


class TopicInfo(Contract):
    """A topic as Kafka knows it now.

    Attributes:
        topic_id: Kafka's own, made at random with the topic: a topic made anew by the same name has another.
        partitions: in their order; those that have a leader.
        leaderless: the others: a broker is away, and nothing is known of them at this moment.
    """

    name: str
    topic_id: UUID
    partitions: tuple[PartitionRange, ...]
    leaderless: tuple[int, ...] = ()


class KafkaUnavailable(WardflowError):
    """Kafka does not answer, or has no leader for a partition at this moment.

    Of records that were being sent it says nothing: they may have arrived all the same.
    """

    retryable = True
    default_advice = "Streams go on by themselves once Kafka is back. See `wardflow doctor`."


class LeaderMissing(KafkaUnavailable):
    """A partition has no leader at this moment: its broker is away. The topic's others go on."""

    def __init__(self, topic: str, *partitions: int) -> None:
        which = ", ".join(map(str, sorted(partitions)))
        super().__init__(f"Of the topic {topic} nobody leads partition {which} at this moment.")


class KafkaRefused(WardflowError):
    """Kafka answers, and does not do what was asked: credentials, permissions, a limit."""

    default_advice = "Compare the settings WARDFLOW_KAFKA__* with those of the cluster, and ask for the permissions."


class KafkaTurnedOff(ConfigurationError):
    """Kafka is turned off by a setting: there are no streams, and records cannot be posted."""

    default_advice = (
        "Records and streams need Kafka: remove WARDFLOW_KAFKA__ENABLED=false, or set it to true, and start the stack, "
        "the API and the workers again."
    )

    def __init__(self, where: str = "here") -> None:
        super().__init__(f"Kafka is turned off {where}: no records can be posted, and there are no streams.")


class RecordTooLarge(KafkaRefused):
    """A record is larger than its topic takes; it was not stored."""

    default_advice = "Send a smaller record, or raise `max.message.bytes` of the topic."


class TopicMissing(WardflowError):
    """The cluster has no topic, or no partition, of that name."""

    default_advice = "`wardflow migrate` makes the topics of the settings; another one is made by whoever owns it."


class TopicMadeAnew(WardflowError):
    """The topic was deleted and made anew since: its offsets mean other records now."""

    default_advice = "Begin a new generation of the stream; what was read before stays."


class OffsetOutOfRange(WardflowError):
    """The partition does not hold the offset to go on from: retention has passed it, or records were lost.

    Attributes:
        partition, offset: that were asked for.
        beginning, end: what the partition holds.
    """

    default_advice = "Find out what was lost, then rewind the stream to an offset that is there."

    def __init__(self, topic: str, partition: int, offset: int, *, beginning: int, end: int) -> None:
        super().__init__(
            f"Partition {partition} of the topic {topic} holds offsets {beginning} to {end}; "
            f"{offset} was to be read next."
        )
        self.partition, self.offset, self.beginning, self.end = partition, offset, beginning, end
