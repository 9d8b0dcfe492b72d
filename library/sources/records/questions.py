"""Questions about posted patients, admissions and laboratory results."""

from typing import Annotated
from uuid import UUID

from asyncpg import Record
from pydantic import Field
from sqlalchemy import select
from sqlmodel import col

from library.contracts.scopes import Scope
from library.datasets.streamed import Streamed
from library.sources.records.datasets import Admission, AdmissionRow, LabResult, LabResultRow, Patient, PatientRow
from library.warehouse.pool import Pool
from library.warehouse.queries.columns import Column, columns
from library.warehouse.queries.filters import NAME, PSEUDONYM, at_least, at_most, equal
from library.warehouse.queries.parameters import INTEGER, Beginning, Ending, Number, Text
from library.warehouse.queries.question import Question

_FROM = "Not before: a time with its zone, or a date, a month or a year (UTC)."
_TO = "Not after; a date, a month or a year means its end (UTC)."
_ONLY_PATIENT = "Only of this patient."
_ORDINAL = Annotated[int, Field(ge=1, le=INTEGER)]

# A select of five aggregates, two of them lists: SQLAlchemy would need three times as many lines.
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


def _columns(model: type[Streamed], fields: tuple[str, ...]) -> tuple[Column, ...]:
    return columns(model, *fields, "topic", "partition", "offset", "load_id")


PATIENTS = Question(
    name="records.patients",
    about="Patients, by id.",
    scope=Scope.READ_PATIENTS,
    rows=lambda filters: select(Patient).where(*filters.conditions()),
    columns=_columns(Patient, PatientRow._fields),
    item="PatientRecord",
    each="A patient, as last posted.",
    order=("patient_id",),
    parameters=(
        equal("patient_id", UUID, PSEUDONYM, col(Patient.patient_id), _ONLY_PATIENT),
        equal("gender", Text, NAME, col(Patient.gender), "Only of this gender, as posted."),
        equal("language", Text, NAME, col(Patient.language), "Only with this language, as posted."),
        equal("race", Text, NAME, col(Patient.race), "Only of this race, as posted."),
        equal("marital_status", Text, NAME, col(Patient.marital_status), "Only with this status, as posted."),
    ),
)

ADMISSIONS = Question(
    name="records.admissions",
    about="Admissions, by patient; `from` and `to` bound their start.",
    scope=Scope.READ_PATIENTS,
    rows=lambda filters: select(Admission).where(*filters.conditions()),
    columns=_columns(Admission, AdmissionRow._fields),
    item="AdmissionRecord",
    each="A stay of a patient.",
    order=("patient_id", "admission_id"),
    parameters=(
        equal("patient_id", UUID, PSEUDONYM, col(Admission.patient_id), _ONLY_PATIENT),
        equal(
            "diagnosis",
            Text,
            NAME,
            col(Admission.primary_diagnosis_code),
            "Of the primary diagnosis: its ICD-10-CM code.",
        ),
        at_least("from", Beginning, NAME, col(Admission.admission_start_date), _FROM),
        at_most("to", Ending, NAME, col(Admission.admission_start_date), _TO),
    ),
)

LAB_RESULTS = Question(
    name="records.lab_results",
    about="Laboratory results, by patient.",
    scope=Scope.READ_PATIENTS,
    rows=lambda filters: select(LabResult).where(*filters.conditions()),
    columns=_columns(LabResult, LabResultRow._fields),
    item="LabResultRecord",
    each="One laboratory value.",
    order=("patient_id", "admission_id", "lab_name", "lab_date_time"),
    parameters=(
        equal("patient_id", UUID, PSEUDONYM, col(LabResult.patient_id), _ONLY_PATIENT),
        equal("admission_id", _ORDINAL, NAME, col(LabResult.admission_id), "Only of the admission of this number."),
        equal("lab_name", Text, NAME, col(LabResult.lab_name), "Only of this test, as posted."),
        at_least("from", Beginning, NAME, col(LabResult.lab_date_time), _FROM),
        at_most("to", Ending, NAME, col(LabResult.lab_date_time), _TO),
        at_least("min_value", Number, NAME, col(LabResult.lab_value), "Of the value, in the unit of its row."),
        at_most("max_value", Number, NAME, col(LabResult.lab_value), "Of the value, in the unit of its row."),
    ),
)

QUESTIONS = (PATIENTS, ADMISSIONS, LAB_RESULTS)


async def statistics(pool: Pool) -> Record:
    """How many patients of which gender and language; the most frequent diagnosis; laboratory tests.

    The row's columns are JSON texts and a number.
    """
    return await pool.fetchrow(_STATISTICS)
