"""Questions about posted patients, admissions and laboratory results."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from asyncpg import Record

from library.sources.records.datasets import AdmissionRow, LabResultRow, PatientRow
from library.warehouse.pool import Pool
from library.warehouse.queries.conditions import Conditions
from library.warehouse.queries.pages import Query

_PROVENANCE = ("topic", "partition", "offset", "load_id")
PATIENT_COLUMNS = (*PatientRow._fields, *_PROVENANCE)
ADMISSION_COLUMNS = (*AdmissionRow._fields, *_PROVENANCE)
LAB_RESULT_COLUMNS = (*LabResultRow._fields, *_PROVENANCE)

_STATISTICS = """
SELECT
  (SELECT coalesce(json_agg(g), '[]') FROM (SELECT gender AS value, count(*) AS patients FROM records.patient
   GROUP BY gender ORDER BY count(*) DESC, gender) g) AS patients_by_gender,
  (SELECT coalesce(json_agg(l), '[]') FROM (SELECT language AS value, count(*) AS patients FROM records.patient
   GROUP BY language ORDER BY count(*) DESC, language) l) AS patients_by_language,
  (SELECT row_to_json(d) FROM (SELECT primary_diagnosis_code AS code, min(primary_diagnosis_description) AS description,
   count(*) AS admissions FROM records.admission GROUP BY primary_diagnosis_code
   ORDER BY count(*) DESC, primary_diagnosis_code LIMIT 1) d) AS most_frequent_diagnosis,
  (SELECT count(DISTINCT lab_name) FROM records.lab_result) AS distinct_laboratory_tests,
  (SELECT row_to_json(t) FROM (SELECT lab_name, count(*) AS results FROM records.lab_result GROUP BY lab_name
   ORDER BY count(*) DESC, lab_name LIMIT 1) t) AS most_common_test
"""


@dataclass(frozen=True)
class Stays:
    """Which admissions are filters for.

    Attributes:
        begin, end: began not before, and not after.
    """

    patient_id: UUID | None = None
    diagnosis: str | None = None
    begin: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True)
class Results:
    """Which laboratory results are filters for.

    Attributes:
        begin, end: taken not before, and not after.
    """

    patient_id: UUID | None = None
    admission_id: int | None = None
    lab_name: str | None = None
    begin: datetime | None = None
    end: datetime | None = None
    min_value: float | None = None
    max_value: float | None = None


def patients(
    patient_id: UUID | None = None,
    gender: str | None = None,
    language: str | None = None,
    race: str | None = None,
    marital_status: str | None = None,
) -> Query:
    """Patients, by id."""
    conditions = Conditions()
    conditions.add("patient_id = {}", patient_id)
    conditions.add("gender = {}", gender)
    conditions.add("language = {}", language)
    conditions.add("race = {}", race)
    conditions.add("marital_status = {}", marital_status)
    return Query(
        f"SELECT * FROM records.patient {conditions.where}",  # noqa: S608 - constants
        PATIENT_COLUMNS,
        tuple(conditions.arguments),
        ("patient_id",),
    )


def admissions(filters: Stays) -> Query:
    """Admissions, by patient."""
    conditions = Conditions()
    conditions.add("patient_id = {}", filters.patient_id)
    conditions.add("primary_diagnosis_code = {}", filters.diagnosis)
    conditions.add("admission_start_date >= {}", filters.begin)
    conditions.add("admission_start_date <= {}", filters.end)
    return Query(
        f"SELECT * FROM records.admission {conditions.where}",  # noqa: S608 - constants
        ADMISSION_COLUMNS,
        tuple(conditions.arguments),
        ("patient_id", "admission_id"),
    )


def lab_results(filters: Results) -> Query:
    """Laboratory results, by patient."""
    conditions = Conditions()
    conditions.add("patient_id = {}", filters.patient_id)
    conditions.add("admission_id = {}", filters.admission_id)
    conditions.add("lab_name = {}", filters.lab_name)
    conditions.add("lab_date_time >= {}", filters.begin)
    conditions.add("lab_date_time <= {}", filters.end)
    conditions.add("lab_value >= {}", filters.min_value)
    conditions.add("lab_value <= {}", filters.max_value)
    return Query(
        f"SELECT * FROM records.lab_result {conditions.where}",  # noqa: S608 - constants
        LAB_RESULT_COLUMNS,
        tuple(conditions.arguments),
        ("patient_id", "admission_id", "lab_name", "lab_date_time"),
    )


async def statistics(pool: Pool) -> Record:
    """Patients by gender and by language, the most frequent diagnosis, and laboratory tests.

    The row's columns are JSON texts and a number.
    """
    return await pool.fetchrow(_STATISTICS)
