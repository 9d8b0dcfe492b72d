"""A topic's bronze table. Each record is appended exactly once, since the table stores the next offsets.

Each append holds one Delta transaction for each partition (application id: topic/incarnation/partition; version: the
next offset). The process takes its offsets from a snapshot and commits against the same snapshot. delta-rs refuses the
commit when another one with the same application id came in between. So a killed append has happened or has not, and
of two processes with the same records one is refused.

All methods block, so call them in a thread.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
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
"""Keys and values stay bytes. A silver table would decode them."""

_CONFIGURATION: Mapping[str, str | None] = {
    "delta.appendOnly": "true",
    "delta.checkpointInterval": "100",
    "delta.logRetentionDuration": "interval 7 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.dataSkippingStatsColumns": "incarnation,partition,offset,timestamp",
}
_WRITER = WriterProperties(compression="ZSTD")
_FILE_BYTES = 128 * 1024 * 1024
"""Size of a compacted file."""

_ONE_AT_A_TIME: Mapping[str, int] = {"batch_size": 8_192, "batch_readahead": 0, "fragment_readahead": 0}
"""Options to read a single record in little memory."""

_WORTH_COMPACTING = 8
"""Compact only when there are this many small files."""


class BronzeTable:
    """A snapshot of a topic's table. Appends through this object update it."""

    def __init__(self, topic: str, table: DeltaTable) -> None:
        self.topic = topic
        self._table = table

    @classmethod
    def open(cls, storage: LakeStorage, topic: str) -> Self:
        """Open the table, and create it if it is missing.

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

    @classmethod
    def find(cls, storage: LakeStorage, topic: str) -> Self | None:
        """Open the table; `None`: it does not exist yet.

        Raises:
            LakeUnavailable: the store does not answer.
        """
        with _translated(topic):
            try:
                return cls(topic, DeltaTable(storage.location(topic), storage_options=storage.options()))
            except TableNotFoundError:
                return None

    def incarnation(self, topic_id: UUID | str) -> int:
        """The incarnation of the topic with this id. A new id gets the next number."""
        known = self._table.transaction_version(f"{self.topic}/{topic_id}")
        return known or (self._table.transaction_version(self.topic) or 0) + 1

    def incarnations(self, partition: int, offset: int) -> list[int]:
        """The incarnations that have a record at a place."""
        with _translated(self.topic):
            return sorted(row["incarnation"] for row in self._rows(["incarnation"], partition, offset))

    def value(self, incarnation: int, partition: int, offset: int) -> bytes | None:
        """The value of a record; `None`: the table does not have it, or it has no value."""
        with _translated(self.topic):
            rows = self._rows(["incarnation", "value"], partition, offset)
            return next((row["value"] for row in rows if row["incarnation"] == incarnation), None)

    def _rows(self, columns: list[str], partition: int, offset: int) -> Iterator[dict[str, Any]]:
        """Some columns of the records at a place. Only files that may hold it are read, by their statistics."""
        place = (pc.field("partition") == partition) & (pc.field("offset") == offset)
        for batch in self._table.to_pyarrow_dataset().to_batches(columns=columns, filter=place, **_ONE_AT_A_TIME):
            yield from batch.to_pylist()

    def next_offset(self, incarnation: int, partition: int) -> int | None:
        """The next offset to append; `None`: the table has nothing of this partition."""
        return self._table.transaction_version(f"{self.topic}/{incarnation}/{partition}")

    def append(
        self,
        topic_id: UUID,
        rows: Sequence[pa.RecordBatch],
        spans: Mapping[int, tuple[int, int]],
        gaps: Sequence[Gap] = (),
    ) -> None:
        """Add rows and the next offsets in one commit.

        Args:
            topic_id: the topic of the records.
            rows: batches of `SCHEMA`.
            spans: by partition, the offset where reading began, and the next offset.
            gaps: offsets that are missing between the rows of the table and these rows.

        Raises:
            LakeOvertaken: another process has appended to one of these partitions.
            LakeUnavailable: the store does not answer. The append may have happened, or may not.
        """
        incarnation = self.incarnation(topic_id)
        # An own append also loads the appends of other processes, and delta-rs then reports no conflict with them.
        for partition, (first, _) in spans.items():
            if (self.next_offset(incarnation, partition) or 0) > first:
                raise LakeOvertaken(f"Another process has appended to partition {partition} of {self.topic}.")
        marks = [Transaction(f"{self.topic}/{incarnation}/{partition}", end) for partition, (_, end) in spans.items()]
        if self._table.transaction_version(f"{self.topic}/{topic_id}") is None:
            marks += [Transaction(f"{self.topic}/{topic_id}", incarnation), Transaction(self.topic, incarnation)]
        metadata = {"gaps": json.dumps([gap.model_dump() for gap in gaps])} if gaps else {}
        with _translated(self.topic):
            write_deltalake(
                self._table,
                pa.Table.from_batches(rows, SCHEMA),
                mode="append",
                writer_properties=_WRITER,
                commit_properties=CommitProperties(custom_metadata=metadata or None, app_transactions=marks),
            )

    def tidy(self, keep_hours: int) -> TableTidied:
        """Merge small files into large ones, and remove files that left the table long ago.

        Appends can run at the same time.

        Raises:
            LakeOvertaken: another process has compacted the same files.
            LakeUnavailable: the store does not answer.
        """
        with _translated(self.topic):
            sizes = self._table.get_add_actions().column("size_bytes").to_pylist()
            done = {"numFilesRemoved": 0, "numFilesAdded": 0}
            if sum(size < _FILE_BYTES // 2 for size in sizes) >= _WORTH_COMPACTING:
                done = self._table.optimize.compact(target_size=_FILE_BYTES, writer_properties=_WRITER)
            # full: remove files of killed appends too, which no version of the table names.
            # The settings check the least number of hours, so the table need not.
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
        raise LakeOvertaken(f"Another process wrote to the bronze table of {topic} first.") from error
    except (DeltaError, OSError) as error:
        raise LakeUnavailable(f"The bronze table of {topic} cannot be reached ({type(error).__name__}).") from error
