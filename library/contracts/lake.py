"""The lake: inputs and results of its activities, and its errors."""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from library.contracts.base import Contract
from library.contracts.errors import WardflowError


class ArchiveTopic(Contract):
    """Append a topic's records to its bronze table.

    Attributes:
        topic: any topic; it need not be drained into the warehouse.
        seconds: how long one activity works on it.
    """

    topic: str
    seconds: float = 300.0


class Gap(Contract):
    """Offsets that Kafka's retention removed before they were archived: `first` up to, not including, `end`."""

    partition: int
    first: int
    end: int


class Archived(Contract):
    """What one activity of an archive did.

    Attributes:
        incarnation: counts how often the topic was created: 1, and one more after each deletion.
        size: bytes of keys, values and headers.
        positions: by partition, the next offset to archive.
        gaps: the gaps that were found; the table's history has them too, at the append that follows.
        stopped: by partition, the reason why it is no longer archived.
    """

    topic: str
    incarnation: int
    records: int
    size: int
    appends: int
    positions: dict[int, int]
    gaps: tuple[Gap, ...]
    stopped: dict[int, str]


class ArchiveState(StrEnum):
    """Whether a partition is archived."""

    ARCHIVING = "archiving"
    STOPPED = "stopped"


class ArchiveStatus(Contract):
    """A partition of a bronze table as `GET /streams` shows it."""

    topic: str = Field(description="The topic's name.", examples=["patient"])
    partition: int = Field(description="The partition's number.", examples=[0])
    incarnation: int = Field(description="Counts how often the topic was created, as the table counts it.")
    next_offset: int = Field(description="The offset of the first record that is not in the table yet.")
    lag: int | None = Field(
        default=None, description="Offsets between `next_offset` and the end. Null: Kafka did not answer."
    )
    state: ArchiveState = Field(description="Whether the partition is archived.")
    reason: str | None = Field(default=None, description="Why the partition is stopped.")
    updated_at: datetime = Field(description="When the archive last wrote this: at each append, and every few minutes.")


class TidyLake(Contract):
    """Compact every bronze table and remove its old files.

    Attributes:
        keep_hours: how long a file stays after it left the table, since a query may still read an older version.
    """

    keep_hours: int = 168


class TableTidied(Contract):
    """What was done with one table."""

    topic: str
    files_compacted: int
    files_written: int
    files_removed: int


class LakeTidied(Contract):
    """What was done with every table."""

    tables: tuple[TableTidied, ...]


class LakeUnavailable(WardflowError):
    """The lake's store does not answer, or refuses to work."""

    retryable = True
    default_advice = "The archive continues automatically when the store is back. See `wardflow doctor`."


class LakeOvertaken(WardflowError):
    """Another process committed first. This commit was refused, so no record was written twice."""

    retryable = True
    default_advice = "Nothing to do. The next attempt continues at the offset that the table states."
