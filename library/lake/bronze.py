"""A topic's bronze table: appended to exactly once, since the table itself says how far it has come.

Each append carries, for each partition in it, a Delta transaction (application id: topic/incarnation/partition;
version: the offset to go on from). Whoever appends begins at the versions of the snapshot that it holds, and writes
from that same snapshot: delta-rs refuses a commit when another one of the same application ids came in between. So a
killed append has either happened or not, and of two processes at the same records one is refused.

All methods block, and belong on a thread.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self
from uuid import UUID

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from library.contracts.lake import Gap, LakeOvertaken, LakeUnavailable, TableTidied
from library.lake.storage import LakeStorage

_HEADER = pa.struct([("name", pa.string()), ("value", pa.binary())])
SCHEMA = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("incarnation", pa.int32(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp", pa.timestamp("us", "UTC")),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.list_(_HEADER)),
    ]
)
"""Keys and values are bytes: what they mean is for silver to say."""

_CONFIGURATION: Mapping[str, str | None] = {
    "delta.appendOnly": "true",
    "delta.checkpointInterval": "100",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.dataSkippingStatsColumns": "incarnation,partition,offset,timestamp",
}
_WRITER = WriterProperties(compression="ZSTD")
_FILE_BYTES = 128 * 1024 * 1024
"""Of a compacted file."""

_WORTH_COMPACTING = 8
"""Small files from which on compaction pays."""


class BronzeTable:
    """One snapshot of a topic's table, which follows the appends that are made through it."""

    def __init__(self, topic: str, table: DeltaTable) -> None:
        self.topic = topic
        self._table = table

    @classmethod
    def open(cls, storage: LakeStorage, topic: str) -> Self:
        """The table as it is now, made where it is missing.

        Raises:
            LakeUnavailable: the store does not answer.
        """
        location, options = storage.location(topic), storage.options()
        with _translated(topic):
            try:
                return cls(topic, DeltaTable(location, storage_options=options))
            except TableNotFoundError:
                # "ignore": another process may make it at the same moment.
                DeltaTable.create(
                    location, SCHEMA, mode="ignore", configuration=_CONFIGURATION, storage_options=options
                )
            return cls(topic, DeltaTable(location, storage_options=options))

    def incarnation(self, topic_id: UUID) -> int:
        """Which incarnation a topic of this id is; one that the table does not know is the next."""
        known = self._table.transaction_version(f"{self.topic}/{topic_id}")
        return known or (self._table.transaction_version(self.topic) or 0) + 1

    def next_offset(self, incarnation: int, partition: int) -> int | None:
        """The offset that the table goes on from; `None`: it holds nothing of that partition."""
        return self._table.transaction_version(f"{self.topic}/{incarnation}/{partition}")

    def append(
        self,
        topic_id: UUID,
        rows: Sequence[pa.RecordBatch],
        spans: Mapping[int, tuple[int, int]],
        gaps: Sequence[Gap] = (),
    ) -> None:
        """Add rows and the offsets that they lead to, or nothing at all.

        Args:
            topic_id: whose records these are.
            rows: of `SCHEMA`.
            spans: by partition, the offset that its rows were read from, and the one to go on from.
            gaps: what lies between an earlier end and these rows.

        Raises:
            LakeOvertaken: another process has appended to one of these partitions meanwhile.
            LakeUnavailable: the store does not answer; the append may have happened all the same.
        """
        incarnation = self.incarnation(topic_id)
        # Our own appends bring in what others appended to other partitions, of which no conflict tells any more.
        for partition, (first, _) in spans.items():
            if (self.next_offset(incarnation, partition) or 0) > first:
                raise LakeOvertaken(f"Another process has appended to partition {partition} of {self.topic}.")
        marks = [Transaction(f"{self.topic}/{incarnation}/{partition}", end) for partition, (_, end) in spans.items()]
        if self._table.transaction_version(f"{self.topic}/{topic_id}") is None:
            marks += [Transaction(f"{self.topic}/{topic_id}", incarnation), Transaction(self.topic, incarnation)]
        said = {"gaps": json.dumps([gap.model_dump() for gap in gaps])} if gaps else {}
        with _translated(self.topic):
            write_deltalake(
                self._table,
                pa.Table.from_batches(rows, SCHEMA),
                mode="append",
                writer_properties=_WRITER,
                commit_properties=CommitProperties(custom_metadata=said or None, app_transactions=marks),
            )

    def tidy(self, keep_hours: int) -> TableTidied:
        """Write many small files anew as few large ones, and remove those that have belonged to no version for long.

        Appends go on meanwhile.

        Raises:
            LakeOvertaken: another process has compacted the same files.
            LakeUnavailable: the store does not answer.
        """
        with _translated(self.topic):
            sizes = self._table.get_add_actions().column("size_bytes").to_pylist()
            done = {"numFilesRemoved": 0, "numFilesAdded": 0}
            if sum(size < _FILE_BYTES // 2 for size in sizes) >= _WORTH_COMPACTING:
                done = self._table.optimize.compact(target_size=_FILE_BYTES, writer_properties=_WRITER)
            # full: also what a killed append has left, of which no version ever knew.
            # The least number of hours is the settings' to hold, not the table's.
            removed = self._table.vacuum(
                retention_hours=keep_hours, dry_run=False, full=True, enforce_retention_duration=False
            )
        return TableTidied(
            topic=self.topic,
            files_compacted=done["numFilesRemoved"],
            files_written=done["numFilesAdded"],
            files_removed=len(removed),
        )


@contextmanager
def _translated(topic: str) -> Iterator[None]:
    try:
        yield
    except CommitFailedError as error:
        raise LakeOvertaken(f"Another process was quicker with the bronze table of {topic}.") from error
    except (DeltaError, OSError) as error:
        raise LakeUnavailable(f"The bronze table of {topic} cannot be reached ({type(error).__name__}).") from error
