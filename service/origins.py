"""Leads from a row of any dataset to its load, its run, and the bytes that it was read from."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from library.access.audit import Audit
from library.access.patients import pseudonym, row_pseudonym
from library.contracts.objects import ObjectRef
from library.contracts.origins import (
    NoSuchRow,
    Origin,
    OriginInLake,
    OriginObject,
    OriginRecord,
    RecordNotInLake,
)
from library.lake.bronze import BronzeTable
from library.lake.storage import LakeStorage
from library.objects.store import ObjectStore
from library.warehouse.origins import RowKey, StoredOrigin, StoredRecord, find_origin
from library.warehouse.pool import Pool
from service.sources import DATASETS

SUBJECT = "/origin"
"""What the audit calls a look at a row's origin; of its bytes, `/origin/bytes`."""
BYTES = "/bytes"
CONTENT_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Origins:
    """Finds the origins of rows.

    Attributes:
        pool: reads the warehouse.
        audit: gets each look at a row that concerns a patient, before the answer.
    """

    pool: Pool
    store: ObjectStore
    lake: LakeStorage
    audit: Audit

    async def find(self, key: RowKey, actor: str, *, for_bytes: bool = False) -> Origin:
        """Where a row is from.

        Args:
            key: the row's key.
            actor: the caller's name in the audit.
            for_bytes: whether the bytes are asked for too. The audit says so.

        Raises:
            NoSuchRow: there is no row with this key.
            LakeUnavailable: the lake's store does not answer.
        """
        source, _ = DATASETS[key.dataset.name]
        found = await find_origin(self.pool, key, source.name)
        if source.concerns_patients:
            patient = found.patient if found else key.patient
            detail = {} if patient is None else {"patient": pseudonym(patient)}
            detail |= {"dataset": key.dataset.name, "row": row_pseudonym(key.dataset.name, key.values.values())}
            await self.audit.record(actor, "read_patients", SUBJECT + BYTES * for_bytes, **detail)
        if found is None:
            raise NoSuchRow(f"{key.dataset.name} has no row with this key.")
        return await self._origin(key, found)

    async def content(self, origin: Origin) -> AsyncIterator[bytes]:
        """The bytes that the row was read from: its landed object, or the value of its record.

        Raises:
            RecordNotInLake: the lake does not have the record, or it is not known which record it is.
            ObjectMissing, ObjectDamaged, StoreUnavailable, LakeUnavailable: see the object store and the lake.
        """
        if origin.object is not None:
            async for chunk in self.store.stream(_reference(origin.object)):
                yield chunk
        elif origin.record is not None:
            yield await asyncio.to_thread(self._value, origin.record)

    async def _origin(self, key: RowKey, found: StoredOrigin) -> Origin:
        record = None
        if found.record is not None:
            record = OriginRecord(
                topic=found.record.topic,
                partition=found.record.partition,
                offset=found.record.offset,
                lake=await asyncio.to_thread(self._in_lake, found.record),
            )
        return Origin(
            dataset=key.dataset.name,
            key=dict(key.values),
            load=found.load,
            run=found.run,
            object=found.object,
            record=record,
        )

    def _in_lake(self, record: StoredRecord) -> OriginInLake:
        table, incarnation, archived = BronzeTable.find(self.lake, record.topic), None, False
        if table is not None:
            there = table.incarnations(record.partition, record.offset)
            archived = bool(there)
            if record.remade is not None:
                own = table.incarnation(record.topic_id) - record.remade
                archived = own in there
                incarnation = own if archived else None
        return OriginInLake(table=self.lake.location(record.topic), incarnation=incarnation, archived=archived)

    def _value(self, record: OriginRecord) -> bytes:
        if not record.lake.archived:
            raise RecordNotInLake("The record of the row is not in the lake yet.")
        if record.lake.incarnation is None:
            raise RecordNotInLake(
                "The topic was made anew, and the warehouse does not know whether before or after the record.",
                advice="Look into the Delta table: it has each record with its incarnation.",
            )
        table = BronzeTable.find(self.lake, record.topic)
        value = None if table is None else table.value(record.lake.incarnation, record.partition, record.offset)
        if value is None:
            raise RecordNotInLake("The record of the row is no longer in the lake.")
        return value


def _reference(landed: OriginObject) -> ObjectRef:
    return ObjectRef(
        key=landed.key,
        size=landed.content_size,
        sha256=landed.content_sha256,
        content_type=CONTENT_TYPE,
        compression=landed.stored_compression,
    )
