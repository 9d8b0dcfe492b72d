"""Queries for patients and their observations.

An id belongs to a server. A query by id without a server finds the patient only if exactly one server has this id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from asyncpg import Record

from library.sources.fhir.datasets import Measured, search_name
from library.warehouse.pool import Pool
from library.warehouse.queries.conditions import Conditions
from library.warehouse.queries.pages import Query

_PROVENANCE = ("version_id", "last_updated", "object_key", "load_id")
_MEASURED = tuple(name for name in Measured.model_fields if name not in ("load_id", "reader_version"))

PATIENT_COLUMNS = (
    "id",
    "server",
    "family",
    "given",
    "name_text",
    "gender",
    "birth_date",
    "birth_date_precision",
    "deceased",
    "deceased_at",
    "deceased_text",
    "address_lines",
    "city",
    "state",
    "postal_code",
    "postal_codes",
    "country",
    "marital_status",
    "race",
    "ethnicity",
    "language",
    *_PROVENANCE,
)
OBSERVATION_COLUMNS = (
    "id",
    "server",
    "patient_id",
    "encounter_id",
    "status",
    "category",
    "categories",
    "codes",
    "effective_start",
    "effective_end",
    "effective_text",
    "issued",
    *_MEASURED,
    "components",
    *_PROVENANCE,
)

_COMPONENTS = (
    f"array_to_json(ARRAY(SELECT row_to_json(c) FROM (SELECT position, {', '.join(_MEASURED)} "  # noqa: S608 - constants
    "FROM fhir.observation_component WHERE observation_id = q.id AND server = q.server ORDER BY position) c))"
)
_LONGEST_SPAN = timedelta(days=366)
"""The longest time between the first and the last possible day of a partial birth date."""


@dataclass(frozen=True)
class PatientFilters:
    """The filters of patients.

    Attributes:
        zipcode: one of the patient's postal codes.
        family, given: the beginning of one of the patient's names, in any case and with or without accents.
        born_from, born_to: the birth date, or a part of its span, is in these days.
    """

    server: str | None = None
    zipcode: str | None = None
    family: str | None = None
    given: str | None = None
    gender: str | None = None
    born_from: date | None = None
    born_to: date | None = None


@dataclass(frozen=True)
class ObservationFilters:
    """The filters of observations.

    Attributes:
        code, category: one of the observation's codes or categories.
        begin, end: limits of the time at which it began, or else was issued.
        min_value, max_value: limits of its number, if it has one.
    """

    server: str | None = None
    patient_id: str | None = None
    code: str | None = None
    category: str | None = None
    begin: datetime | None = None
    end: datetime | None = None
    min_value: float | None = None
    max_value: float | None = None


def patients(filters: PatientFilters) -> Query:
    """Patients, by id."""
    conditions = Conditions()
    conditions.add("server = {}", filters.server)
    conditions.add("postal_codes @> ARRAY[{}::text]", filters.zipcode)
    for part, name in (("family", filters.family), ("given", filters.given)):
        beginning = None if name is None else f"'{search_name(part, name)}':*"  # letters and digits, nothing to quote
        conditions.add("array_to_tsvector(search_names) @@ {}::tsquery", beginning)
    conditions.add("gender = {}", filters.gender)
    if filters.born_from is not None:
        # The first condition uses the index, and the second one is exact.
        earliest = max(filters.born_from.toordinal() - _LONGEST_SPAN.days, 1)
        conditions.add("birth_date_from >= {}", date.fromordinal(earliest))
        conditions.add(
            "birth_date_from + CASE birth_date_precision WHEN 'year' THEN interval '1 year' "
            "WHEN 'month' THEN interval '1 month' ELSE interval '1 day' END > {}::date",
            filters.born_from,
        )
    conditions.add("birth_date_from <= {}", filters.born_to)
    # Postgres assumes that 2 % of the names match, and would read all ids in order until a page is full.
    by_name = "OFFSET 0" if filters.family or filters.given else ""
    return Query(
        select=f"SELECT * FROM fhir.patient {conditions.where} {by_name}",  # noqa: S608 - constants of the program
        columns=PATIENT_COLUMNS,
        arguments=tuple(conditions.arguments),
        order=("id", "server"),
    )


def patient(patient_id: str, server: str | None) -> Query:
    """The patient with this id, of each server that has one."""
    conditions = Conditions()
    conditions.add("id = {}", patient_id)
    conditions.add("server = {}", server)
    return Query(
        select=f"SELECT * FROM fhir.patient {conditions.where}",  # noqa: S608 - constants of the program
        columns=PATIENT_COLUMNS,
        arguments=tuple(conditions.arguments),
        order=("id", "server"),
    )


def observations(filters: ObservationFilters) -> Query:
    """Observations with their components, newest first."""
    conditions = Conditions()
    conditions.add("patient_id = {}", filters.patient_id)
    conditions.add("server = {}", filters.server)
    conditions.add("codes @> ARRAY[{}::text]", filters.code)
    conditions.add("categories @> ARRAY[{}::text]", filters.category)
    # An observation without any time is the last one, and is not between any two times.
    conditions.add("sort_time >= {} AND coalesce(effective_start, issued) IS NOT NULL", filters.begin)
    conditions.add("sort_time <= {} AND coalesce(effective_start, issued) IS NOT NULL", filters.end)
    conditions.add("value_number >= {}", filters.min_value)
    conditions.add("value_number <= {}", filters.max_value)
    return Query(
        select=f"SELECT * FROM fhir.observation {conditions.where}",  # noqa: S608 - constants
        columns=OBSERVATION_COLUMNS,
        arguments=tuple(conditions.arguments),
        order=("sort_time", "id", "server"),
        descending=True,
        expressions={"components": _COMPONENTS},
    )


async def servers_of_patient(pool: Pool, patient_id: str) -> tuple[str, ...]:
    """All servers that have a patient with this id."""
    rows = await pool.fetch("SELECT server FROM fhir.patient WHERE id = $1 ORDER BY server", patient_id)
    return tuple(row["server"] for row in rows)


async def servers_of_observations(pool: Pool, patient_id: str) -> tuple[str, ...]:
    """Servers that have the patient or its observations. If there are more than two, some may be missing."""
    rows = await pool.fetch(
        """
        SELECT server FROM fhir.patient WHERE id = $1
        UNION SELECT min(server) FROM fhir.observation WHERE patient_id = $1
        UNION SELECT max(server) FROM fhir.observation WHERE patient_id = $1
        ORDER BY server
        """,
        patient_id,
    )
    return tuple(row["server"] for row in rows if row["server"] is not None)


async def patient_unknown(pool: Pool, loads: Sequence[UUID | str]) -> int:
    """The number of observations of some loads whose patient is not stored (yet)."""
    count: int = await pool.fetchval(
        """
        SELECT count(*) FROM fhir.observation o WHERE load_id = ANY ($1::uuid[]) AND patient_id IS NOT NULL
        AND NOT EXISTS (SELECT FROM fhir.patient p WHERE p.id = o.patient_id AND p.server = o.server)
        """,
        loads,
    )
    return count


async def zipcode(pool: Pool, postal_code: str, server: str | None) -> Sequence[Record]:
    """The numbers of patients and observations of a zip code, and its last import, by server."""
    rows: Sequence[Record] = await pool.fetch(
        """
        SELECT coalesce(p.server, i.server) AS server, coalesce(patients, 0) AS patients,
               coalesce(observations, 0)::bigint AS observations, i.last_run_id, i.counts, i.imported_at
        FROM (
            SELECT server, count(*) AS patients, sum(
                (SELECT count(*) FROM fhir.observation o WHERE o.patient_id = p.id AND o.server = p.server)
            ) AS observations
            FROM fhir.patient p WHERE postal_codes @> ARRAY[$1::text] GROUP BY server
        ) p FULL JOIN (SELECT * FROM fhir.zipcode_import WHERE zipcode = $1) i USING (server)
        WHERE $2::text IS NULL OR coalesce(p.server, i.server) = $2 ORDER BY server
        """,
        postal_code,
        server,
    )
    return rows
