"""Makes up records. They are not data of real people or of a published data set."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from library.sources.records.apis import Api

type MadeUpRecord = dict[str, Any]

_GENDERS = ("Female", "Male", "Other", "Unknown")
_RACES = ("Blue", "Green", "Red", "Unknown")
_MARITAL = ("Single", "Married", "Divorced", "Widowed", "Unknown")
_LANGUAGES = ("English", "Spanish", "Icelandic", "Klingon", "Unknown")
_DIAGNOSES = (("I10", "Essential (primary) hypertension"), ("J45.909", "Unspecified asthma"), ("Z00.00", "Check-up"))
_TESTS = (
    ("CBC: RDW", 10, 16, "%"),
    ("METABOLIC: GLUCOSE", 60, 180, "mg/dL"),
    ("METABOLIC: SODIUM", 130, 150, "mmol/L"),
    ("URINALYSIS: PH", 4, 9, None),
)
_BEGIN = datetime(1990, 1, 1, tzinfo=UTC)
_DAYS = 12_000


def patient(patient_id: UUID, chance: Random) -> MadeUpRecord:
    """A made-up patient."""
    return {
        "patient_id": str(patient_id),
        "gender": chance.choice(_GENDERS),
        "date_of_birth": _moment(chance).strftime("%Y-%m-%d %H:%M:%S.000"),
        "race": chance.choice(_RACES),
        "marital_status": chance.choice(_MARITAL),
        "language": chance.choice(_LANGUAGES),
        "population_percentage_below_poverty": round(chance.uniform(0, 100), 2),
    }


def admission(patient_id: UUID, chance: Random) -> MadeUpRecord:
    """A made-up admission."""
    begin = _moment(chance)
    code, description = chance.choice(_DIAGNOSES)
    return {
        "patient_id": str(patient_id),
        "admission_id": chance.randint(1, 9),
        "admission_start_date": f"{begin.month}/{begin.day}/{begin.year}",
        "admission_end_date": (begin + timedelta(days=chance.randint(0, 30))).isoformat(),
        "primary_diagnosis_code": code,
        "primary_diagnosis_description": description,
    }


def lab_result(patient_id: UUID, chance: Random) -> MadeUpRecord:
    """A made-up laboratory result."""
    name, low, high, units = chance.choice(_TESTS)
    return {
        "patient_id": str(patient_id),
        "admission_id": chance.randint(1, 9),
        "lab_name": name,
        "lab_value": round(chance.uniform(low, high), 1),
        "lab_units": units,
        "lab_date_time": _moment(chance).isoformat(),
    }


MAKERS: Mapping[Api, Callable[[UUID, Random], MadeUpRecord]] = {
    Api.PATIENT: patient,
    Api.ADMISSIONS: admission,
    Api.LAB_RESULTS: lab_result,
}


def broken(record: MadeUpRecord, chance: Random) -> MadeUpRecord:
    """Make a record invalid. It keeps its patient's id, so that one can check that it was not stored."""
    field = chance.choice([name for name in record if name != "patient_id"])
    spoilt = dict(record)
    match chance.randrange(4):
        case 0:
            del spoilt[field]
        case 1:
            spoilt[field] = {"nested": True}
        case 2:
            spoilt[field] = [1]
        case _:
            spoilt["surplus"] = 1
    return spoilt


def _moment(chance: Random) -> datetime:
    return _BEGIN + timedelta(days=chance.randrange(_DAYS), seconds=chance.randrange(86_400))
