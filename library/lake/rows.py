"""Makes rows of a bronze table from Kafka's records."""

from collections.abc import Sequence

import pyarrow as pa

from library.lake.bronze import SCHEMA
from library.streams.reader import KafkaRecord

_HEADERS = SCHEMA.field("headers").type
_MICROSECONDS = 1_000
_REPRESENTABLE = 253_402_300_800_000
"""The year 10000 in milliseconds. Most programs cannot show later times. Kafka's -1 means "no time"."""


def as_rows(topic: str, incarnation: int, records: Sequence[KafkaRecord]) -> pa.RecordBatch:
    """Convert records to a batch of `SCHEMA`. Values are not decoded, and no record is refused."""
    count = len(records)
    times = [each.timestamp * _MICROSECONDS if 0 <= each.timestamp < _REPRESENTABLE else None for each in records]
    return pa.record_batch(
        [
            pa.repeat(pa.scalar(topic, pa.string()), count),
            pa.repeat(pa.scalar(incarnation, pa.int32()), count),
            pa.array([each.partition for each in records], pa.int32()),
            pa.array([each.offset for each in records], pa.int64()),
            pa.array(times, pa.timestamp("us", "UTC")),
            pa.array([each.key for each in records], pa.binary()),
            pa.array([each.value for each in records], pa.binary()),
            pa.array([list(each.headers) for each in records], _HEADERS),
        ],
        schema=SCHEMA,
    )
