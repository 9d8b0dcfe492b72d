"""A zip code from a FHIR server, on the real servers and the sandbox."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.abandoned import AbandonedRuns
from activities.fhir import FhirActivities, FhirClients
from activities.fhir_imports import FhirImportActivities
from config.settings import Settings
from library.contracts.loads import DatasetCounts
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.sources.fhir.contracts import FetchedPage, FetchPage, FinishImport, InvalidZipcode, UnknownServer
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.staging import READER_VERSION
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.starts import run_id
from service.worker.parts import Resources
from tests.faults.harness import until_async
from tests.support.imports import SERVER, Imports, imports, with_sandbox
from tests.support.sandbox import running_sandbox
from workflows.policies import WORKFLOWS


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


async def test_patients_are_kept_only_where_a_postal_code_is_just_the_one_that_was_asked_for(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        (patient,) = patients_of(importing, "02114")
        importing.sandbox.put(patient | {"id": "nearby", "address": [{"postalCode": "02114-1234"}]})
        importing.sandbox.put(patient | {"id": "second-home", "address": [{}, {"postalCode": "02114"}]})
        await importing.zipcode("02114")
        await importing.assert_equal("02114")
        assert await pool.fetchval("SELECT count(*) FROM fhir.patient WHERE id = 'nearby'") == 0
        assert await pool.fetchval("SELECT count(*) FROM fhir.patient WHERE id = 'second-home'") == 1
        await importing.zipcode("02114-1234")
        assert await pool.fetchval("SELECT postal_code FROM fhir.patient WHERE id = 'nearby'") == "02114-1234"


HARMLESS = {
    "retry_after": 0.2,
    "slow_seconds": 0.2,
    "too_many_requests": 0.1,
    "unavailable": 0.1,
    "server_error": 0.05,
    "slow": 0.1,
    "cut_off": 0.1,
    "cut_json": 0.1,
    "html": 0.05,
    "gzip": 0.5,
    "json_content_type": 0.5,
    "short_page": 0.3,
    "empty_page": 0.2,
    "missing_total": 0.5,
    "relative_next": 0.3,
    "next_on_another_port": 0.3,
    "other_parameter_order": 0.5,
    "outcome_among_matches": 0.3,
    "include_among_matches": 0.3,
}


@pytest.mark.parametrize("seed", [1, 2])
async def test_faults_of_the_server_change_nothing_of_what_comes_of_an_import(
    settings: Settings, pool: Pool, store: ObjectStore, seed: int
) -> None:
    async with imports(settings, pool, store, faults=HARMLESS | {"seed": seed}) as importing:
        run = await importing.zipcode("01906")
        assert (run.state, run.error) == (RunState.COMPLETED, None)
        await importing.assert_equal("01906")
        played = importing.sandbox.played()
        assert importing.sandbox.calls()["impatient"] == 0
    assert len(played) > len(HARMLESS) / 2


async def test_a_link_that_has_expired_begins_its_search_again(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store, faults={"expired_page": 1.0, "times": 3}) as importing:
        run = await importing.zipcode("01906")
        assert (run.state, run.error) == (RunState.COMPLETED, None)
        assert importing.sandbox.played()["expired_page"] == 3
        await importing.assert_equal("01906")


async def test_links_that_always_expire_end_the_run(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, faults={"expired_page": 1.0}) as importing:
        assert await error_of(importing, "02114") == "SearchExpired"
        # What was read completely stays, and nothing counts as known to its end.
        assert await pool.fetchval("SELECT count(*) FROM fhir.observation") == 20
        assert await pool.fetchval("SELECT count(*) FROM fhir.patient_import") == 0


@pytest.mark.parametrize("fault", ["looping_next", "repeated_page"])
async def test_pages_that_come_again_end_the_run(
    settings: Settings, pool: Pool, store: ObjectStore, fault: str
) -> None:
    async with imports(settings, pool, store, faults={fault: 1.0}) as importing:
        assert await error_of(importing, "02114") == "PageLoops"


async def test_empty_pages_without_an_end_end_the_run(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, faults={"empty_page": 1.0, "empty_pages": 1_000}) as importing:
        assert await error_of(importing, "02114") == "PageLoops"


async def error_of(importing: Imports, zipcode: str) -> str:
    run = await importing.zipcode(zipcode)
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.advice
    return run.error.type


@pytest.mark.parametrize("status", [400, 403, 501, 200])
async def test_a_server_that_takes_one_patient_a_search_is_asked_for_one_at_a_time(
    settings: Settings, pool: Pool, store: ObjectStore, status: int
) -> None:
    faults = {"several_patients_refused": 1.0, "refusal_status": status}
    async with imports(settings, pool, store, faults=faults) as importing:
        run = await importing.zipcode("01906")
        assert (run.state, run.error) == (RunState.COMPLETED, None)
        await importing.assert_equal("01906")
        assert await pool.fetchval("SELECT count(*) FROM fhir.patient_import") == 2


async def test_a_refusal_of_who_asks_ends_the_run_without_asking_for_each_patient(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    faults = {"several_patients_refused": 1.0, "refusal_status": 401}
    async with imports(settings, pool, store, faults=faults) as importing:
        assert await error_of(importing, "01906") == "ServerRefused"
        (call,) = importing.sandbox.call_log("search Observation")
        assert "," in dict(call["parameters"])["patient"]


async def test_a_base_where_no_fhir_server_is_ends_the_run_at_once(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    with running_sandbox() as sandbox:
        elsewhere = replace(sandbox, url=sandbox.url + "/nothing-is-here")
        async with imports(settings, pool, store, sandbox=elsewhere) as importing:
            assert await error_of(importing, "02114") == "ServerRefused"
        assert sandbox.calls()["count"] == 0 or sandbox.calls()["by_status"] == {"404": 1}


async def test_a_search_whose_patients_are_done_asks_for_nobody(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    with running_sandbox() as sandbox:
        clients = FhirClients(with_sandbox(settings, sandbox).fhir, ca_file=None)
        pages = FhirActivities(store, RunLog(pool), clients, FhirImports(pool, 1))
        asked = FetchPage(run_id="reset after its end", server=SERVER, zipcode="02114", search=0)
        assert await ActivityEnvironment().run(pages.fetch_observation_page, asked) == FetchedPage()
        assert sandbox.calls()["count"] == 0
        await clients.close()


async def test_two_starts_join_one_run(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, faults={"latency": 0.2}) as importing:
        first = await importing.start("02114")
        second = await importing.start("02114")
        assert run_id(first) == run_id(second)
        await importing.closed(first)
        assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 1


async def test_a_cancelled_import_keeps_what_it_has_loaded_and_the_next_one_brings_the_rest(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store, faults={"latency": 0.1}) as importing:
        handle = await importing.start("02302")
        await until_async(lambda: pool.fetchval("SELECT count(*) FROM fhir.observation"))
        await handle.cancel()
        run = await importing.closed(handle)
        assert (run.state, run.error) == (RunState.CANCELLED, None)
        kept = await pool.fetchval("SELECT count(*) FROM fhir.observation")
        assert 0 < kept < 423
        assert run.counts["fhir.observation"]["inserted"] == kept  # type: ignore[index,call-overload]
        await importing.starter.client.execute_workflow(
            "upkeep",
            id=f"upkeep-{run.id}",
            task_queue=importing.starter.settings.worker.queue_prefix + WORKFLOWS,
        )
        await importing.assert_nothing_left()
        assert (await importing.zipcode("02302")).state is RunState.COMPLETED
        await importing.assert_equal("02302")


async def test_an_import_goes_on_in_new_histories_and_in_parts_and_stays_one_run(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    tiny: dict[str, Any] = {"page_size": 40, "batch": 1, "history": 30, "large_zipcode": 2, "part": 2, "window": 2}
    async with imports(settings, pool, store, **tiny) as importing:
        patients = importing.sandbox.resources("Patient")
        importing.sandbox.put(*(each | {"address": [{"postalCode": "02139"}]} for each in patients))
        handle = await importing.start("02139")
        run = await importing.closed(handle)
        assert (run.state, run.error) == (RunState.COMPLETED, None)
        assert run.id == run_id(handle)
        await importing.assert_equal("02139")
        assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 1
        assert run.report["patients"] == 9
        assert run.counts["fhir.observation"]["inserted"] == 1541  # type: ignore[index,call-overload]
        histories = await importing.histories(run)
        assert len(histories) > 10
        assert max(len(history.events) for history in histories) < 200
        assert importing.sandbox.calls()["most_at_once_by_kind"]["page Observation"] <= 2


async def test_the_window_is_kept(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, faults={"latency": 0.2}, batch=1, window=3) as importing:
        patients = importing.sandbox.resources("Patient")
        importing.sandbox.put(*(each | {"address": [{"postalCode": "02139"}]} for each in patients))
        await importing.zipcode("02139")
        assert importing.sandbox.calls()["most_at_once"] == 3


async def test_what_is_no_zip_code_and_no_server_is_not_started(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        for wrong in ("2139", "02139&_count=1", "0213 9", "", "02139\n"):
            with pytest.raises(InvalidZipcode):
                await importing.starter.import_zipcode(wrong)
        with pytest.raises(UnknownServer):
            await importing.starter.import_zipcode("02139", server="nowhere")
        assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 0


async def test_a_terminated_import_is_closed_as_abandoned_once_and_what_it_had_loaded_stays(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store, faults={"latency": 0.1}) as importing:
        handle = await importing.start("02302")
        await until_async(lambda: pool.fetchval("SELECT count(*) FROM fhir.observation"))
        await handle.terminate()
        abandoned, soon = AbandonedRuns(pool, importing.runs, importing.client), datetime.now(UTC) + timedelta(1)
        assert await abandoned.close(soon, forgotten=True) == 1
        run = await importing.closed(handle)
        assert run.error is not None
        assert (run.state, run.error.type) == (RunState.FAILED, "Abandoned")
        assert "rows that were loaded before stay" in run.error.message
        assert run.counts["fhir.observation"]["inserted"] > 0  # type: ignore[index,call-overload,operator]
        assert await abandoned.close(soon, forgotten=True) == 0


async def test_the_rate_of_calls_is_kept_over_all_workers(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with imports(settings, pool, store, page_size=5, rate=2.0) as importing:
        began = time.monotonic()
        await importing.zipcode("02114")
        calls = importing.sandbox.calls()["count"]
        assert calls > 17
        assert time.monotonic() - began > (calls - 4) / 2.0  # a few may come at once
