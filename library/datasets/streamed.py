"""The columns of datasets from Kafka topics: the place of each record, and their order."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, DateTime, Integer, Text

from library.datasets.declaration import Loaded
from library.datasets.fields import field

STREAMED = ("topic", "partition", "offset", "event_at", "generation")
"""The columns in the order in which a row has them."""


class Streamed(Loaded):
    """Columns that a drain fills in, before the record's own."""

    filled_in: ClassVar[tuple[str, ...]] = STREAMED

    topic: str = field("The topic of the record that the row is from.", "patient", sa_type=Text)
    partition: int = field("The record's partition.", 2, sa_type=Integer)
    offset: int = field("The record's offset in the partition.", 4711, sa_type=BigInteger)
    event_at: datetime = field(
        "When it happened, as the record says; else the broker's timestamp.", sa_type=DateTime(timezone=True)
    )
    generation: int = field("Counts the rewinds of the partition, from 1.", sa_type=Integer)


ORDER = ("event_at", "generation", "partition", "offset")
"""The newest record of a key counts, in whatever order records are drained."""
