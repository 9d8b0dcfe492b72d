"""The API with Kafka turned off: posts and streams answer with advice instead of a bare 404."""

from uuid import uuid4

import pytest

from config.settings import Settings
from library.contracts.scopes import Scope
from library.sources.records.apis import Api
from library.warehouse.pool import Pool
from tests.support.records import MAKERS, clinic

SETTING = "WARDFLOW_KAFKA__ENABLED"


@pytest.fixture
def turned_off(settings: Settings) -> Settings:
    assert not settings.kafka.enabled
    return settings


@pytest.mark.parametrize("which", list(Api))
async def test_a_post_is_answered_with_advice_that_names_the_setting(
    which: Api, turned_off: Settings, pool: Pool
) -> None:
    async with clinic(turned_off, pool) as api:
        headers = await api.user("clinic", which)
        answer = await api.post(which, MAKERS[which](), headers)
        with_a_key = await api.post(which, MAKERS[which](), headers | {"Idempotency-Key": str(uuid4())})
    for each in (answer, with_a_key):
        assert (each.status_code, each.headers["content-type"]) == (503, "application/problem+json")
        problem = each.json()
        assert (problem["type"], problem["status"]) == ("KafkaTurnedOff", 503)
        assert "turned off" in problem["detail"]
        assert SETTING in problem["detail"] + problem["advice"]
        assert "Retry-After" not in each.headers, "a repeat does not help before somebody changes the setting"


async def test_who_may_not_post_learns_nothing_of_the_setting(turned_off: Settings, pool: Pool) -> None:
    async with clinic(turned_off, pool) as api:
        unknown = await api.post(Api.PATIENT, MAKERS[Api.PATIENT](), {"Authorization": "Bearer nobody"})
        ungranted = await api.post(Api.PATIENT, MAKERS[Api.PATIENT](), await api.user("clinic", Api.ADMISSIONS))
    assert (unknown.status_code, ungranted.status_code) == (401, 403)


async def test_streams_are_answered_with_the_same_advice_and_no_audit_of_what_was_not_done(
    turned_off: Settings, pool: Pool
) -> None:
    async with clinic(turned_off, pool) as api:
        headers = await api.bearing(Scope.OPERATE)
        answers = [await api.http.get("/streams", headers=headers)]
        answers += [
            await api.http.post(f"/streams/patient/{action}", headers=headers) for action in ("pause", "resume")
        ]
        answers += [await api.http.post("/streams/patient/rewind", json={"to": "earliest"}, headers=headers)]
    assert [(each.status_code, each.json()["type"]) for each in answers] == [(503, "KafkaTurnedOff")] * 4
    assert all(SETTING in each.json()["detail"] + each.json()["advice"] for each in answers)
    assert await pool.fetchval("SELECT count(*) FROM access.audit WHERE action LIKE '%_stream'") == 0


async def test_the_document_names_the_routes_whether_kafka_is_turned_on_or_off(
    turned_off: Settings, pool: Pool
) -> None:
    async with clinic(turned_off, pool) as api:
        paths = (await api.http.get("/openapi.json")).json()["paths"]
    assert {"/api_patient", "/api_admissions", "/api_lab_results", "/streams"} <= set(paths)
