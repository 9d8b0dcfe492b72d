"""The items of answers about records, for the OpenAPI document only. Postgres writes the rows as JSON."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

_AT = "2004-03-21T00:00:00+00:00"


class _Record(BaseModel):
    patient_id: UUID = Field(examples=["0a4cf3b8-2c1d-4f4b-9f0e-6f1d1a2b3c4d"])
    topic: str = Field(examples=["patient"])
    partition: int = Field(examples=[2])
    offset: int = Field(examples=[4711])
    load_id: UUID = Field(examples=["65009f02-689c-5c5e-8604-6ba18afdb58c"])


class PatientRecord(_Record):
    """A patient, as last posted."""

    gender: str = Field(examples=["Female"])
    date_of_birth: datetime = Field(examples=["1970-03-21T14:05:09.123+00:00"])
    race: str = Field(examples=["White"])
    marital_status: str = Field(examples=["Single"])
    language: str = Field(examples=["English"])
    population_percentage_below_poverty: float = Field(examples=[12.5])


class AdmissionRecord(_Record):
    """A stay of a patient."""

    admission_id: int = Field(examples=[1])
    admission_start_date: datetime = Field(examples=[_AT])
    admission_end_date: datetime | None = Field(description="Null while the patient is in.", examples=[_AT])
    primary_diagnosis_code: str = Field(examples=["J45.909"])
    primary_diagnosis_description: str = Field(examples=["Unspecified asthma, uncomplicated"])


class LabResultRecord(_Record):
    """One laboratory value."""

    admission_id: int = Field(examples=[1])
    lab_name: str = Field(examples=["METABOLIC: GLUCOSE"])
    lab_date_time: datetime = Field(examples=[_AT])
    lab_value: float = Field(examples=[98.6])
    lab_units: str | None = Field(examples=["mg/dL"])


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


class Statistics(BaseModel):
    """Answers to what is asked most."""

    patients_by_gender: list[Share]
    patients_by_language: list[Share]
    most_frequent_diagnosis: Diagnosis | None
    distinct_laboratory_tests: int = Field(examples=[35])
    most_common_test: Test | None
