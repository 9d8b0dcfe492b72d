"""Draining topics into the warehouse: what is asked, where it stands, what came of it."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from library.contracts.base import Contract
from library.contracts.errors import WardflowError
from library.contracts.loads import LOADS


class DrainTopic(Contract):
    """Input of the workflow `drain-topic` and of its activity: one partition of one topic."""

    topic: str
    partition: int

    @property
    def session(self) -> UUID:
        """By which the database sessions of the partition's drains are found."""
        return uuid5(LOADS, f"{self.topic}/{self.partition}")


class DrainOutcome(StrEnum):
    """Why a drain's activity ended."""

    TIME = "time"
    """Its minute is over, or its worker ends: the next one goes on."""
    SUPERSEDED = "superseded"
    """Somebody else moved the offset: another attempt, a rewind, a pause. The next one looks anew."""
    PAUSED = "paused"
    """Nobody goes on until it is resumed."""
    STOPPED = "stopped"
    """Nobody can go on until it is rewound; `GET /streams` has the reason."""


class DrainDone(Contract):
    """What one activity of a drain did.

    Attributes:
        records: that it loaded or refused.
        batches: transactions that it committed.
        next_offset: where the next one goes on, as far as this one knows.
    """

    outcome: DrainOutcome
    records: int = 0
    batches: int = 0
    next_offset: int = 0


class DrainIdentity(Contract):
    """What makes a drain's row in the ledger its own: no two activities begin at one offset of one generation."""

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
        """The identity as it stands in the ledger."""
        return f"{self.source}|{self.scope}|generation {self.generation}|offset {self.first_offset}"

    @property
    def load_id(self) -> UUID:
        """The ledger's key."""
        return uuid5(LOADS, self.text)


class StreamState(StrEnum):
    """Whether a partition can be drained."""

    DRAINING = "draining"
    PAUSED = "paused"
    """Only of a status; a row of `ingest.stream_offset` says it apart, and can be stopped as well."""
    STOPPED = "stopped"


class StreamPosition(Contract):
    """How far a partition is drained: a row of `ingest.stream_offset`."""

    topic: str
    partition: int
    topic_id: str
    incarnation: int
    generation: int
    next_offset: int
    paused: bool = False
    state: StreamState = StreamState.DRAINING
    reason: str | None = None
    reached_at: datetime | None = None
    end_offset: int | None = None
    looked_at: datetime | None = None
    updated_at: datetime | None = None


class StreamStatus(StreamPosition):
    """A partition as `GET /streams` shows it.

    Attributes:
        lag: offsets between the next one to load and the end; those of marks of transactions are among them.
        rate: records a second, over the last five minutes.
        freshness: seconds by which the warehouse is behind: the age of the last record that was loaded, and 0 where
            none is waiting; `None`: nothing was loaded yet.
    """

    lag: int
    rate: float
    freshness: float | None


class KeepDrains(Contract):
    """Input of the activity `keep_drains`."""


class KeptDrains(Contract):
    """What `keep_drains` found.

    Attributes:
        partitions: whose drains are under way now.
        archives: topics whose archive is.
    """

    partitions: int = 0
    archives: int = 0


class StreamUnknown(WardflowError):
    """No topic is declared under this name, or nothing is known of its partitions yet."""

    default_advice = "`wardflow streams list` names them."


class OffsetNotHeld(WardflowError):
    """A partition does not hold the offset to which it was to be rewound."""

    default_advice = "Rewind to an offset or a time that the partition holds, or to `earliest` or `latest`."
