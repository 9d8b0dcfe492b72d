"""What was heard against what is there: all that was accepted, perhaps what is unknown, nothing that was refused."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.dataset
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from library.lake.storage import LakeStorage
from library.sources.records.apis import Api
from library.warehouse.pool import Pool
from service.sources.records.simulator.outages import answered
from service.sources.records.simulator.records import Outcome, Played

TABLES: Mapping[Api, str] = {Api.PATIENT: "patient", Api.ADMISSIONS: "admission", Api.LAB_RESULTS: "lab_result"}
_AT_ONCE = 10_000
_LOOK_EVERY = 1.0

type Find = Callable[[Api, Collection[UUID]], Awaitable[Mapping[UUID, int]]]
"""How often each of these patients is there."""


@dataclass(frozen=True)
class Verdict:
    """What was found in one place.

    Attributes:
        missing: records that were accepted and are not there.
        wrong: records that were refused and are there.
        doubled: records that are there more than once, where each has to be there once.
        seconds: until all that was accepted was there.
    """

    place: str
    found: int
    missing: int
    wrong: int
    doubled: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether all is as it was said to be."""
        return not (self.missing or self.wrong or self.doubled)


async def verify(place: str, played: Played, find: Find, *, within: float, once: bool) -> Verdict:
    """Look until all that was accepted is there, or the time is over; a server that is away is looked at again.

    Args:
        place: its name.
        played: what the clinics heard.
        find: looks there.
        within: seconds.
        once: whether a record may be there only once: not so in the lake, which keeps every event.
    """
    began = time.monotonic()
    while True:
        left = within - (time.monotonic() - began)
        verdict = await answered(lambda: _look(place, played, find, once=once, began=began), within=left)
        if not verdict.missing or left <= 0:
            return verdict
        await asyncio.sleep(_LOOK_EVERY)


async def _look(place: str, played: Played, find: Find, *, once: bool, began: float) -> Verdict:
    found = missing = wrong = doubled = 0
    for api in Api:
        accepted = played.those(Outcome.ACCEPTED, api)
        refused = played.those(Outcome.REFUSED, api)
        there = await find(api, accepted | refused | played.those(Outcome.UNKNOWN, api))
        found += len(there)
        missing += len(accepted - there.keys())
        wrong += len(refused & there.keys())
        doubled += sum(count > 1 for count in there.values()) if once else 0
    return Verdict(place, found, missing, wrong, doubled, time.monotonic() - began)


def in_warehouse(pool: Pool) -> Find:
    """Looks into the tables."""

    async def find(api: Api, patients: Collection[UUID]) -> Mapping[UUID, int]:
        there: dict[UUID, int] = {}
        asked = list(patients)
        for first in range(0, len(asked), _AT_ONCE):
            rows = await pool.fetch(
                f"SELECT patient_id, count(*) AS times FROM records.{TABLES[api]} "  # noqa: S608 - constants
                "WHERE patient_id = ANY ($1::uuid[]) GROUP BY patient_id",
                asked[first : first + _AT_ONCE],
            )
            there |= {row["patient_id"]: row["times"] for row in rows}
        return there

    return find


def in_lake(storage: LakeStorage, topics: Mapping[Api, str], since: datetime) -> Find:
    """Looks into the bronze tables, whose records are keyed by patient."""

    async def find(api: Api, patients: Collection[UUID]) -> Mapping[UUID, int]:
        return await asyncio.to_thread(_keys, storage, topics[api], {str(each).encode() for each in patients}, since)

    return find


def _keys(storage: LakeStorage, topic: str, wanted: set[bytes], since: datetime) -> Mapping[UUID, int]:
    there: dict[UUID, int] = {}
    try:
        table = DeltaTable(storage.location(topic), storage_options=storage.options())
    except TableNotFoundError:
        return there
    later: Any = pa.dataset.field("timestamp") >= pa.scalar(since)
    for batch in table.to_pyarrow_dataset().to_batches(columns=["key"], filter=later):
        for key in batch.column("key").to_pylist():
            if key in wanted:
                patient = UUID(key.decode())
                there[patient] = there.get(patient, 0) + 1
    return there
