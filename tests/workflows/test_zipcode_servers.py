"""FHIR servers with faults, and servers that refuse: what becomes of an import of a zip code."""

from dataclasses import replace

import pytest
from temporalio.testing import ActivityEnvironment

from activities.fhir.pages import FhirActivities, FhirClients
from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.sources.fhir.contracts import FetchedPage, FetchPage
from library.sources.fhir.imports import FhirImports
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from tests.support.imports import SERVER, Imports, imports, with_sandbox
from tests.support.sandbox import running_sandbox

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
        await FhirImports(pool, 1).enter_patients(asked.run_id, SERVER, ["done"])  # without a search: it is done
        assert await ActivityEnvironment().run(pages.fetch_observation_page, asked) == FetchedPage()
        assert sandbox.calls()["count"] == 0
        await clients.close()
