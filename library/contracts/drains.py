"""Draining topics into the warehouse: inputs, positions, results and errors."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from pydantic import Field

from library.contracts.base import Contract
from library.contracts.errors import WardflowError
from library.contracts.loads import LOADS


class DrainTopic(Contract):
    """Input of the workflow `drain-topic` and of its activity: one partition of one topic."""

    topic: str
    partition: int

    @property
    def session(self) -> UUID:
        """The id in the names of the partition's database sessions."""
        return uuid5(LOADS, f"{self.topic}/{self.partition}")


class DrainOutcome(StrEnum):
    """Why a drain's activity ended."""

    TIME = "time"
    """Its minute is over, or its worker shuts down. The next activity continues."""
    SUPERSEDED = "superseded"
    """Another attempt, a rewind or a pause changed the offset. The next activity reads it again."""
    PAUSED = "paused"
    """The partition waits until it is resumed."""
    STOPPED = "stopped"
    """The partition cannot be drained until it is rewound. `GET /streams` has the reason."""


class DrainDone(Contract):
    """What one activity of a drain did.

    Attributes:
        records: how many records were loaded or refused.
        batches: how many transactions were committed.
        next_offset: where the next activity continues, as far as this one knows.
    """

    outcome: DrainOutcome
    records: int = 0
    batches: int = 0
    next_offset: int = 0


class DrainIdentity(Contract):
    """The identity of a drain's row in the ledger. No two activities begin at one offset of one generation."""

    source: str
    topic: str
    partition: int
    generation: int
    first_offset: int

    @property
    def session(self) -> UUID:
        """See `DrainTopic`."""
        return DrainTopic(topic=self.topic, partition=self.partition).session

    @property
    def scope(self) -> str:
        """The partition."""
        return f"{self.topic}/{self.partition}"

    @property
    def text(self) -> str:
        """The identity as it is written in the ledger."""
        return f"{self.source}|{self.scope}|generation {self.generation}|offset {self.first_offset}"

    @property
    def load_id(self) -> UUID:
        """The ledger's key."""
        return uuid5(LOADS, self.text)


class StreamState(StrEnum):
    """Whether a partition can be drained."""

    DRAINING = "draining"
    PAUSED = "paused"
    """Used in a status only. A row of `ingest.stream_offset` has a column `paused`, and can be stopped too."""
    STOPPED = "stopped"


class StreamPosition(Contract):
    """How far a partition is drained: one row of `ingest.stream_offset`."""

    topic: str = Field(description="The topic's name.", examples=["patient"])
    partition: int = Field(description="The partition's number.", examples=[0])
    topic_id: str = Field(description="Kafka's id of the topic. A topic that is created again has another one.")
    incarnation: int = Field(description="Counts how often the topic was created, from 1.", examples=[1])
    generation: int = Field(description="Counts rewinds, from 1.", examples=[1])
    next_offset: int = Field(description="The offset of the first record that is not loaded yet.", examples=[4711])
    paused: bool = Field(default=False, description="Whether the drain waits until it is resumed.")
    state: StreamState = Field(default=StreamState.DRAINING, description="Whether the partition is drained.")
    reason: str | None = Field(default=None, description="Why it stopped, or the present error of its drain.")
    reached_at: datetime | None = Field(default=None, description="Kafka's time of the last record that was loaded.")
    end_offset: int | None = Field(default=None, description="The partition's end offset at the last check.")
    looked_at: datetime | None = Field(default=None, description="When `end_offset` was read.")
    updated_at: datetime | None = Field(default=None, description="When the offset was last moved.")


class StreamStatus(StreamPosition):
    """A partition as `GET /streams` shows it."""

    lag: int = Field(
        description="Offsets between the next one to load and the end. Kafka's transaction markers count too."
    )
    rate: float = Field(description="Records a second, over the last five minutes.", examples=[12.5])
    freshness: float | None = Field(
        description="Seconds that the warehouse is behind: the age of the last loaded record, or 0 if no record waits. "
        "Null: nothing was loaded yet."
    )


class KeepDrains(Contract):
    """Input of the activity `keep_drains`."""


class KeptDrains(Contract):
    """What `keep_drains` found.

    Attributes:
        partitions: number of partitions that are drained now.
        archives: number of topics that are archived now.
    """

    partitions: int = 0
    archives: int = 0


class StreamUnknown(WardflowError):
    """No topic is declared under this name, or its partitions are not known yet."""

    default_advice = "`wardflow streams list` shows the topics."


class OffsetNotHeld(WardflowError):
    """A partition does not hold the offset that a rewind asked for."""

    default_advice = "Rewind to an offset or a time that the partition holds, or to `earliest` or `latest`."
