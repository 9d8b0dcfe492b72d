"""What was posted can be asked for by who may read of patients, and every such question is in the audit."""

import csv
import io
from typing import Any
from uuid import UUID

import pytest_asyncio

from library.access.patients import pseudonym
from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client
from tests.support import streams
from tests.support.streams import Drained, Rec, encoded

RECORDS: dict[str, list[dict[str, Any]]] = {
    "patient": [
        streams.patient(1, language="English"),
        streams.patient(2, gender="Male", language="Spanish", race="Asian"),
        streams.patient(3, gender="Female", language="English", marital_status="Single"),
        streams.patient(4, gender="Klingon"),
    ],
    "admissions": [
        streams.admission(1, 1),
        streams.admission(1, 2, admission_start_date="2024-05-01", admission_end_date=None),
        streams.admission(2, 1, primary_diagnosis_code="J45"),
    ],
    "lab_results": [
        streams.lab_result(1),
        streams.lab_result(1, lab_value=12, lab_date_time="2024-03-02 08:30:00"),
        streams.lab_result(2, lab_name="URINALYSIS: PH", lab_units=None, lab_value=6.5),
    ],
}


@pytest_asyncio.fixture
async def reader(api: Client, pool: Pool) -> dict[str, str]:
    """Headers of a caller who may read patient data. Some patients are stored."""
    for topic, records in RECORDS.items():
        drained = Drained(pool, topic)
        await drained.load(await drained.batch(Rec(place, encoded(each)) for place, each in enumerate(records)))
    return await api.bearing(Scope.READ_PATIENTS)


async def found(api: Client, headers: dict[str, str], path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        answer = await api.http.get(following, headers=headers)
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        following = answer.links["next"]["url"] if "next" in answer.links else None
    return items


ONE, TWO = UUID(int=1), UUID(int=2)
QUESTIONS = {
    "patients": 4,
    "patients?limit=1": 4,
    f"patients?patient_id={ONE}": 1,
    "patients?gender=Female": 2,
    "patients?language=English&gender=Female": 2,
    "patients?race=Asian": 1,
    "patients?marital_status=Single": 1,
    "patients?gender=Klingon": 1,
    "admissions": 3,
    "admissions?limit=2": 3,
    f"admissions?patient_id={ONE}": 2,
    "admissions?diagnosis=J45": 1,
    "admissions?from=2024-04-01T00:00:00Z": 1,
    "admissions?to=2024-04-01T00:00:00Z": 2,
    "admissions?from=2024": 3,
    "admissions?to=2023": 0,
    "admissions?from=2024-04": 1,
    "admissions?to=2024-03": 2,
    "admissions?from=2024-03-14&to=2024-03-14": 2,
    "lab-results": 3,
    "lab-results?limit=1": 3,
    f"lab-results?patient_id={TWO}&admission_id=1": 1,
    "lab-results?lab_name=CBC:+RDW": 2,
    "lab-results?from=2024-03-02T00:00:00Z&to=2024-03-03T00:00:00Z": 1,
    "lab-results?from=2024-03-02": 1,
    "lab-results?to=2024-03-01": 2,
    "lab-results?from=2024-03&to=2024-03": 3,
    "lab-results?from=2025": 0,
    "lab-results?min_value=10&max_value=13": 1,
}


async def test_filters_and_pages_find_each_row_once(api: Client, reader: dict[str, str]) -> None:
    answers = {question: await found(api, reader, f"/records/{question}") for question in QUESTIONS}
    assert {question: len(rows) for question, rows in answers.items()} == QUESTIONS
    for rows in answers.values():
        assert len({(row["topic"], row["partition"], row["offset"]) for row in rows}) == len(rows)


async def test_rows_are_typed_and_lead_back_to_their_record(api: Client, reader: dict[str, str]) -> None:
    (row,) = await found(api, reader, f"/records/lab-results?patient_id={TWO}")
    assert UUID(row.pop("load_id"))
    assert row == {
        "patient_id": str(TWO),
        "admission_id": 1,
        "lab_name": "URINALYSIS: PH",
        "lab_date_time": "2024-03-01T08:30:00.123+00:00",
        "lab_value": 6.5,
        "lab_units": None,
        "topic": "lab_results",
        "partition": 0,
        "offset": 2,
    }


async def test_lists_can_be_had_as_csv(api: Client, reader: dict[str, str]) -> None:
    for path, rows in (("patients", 4), ("admissions", 3), ("lab-results", 3)):
        answer = await api.http.get(f"/records/{path}", headers=reader | {"Accept": "text/csv"})
        assert len(list(csv.DictReader(io.StringIO(answer.text)))) == rows


async def test_statistics_answer_what_is_asked_most(api: Client, reader: dict[str, str]) -> None:
    answer = await api.http.get("/records/statistics", headers=reader)
    assert answer.json() == {
        "patients_by_gender": [
            {"value": "Female", "patients": 2},
            {"value": "Klingon", "patients": 1},
            {"value": "Male", "patients": 1},
        ],
        "patients_by_language": [
            {"value": "English", "patients": 2},
            {"value": "Icelandic", "patients": 1},
            {"value": "Spanish", "patients": 1},
        ],
        "most_frequent_diagnosis": {
            "code": "I10",
            "description": "Essential (primary) hypertension",
            "admissions": 2,
        },
        "distinct_laboratory_tests": 2,
        "most_common_test": {"lab_name": "CBC: RDW", "results": 2},
    }


async def test_without_records_the_statistics_are_empty(api: Client) -> None:
    answer = await api.http.get("/records/statistics", headers=await api.bearing(Scope.READ_PATIENTS))
    assert answer.json() == {
        "patients_by_gender": [],
        "patients_by_language": [],
        "most_frequent_diagnosis": None,
        "distinct_laboratory_tests": 0,
        "most_common_test": None,
    }


async def test_each_read_is_in_the_audit_and_names_no_patient(api: Client, reader: dict[str, str], pool: Pool) -> None:
    await found(api, reader, f"/records/patients?patient_id={ONE}&gender=Female")
    await found(api, reader, "/records/lab-results?lab_name=CBC:+RDW")
    await api.http.get("/records/statistics", headers=reader)
    rows = await pool.fetch("SELECT subject, detail FROM access.audit WHERE action = 'read_patients' ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("/records/patients", {"filters": ["gender"], "patient": pseudonym(str(ONE))}),
        ("/records/lab-results", {"filters": ["lab_name"]}),
        ("/records/statistics", {}),
    ]
