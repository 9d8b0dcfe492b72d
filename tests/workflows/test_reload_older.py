"""`wardflow reload --older-readers` reads again what an older version of a reader has read."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from config.settings import Settings
from library.contracts.reloads import ReloadOlder
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.reloads import reload_older
from service.sources.beds.starts import ingest_workbook, land_workbook
from service.sources.fhir.starts import import_fhir, land_fhir
from tests.faults.harness import environment_of
from tests.support.commands import Commands
from tests.support.imports import Imports, imports
from tests.support.runs import NHS
from tests.support.sandbox import SAMPLE, running_sandbox
from workflows.policies import WORKFLOWS

WORKBOOK = NHS / "kh03" / "1920-Q3-Beds-Open-Overnight-Web_File-Final-DE5WC.xlsx"
ZIPCODE = "02302"


@pytest_asyncio.fixture
async def importing(settings: Settings, pool: Pool, store: ObjectStore) -> AsyncIterator[Imports]:
    async with imports(settings, pool, store) as made:
        yield made


async def import_all(importing: Imports) -> None:
    """A workbook, a file whose resources have no times, and a zip code."""
    workbook = await land_workbook(importing.starter, WORKBOOK)
    await importing.closed(await ingest_workbook(importing.starter, workbook, subject=WORKBOOK.name))
    await importing.zipcode(ZIPCODE)
    file = await land_fhir(importing.starter, SAMPLE / "Patient.ndjson")
    await importing.closed(await import_fhir(importing.starter, file, subject="Patient.ndjson"))


async def age(pool: Pool, tables: dict[str, str]) -> None:
    """As if an older reader had read everything, and had read a column of each table wrongly."""
    for table, wrong in tables.items():
        await pool.execute(f"UPDATE {table} SET {wrong}, reader_version = 1")
    await pool.execute(
        "UPDATE ingest.load SET reader_version = 1, identity = replace(identity, 'reader', 'older'), "
        "id = md5(id::text)::uuid WHERE object_key IS NOT NULL"
    )
    await pool.execute("UPDATE fhir.zipcode_import SET reader_version = 2")


async def rows(pool: Pool) -> dict[str, list[Any]]:
    """What a reader makes of the bytes: everything but loads and versions."""
    found = {}
    for table in ("beds.edition", "beds.occupancy", "fhir.patient", "fhir.observation"):
        query = f"SELECT to_jsonb(t) - 'load_id' - 'reader_version' AS row FROM {table} t ORDER BY to_jsonb(t)::text"
        found[table] = [row["row"] for row in await pool.fetch(query)]
    return {name: sorted(map(str, each)) for name, each in found.items()}


WRONG = {
    "beds.edition": "financial_year = '1999-00'",
    "beds.occupancy": "available = available + 1",
    "fhir.patient": "city = 'Elsewhere'",
    "fhir.observation": "status = 'unknown'",
}


async def test_what_an_older_reader_has_read_is_read_again_and_only_once(importing: Imports, pool: Pool) -> None:
    await import_all(importing)
    before = await rows(pool)
    await age(pool, WRONG)
    assert await rows(pool) != before
    for source in ("beds", "fhir"):
        run = await importing.closed(await reload_older(importing.starter, source))
        assert (run.state, run.result, run.error, run.report["refused"]) == (RunState.COMPLETED, "loaded", None, 0)
        assert run.report["objects"] == await pool.fetchval(
            "SELECT count(DISTINCT (object_key, scope)) FROM ingest.load WHERE source = $1", source
        )
    assert await rows(pool) == before
    assert run.report["zipcodes_to_import"] == [f"{ZIPCODE} at sandbox"]
    again = await importing.closed(await reload_older(importing.starter, "fhir"))
    assert (again.result, again.report["objects"]) == ("already_loaded", 0)
    await importing.zipcode(ZIPCODE)
    assert "zipcodes_to_import" not in (await importing.closed(await reload_older(importing.starter, "fhir"))).report


async def test_an_object_that_is_no_longer_taken_is_told_and_its_rows_stay(
    importing: Imports, pool: Pool, store: ObjectStore, settings: Settings
) -> None:
    await import_all(importing)
    before = await pool.fetchval("SELECT count(*) FROM beds.occupancy")
    await age(pool, {})
    key = await pool.fetchval("SELECT object_key FROM ingest.load WHERE source = 'beds'")
    store.remove([key])
    commands = Commands(environment_of(settings))
    done = await commands.call("reload", "--older-readers", "--source", "beds")
    assert done.exit_code == 3
    assert key in "".join(done.stderr.split())
    assert await pool.fetchval("SELECT count(*) FROM beds.occupancy") == before
    run = await pool.fetchrow("SELECT state, result, report FROM ingest.run WHERE workflow = 'reload-older'")
    assert run is not None
    assert (run["state"], run["result"], run["report"]["refused"]) == ("completed", "incomplete", 1)


async def test_each_source_with_landed_objects_has_a_run(importing: Imports, settings: Settings) -> None:
    await import_all(importing)
    commands = Commands(environment_of(settings))
    told = await commands.answer("reload", "--older-readers")
    assert [(each["source"], each["result"]) for each in told] == [
        ("beds", "already_loaded"),
        ("fhir", "already_loaded"),
    ]
    refused = await commands.call("reload", "--older-readers", "--source", "records")
    assert (refused.exit_code, "has no landed objects" in refused.stderr) == (1, True)
    assert (await commands.call("reload")).exit_code == 2


async def test_a_reload_goes_on_in_new_histories_and_stays_one_run(
    importing: Imports, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.reloads._OBJECTS", 1)
    await import_all(importing)
    await age(pool, {})
    queue = f"{importing.starter.settings.worker.queue_prefix}{WORKFLOWS}"
    request = ReloadOlder(source="fhir", events=12)
    handle = await importing.client.start_workflow("reload-older", request, id=f"reload-{uuid4()}", task_queue=queue)
    run = await importing.closed(handle)
    assert (run.state, run.result) == (RunState.COMPLETED, "loaded")
    assert len(run.executions) > 2
    objects = "SELECT count(DISTINCT (object_key, scope)) FROM ingest.load WHERE source = 'fhir'"
    assert run.report["objects"] == await pool.fetchval(objects)


async def test_a_changed_setting_of_a_reader_is_a_newer_reader_also_for_a_server_that_is_gone(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    file = SAMPLE / "Patient.ndjson"
    async with imports(settings, pool, store) as importing:
        landed = await land_fhir(importing.starter, file)
        await importing.closed(await import_fhir(importing.starter, landed, server="sandbox", subject=file.name))
    await pool.execute("UPDATE ingest.load SET scope = 'gone'")
    async with imports(settings, pool, store, harmless_modifiers=("https://wardflow.invalid/harmless",)) as importing:
        found = [(await importing.closed(await reload_older(importing.starter, "fhir"))).report for _ in range(2)]
    assert [each["objects"] for each in found] == [1, 0]


async def test_what_was_read_with_other_settings_is_read_again_also_when_they_are_changed_back(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path
) -> None:
    there = "https://was.here.example/fhir"
    subject = {"reference": f"{there}/Patient/1"}
    path = tmp_path / "own.ndjson"
    path.write_text(json.dumps({"resourceType": "Observation", "id": "o", "subject": subject}))
    found: list[tuple[Any, ...]] = []
    with running_sandbox() as sandbox:
        for bases in ([], [there], []):
            async with imports(settings, pool, store, sandbox=sandbox, own_bases=bases) as made:
                if not found:
                    landed = await land_fhir(made.starter, path)
                    await made.closed(await import_fhir(made.starter, landed, subject=path.name, server="sandbox"))
                results = [(await made.closed(await reload_older(made.starter, "fhir"))).result for _ in range(2)]
                found.append((await pool.fetchval("SELECT patient_id FROM fhir.observation"), *results))
    assert found == [
        (None, "already_loaded", "already_loaded"),
        ("1", "loaded", "already_loaded"),
        (None, "loaded", "already_loaded"),
    ]
