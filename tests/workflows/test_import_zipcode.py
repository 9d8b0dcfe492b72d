"""A zip code from a FHIR server, on the real servers and the sandbox."""

from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.imports import imports


async def test_a_zip_code_becomes_the_patients_and_observations_that_its_server_has(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with imports(settings, pool, store) as importing:
        run = await importing.zipcode("01906")
        assert (run.state, run.result, run.error) == (RunState.COMPLETED, "loaded", None)
        await importing.assert_equal("01906")
        await importing.assert_nothing_left()
    assert run.subject == "01906 at sandbox"
    assert run.report | {"pages": 0} == {"patients": 2, "observations": 289, "remaining": 0, "pages": 0}
    assert run.counts["fhir.observation"]["inserted"] == 289  # type: ignore[index,call-overload]
    done = await pool.fetchrow("SELECT * FROM fhir.zipcode_import")
    assert done is not None
    assert (done["zipcode"], done["server"], done["last_run_id"]) == ("01906", "sandbox", run.id)
    assert await pool.fetchval("SELECT count(*) FROM fhir.patient_import") == 2
