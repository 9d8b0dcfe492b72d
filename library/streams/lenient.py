"""Records whose headers' names are no UTF-8. aiokafka refuses to read them: one would stop a partition for good.

Kafka calls such a name text and checks nothing; Java's clients cannot send one, those in C can. aiokafka's own slower
parser reads them here, with U+FFFD for what is no text.
"""

from typing import Any

from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

_MAGIC = 16
"""Where a batch says its format; older ones than 2 know no headers."""


class _Text(bytearray):
    """Bytes that every decoding gets through."""

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
    """What a broker has sent of one partition, batch by batch; in the place of aiokafka's `MemoryRecords`.

    Args:
        fetched: as it was sent.
        offset: to begin with; aiokafka would go back where a batch ends before it.
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
