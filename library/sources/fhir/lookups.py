"""Lookups of patients, and of observations without a patient."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Text, Uuid, any_, bindparam, cast, exists, func, select, union
from sqlmodel import col

from library.sources.fhir.datasets import Observation, Patient
from library.sources.fhir.questions import OF_PATIENT
from library.warehouse.pool import Pool
from library.warehouse.queries.statement import Statement

_PATIENT_ID = bindparam("patient_id", type_=Text)
_HAS_PATIENT = select(col(Patient.server)).where(col(Patient.id) == _PATIENT_ID)
_HAS_OBSERVATIONS = [
    select(edge(Observation.server).label("server")).where(col(Observation.patient_id) == _PATIENT_ID)
    for edge in (func.min, func.max)
]
_OF_PATIENT = Statement(_HAS_PATIENT.order_by(col(Patient.server)))
_OF_OBSERVATIONS = Statement(union(_HAS_PATIENT, *_HAS_OBSERVATIONS).order_by("server"))

_PATIENT_UNKNOWN = Statement(
    select(func.count().label("unknown")).where(
        col(Observation.load_id) == any_(cast(bindparam("loads"), ARRAY(Uuid))),
        col(Observation.patient_id).is_not(None),
        ~exists().where(OF_PATIENT).correlate(Observation),
    )
)


async def servers_of_patient(pool: Pool, patient_id: str) -> tuple[str, ...]:
    """All servers that have a patient with this id."""
    return tuple(row["server"] for row in await _OF_PATIENT.fetch(pool, patient_id=patient_id))


async def servers_of_observations(pool: Pool, patient_id: str) -> tuple[str, ...]:
    """Servers that have the patient or its observations. If there are more than two, some may be missing."""
    rows = await _OF_OBSERVATIONS.fetch(pool, patient_id=patient_id)
    return tuple(row["server"] for row in rows if row["server"] is not None)


async def patient_unknown(pool: Pool, loads: Sequence[UUID | str]) -> int:
    """The number of observations of some loads whose patient is not stored (yet)."""
    (row,) = await _PATIENT_UNKNOWN.fetch(pool, loads=loads)
    count: int = row["unknown"]
    return count
