"""What was refused, and who sees it as it came."""

import csv
import io
import json

import pytest_asyncio

from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client
from tests.integration.api.test_fhir_patients import found
from tests.support.fhir_rows import FhirRows, patient

NO_DATE = patient("1", born="SENTINEL")
NO_JSON = b'{"resourceType": "Patient", "id": "SENTINEL'
NO_TEXT = b'{"resourceType": "Patient", "id": "\xff\xfe"}'


@pytest_asyncio.fixture(autouse=True)
async def refused(pool: Pool, store: ObjectStore) -> None:
    """Three lines of two runs were refused, and one of another source."""
    rows = FhirRows(pool, store)
    await rows.load(patient("2"), NO_DATE, NO_JSON, run_id="one")
    await rows.load(patient("3"), NO_TEXT, run_id="two")
    await pool.execute(
        "INSERT INTO ingest.rejection (load_id, source, dataset, object_key, line, reasons) "
        "VALUES (gen_random_uuid(), 'beds', 'beds.occupancy', 'landed/beds/x', 7, '{no_negative_beds}')"
    )
    await pool.execute(
        'INSERT INTO ingest.rejection (load_id, source, dataset, topic, incarnation, partition, "offset", reasons) '
        "VALUES (gen_random_uuid(), 'patient_flow', 'patient_flow.event', 'admissions', 1, 2, 345, '{x}')"
    )
    await pool.execute(
        "INSERT INTO ingest.run (id, workflow_id, workflow, source, subject, state, phase, started_at, load_ids) "
        "SELECT 'repeat', 'w', 'w', 'fhir', 's', 'completed', 'done', now(), ARRAY[id] FROM ingest.load "
        "WHERE run_id = 'one'"
    )


@pytest_asyncio.fixture
async def operator(api: Client) -> dict[str, str]:
    """Headers of somebody who may not read of patients."""
    return await api.bearing(Scope.OPERATE)


FILTERS: dict[str, list[int | None]] = {
    "": [None, 7, 2, 3, 2],
    "source=fhir": [2, 3, 2],
    "source=none": [],
    "run=one": [3, 2],
    "run=two": [2],
    "run=repeat": [3, 2],
    "run=none": [],
    "reason=no_negative_beds": [7],
    "reason=birthDate": [2],
    "reason=not": [2, 3],
    "source=fhir&run=one&reason=birth": [2],
    "limit=1": [None, 7, 2, 3, 2],
}


async def test_rejections_are_found_by_source_run_and_reason_the_newest_first(
    api: Client, operator: dict[str, str]
) -> None:
    answers = {query: await found(api, operator, f"/quarantine?{query}") for query in FILTERS}
    assert {query: [item["line"] for item in items] for query, items in answers.items()} == FILTERS
    for item in answers[""]:
        assert "raw" not in item
        shown = (await api.http.get(f"/quarantine/{item['id']}", headers=operator)).json()
        assert shown == item
    assert "SENTINEL" not in json.dumps(answers)


async def test_a_record_of_a_stream_says_where_it_is(api: Client, operator: dict[str, str]) -> None:
    (shown,) = await found(api, operator, "/quarantine?source=patient_flow")
    place = {"topic": "admissions", "incarnation": 1, "partition": 2, "offset": 345, "object_key": None, "line": None}
    assert shown | place == shown


PLACES: dict[str, list[str]] = {
    "topic=patient": ["patient/1/6", "patient/1/5", "patient/0/6", "patient/0/5"],
    "topic=patient&partition=0": ["patient/0/6", "patient/0/5"],
    "topic=patient&partition=1&offset=5": ["patient/1/5"],
    "topic=patient&offset=6": ["patient/1/6", "patient/0/6"],
    "topic=lab_results&source=records&reason=x&limit=1": ["lab_results/0/5"],
    "topic=lab_results&partition=1": [],
    "topic=none": [],
    "partition=2": ["admissions/2/345"],
    "offset=5": ["lab_results/0/5", "patient/1/5", "patient/0/5"],
    f"offset={2**63 - 1}": [],
}


