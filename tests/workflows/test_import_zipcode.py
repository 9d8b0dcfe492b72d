"""A zip code from a FHIR server, on the real servers and the sandbox: what an import brings, and what the next one."""

from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.fhir.imports import FhirImportActivities
from config.settings import Settings
from library.contracts.loads import DatasetCounts
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.sources.fhir.contracts import FinishImport
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.staging import READER_VERSION
from library.warehouse.pool import Pool
from service.worker.parts import Resources
from tests.support.imports import SERVER, Imports, imports


async def test_a_zip_code_becomes_the_patients_and_observations_that_its_server_has(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        run = await importing.zipcode("01906")
        assert (run.state, run.result, run.error) == (RunState.COMPLETED, "loaded", None)
        await importing.assert_equal("01906")
        await importing.assert_nothing_left()
    assert run.subject == "01906 at sandbox"
    told = {"patients": 2, "observations": 289, "remaining": 0, "patient_unknown": 0}
    assert run.report | {"pages": 0} == told | {"pages": 0}
    assert run.counts["fhir.observation"]["inserted"] == 289  # type: ignore[index,call-overload]
    done = await pool.fetchrow("SELECT * FROM fhir.zipcode_import")
    assert done is not None
    assert (done["zipcode"], done["server"], done["last_run_id"]) == ("01906", "sandbox", run.id)
    assert await pool.fetchval("SELECT count(*) FROM fhir.patient_import") == 2


async def test_a_zip_code_without_patients_was_not_loaded_before(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        run = await importing.zipcode("99999")
        assert (run.state, run.result, run.report["patients"]) == (RunState.COMPLETED, "loaded", 0)


def observation_of(importing: Imports, patient: str) -> dict[str, Any]:
    return next(
        each
        for each in importing.sandbox.resources("Observation")
        if each["subject"]["reference"] == f"Patient/{patient}"
    )


def patients_of(importing: Imports, zipcode: str) -> list[dict[str, Any]]:
    return [each for each in importing.sandbox.resources("Patient") if each["address"][0].get("postalCode") == zipcode]


async def test_a_second_import_asks_for_what_has_changed_and_misses_nothing(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        await importing.zipcode("01906")
        sandbox, (first, second) = importing.sandbox, patients_of(importing, "01906")
        (elsewhere,) = patients_of(importing, "02114")
        changed = observation_of(importing, first["id"])
        sandbox.put(changed | {"status": "amended"})
        sandbox.put(observation_of(importing, second["id"]) | {"id": "added-to-a-known-patient"})
        sandbox.put(first | {"id": "a-new-patient"})
        sandbox.put(changed | {"id": "of-the-new-one", "subject": {"reference": "Patient/a-new-patient"}})
        moved_in = elsewhere | {"address": [first["address"][0]]}
        moved_out = second | {"address": [elsewhere["address"][0]]}
        sandbox.put(moved_in, moved_out)
        sandbox.clear_calls()

        run = await importing.zipcode("01906")

        assert (run.state, run.error) == (RunState.COMPLETED, None)
        await importing.assert_equal("01906")
        assert await pool.fetchval("SELECT city FROM fhir.patient WHERE id = $1", second["id"]) == moved_out["address"][
            0
        ].get("city")
        searches = sandbox.call_log("search Observation")
        by_patients = {dict(call["parameters"])["patient"]: dict(call["parameters"]) for call in searches}
        assert "_lastUpdated" in by_patients[first["id"]]
        (asked_whole,) = (whole for whole in by_patients.values() if "_lastUpdated" not in whole)
        assert set(asked_whole["patient"].split(",")) == {"a-new-patient", elsewhere["id"]}
        assert [call["path"] for call in sandbox.call_log("read")] == [f"/fhir/Patient/{second['id']}"]


async def test_an_import_of_what_has_not_changed_is_already_loaded_and_writes_nothing(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        await importing.zipcode("00000")
        written = await pool.fetch("SELECT id, xmin::text FROM fhir.observation ORDER BY id")
        importing.sandbox.clear_calls()
        run = await importing.zipcode("00000")
        assert (run.state, run.result) == (RunState.COMPLETED, "already_loaded")
        assert await pool.fetch("SELECT id, xmin::text FROM fhir.observation ORDER BY id") == written
        assert importing.sandbox.call_log("page Observation") == []  # nothing has changed: one empty page a search


async def test_an_import_of_what_has_not_changed_shows_the_figures_of_the_last_one_that_loaded_something(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        first = await importing.zipcode("01906")
        for _ in range(2):  # the second one has only an import before it that loaded nothing itself
            again = await importing.zipcode("01906")
            assert (again.result, again.counts) == ("already_loaded", first.counts)
            assert again.report | {"pages": 0} == first.report | {"pages": 0, "figures_of": first.id}
            kept = await pool.fetchrow("SELECT * FROM fhir.zipcode_import")
            assert kept is not None
            assert (kept["last_run_id"], kept["counts"]["observations"]) == (again.id, first.report["observations"])
        (patient, _) = patients_of(importing, "01906")
        importing.sandbox.put(observation_of(importing, patient["id"]) | {"status": "amended"})
        changed = await importing.zipcode("01906")
        assert (changed.result, changed.report["observations"], "figures_of" in changed.report) == ("loaded", 1, False)
        last = await importing.zipcode("01906")
        assert (last.result, last.counts) == ("already_loaded", changed.counts)
        assert (last.report["figures_of"], last.report["observations"]) == (changed.id, 1)
        elsewhere = await importing.zipcode("99999")
        assert (elsewhere.result, elsewhere.counts) == ("loaded", {})


async def test_what_a_failed_import_has_loaded_is_what_the_next_one_shows(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        first = await importing.zipcode("01906")
        await pool.execute("UPDATE ingest.run SET state = 'failed', result = NULL WHERE id = $1", first.id)
        again = await importing.zipcode("01906")
    assert (again.result, again.counts, again.report["figures_of"]) == ("already_loaded", first.counts, first.id)


async def test_an_import_that_is_summed_up_twice_says_the_same(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    """A worker may die after its last transaction and before Temporal hears of it."""
    async with imports(settings, pool, store) as importing:
        await importing.zipcode("01906")
        again = await importing.zipcode("01906")
        resources = Resources(settings, importing.client, pool, store)
        activities = FhirImportActivities(
            FhirImports(pool, READER_VERSION), resources.stager, resources.loads, settings.fhir
        )
        await pool.execute("UPDATE ingest.run SET state = 'running' WHERE id = $1", again.id)
        wanted = FinishImport(run_id=again.id, server=SERVER, zipcode="01906", report={"pages": again.report["pages"]})
        totals = await ActivityEnvironment().run(activities.finish_import, wanted)
    assert (totals.outcome, totals.report) == ("already_loaded", again.report)
    assert totals.counts == {name: DatasetCounts.model_validate(counts) for name, counts in again.counts.items()}


async def test_what_an_older_reader_has_read_is_asked_for_again_whole(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        await importing.zipcode("01906")
        await pool.execute("UPDATE fhir.patient_import SET reader_version = reader_version - 1")
        importing.sandbox.clear_calls()
        assert (await importing.zipcode("01906")).state is RunState.COMPLETED
        (search,) = importing.sandbox.call_log("search Observation")
        assert "_lastUpdated" not in dict(search["parameters"])
        assert await pool.fetchval("SELECT min(reader_version) FROM fhir.patient_import") == READER_VERSION


async def test_patients_are_kept_only_where_a_postal_code_is_the_zip_code_that_was_asked_for(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        (patient,) = patients_of(importing, "02114")
        for name, address in (
            ("longer", {"postalCode": "021145"}),
            ("abroad", {"postalCode": "02114-1234", "country": "SA"}),
            ("four-more", {"postalCode": "02114-1234"}),
        ):
            importing.sandbox.put(patient | {"id": name, "address": [address]})
        importing.sandbox.put(patient | {"id": "second-home", "address": [{}, {"postalCode": "02114"}]})
        run = await importing.zipcode("02114")
        assert run.report["left_out"] == 2
        stored = await pool.fetch("SELECT id FROM fhir.patient ORDER BY id")
        assert {row["id"] for row in stored} == {patient["id"], "four-more", "second-home"}
