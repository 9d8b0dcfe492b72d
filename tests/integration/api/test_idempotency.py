"""A request that is repeated with its `Idempotency-Key` is carried out once."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from library.access.idempotency import Busy, Claimed, Differs, IdempotencyKeys, KeyedRequest, StoredAnswer
from library.contracts.scopes import Scope
from library.sources.beds.names import READ_BEDS
from library.warehouse.pool import Pool
from tests.integration.api.conftest import TWO, Client
from tests.support.runs import Workbooks

URL = "https://www.england.nhs.uk/none.xlsx"
DONE = StoredAnswer(202, {"location": "/runs/1"}, b"{}")


async def upload(api: Client, headers: dict[str, str], key: str | None, which: int = 0) -> httpx.Response:
    """Each call has a multipart boundary of its own, as each try of a client has."""
    more = {"Idempotency-Key": key} if key else {}
    return await api.http.post(
        "/nhs-data/upload", headers=headers | more, files={"file": (TWO[which].name, TWO[which].read_bytes())}
    )


async def started(pool: Pool) -> int:
    found: int = await pool.fetchval("SELECT count(*) FROM access.audit WHERE action = 'start_run'")
    return found


async def test_a_repeat_is_answered_as_the_first_time_though_the_run_has_ended(
    api: Client, operator: dict[str, str], sent: Workbooks, pool: Pool
) -> None:
    first = await upload(api, operator, "one")
    run = await sent.runs.get(first.json()["run_id"])
    assert run is not None
    await sent.client.get_workflow_handle(run.workflow_id, run_id=run.id).result()
    again = await upload(api, operator, "one")
    assert (again.status_code, again.json(), again.headers["location"]) == (202, first.json(), f"/runs/{run.id}")
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert await started(pool) == 1
    assert (await upload(api, operator, "two")).json()["run_id"] != run.id
    assert (await upload(api, operator, None)).json()["run_id"] != run.id


async def test_a_key_belongs_to_one_request_of_one_caller(api: Client, operator: dict[str, str], pool: Pool) -> None:
    assert (await upload(api, operator, "mine")).status_code == 202
    other_file = await upload(api, operator, "mine", which=1)
    other_route = await api.http.post(
        "/nhs-data/trigger-pipeline", json={"url": URL}, headers=operator | {"Idempotency-Key": "mine"}
    )
    for refused in (other_file, other_route):
        assert refused.status_code == 422
        assert refused.json()["field"] == "Idempotency-Key"
    somebody_else = await upload(api, await api.bearing(Scope.OPERATE), "mine", which=1)
    assert somebody_else.status_code == 202
    assert await started(pool) == 2


async def test_of_requests_at_once_one_is_carried_out(api: Client, operator: dict[str, str], pool: Pool) -> None:
    answers = await asyncio.gather(*(upload(api, operator, "at-once") for _ in range(6)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    for answer in answers:
        if answer.status_code == 409:
            assert answer.headers["retry-after"] == "1"
            assert answer.json()["type"] == "UnderWay"
    assert await started(pool) == 1
    assert (await upload(api, operator, "at-once")).headers["idempotency-replayed"] == "true"


async def test_a_refused_request_leaves_its_key_free(api: Client, operator: dict[str, str], pool: Pool) -> None:
    for url, status in (("https://evil.example/a.xlsx", 422), ("https://evil.example/b.xlsx", 422), (URL, 202)):
        answer = await api.http.post(
            "/nhs-data/trigger-pipeline", json={"url": url}, headers=operator | {"Idempotency-Key": "k"}
        )
        assert answer.status_code == status, answer.text
    assert await started(pool) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\x7f"])
async def test_a_key_that_cannot_be_one_is_refused(api: Client, operator: dict[str, str], key: str) -> None:
    answer = await api.http.post(
        "/nhs-data/trigger-pipeline", json={"url": URL}, headers=operator | {"Idempotency-Key": key}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "Idempotency-Key")


async def test_no_key_opens_what_its_caller_may_not_do(api: Client, operator: dict[str, str]) -> None:
    assert (await upload(api, operator, "k")).status_code == 202
    assert (await upload(api, {}, "k")).status_code == 401
    assert (await upload(api, await api.bearing(READ_BEDS), "k")).status_code == 403


def attempt(principal: UUID, fingerprint: bytes = b"f") -> KeyedRequest:
    return KeyedRequest(principal, "key", fingerprint)


async def test_a_process_that_died_locks_its_key_for_the_lease_only(pool: Pool) -> None:
    keys, me = IdempotencyKeys(pool), uuid4()
    dead, next_one = attempt(me), attempt(me)
    assert isinstance(await keys.claim(dead), Claimed)
    assert isinstance(await keys.claim(next_one), Busy)
    await pool.execute("UPDATE access.idempotency SET claimed_at = now() - interval '1 minute'")
    await keys.renew(dead)
    assert isinstance(await keys.claim(next_one), Busy), "it lives"
    await pool.execute("UPDATE access.idempotency SET claimed_at = now() - interval '1 minute'")
    assert isinstance(await keys.claim(attempt(me, b"other")), Differs)
    assert isinstance(await keys.claim(next_one), Claimed)
    await keys.keep(dead, StoredAnswer(500, {}, b"late"))
    await keys.give_back(dead)
    assert isinstance(await keys.claim(attempt(me)), Busy), "the dead one has no say any more"
    await keys.keep(next_one, DONE)
    assert await keys.claim(attempt(me)) == DONE


async def test_answers_are_kept_for_a_day(pool: Pool) -> None:
    keys, me = IdempotencyKeys(pool), uuid4()
    first = attempt(me)
    await keys.claim(first)
    await keys.keep(first, DONE)
    await pool.execute("UPDATE access.idempotency SET created_at = now() - interval '23 hours 59 minutes'")
    assert await keys.remove_old() == 0
    assert await keys.claim(attempt(me)) == DONE
    await pool.execute("UPDATE access.idempotency SET created_at = now() - interval '24 hours 1 minute'")
    assert isinstance(await keys.claim(attempt(me, b"anything")), Claimed)
    await pool.execute("UPDATE access.idempotency SET created_at = now() - interval '24 hours 1 minute'")
    assert await keys.remove_old() == 1


async def test_every_route_that_posts_says_that_it_takes_a_key(api: Client) -> None:
    document: dict[str, Any] = (await api.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        if "post" in operations and path != "/codec/decode" and not path.startswith("/access/"):  # these start nothing
            named = {parameter["name"] for parameter in operations["post"].get("parameters", ())}
            assert "Idempotency-Key" in named, path
