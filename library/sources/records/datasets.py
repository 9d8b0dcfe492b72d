"""Schema `records`: patients, admissions and laboratory results, as clinics post them and Kafka carries them.

Times are instants: one that was sent without a zone is taken as UTC, so that the same text is the same key everywhere.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import DateTime, Double, Index, Integer, Text
from sqlmodel import Field

from library.datasets.declaration import Dataset
from library.datasets.strategies import ConcurrentUpsert
from library.datasets.streamed import ORDER, Streamed

SOURCE = SCHEMA = "records"


class Patient(Streamed, table=True):
    """A patient, as in the newest record."""

    __tablename__ = "patient"
    __table_args__ = (
        Index("patient_gender", "gender", "patient_id"),
        Index("patient_language", "language", "patient_id"),
        {"schema": SCHEMA},
    )

    patient_id: UUID = Field(primary_key=True)
    gender: str = Field(sa_type=Text)
    date_of_birth: datetime = Field(sa_type=DateTime(timezone=True))
    race: str = Field(sa_type=Text)
    marital_status: str = Field(sa_type=Text)
    language: str = Field(sa_type=Text)
    population_percentage_below_poverty: float = Field(sa_type=Double)


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
    """A stay of a patient.

    Attributes:
        admission_id: the ordinal of the patient's admission, from 1.
        admission_end_date: null while the patient is still in.
    """

    __tablename__ = "admission"
    __table_args__ = (
        Index("admission_diagnosis", "primary_diagnosis_code"),
        Index("admission_start", "admission_start_date"),
        {"schema": SCHEMA},
    )

    patient_id: UUID = Field(primary_key=True)
    admission_id: int = Field(sa_type=Integer, primary_key=True)
    admission_start_date: datetime = Field(sa_type=DateTime(timezone=True))
    admission_end_date: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    primary_diagnosis_code: str = Field(sa_type=Text)
    primary_diagnosis_description: str = Field(sa_type=Text)


class AdmissionRow(NamedTuple):
    """A row of `records.admission`."""

    patient_id: UUID
    admission_id: int
    admission_start_date: datetime
    admission_end_date: datetime | None
    primary_diagnosis_code: str
    primary_diagnosis_description: str


class LabResult(Streamed, table=True):
    """One laboratory value.

    Attributes:
        lab_units: null if the value has none.
    """

    __tablename__ = "lab_result"
    __table_args__ = (Index("lab_result_name", "lab_name", "lab_date_time"), {"schema": SCHEMA})

    patient_id: UUID = Field(primary_key=True)
    admission_id: int = Field(sa_type=Integer, primary_key=True)
    lab_name: str = Field(sa_type=Text, primary_key=True)
    lab_date_time: datetime = Field(sa_type=DateTime(timezone=True), primary_key=True)
    lab_value: float = Field(sa_type=Double)
    lab_units: str | None = Field(default=None, sa_type=Text)


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
PATIENT = Dataset(Patient, PatientRow, _NEWEST)
ADMISSION = Dataset(Admission, AdmissionRow, _NEWEST)
LAB_RESULT = Dataset(LabResult, LabResultRow, _NEWEST)

DATASETS = (PATIENT, ADMISSION, LAB_RESULT)
