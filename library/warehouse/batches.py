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
"""When it happened, if the record says so, and for each dataset of the feed its `row`, or none."""

type Rejected = tuple[str, int, list[str], bytes | None]
"""Dataset, offset, reasons, raw form."""


TOMBSTONE = "no value: a tombstone deletes nothing here"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)


class Refused(Exception):
    """A record that is no row.

    Attributes:
        reasons: everything that speaks against it; they name fields and never quote values.
    """

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True)
class Feed:
    """What a topic feeds.

    Attributes:
        topic: its name in the cluster.
        source: whose it is.
        reader_version: of the decoder: raised whenever its output changes.
        datasets: that its records become rows of; none: the topic goes to the lake alone.
        decode: a record's value → its rows; raises `Refused`.
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
    """A record as Kafka has it."""

    @property
    def offset(self) -> int:
        """Its place in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970; -1 where there is none."""

    @property
    def value(self) -> bytes | None:
        """Its bytes; `None` in a tombstone."""


@dataclass(frozen=True)
class DrainedPartition:
    """A partition as its offsets and rows name it."""

    topic: str
    partition: int
    incarnation: int
    generation: int


@dataclass
class Batch:
    """What one transaction loads.

    Attributes:
        first: the offset that has to be the partition's, or the batch is stale.
        following: the offset that becomes the partition's: beyond the last record, and beyond what holds none
            (compacted, aborted, marks of transactions).
        end: where the partition ended when the batch was read.
        rows: by dataset: its line (the record's offset), the columns of `Streamed`, its own columns.
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
        """Whether there is a row in it."""
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
    """Decode records; those that cannot be rows are among the rejected, and none stops the others.

    Args:
        feed: what the topic feeds.
        place: the partition.
        records: in the order of their offsets.
        first: see `Batch`.
        following: see `Batch`.
        end: see `Batch`.
        most: bytes that a record's value may have.
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
    """A broker's timestamp; producers may set any number, and rows need one that can be compared."""
    try:
        return min(max(_EPOCH + timedelta(milliseconds=milliseconds), _EPOCH), _LATEST)
    except OverflowError:
        return _EPOCH if milliseconds < 0 else _LATEST
