"""The answer of `/records/statistics`."""

from pydantic import BaseModel, Field


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