async def test_records_are_found_by_topic_partition_and_offset(
    api: Client, operator: dict[str, str], pool: Pool
) -> None:
    await pool.execute(
        'INSERT INTO ingest.rejection (load_id, source, dataset, topic, incarnation, partition, "offset", reasons) '
        "SELECT gen_random_uuid(), 'records', 'records.x', topic, 1, partition, number, '{x}' FROM (VALUES "
        "('patient', 0, 5), ('patient', 0, 6), ('patient', 1, 5), ('patient', 1, 6), ('lab_results', 0, 5)) "
        "refused (topic, partition, number)"
    )
    answers = {query: await found(api, operator, f"/quarantine?{query}") for query in PLACES}
    assert {
        query: [f"{item['topic']}/{item['partition']}/{item['offset']}" for item in items]
        for query, items in answers.items()
    } == PLACES


async def test_csv_has_all_rows(api: Client, operator: dict[str, str]) -> None:
    answer = await api.http.get("/quarantine", headers=operator | {"Accept": "text/csv"})
    assert [row["line"] for row in csv.DictReader(io.StringIO(answer.text))] == ["", "7", "2", "3", "2"]


async def test_raw_forms_are_for_whom_may_read_of_patients_and_each_is_in_the_audit(
    api: Client, operator: dict[str, str], pool: Pool
) -> None:
    both = await api.bearing(Scope.OPERATE, Scope.READ_PATIENTS)
    items = await found(api, both, "/quarantine?source=fhir&raw=true&limit=2")
    assert [(item["raw"], item["raw_encoding"]) for item in items] == [
        ("eyJyZXNvdXJjZVR5cGUiOiAiUGF0aWVudCIsICJpZCI6ICL//iJ9", "base64"),
        (NO_JSON.decode(), "utf-8"),
        (json.dumps(NO_DATE), "utf-8"),
    ]
    one = (await api.http.get(f"/quarantine/{items[1]['id']}?raw=true", headers=both)).json()
    assert one == items[1]
    read = await pool.fetch("SELECT detail FROM access.audit WHERE action = 'read_raw_rejections' ORDER BY id")
    ids = [item["id"] for item in items]
    assert [row["detail"]["rejections"] for row in read] == [ids[:2], ids[2:], [ids[1]]]
    for path in ("/quarantine?raw=true", f"/quarantine/{ids[0]}?raw=true", "/quarantine/999?raw=true"):
        answer = await api.http.get(path, headers=operator)
        assert answer.status_code == 403
        assert "SENTINEL" not in answer.text
    assert await pool.fetchval("SELECT count(*) FROM access.audit WHERE action = 'read_raw_rejections'") == 3


REFUSED: dict[str, int] = {
    "/quarantine/999": 404,
    "/quarantine/0": 422,
    f"/quarantine/{2**63}": 422,
    "/quarantine?source=%00": 422,
    "/quarantine?topic=%00": 422,
    "/quarantine?topic=": 422,
    "/quarantine?partition=-1": 422,
    f"/quarantine?partition={2**31}": 422,
    "/quarantine?offset=-1": 422,
    f"/quarantine?offset={2**63}": 422,
    "/quarantine?raw=true&limit=101": 422,
    "/quarantine?after=none": 422,
}


async def test_what_cannot_be_answered_is_refused(api: Client) -> None:
    both = await api.bearing(Scope.OPERATE, Scope.READ_PATIENTS)
    assert {path: (await api.http.get(path, headers=both)).status_code for path in REFUSED} == REFUSED


async def test_raw_forms_do_not_come_as_csv(api: Client) -> None:
    both = await api.bearing(Scope.OPERATE, Scope.READ_PATIENTS)
    answer = await api.http.get("/quarantine?raw=true", headers=both | {"Accept": "text/csv"})
    assert (answer.status_code, answer.json()["field"]) == (422, "raw")
