"""Records of streams in tests."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from library.contracts.drains import DrainIdentity
from library.datasets.declaration import Catalogue
from library.sources.records import datasets as records
from library.sources.records.apis import Api
from library.sources.records.feeds import feeds
from library.streams.topics import Topics
from library.warehouse.batches import Batch, DrainedPartition, decoded
from library.warehouse.offsets import Offsets
from library.warehouse.pool import Pool
from library.warehouse.sessions import Attempt
from library.warehouse.stream_loader import DrainLedger, StreamLoader
from tests.support.warehouse import LIMITS


def record_topics(*, patient: str, admissions: str, lab_results: str) -> Topics:
    """The topics of records, by other names."""
    return Topics(feeds({Api.PATIENT: patient, Api.ADMISSIONS: admissions, Api.LAB_RESULTS: lab_results}))


TOPICS = record_topics(patient="patient", admissions="admissions", lab_results="lab_results")
CATALOGUE = Catalogue(records.DATASETS)
TOPIC_ID = "first"
LARGEST = 1_000_000


@dataclass(frozen=True)
class Rec:
    """A record as Kafka would give it."""

    offset: int
    value: bytes | None
    timestamp: int = 1_700_000_000_000


def lab_result(patient: int = 1, **changed: Any) -> dict[str, Any]:
    """A valid laboratory result."""
    return {
        "patient_id": str(UUID(int=patient)),
        "admission_id": 1,
        "lab_name": "CBC: RDW",
        "lab_value": 14.5,
        "lab_units": "%",
        "lab_date_time": "2024-03-01 08:30:00.123",
    } | changed


def patient(number: int = 1, **changed: Any) -> dict[str, Any]:
    """A valid patient."""
    return {
        "patient_id": str(UUID(int=number)),
        "gender": "Female",
        "date_of_birth": "1950-02-28 01:02:03.004",
        "race": "Unknown",
        "marital_status": "Married",
        "language": "Icelandic",
        "population_percentage_below_poverty": 12.5,
    } | changed


def admission(patient: int = 1, number: int = 1, **changed: Any) -> dict[str, Any]:
    """A valid admission."""
    return {
        "patient_id": str(UUID(int=patient)),
        "admission_id": number,
        "admission_start_date": "3/14/2024",
        "admission_end_date": "2024-03-20",
        "primary_diagnosis_code": "I10",
        "primary_diagnosis_description": "Essential (primary) hypertension",
    } | changed


def encoded(record: Any) -> bytes:
    """As it is on the wire."""
    return json.dumps(record).encode()


@dataclass
class Drained:
    """Loads batches of a partition without Kafka."""

    pool: Pool
    topic: str = "lab_results"
    partition: int = 0
    topics: Topics = field(default_factory=lambda: TOPICS)
    catalogue: Catalogue = CATALOGUE

    @property
    def loader(self) -> StreamLoader:
        """A loader of its own for each call."""
        return StreamLoader(self.pool, self.catalogue, LIMITS)

    async def place(self) -> tuple[DrainedPartition, int]:
        """Where the partition is, and its next offset."""
        found = await Offsets(self.pool).begin(self.topic, self.partition, topic_id=TOPIC_ID, beginning=0)
        return DrainedPartition(self.topic, self.partition, found.incarnation, found.generation), found.next_offset

    async def batch(self, records: Iterable[Rec], *, first: int | None = None, following: int | None = None) -> Batch:
        """Decode records, to go on from the stored offset unless told otherwise."""
        place, stored = await self.place()
        given = list(records)
        after = following or (given[-1].offset + 1 if given else stored)
        first = stored if first is None else first
        feed = self.topics.feed(self.topic)
        return decoded(feed, place, given, first=first, following=after, end=after, most=LARGEST)

    def drain(self, batch: Batch) -> DrainLedger:
        """An activity that begins with a batch."""
        place = batch.place
        identity = DrainIdentity(
            source=self.topics.feed(self.topic).source,
            topic=place.topic,
            partition=place.partition,
            generation=place.generation,
            first_offset=batch.first,
        )
        return DrainLedger(self.topics.feed(self.topic), identity, "run")

    async def load(self, batch: Batch, drain: DrainLedger | None = None, **options: Any) -> DrainLedger:
        """Load a batch, as an activity of its own unless told otherwise."""
        drain = drain or self.drain(batch)
        await self.loader.load(batch, drain, Attempt("drain000"), **options)
        return drain

    async def rejections(self) -> list[dict[str, Any]]:
        """What was refused, by offset."""
        return [dict(row) for row in await self.pool.fetch('SELECT * FROM ingest.rejection ORDER BY "offset", id')]
