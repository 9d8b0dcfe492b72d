"""The fields, types and limits of the three records, for stream and API.

Numbers stay raw until they become a row, so that no digit is lost without a word.
Types are never converted: a text is not a number, a fraction is not a whole number, and true is not 1. Every field must
be present. Only the end of an admission and the units of a value may be null.
"""

from typing import Annotated
from uuid import UUID

from msgspec import Meta, Raw, Struct, json

from library.datasets.rows import unchecked
from library.reading.numbers import NumberUnfit, held_number
from library.sources.records.datasets import AdmissionRow, LabResultRow, PatientRow
from library.sources.records.moments import moment

type Row = PatientRow | AdmissionRow | LabResultRow

Uuid = Annotated[UUID, Meta(description="a UUID")]
Ordinal = Annotated[int, Meta(ge=1, le=2**31 - 1, description="a whole number from 1 to 2147483647")]
Percentage = Annotated[Raw, Meta(description="a number from 0 to 100")]
Number = Annotated[Raw, Meta(description="a number that a double can hold")]
Word = Annotated[str, Meta(min_length=1, max_length=200, description="a text of 1 to 200 characters")]
Sentence = Annotated[str, Meta(min_length=1, max_length=2_000, description="a text of 1 to 2000 characters")]
Time = Annotated[
    str, Meta(min_length=8, max_length=40, description="a time as 2024-12-31 23:59:59.000, in ISO 8601, or 12/31/2024")
]


_bytes_of = json.Encoder().encode


def number(given: Raw) -> float:
    """A number as it was written. A double must hold all of its digits.

    Raises:
        ValueError: it is no number, or the double would lose some of its digits.
    """
    return held_number(_bytes_of(given))


def percentage(given: Raw) -> float:
    """A number from 0 to 100.

    Raises:
        ValueError: it is none.
    """
    value = number(given)
    if not 0 <= value <= 100:
        raise NumberUnfit("not from 0 to 100")
    return value


class Fields(Struct, forbid_unknown_fields=True, gc=False):
    """A decoded record. Its times are still texts, and `row` raises a ValueError if one is not a time."""


class Patient(Fields):
    """A patient."""

    patient_id: Uuid
    gender: Word
    date_of_birth: Time
    race: Word
    marital_status: Word
    language: Word
    population_percentage_below_poverty: Percentage

    def row(self) -> PatientRow:
        """The row of `records.patient`."""
        return _patient_row(
            self.patient_id,
            self.gender,
            moment(self.date_of_birth),
            self.race,
            self.marital_status,
            self.language,
            percentage(self.population_percentage_below_poverty),
        )


class Admission(Fields):
    """A stay of a patient."""

    patient_id: Uuid
    admission_id: Ordinal
    admission_start_date: Time
    admission_end_date: Time | None
    primary_diagnosis_code: Word
    primary_diagnosis_description: Sentence

    def row(self) -> AdmissionRow:
        """The row of `records.admission`."""
        end = self.admission_end_date
        return _admission_row(
            self.patient_id,
            self.admission_id,
            moment(self.admission_start_date),
            None if end is None else moment(end),
            self.primary_diagnosis_code,
            self.primary_diagnosis_description,
        )


class LabResult(Fields):
    """One laboratory value."""

    patient_id: Uuid
    admission_id: Ordinal
    lab_name: Word
    lab_value: Number
    lab_units: Word | None
    lab_date_time: Time

    def row(self) -> LabResultRow:
        """The row of `records.lab_result`."""
        return _lab_result_row(
            self.patient_id,
            self.admission_id,
            self.lab_name,
            moment(self.lab_date_time),
            number(self.lab_value),
            self.lab_units,
        )


type Wire = Patient | Admission | LabResult

_patient_row = unchecked(PatientRow)
_admission_row = unchecked(AdmissionRow)
_lab_result_row = unchecked(LabResultRow)
