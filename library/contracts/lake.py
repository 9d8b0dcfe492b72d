"""The lake: what its activities are asked and answer, and what can go wrong with it.

WardflowError
├── LakeUnavailable (retryable)
└── LakeOvertaken (retryable)
"""

from datetime import datetime
from enum import StrEnum

from library.contracts.base import Contract
from library.contracts.errors import WardflowError


class ArchiveTopic(Contract):
    """Append a topic's records to its bronze table.

    Attributes:
        topic: any; it need not be one that is drained into the warehouse.
        seconds: how long one activity goes on with it.
    """

    topic: str
    seconds: float = 300.0


class Gap(Contract):
    """Offsets that the topic no longer held when it was their turn: retention had passed them."""

    partition: int
    first: int
    end: int


class Archived(Contract):
    """What one activity has done.

    Attributes:
        incarnation: which one of the topic this is: 1, and one more each time it was made anew.
        size: bytes of keys, values and headers.
        positions: by partition, the offset that the table goes on from.
        gaps: also in the table's history, at the append that follows them.
        stopped: by partition, why it does not go on.
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
    """A partition of a bronze table as `GET /streams` shows it.

    Attributes:
        next_offset: of the first record that is not in the table yet.
        lag: offsets between it and the partition's end; `None`: Kafka did not answer.
        reason: why a stopped one does not go on.
        updated_at: when its archive last said so: with each append, and every few minutes.
    """

    topic: str
    partition: int
    incarnation: int
    next_offset: int
    lag: int | None = None
    state: ArchiveState
    reason: str | None = None
    updated_at: datetime


class TidyLake(Contract):
    """Look after every bronze table.

    Attributes:
        keep_hours: for how long files that no longer belong to a table stay, for those who still read an older version.
    """

    keep_hours: int = 168


class TableTidied(Contract):
    """What was done for one table."""

    topic: str
    files_compacted: int
    files_written: int
    files_removed: int


class LakeTidied(Contract):
    """What was done for every table."""

    tables: tuple[TableTidied, ...]


class LakeUnavailable(WardflowError):
    """The lake's store does not answer, or refuses to work."""

    retryable = True
    default_advice = "The archive goes on by itself once the store is back. See `wardflow doctor`."


class LakeOvertaken(WardflowError):
    """Another process has committed what this one was about to commit: nothing of it was written twice."""

    retryable = True
    default_advice = "Nothing to do: the next attempt goes on from what the table says."
