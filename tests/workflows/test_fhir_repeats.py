"""Bytes that come again, of resources that do not say when they were changed: what counts is what came last."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from library.contracts.runs import Run, RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.sources.fhir.starts import import_fhir, import_fhir_from, land_fhir
from tests.support.fhir import observation, resource
from tests.support.imports import SERVER, Imports, imports


def named(family: str, zipcode: str = "70001") -> dict[str, Any]:
    """A patient without a `meta`."""
    return resource("Patient", name=[{"family": family}], address=[{"postalCode": zipcode}])


async def families(pool: Pool) -> list[tuple[str, str]]:
    rows = await pool.fetch("SELECT server, family FROM fhir.patient ORDER BY server")
    return [tuple(row) for row in rows]


async def sent(importing: Imports, folder: Path, patient: dict[str, Any], **how: Any) -> Run:
    """Send a file with one patient."""
    file = folder / "patient.ndjson"
    file.write_text(json.dumps(patient))
    landed = await land_fhir(importing.starter, file)
    return await importing.closed(await import_fhir(importing.starter, landed, subject=file.name, **how))


async def test_what_an_export_goes_back_to_is_loaded_again(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, faults={"unstamped_export": 1.0}) as importing:
        importing.sandbox.clear_resources()

        async def exported(family: str) -> str | None:
            importing.sandbox.put(named(family))
            url = f"{importing.sandbox.url}/$export?_type=Patient"
            return (await importing.closed(await import_fhir_from(importing.starter, url))).result

        assert [await exported(each) for each in ("First", "Second", "First")] == ["loaded"] * 3
        assert await families(pool) == [(SERVER, "First")]
        assert [await exported(each) for each in ("Second", "First")] == ["loaded"] * 2
        assert await families(pool) == [(SERVER, "First")]


async def test_a_patient_that_moves_back_is_back_though_its_server_dates_nothing(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        importing.sandbox.clear_resources()
        for zipcode in ("70001", "70002", "70001"):
            value = observation(subject={"reference": "Patient/1"}, valueString=f"in {zipcode}")
            importing.sandbox.put_as_given(named("Everyperson", zipcode), value)
            run = await importing.zipcode(zipcode)
            assert (run.state, run.result) == (RunState.COMPLETED, "loaded")
        assert (await importing.zipcode("70001")).result == "already_loaded"
    assert await pool.fetchval("SELECT postal_code FROM fhir.patient") == "70001"
    assert await pool.fetchval("SELECT value_text FROM fhir.observation") == "in 70001"


async def test_a_file_counts_as_of_when_it_was_sent_for_its_server(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path
) -> None:
    async with imports(settings, pool, store) as importing:
        await sent(importing, tmp_path, named("Second"))
        await sent(importing, tmp_path, named("First"), server=SERVER)
        await sent(importing, tmp_path, named("Second"), server=SERVER)
    assert await families(pool) == [("file", "Second"), (SERVER, "Second")]


async def test_an_old_file_that_is_sent_again_does_not_undo_its_correction_unless_it_is_reloaded(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path
) -> None:
    async with imports(settings, pool, store) as importing:
        for family in ("Old", "Corrected"):
            await sent(importing, tmp_path, named(family))
        assert (await sent(importing, tmp_path, named("Old"))).result == "already_loaded"
        assert await families(pool) == [("file", "Corrected")]
        assert (await sent(importing, tmp_path, named("Old"), reload=True)).result == "loaded"
        assert await families(pool) == [("file", "Old")]


async def test_what_an_older_reader_has_read_is_read_again_as_of_the_same_time(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with imports(settings, pool, store) as importing:
        for family in ("Old", "Corrected"):
            await sent(importing, tmp_path, named(family), server="file")
        monkeypatch.setattr("library.sources.fhir.staging.READER_VERSION", 1_000)
        for family in ("Corrected", "Old"):
            assert (await sent(importing, tmp_path, named(family))).result == "loaded"
    assert await families(pool) == [("file", "Corrected")]
