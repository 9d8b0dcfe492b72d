"""Imports of zip codes and of NDJSON by the API."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from config.settings import Settings
from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client
from tests.support.fhir_rows import observation, patient
from tests.support.imports import with_sandbox
from tests.support.sandbox import SAMPLE, RunningSandbox, running_sandbox

NDJSON = "\n".join(map(json.dumps, (patient("1"), observation("a", "1", 1.5), observation("b", "1", 2.5)))).encode()


@pytest.fixture
def sandbox() -> Iterator[RunningSandbox]:
    """A FHIR server with nine patients."""
    with running_sandbox() as made:
        yield made


@pytest.fixture
def settings(settings: Settings, sandbox: RunningSandbox) -> Settings:
    """The sandbox is the one FHIR server, and files are small."""
    made = with_sandbox(settings, sandbox)
    return made.model_copy(update={"fhir": made.fhir.model_copy(update={"max_file_bytes": 4 * 1024 * 1024})})


@pytest_asyncio.fixture
async def importer(api: Client) -> dict[str, str]:
    """Headers of somebody who may import patients, and read of them."""
    return await api.bearing(Scope.OPERATE, Scope.READ_PATIENTS)


async def run_of(api: Client, headers: dict[str, str], run_id: str) -> dict[str, Any]:
    """The run, once it has ended."""
    async with asyncio.timeout(90):
        events = (await api.http.get(f"/runs/{run_id}/events", headers=headers)).text
    assert "event: run" in events
    found: dict[str, Any] = (await api.http.get(f"/runs/{run_id}", headers=headers)).json()
    return found


@pytest.mark.usefixtures("sent")
async def test_zip_codes_are_imported_each_by_a_run_of_its_own_and_can_be_asked_for(
    api: Client, importer: dict[str, str], pool: Pool
) -> None:
    asked = {"zipcodes": ["01854", "02114", "01854"], "server": "sandbox"}
    answer = await api.http.post("/zipcodes", headers=importer, json=asked)
    assert answer.status_code == 202
    assert "location" not in answer.headers
    items = answer.json()["items"]
    assert [item["zipcode"] for item in items] == ["01854", "02114"]
    for item, observations in zip(items, (143, 81), strict=True):
        run = await run_of(api, importer, item["run_id"])
        assert (run["state"], run["source"]) == ("completed", "fhir")
        shown = (await api.http.get(f"/zipcodes/{item['zipcode']}", headers=importer)).json()
        assert (shown["patients"], shown["observations"]) == (1, observations)
        assert shown["servers"][0]["last_import"]["run_id"] == item["run_id"]
        (one,) = (await api.http.get(f"/patients?zipcode={item['zipcode']}", headers=importer)).json()["items"]
        csv = await api.http.get(f"/patients/{one['id']}/observations", headers=importer | {"Accept": "text/csv"})
        assert len(csv.text.splitlines()) == observations + 1
    started = await pool.fetch("SELECT subject FROM access.audit WHERE action = 'start_run' ORDER BY subject")
    assert [row["subject"].rpartition("zipcode-")[2] for row in started] == ["sandbox-01854", "sandbox-02114"]


@pytest.mark.usefixtures("sent")
async def test_a_zip_code_imported_again_shows_the_first_imports_figures(api: Client, importer: dict[str, str]) -> None:
    runs, imports = [], []
    for _ in range(2):
        (item,) = (await api.http.post("/zipcodes", headers=importer, json={"zipcodes": ["02114"]})).json()["items"]
        runs.append(await run_of(api, importer, item["run_id"]))
        (server,) = (await api.http.get("/zipcodes/02114", headers=importer)).json()["servers"]
        imports.append(server["last_import"])
    assert [run["result"] for run in runs] == ["loaded", "already_loaded"]
    assert runs[0]["counts"] == runs[1]["counts"] != {}
    assert [each["counts"]["observations"] for each in imports] == [81, 81]
    assert [each["run_id"] for each in imports] == [run["id"] for run in runs]
    assert runs[1]["report"]["figures_of"] == runs[0]["id"]


async def test_one_zip_code_has_a_location_and_a_second_start_joins_the_open_run(
    api: Client, importer: dict[str, str]
) -> None:
    first, second = [await api.http.post("/zipcodes", headers=importer, json={"zipcodes": ["02114"]}) for _ in range(2)]
    (run_id,) = [item["run_id"] for item in first.json()["items"]]
    assert first.headers["location"] == second.headers["location"] == f"/runs/{run_id}"
    cancelled = await api.http.post(f"/runs/{run_id}/cancel", headers=importer)
    assert cancelled.status_code == 202


@pytest.mark.parametrize(
    ("body", "kind", "field"),
    [
        ({"zipcodes": ["02139", "2139"]}, "InvalidZipcode", "zipcodes.2"),
        ({"zipcodes": ["02139\n"]}, "InvalidZipcode", "zipcodes.1"),
        ({"zipcodes": ["02139", 2139]}, "Unprocessable", "zipcodes.2"),
        ({"zipcodes": ["02139"], "server": "none"}, "UnknownServer", "server"),
        ({"zipcodes": ["02139"], "server": "file"}, "UnknownServer", "server"),
        ({"zipcodes": []}, "Unprocessable", "zipcodes"),
        ({"zipcodes": ["02139"] * 101}, "Unprocessable", "zipcodes"),
        ({"zipcodes": "02139"}, "Unprocessable", "zipcodes"),
        ({}, "Unprocessable", "zipcodes"),
    ],
)
async def test_a_request_that_is_wrong_anywhere_starts_no_run(
    api: Client, importer: dict[str, str], pool: Pool, body: dict[str, Any], kind: str, field: str
) -> None:
    answer = await api.http.post("/zipcodes", headers=importer, json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, kind)
    assert answer.json()["field"] == field
    assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 0


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("packed", [False, True])
async def test_an_upload_is_loaded_plain_or_packed_and_a_packed_one_is_the_same_file(
    api: Client, importer: dict[str, str], pool: Pool, packed: bool
) -> None:
    async def upload(content: bytes) -> dict[str, Any]:
        answer = await api.http.post("/fhir/bulk", headers=importer, files={"file": ("patients.ndjson", content)})
        assert answer.status_code == 202, answer.text
        assert answer.headers["location"] == f"/runs/{answer.json()['run_id']}"
        return await run_of(api, importer, answer.json()["run_id"])

    run = await upload(gzip.compress(NDJSON) if packed else NDJSON)
    assert (run["state"], run["result"], run["subject"]) == ("completed", "loaded", "patients.ndjson")
    assert run["counts"]["fhir.observation"]["inserted"] == 2
    again = await upload(NDJSON)
    assert again["result"] == "already_loaded" or again["id"] == run["id"]  # it may have met the end of the first
    assert await pool.fetchval("SELECT count(*) FROM ingest.load") == 1
    assert await pool.fetchval("SELECT array_agg(DISTINCT server) FROM fhir.observation") == ["file"]


@pytest.mark.usefixtures("sent")
async def test_an_upload_can_be_of_a_server(api: Client, importer: dict[str, str], pool: Pool) -> None:
    answer = await api.http.post(
        "/fhir/bulk", headers=importer, files={"file": ("x", NDJSON)}, data={"server": "sandbox"}
    )
    await run_of(api, importer, answer.json()["run_id"])
    assert await pool.fetchval("SELECT server FROM fhir.patient") == "sandbox"


@pytest.mark.usefixtures("sent")
async def test_an_export_is_loaded_by_its_url(
    api: Client, importer: dict[str, str], pool: Pool, sandbox: RunningSandbox
) -> None:
    answer = await api.http.post(
        "/fhir/bulk", headers=importer, json={"url": f"{sandbox.url}/$export?_type=Patient,Observation"}
    )
    assert answer.status_code == 202, answer.text
    run = await run_of(api, importer, answer.json()["run_id"])
    assert run["state"] == "completed", run["error"]
    lines = [len(Path(SAMPLE / f"{kind}.ndjson").read_bytes().splitlines()) for kind in ("Patient", "Observation")]
    assert [await pool.fetchval(f"SELECT count(*) FROM fhir.{table}") for table in ("patient", "observation")] == lines


async def test_what_cannot_be_loaded_is_refused_with_what_to_do(
    api: Client, importer: dict[str, str], pool: Pool
) -> None:
    async def upload(content: bytes, **more: Any) -> httpx.Response:
        return await api.http.post("/fhir/bulk", headers=importer, files={"file": ("x.ndjson", content)}, **more)

    async def trigger(body: Any) -> httpx.Response:
        return await api.http.post("/fhir/bulk", headers=importer, json=body)

    bomb = gzip.compress(b"\n" * (5 * 1024 * 1024))
    wrong = [
        (await api.http.post("/fhir/bulk", headers=importer, content=b"x"), 415),
        (await api.http.post("/fhir/bulk", headers=importer, files={"other": b"x"}), 422),
        (await upload(NDJSON, data={"server": "none"}), 422),
        (await upload(gzip.compress(NDJSON)[:-9]), 422),
        (await upload(b"\x1f\x8b damaged"), 422),
        (await upload(bomb), 413),
        (await upload(b"x" * (5 * 1024 * 1024)), 413),
        (await trigger({"url": "https://169.254.169.254/latest"}), 422),
        (await trigger({"url": "file:///etc/passwd"}), 422),
        (await trigger({"url": "https://example.org/x.ndjson", "server": "none"}), 422),
        (await trigger({"uri": "https://example.org/x.ndjson"}), 422),
        (await trigger(["https://example.org/x.ndjson"]), 422),
        (await trigger({"url": "x" * 100_000}), 413),
    ]
    for number, (answer, status) in enumerate(wrong):
        assert answer.status_code == status, (number, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
    assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 0


async def test_an_unknown_server_is_the_field_that_is_wrong_in_a_form_and_in_an_object(
    api: Client, importer: dict[str, str], sandbox: RunningSandbox
) -> None:
    asked: tuple[dict[str, Any], ...] = (
        {"files": {"file": ("x.ndjson", NDJSON)}, "data": {"server": "none"}},
        {"json": {"url": f"{sandbox.url}/$export", "server": "none"}},
    )
    for body in asked:
        answer = await api.http.post("/fhir/bulk", headers=importer, **body)
        told = answer.json()
        assert (answer.status_code, told["type"], told["field"]) == (422, "UnknownServer", "server"), body


async def test_runs_that_concern_patients_are_for_whom_may_read_of_them(
    api: Client, importer: dict[str, str], pool: Pool
) -> None:
    (started,) = (await api.http.post("/zipcodes", headers=importer, json={"zipcodes": ["02114"]})).json()["items"]
    await pool.execute(
        "INSERT INTO ingest.run (id, workflow_id, workflow, source, subject, state, phase, started_at) "
        "VALUES ('b', 'w', 'ingest-workbook', 'beds', 's', 'completed', 'done', now())"
    )
    operator = await api.bearing(Scope.OPERATE)
    run = f"/runs/{started['run_id']}"
    for method, path in (
        ("GET", run), ("GET", f"{run}/events"), ("POST", f"{run}/cancel"),
        ("GET", f"/nhs-data/status/{started['run_id']}"),
    ):  # fmt: skip
        assert (await api.http.request(method, path, headers=operator)).status_code == 403, path
    for query in ("", "?source=fhir", "?state=running"):
        seen = [item["source"] for item in (await api.http.get(f"/runs{query}", headers=operator)).json()["items"]]
        assert seen == ([] if query else ["beds"])
    assert (await api.http.get("/runs/b", headers=operator)).status_code == 200
    listed = (await api.http.get("/runs?source=fhir", headers=importer)).json()["items"]
    assert [item["id"] for item in listed] == [started["run_id"]]
    assert (await api.http.get(run, headers=importer)).json()["state"] == "running"
    assert (await api.http.post(f"{run}/cancel", headers=importer)).status_code == 202


@pytest.mark.usefixtures("sent")
async def test_what_was_read_can_be_asked_for_while_the_run_goes_on(
    api: Client, importer: dict[str, str], sandbox: RunningSandbox
) -> None:
    sandbox.set_faults(latency=0.5)
    (started,) = (await api.http.post("/zipcodes", headers=importer, json={"zipcodes": ["02302"]})).json()["items"]
    async with asyncio.timeout(60):
        while True:
            observations = (await api.http.get("/observations?limit=1", headers=importer)).json()["items"]
            state = (await api.http.get(f"/runs/{started['run_id']}", headers=importer)).json()["state"]
            assert state == "running", "it ended before anything of it was seen"
            if observations:
                break
            await asyncio.sleep(0.05)
    sandbox.set_faults()
    assert (await run_of(api, importer, started["run_id"]))["state"] == "completed"
    assert (await api.http.get("/zipcodes/02302", headers=importer)).json()["observations"] == 423


async def test_a_repeated_request_with_its_key_starts_nothing_again(
    api: Client, importer: dict[str, str], pool: Pool
) -> None:
    keyed = importer | {"Idempotency-Key": "once"}
    first, again = [await api.http.post("/zipcodes", headers=keyed, json={"zipcodes": ["02114"]}) for _ in range(2)]
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    assert await pool.fetchval("SELECT count(*) FROM access.audit WHERE action = 'start_run'") == 1
    assert (await api.http.post("/zipcodes", headers=await api.bearing(Scope.OPERATE) | {"Idempotency-Key": "once"},
                                json={"zipcodes": ["02114"]})).status_code == 403  # fmt: skip
