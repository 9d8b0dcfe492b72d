"""Reads records with header names that are not UTF-8. aiokafka raises on them, which would stop a partition.

Kafka does not check these names: Java's clients cannot send such a name, clients in C can. Here aiokafka's slower
parser reads them, with U+FFFD for each wrong byte.
"""

from typing import Any

from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

_MAGIC = 16
"""The position of a batch's format version. Versions below 2 have no headers."""


class _Text(bytearray):
    """Bytes whose `decode` never raises."""

    def __getitem__(self, at):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN204 - as bytearray has it
        found = super().__getitem__(at)
        return _Text(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc] # aiokafka has no types
    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer: bytearray = _Text(self._buffer)


class LenientRecords:
    """The batches that a broker sent for one partition. It replaces aiokafka's `MemoryRecords`.

    Args:
        fetched: the bytes of the answer.
        offset: batches that end before it are skipped; aiokafka would go back to their offset.
    """

    def __init__(self, fetched: bytes, offset: int) -> None:
        self._records = _MemoryRecordsPy(fetched)
        self._batch = self._following()
        while self._batch is not None and self._batch.next_offset <= offset:
            self._batch = self._following()

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return self._batch is not None

    def next_batch(self) -> object:
        """The next batch."""
        batch, self._batch = self._batch, self._following()
        return batch

    def _following(self) -> Any:  # noqa: ANN401 - aiokafka has no types
        raw = self._records._next_slice
        batch = self._records.next_batch()
        return batch if raw is None or raw[_MAGIC] < 2 else _LenientBatch(raw)
