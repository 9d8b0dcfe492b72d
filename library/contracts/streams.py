"""Topics as Kafka describes them, and the errors of streams."""

from uuid import UUID

from library.contracts.base import Contract
from library.contracts.errors import ConfigurationError, WardflowError


class PartitionRange(Contract):
    """The offsets that a partition holds.

    Attributes:
        beginning: offset of the oldest record that is still there; the end if there is none.
        end: offset that the next committed record gets.
    """

    partition: int
    beginning: int
    end: int


class TopicInfo(Contract):
    """A topic as Kafka describes it now.

    Attributes:
        topic_id: Kafka's random id. A topic that is deleted and created again has another one.
        partitions: the partitions that have a leader, in order.
        leaderless: the partitions that have none now, since their broker is away. Their offsets are unknown.
    """

    name: str
    topic_id: UUID
    partitions: tuple[PartitionRange, ...]
    leaderless: tuple[int, ...] = ()


class KafkaUnavailable(WardflowError):
    """Kafka does not answer, or has no leader for a partition now.

    Records that were being sent may have arrived, or may not.
    """

    retryable = True
    default_advice = "Streams continue automatically when Kafka is back. See `wardflow doctor`."


class LeaderMissing(KafkaUnavailable):
    """A partition has no leader now, since its broker is away. The other partitions continue."""

    def __init__(self, topic: str, *partitions: int) -> None:
        which = ", ".join(map(str, sorted(partitions)))
        super().__init__(f"The topic {topic} has no leader for partition {which} now.")


class KafkaRefused(WardflowError):
    """Kafka answers, but refuses the request: credentials, permissions or a limit."""

    default_advice = "Compare the settings WARDFLOW_KAFKA__* with the cluster's, and ask for the missing permissions."


class KafkaTurnedOff(ConfigurationError):
    """A setting turns Kafka off: there are no streams, and records cannot be posted."""

    default_advice = (
        "Records and streams need Kafka: remove WARDFLOW_KAFKA__ENABLED=false, or set it to true, and start the stack, "
        "the API and the workers again."
    )

    def __init__(self, where: str = "here") -> None:
        super().__init__(f"Kafka is turned off {where}: no records can be posted, and there are no streams.")


class RecordTooLarge(KafkaRefused):
    """A record is larger than its topic allows. It was not stored."""

    default_advice = "Send a smaller record, or raise `max.message.bytes` of the topic."


class TopicMissing(WardflowError):
    """The cluster does not have this topic or partition."""

    default_advice = "`wardflow migrate` creates the topics of the settings. The owner of another topic creates it."


class TopicMadeAnew(WardflowError):
    """The topic was deleted and created again. Its offsets now belong to other records."""

    default_advice = "Rewind the stream: that begins a new generation. Loaded rows stay."


class OffsetOutOfRange(WardflowError):
    """The partition does not hold the next offset: retention removed it, or records were lost.

    Attributes:
        partition, offset: what was to be read.
        beginning, end: what the partition holds.
    """

    default_advice = "Find out which records were lost. Then rewind the stream to an offset that the partition holds."

    def __init__(self, topic: str, partition: int, offset: int, *, beginning: int, end: int) -> None:
        super().__init__(
            f"Partition {partition} of the topic {topic} holds offsets {beginning} to {end}; "
            f"the next one to read is {offset}."
        )
        self.partition, self.offset, self.beginning, self.end = partition, offset, beginning, end
