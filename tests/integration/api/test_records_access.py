"""Who may post: grants are data and count at once; every refusal is in the audit; who may post may not read."""

from base64 import b64encode
from uuid import uuid4

import pytest

from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.sources.records.apis import Api
from tests.integration.api.test_records import api, headers, streaming, topics
from tests.support.access import all_tokens
from tests.support.records import PASSWORD, Clinic, patient

__all__ = ["api", "headers", "streaming", "topics"]


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{name}:{password}'.encode()).decode()}"}


async def test_a_grant_counts_from_the_next_request_on_and_so_does_its_end(api: Clinic) -> None:
    headers = await api.user("clinic", password=PASSWORD)
    for who in (headers, basic("clinic", PASSWORD)):
        assert (await api.post(Api.PATIENT, patient(), who)).status_code == 403
        await api.users.grant("clinic", Api.PATIENT)
        assert (await api.post(Api.PATIENT, patient(), who)).status_code == 202
        assert (await api.post(Api.ADMISSIONS, patient(), who)).status_code == 403
        await api.users.ungrant("clinic", Api.PATIENT)
        assert (await api.post(Api.PATIENT, patient(), who)).status_code == 403


async def test_a_revoked_token_and_a_disabled_user_are_refused_from_the_next_request_on(api: Clinic) -> None:
    headers = await api.user("clinic", *Api, password=PASSWORD)
    await api.users.disable("clinic")
    for who in (headers, basic("clinic", PASSWORD)):
        assert (await api.post(Api.PATIENT, patient(), who)).status_code == 401
    await api.users.enable("clinic")
    assert (await api.post(Api.PATIENT, patient(), headers)).status_code == 202
    (token,) = await all_tokens(api.pool)
    await Tokens(api.pool).revoke(token["id"])
    assert (await api.post(Api.PATIENT, patient(), headers)).status_code == 401


@pytest.mark.parametrize(
    "authorization", ["", "Bearer wf_wrong", "Basic abc", "Basic YWJj", "Basic w7bDtg==x", "Digest x"]
)
async def test_credentials_that_do_not_count_are_refused_before_the_body_is_read(
    api: Clinic, authorization: str
) -> None:
    answer = await api.http.post("/api_patient", content=b"no JSON", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer, Basic realm="wardflow", charset="UTF-8"'
    assert await api.refusals() == [("unknown", "POST /api_patient", 401)]


async def test_a_wrong_password_and_an_unknown_user_are_refused_alike(api: Clinic) -> None:
    await api.user("clinic", *Api, password=PASSWORD)
    answers = [
        await api.post(Api.PATIENT, patient(), basic(name, password))
        for name, password in (("clinic", "wrong"), ("nobody", PASSWORD), ("", ""), ("clinic", ""))
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


async def test_repeated_wrong_passwords_are_slowed(api: Clinic) -> None:
    await api.user("clinic", *Api, password=PASSWORD)
    for number in range(5):
        assert (await api.post(Api.PATIENT, patient(), basic("clinic", f"guess {number}"))).status_code == 401
    slowed = await api.post(Api.PATIENT, patient(), basic("clinic", "guess"))
    assert (slowed.status_code, slowed.headers["retry-after"]) == (429, "1")
    assert [status for *_, status in await api.refusals()] == [401] * 5 + [429]


async def test_who_may_post_may_not_read_and_who_may_read_may_not_post(api: Clinic) -> None:
    headers = await api.user("clinic", *Api, password=PASSWORD)
    assert (await api.http.get("/runs", headers=headers)).status_code == 403
    assert (await api.http.get("/runs", headers=basic("clinic", PASSWORD))).status_code == 401
    for scope in set(Scope) - {Scope.ADMIN}:
        answer = await api.post(Api.PATIENT, patient(), await api.bearing(scope))
        assert answer.status_code == 403, scope


async def test_each_refusal_is_in_the_audit_with_who_was_refused(api: Clinic) -> None:
    headers = await api.user("clinic")
    (token,) = await all_tokens(api.pool)
    assert (await api.post(Api.LAB_RESULTS, patient(uuid4()), headers)).status_code == 403
    assert await api.refusals() == [(str(token["id"]), "POST /api_lab_results", 403)]
    (row,) = await api.pool.fetch("SELECT detail FROM access.audit WHERE action = 'refused'")
    assert row["detail"] == {"status": 403, "address": "192.0.2.1"}
    assert (await api.http.get("/runs")).status_code == 401
    assert (await api.refusals())[-1] == ("unknown", "GET /runs", 401)


async def test_an_idempotency_key_is_a_users_whatever_the_credentials(api: Clinic, headers: dict[str, str]) -> None:
    await api.users.set_password("clinic", PASSWORD)
    record, key = patient(), {"Idempotency-Key": "one"}
    first = await api.post(Api.PATIENT, record, headers | key)
    again = await api.post(Api.PATIENT, record, basic("clinic", PASSWORD) | key)
    assert (first.status_code, again.json()) == (202, first.json())
