"""NDJSON files and exports become rows; the command line brings them in."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from library.contracts.runs import RunState
from library.contracts.web import UrlNotAllowed
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.sources.fhir.starts import import_fhir, import_fhir_from, land_fhir
from tests.faults.harness import environment_of
from tests.support.commands import Commands
from tests.support.imports import Imports, imports
from tests.support.sandbox import SAMPLE, running_sandbox


async def imported(importing: Imports, path: Path, **more: Any) -> Any:
    landed = await land_fhir(importing.starter, path)
    return await importing.closed(await import_fhir(importing.starter, landed, subject=path.name, **more))


async def test_observations_whose_patient_is_unknown_are_kept_and_counted_until_it_is_known(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        before = await imported(importing, SAMPLE / "Observation.ndjson")
        assert await pool.fetchval("SELECT count(*) FROM fhir.observation") == 1541
        await imported(importing, SAMPLE / "Patient.ndjson", server="sandbox")
        elsewhere = await imported(importing, SAMPLE / "Observation.ndjson")
        reloaded = await imported(importing, SAMPLE / "Observation.ndjson", reload=True)
        assert reloaded.report["patient_unknown"] == 1541
        patients = await imported(importing, SAMPLE / "Patient.ndjson")
        after = await imported(importing, SAMPLE / "Observation.ndjson")
    assert [each.report["patient_unknown"] for each in (before, elsewhere, patients, after)] == [1541, 1541, 0, 0]
    assert after.report | {"patient_unknown": 1541} == before.report


async def test_observations_of_an_export_whose_patient_is_unknown_are_counted_once_all_files_are_loaded(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        known = await importing.closed(await import_fhir_from(importing.starter, f"{importing.sandbox.url}/$export"))
        strays = [
            {"resourceType": "Observation", "id": str(number), "subject": {"reference": f"Patient/nobody-{number % 2}"}}
            for number in range(3)
        ]
        importing.sandbox.put(*strays, {"resourceType": "Observation", "id": "of-a-group"})
        strayed = await importing.closed(await import_fhir_from(importing.starter, f"{importing.sandbox.url}/$export"))
    assert (known.report["patient_unknown"], strayed.report["patient_unknown"]) == (0, 3)
    assert strayed.counts["fhir.observation"]["warned"] == {"patient_named": 1}  # type: ignore[index,call-overload]


async def test_observations_of_patients_at_other_servers_are_counted_with_their_addresses_and_what_to_set(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path
) -> None:
    there, odd = "https://lab.elsewhere.example/fhir", "https://user:secret@odd.example/people/1"
    subjects = ["Patient/1", f"{there}/Patient/1", f"{there}/Patient/2/_history/3", odd]
    path = tmp_path / "foreign.ndjson"
    path.write_text(
        "\n".join(
            json.dumps({"resourceType": "Observation", "id": str(number), "subject": {"reference": subject}})
            for number, subject in enumerate(subjects)
        )
    )
    async with imports(settings, pool, store) as importing:
        run = await imported(importing, path)
        assert run.report["patient_elsewhere"] == 3
        assert run.report["elsewhere"] == {there: 2, "https://odd.example": 1}
        assert run.report["patient_unknown"] == 1
        assert [there in each and "--server" in each and "own_bases" in each for each in run.warnings] == [True, False]
        assert run.counts["fhir.observation"]["warned"] == {}
        of_server = await imported(importing, path, server="sandbox")
        assert "fhir.servers.sandbox.own_bases" in of_server.warnings[0]
        importing.sandbox.put(
            {"resourceType": "Observation", "id": "o", "subject": {"reference": f"{there}/Patient/1"}},
            {"resourceType": "Patient", "id": "1", "address": [{"postalCode": "77777"}]},
        )
        export = await importing.closed(await import_fhir_from(importing.starter, f"{importing.sandbox.url}/$export"))
    assert (export.report["patient_elsewhere"], export.report["elsewhere"]) == (1, {there: 1})


async def test_stored_resources_of_which_a_newer_version_is_refused_are_counted(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path
) -> None:
    path = tmp_path / "versions.ndjson"
    good = {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/nobody"}}
    async with imports(settings, pool, store) as importing:
        path.write_text(json.dumps(good))
        before = await imported(importing, path)
        path.write_text(json.dumps(good | {"modifierExtension": [{"url": "http://x/negated"}]}))
        run = await imported(importing, path)
    assert "outdated" not in before.report
    assert (run.report["outdated"], run.report["patient_unknown"]) == (1, 0)
    assert await pool.fetchval("SELECT outdated FROM fhir.observation")


async def test_a_changed_list_of_own_bases_is_as_a_newer_reader(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path
) -> None:
    there = "https://was.here.example/fhir"
    path = tmp_path / "own.ndjson"
    observation = {"resourceType": "Observation", "id": "o", "subject": {"reference": f"{there}/Patient/1"}}
    path.write_text(json.dumps(observation))
    async with imports(settings, pool, store) as importing:
        before = await imported(importing, path, server="sandbox")
        again = await imported(importing, path, server="sandbox")
        assert (before.result, again.result) == ("loaded", "already_loaded")
    async with imports(settings, pool, store, own_bases=[there]) as importing:
        after = await imported(importing, path, server="sandbox")
        again = await imported(importing, path, server="sandbox")
    assert (after.result, again.result) == ("loaded", "already_loaded")
    assert "patient_elsewhere" not in after.report
    rows = await pool.fetch("SELECT patient_id, patient_reference FROM fhir.observation")
    assert [tuple(row) for row in rows] == [("1", None)]


@pytest.mark.parametrize("meta", [{}, {"lastUpdated": "2020-01-01T00:00:00Z"}], ids=["undated", "dated"])
async def test_a_list_of_own_bases_that_is_changed_back_counts_again(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path, meta: dict[str, str]
) -> None:
    there = "https://was.here.example/fhir"
    path = tmp_path / "own.ndjson"
    subject = {"reference": f"{there}/Patient/1"}
    path.write_text(json.dumps({"resourceType": "Observation", "id": "o", "meta": meta, "subject": subject}))
    results: list[Any] = []
    patients: list[str | None] = []
    with running_sandbox() as sandbox:
        for bases in ([], [there], [], [there]):
            async with imports(settings, pool, store, sandbox=sandbox, own_bases=bases) as importing:
                results += [(await imported(importing, path, server="sandbox")).result for _ in range(2)]
                patients.append(await pool.fetchval("SELECT patient_id FROM fhir.observation"))
    assert patients == [None, "1", None, "1"]
    assert results == ["loaded", "already_loaded"] * 4


async def test_the_same_file_can_be_loaded_as_a_servers_too(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store) as importing:
        await imported(importing, SAMPLE / "Patient.ndjson")
        await imported(importing, SAMPLE / "Patient.ndjson", server="sandbox")
    rows = await pool.fetch("SELECT server, count(*) FROM fhir.patient GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in rows] == [("file", 9), ("sandbox", 9)]


async def test_an_export_of_a_server_is_asked_for_waited_for_and_loaded(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store, faults={"unavailable": 0.3, "times": 3, "retry_after": 0.1}) as importing:
        run = await importing.closed(await import_fhir_from(importing.starter, f"{importing.sandbox.url}/$export"))
        assert (run.state, run.result, run.error) == (RunState.COMPLETED, "loaded", None)
        assert (run.subject, run.report["files"]) == ("$export of sandbox", 2)
        assert run.counts["fhir.observation"]["inserted"] == 1541  # type: ignore[index,call-overload]
        await importing.assert_equal("01906", "02302", "00000")
        again = await importing.closed(await import_fhir_from(importing.starter, f"{importing.sandbox.url}/$export"))
        assert again.result == "already_loaded"


async def test_an_export_elsewhere_than_at_a_server_of_the_settings_is_guarded(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        for url in ("http://127.0.0.1:9/$export", "https://169.254.169.254/manifest", "file:///etc/passwd"):
            with pytest.raises(UrlNotAllowed):
                await import_fhir_from(importing.starter, url)


async def test_the_command_imports_zip_codes_and_files_side_by_side(
    settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path
) -> None:
    async with imports(settings, pool, store) as importing:
        told_of = {
            "WARDFLOW_FHIR__SERVERS": json.dumps({"sandbox": {"base_url": importing.sandbox.url}}),
            "WARDFLOW_STACK__FOLDER": str(tmp_path),
        }
        commands = Commands(environment_of(settings) | told_of)

        async def command(*words: str, unknown: bool = False) -> tuple[int, Any]:
            result = await commands.call("import", *words, "--json")
            assert ("not here (yet): 1,541" in result.stderr) is unknown
            return result.exit_code, json.loads(result.stdout)

        code, told = await command("zipcode", "01906", "02114")
        assert (code, [each["result"] for each in told]) == (0, ["loaded", "loaded"])
        await importing.assert_equal("01906", "02114")
        code, told = await command("zipcode", "00000", "no-zip-code")
        assert (code, [each["error_type"] for each in told]) == (3, ["", "InvalidZipcode"])
        code, told = await command("fhir", str(SAMPLE / "Observation.ndjson"), unknown=True)
        assert (code, [each["report"]["patient_unknown"] for each in told]) == (0, [1541])
        code, told = await command("fhir", str(SAMPLE))
        assert (code, [each["name"] for each in told]) == (0, ["Observation.ndjson", "Patient.ndjson"])
        for file in SAMPLE.glob("*.ndjson"):
            (tmp_path / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        code, told = await command("fhir", str(tmp_path))
        assert (code, [each["result"] for each in told]) == (0, ["already_loaded", "already_loaded"])
