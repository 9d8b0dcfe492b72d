"""Schema `records`: patients, admissions and laboratory results, as clinics post them and Kafka carries them.

Times are instants: one that was sent without a zone is taken as UTC, so that the same text is the same key everywhere.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import DateTime, Double, Index, Integer, Text

from library.datasets.declaration import Dataset
from library.datasets.fields import field
from library.datasets.strategies import ConcurrentUpsert
from library.datasets.streamed import ORDER, Streamed

SOURCE = SCHEMA = "records"

_PATIENT = "0a4cf3b8-2c1d-4f4b-9f0e-6f1d1a2b3c4d"
_AT = "2004-03-21T00:00:00+00:00"


class Patient(Streamed, table=True):
    """A patient, as last posted."""

    __tablename__ = "patient"
    __table_args__ = (
        Index("patient_gender", "gender", "patient_id"),
        Index("patient_language", "language", "patient_id"),
        {"schema": SCHEMA},
    )

    patient_id: UUID = field("The patient's id, as posted.", _PATIENT, primary_key=True)
    gender: str = field("As posted.", "Female", sa_type=Text)
    date_of_birth: datetime = field(
        "As posted, with its time; without a zone it is UTC.",
        "1970-03-21T14:05:09.123+00:00",
        sa_type=DateTime(timezone=True),
    )
    race: str = field("As posted.", "White", sa_type=Text)
    marital_status: str = field("As posted.", "Single", sa_type=Text)
    language: str = field("As posted.", "English", sa_type=Text)
    population_percentage_below_poverty: float = field(
        "Of the people where the patient lives, in percent.", 12.5, sa_type=Double
    )


class PatientRow(NamedTuple):
    """A row of `records.patient`."""

    patient_id: UUID
    gender: str
    date_of_birth: datetime
    race: str
    marital_status: str
    language: str
    population_percentage_below_poverty: float


class Admission(Streamed, table=True):
    """A stay of a patient."""

    __tablename__ = "admission"
    __table_args__ = (
        Index("admission_diagnosis", "primary_diagnosis_code"),
        Index("admission_start", "admission_start_date"),
        {"schema": SCHEMA},
    )

    patient_id: UUID = field("The patient's id, as posted.", _PATIENT, primary_key=True)
    admission_id: int = field("Counts the patient's admissions, from 1.", 1, sa_type=Integer, primary_key=True)
    admission_start_date: datetime = field("The beginning of the stay.", _AT, sa_type=DateTime(timezone=True))
    admission_end_date: datetime | None = field(
        "Null while the patient is in.", _AT, default=None, sa_type=DateTime(timezone=True)
    )
    primary_diagnosis_code: str = field("ICD-10-CM.", "J45.909", sa_type=Text)
    primary_diagnosis_description: str = field("As posted.", "Unspecified asthma, uncomplicated", sa_type=Text)


class AdmissionRow(NamedTuple):
    """A row of `records.admission`."""

    patient_id: UUID
    admission_id: int
    admission_start_date: datetime
    admission_end_date: datetime | None
    primary_diagnosis_code: str
    primary_diagnosis_description: str


class LabResult(Streamed, table=True):
    """One laboratory value."""

    __tablename__ = "lab_result"
    __table_args__ = (Index("lab_result_name", "lab_name", "lab_date_time"), {"schema": SCHEMA})

    patient_id: UUID = field("The patient's id, as posted.", _PATIENT, primary_key=True)
    admission_id: int = field("Counts the patient's admissions, from 1.", 1, sa_type=Integer, primary_key=True)
    lab_name: str = field("The test, as posted.", "METABOLIC: GLUCOSE", sa_type=Text, primary_key=True)
    lab_date_time: datetime = field("When the value was taken.", _AT, sa_type=DateTime(timezone=True), primary_key=True)
    lab_value: float = field("In `lab_units`.", 98.6, sa_type=Double)
    lab_units: str | None = field("Null if the value has none.", "mg/dL", default=None, sa_type=Text)


class LabResultRow(NamedTuple):
    """A row of `records.lab_result`."""

    patient_id: UUID
    admission_id: int
    lab_name: str
    lab_date_time: datetime
    lab_value: float
    lab_units: str | None


# Topics are keyed by patient, so two partitions hardly ever write the same key.
_NEWEST = ConcurrentUpsert(order=ORDER)
PATIENT = Dataset(Patient, PatientRow, _NEWEST, patient="patient_id")
ADMISSION = Dataset(Admission, AdmissionRow, _NEWEST, patient="patient_id")
LAB_RESULT = Dataset(LabResult, LabResultRow, _NEWEST, patient="patient_id")

DATASETS = (PATIENT, ADMISSION, LAB_RESULT)
