"""Compares the answers with the stored data: accepted records must be stored, and refused ones must not."""

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
from sqlalchemy import ARRAY, Uuid, any_, bindparam, cast, func, select

from library.lake.storage import LakeStorage
from library.sources.records.apis import DATASETS, Api
from library.warehouse.pool import Pool
from library.warehouse.queries.statement import Statement
from service.sources.records.simulator.outages import retry_while_away
from service.sources.records.simulator.records import PostOutcome, SimulationResult

_AT_ONCE = 10_000
_LOOK_EVERY = 1.0

type Find = Callable[[Api, Collection[UUID]], Awaitable[Mapping[UUID, int]]]
"""Returns how often each of these patients is stored."""


@dataclass(frozen=True)
class Verdict:
    """The result of the comparison in one place.

    Attributes:
        missing: accepted records that are not stored.
        wrong: refused records that are stored.
        doubled: records that are stored more than once, if each must be stored once.
        seconds: the time until all accepted records were stored.
    """

    place: str
    found: int
    missing: int
    wrong: int
    doubled: int
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether everything is right."""
        return not (self.missing or self.wrong or self.doubled)


async def verify(place: str, played: SimulationResult, find: Find, *, within: float, once: bool) -> Verdict:
    """Check again until all accepted records are stored, or the time is over. Retry while a server is away.

    Args:
        place: the name of the place.
        played: the posts and their answers.
        find: looks up patients in this place.
        within: seconds.
        once: whether a record may be stored only once. The lake stores every event, so not there.
    """
    began = time.monotonic()
    while True:
        left = within - (time.monotonic() - began)
        verdict = await retry_while_away(lambda: _look(place, played, find, once=once, began=began), within=left)
        if not verdict.missing or left <= 0:
            return verdict
        await asyncio.sleep(_LOOK_EVERY)


async def _look(place: str, played: SimulationResult, find: Find, *, once: bool, began: float) -> Verdict:
    found = missing = wrong = doubled = 0
    for api in Api:
        accepted = played.those(PostOutcome.ACCEPTED, api)
        refused = played.those(PostOutcome.REFUSED, api)
        there = await find(api, accepted | refused | played.those(PostOutcome.UNKNOWN, api))
        found += len(there)
        missing += len(accepted - there.keys())
        wrong += len(refused & there.keys())
        doubled += sum(count > 1 for count in there.values()) if once else 0
    return Verdict(place, found, missing, wrong, doubled, time.monotonic() - began)


def _counts(api: Api) -> Statement:
    """How often the warehouse has each of some patients."""
    patient_id = DATASETS[api].table.c.patient_id
    wanted = cast(bindparam("patients"), ARRAY(Uuid))
    counts = select(patient_id, func.count().label("times")).where(patient_id == any_(wanted))
    return Statement(counts.group_by(patient_id))


_COUNTS = {api: _counts(api) for api in Api}


def in_warehouse(pool: Pool) -> Find:
    """Look up patients in the warehouse's tables."""

    async def find(api: Api, patients: Collection[UUID]) -> Mapping[UUID, int]:
        there: dict[UUID, int] = {}
        ids = list(patients)
        for first in range(0, len(ids), _AT_ONCE):
            rows = await _COUNTS[api].fetch(pool, patients=ids[first : first + _AT_ONCE])
            there |= {row["patient_id"]: row["times"] for row in rows}
        return there

    return find


def in_lake(storage: LakeStorage, topics: Mapping[Api, str], since: datetime) -> Find:
    """Look up patients in the bronze tables, whose keys are patients' ids."""

    async def find(api: Api, patients: Collection[UUID]) -> Mapping[UUID, int]:
        return await asyncio.to_thread(_keys, storage, topics[api], {str(each).encode() for each in patients}, since)

    return find


def _keys(storage: LakeStorage, topic: str, keys: set[bytes], since: datetime) -> Mapping[UUID, int]:
    there: dict[UUID, int] = {}
    try:
        table = DeltaTable(storage.location(topic), storage_options=storage.options())
    except TableNotFoundError:
        return there
    later: Any = pa.dataset.field("timestamp") >= pa.scalar(since)
    for batch in table.to_pyarrow_dataset().to_batches(columns=["key"], filter=later):
        for key in batch.column("key").to_pylist():
            if key in keys:
                patient = UUID(key.decode())
                there[patient] = there.get(patient, 0) + 1
    return there
