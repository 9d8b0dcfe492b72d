"""Batches: records of one partition, decoded, with the offsets that they move the partition from and to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

from library.datasets.declaration import Dataset
from library.datasets.streamed import STREAMED
from library.staging.files import RAW_LIMIT

type Cells = tuple[object, ...]
type Decoded = tuple[datetime | None, tuple[NamedTuple | None, ...]]
"""The time of the event, if the record has one, and a `row` or None for each dataset of the feed."""

type Rejected = tuple[str, int, list[str], bytes | None]
"""Dataset, offset, reasons, raw form."""


TOMBSTONE = "no value: a tombstone deletes nothing here"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """A record cannot become a row.

    Attributes:
        reasons: all errors of the record. They name fields and never quote values.
    """

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Feed:
    """The declaration of a topic.

    Attributes:
        topic: its name in the cluster.
        source: the source that it belongs to.
        reader_version: the version of the decoder; raise it whenever the decoder's output changes.
        datasets: the datasets of its rows. If there are none, the topic is only archived in the lake.
        decode: returns the rows of a record's value; raises `Refused`.
    """

    topic: str
    source: str
    reader_version: int = 1
    datasets: tuple[Dataset, ...] = ()
    decode: Callable[[bytes], Decoded] | None = None

    def __post_init__(self) -> None:
        if unplaced := [dataset.name for dataset in self.datasets if dataset.model.filled_in != STREAMED]:
            raise ValueError(f"{self.topic}: these datasets lack the columns of Streamed: {unplaced}")


class BatchRecord(Protocol):
    """A record of Kafka."""

    @property
    def offset(self) -> int:
        """The record's offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970; -1: there is none."""

    @property
    def value(self) -> bytes | None:
        """Its bytes; `None` in a tombstone."""


@dataclass(frozen=True)
class DrainedPartition:
    """A partition, with the counters that its offsets and rows store."""

    topic: str
    partition: int
    incarnation: int
    generation: int


@dataclass
class Batch:
    """The records of one transaction.

    Attributes:
        first: the offset that the partition must have; if not, the batch is stale.
        following: the next offset of the partition. It is after the last record, and after offsets without a record
            (compacted or aborted records, markers of transactions).
        end: the partition's end offset when the batch was read.
        rows: the rows of each dataset: line (the record's offset), columns of `Streamed`, columns of the dataset.
        reached_at: the timestamp of the newest record.
    """

    place: DrainedPartition
    first: int
    following: int
    end: int
    records: Sequence[BatchRecord]
    rows: dict[str, list[Cells]] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    reached_at: datetime | None = None

    @property
    def filled(self) -> bool:
        """Whether the batch has rows."""
        return any(self.rows.values())


def decoded(
    feed: Feed,
    place: DrainedPartition,
    records: Sequence[BatchRecord],
    *,
    first: int,
    following: int,
    end: int,
    most: int,
) -> Batch:
    """Decode records. A record that cannot become a row is rejected, and the others continue.

    Args:
        feed: the declaration of the topic.
        place: the partition.
        records: in the order of their offsets.
        first: see `Batch`.
        following: see `Batch`.
        end: see `Batch`.
        most: maximum size of a record's value in bytes.
    """
    decode = feed.decode
    if decode is None:
        raise ValueError(f"{feed.topic} feeds no dataset")
    batch = Batch(place, first, following, end, records, {dataset.name: [] for dataset in feed.datasets})
    adders = [(batch.rows[dataset.name].append, dataset.row) for dataset in feed.datasets]
    topic, partition, generation = place.topic, place.partition, place.generation
    stamp, broker_time = None, _EPOCH
    for record in records:
        offset, value = record.offset, record.value
        if record.timestamp != stamp:
            stamp = record.timestamp
            broker_time = _moment(stamp)
        if value is None or len(value) > most:
            reason = TOMBSTONE if value is None else f"larger than {most} bytes"
            batch.rejected.append(_rejected(feed, record, [reason]))
            continue
        try:
            event_at, rows = decode(value)
        except Refused as refused:
            batch.rejected.append(_rejected(feed, record, refused.reasons))
            continue
        head = (offset, topic, partition, offset, event_at or broker_time, generation)
        for (add, kind), row in zip(adders, rows, strict=True):
            if type(row) is kind:
                add(head + row)
            elif row is not None:
                raise TypeError(f"{feed.topic}: a row must be a {kind.__name__}, not a {type(row).__name__}")
    if records:
        batch.reached_at = broker_time
    return batch


def all_refused(
    feed: Feed,
    place: DrainedPartition,
    records: Sequence[BatchRecord],
    reason: str,
    *,
    first: int,
    following: int,
    end: int,
) -> Batch:
    """A batch of records that the warehouse itself refused."""
    batch = Batch(place, first, following, end, records, {dataset.name: [] for dataset in feed.datasets})
    batch.rejected = [_rejected(feed, record, [reason]) for record in records]
    return batch


def _rejected(feed: Feed, record: BatchRecord, reasons: list[str]) -> Rejected:
    raw = record.value if record.value is not None and len(record.value) <= RAW_LIMIT else None
    return feed.datasets[0].name, record.offset, reasons, raw


def _moment(milliseconds: int) -> datetime:
    """A record's timestamp. Producers may set any number, but rows need a time that Postgres accepts."""
    try:
        return min(max(_EPOCH + timedelta(milliseconds=milliseconds), _EPOCH), _LATEST)
    except OverflowError:
        return _EPOCH if milliseconds < 0 else _LATEST
