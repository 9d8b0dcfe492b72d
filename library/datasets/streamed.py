"""The columns of datasets from Kafka topics: the place of each record, and their order."""

from datetime import datetime
from typing import ClassVar

from sqlalchemy import BigInteger, DateTime, Integer, Text
from sqlmodel import Field

from library.datasets.declaration import Loaded

STREAMED = ("topic", "partition", "offset", "event_at", "generation")
"""The columns in the order in which a row has them."""


class Streamed(Loaded):
    """Columns that a drain fills in, before the record's own.

    Attributes:
        topic, partition, offset: the place of the row's record.
        event_at: the time of the event in the record; without one, the broker's timestamp.
        generation: the partition's generation. A rewind raises it, so a replay counts as newer.
    """

    filled_in: ClassVar[tuple[str, ...]] = STREAMED

    topic: str = Field(sa_type=Text)
    partition: int = Field(sa_type=Integer)
    offset: int = Field(sa_type=BigInteger)
    event_at: datetime = Field(sa_type=DateTime(timezone=True))
    generation: int = Field(sa_type=Integer)


ORDER = ("event_at", "generation", "partition", "offset")
"""The newest record of a key counts, in whatever order records are drained."""
