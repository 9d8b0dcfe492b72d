"""Lookups of patients, and of observations without a patient."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Text, Uuid, and_, any_, bindparam, cast, exists, func, select, union
from sqlmodel import col

from library.sources.fhir.datasets import Observation, Patient, RefusedVersion
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
        col(Observation.outdated).is_(False),
        ~exists().where(OF_PATIENT).correlate(Observation),
    )
)


def _patient_elsewhere() -> Statement:
    """By server and base URL: observations of some loads whose patient is at another server."""
    reference = col(Observation.patient_reference)
    base = func.coalesce(func.substring(reference, _BASE), func.substring(reference, _ORIGIN), "")
    found = (
        select(col(Observation.server), base.label("base"))
        .where(col(Observation.load_id) == any_(cast(bindparam("loads"), ARRAY(Uuid))), reference.is_not(None))
        .subquery("found")
    )
    number = func.count()
    return Statement(
        select(found.c.server, found.c.base, number.label("observations"))
        .group_by(found.c.server, found.c.base)
        .order_by(number.desc(), found.c.server, found.c.base)
    )


def _outdated(model: type[Patient | Observation]) -> ColumnElement[int]:
    refused = RefusedVersion
    return (
        select(func.count())
        .select_from(refused)
        .join(model, and_(col(model.id) == col(refused.id), col(model.server) == col(refused.server)))
        .where(
            col(refused.load_id) == any_(cast(bindparam("loads"), ARRAY(Uuid))),
            col(refused.kind) == model.__name__,
            col(model.outdated),
        )
        .scalar_subquery()
    )


_OUTDATED = Statement(select((_outdated(Patient) + _outdated(Observation)).label("outdated")))

_BASE = "^(.*?)/Patient/[^/?#]+(?:/_history/[^/?#]+)?/?(?:[?#].*)?$"
_ORIGIN = "^([A-Za-z][A-Za-z0-9+.-]*:(?://[^/?#]*)?)"
_PATIENT_ELSEWHERE = _patient_elsewhere()


class ForeignBase(NamedTuple):
    """Observations of a server whose patients are at another one.

    Attributes:
        server: the server of the observations.
        base: the base URL of the patients' server, or its origin; empty: the reference has none.
    """

    server: str
    base: str
    observations: int


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


async def patient_elsewhere(pool: Pool, loads: Sequence[UUID | str]) -> list[ForeignBase]:
    """The observations of some loads whose patient is at another server, by its base URL; the most first."""
    rows = await _PATIENT_ELSEWHERE.fetch(pool, loads=loads)
    return [ForeignBase(row["server"], _without_credentials(row["base"]), row["observations"]) for row in rows]


async def outdated(pool: Pool, loads: Sequence[UUID | str]) -> int:
    """The number of stored resources with a newer version that was refused in some loads."""
    (row,) = await _OUTDATED.fetch(pool, loads=loads)
    count: int = row["outdated"]
    return count


def _without_credentials(base: str) -> str:
    scheme, slashes, rest = base.partition("//")
    place, slash, path = rest.partition("/")
    return f"{scheme}{slashes}{place.rpartition('@')[2]}{slash}{path}"
