"""Questions about posted patients, admissions and laboratory results."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import JSON, ColumnElement, Label, func, literal_column, select
from sqlalchemy.orm import Mapped
from sqlmodel import col

from library.contracts.scopes import Scope
from library.datasets.streamed import Streamed
from library.sources.records.datasets import Admission, AdmissionRow, LabResult, LabResultRow, Patient, PatientRow
from library.warehouse.queries.columns import Column, columns, list_column
from library.warehouse.queries.filters import NAME, PSEUDONYM, ActiveFilters, at_least, at_most, equal
from library.warehouse.queries.parameters import INTEGER, Beginning, Ending, Number, Text
from library.warehouse.queries.question import Question
from library.warehouse.queries.statement import AnySelect

_FROM = "Not before: a time with its zone, or a date, a month or a year (UTC)."
_TO = "Not after; a date, a month or a year means its end (UTC)."
_ONLY_PATIENT = "Only of this patient."
_ORDINAL = Annotated[int, Field(ge=1, le=INTEGER)]


class Share(BaseModel):
    """How many patients have a value."""

    value: str = Field(examples=["Female"])
    patients: int = Field(examples=[52])


class Diagnosis(BaseModel):
    """A diagnosis, and how many admissions it is the primary one of."""

    code: str = Field(examples=["J45.909"])
    description: str = Field(examples=["Unspecified asthma, uncomplicated"])
    admissions: int = Field(examples=[17])


class Test(BaseModel):
    """A laboratory test, and how many results it has."""

    lab_name: str = Field(examples=["METABOLIC: GLUCOSE"])
    results: int = Field(examples=[321])


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


def _shares(field: Mapped[Any]) -> ColumnElement[Any]:
    """How many patients have each value of a field, the most frequent first, as JSON."""
    share = (
        select(field.label("value"), func.count().label("patients"))
        .group_by(field)
        .order_by(func.count().desc(), field)
        .subquery("share")
    )
    rows = func.json_agg(literal_column("share"), type_=JSON)
    return func.coalesce(select(rows).select_from(share).scalar_subquery(), literal_column("'[]'::json"))


def _most(*fields: Label[Any], count: str, of: Mapped[Any]) -> ColumnElement[Any]:
    """The most frequent value of a field, with the number of its rows, as JSON."""
    most = select(*fields, func.count().label(count)).group_by(of).order_by(func.count().desc(), of).limit(1)
    row = func.row_to_json(literal_column("most"), type_=JSON)
    return select(row).select_from(most.subquery("most")).scalar_subquery()


def _statistics(_: ActiveFilters) -> AnySelect:
    code, lab = col(Admission.primary_diagnosis_code), col(LabResult.lab_name)
    described = func.min(col(Admission.primary_diagnosis_description)).label("description")
    return select(
        _shares(col(Patient.gender)).label("patients_by_gender"),
        _shares(col(Patient.language)).label("patients_by_language"),
        _most(code.label("code"), described, count="admissions", of=code).label("most_frequent_diagnosis"),
        select(func.count(lab.distinct())).scalar_subquery().label("distinct_laboratory_tests"),
        _most(lab.label("lab_name"), count="results", of=lab).label("most_common_test"),
    )


STATISTICS = Question(
    name="records.statistics",
    about="Patients by gender and by language, the most frequent diagnosis, laboratory tests.",
    scope=Scope.READ_PATIENTS,
    rows=_statistics,
    columns=(
        list_column("patients_by_gender", "How many patients of each gender.", Share),
        list_column("patients_by_language", "How many patients with each language.", Share),
        Column("most_frequent_diagnosis", Diagnosis | None, "The most frequent primary diagnosis."),
        Column("distinct_laboratory_tests", int, "How many laboratory tests have results.", 35),
        Column("most_common_test", Test | None, "The test with the most results."),
    ),
    item="Statistics",
    each="Answers to what is asked most.",
    order=("distinct_laboratory_tests",),
)

QUESTIONS = (PATIENTS, ADMISSIONS, LAB_RESULTS, STATISTICS)
