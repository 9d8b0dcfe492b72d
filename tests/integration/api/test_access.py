"""Nothing is public but health and docs; each route needs just its scope."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from library.access.scopes import Scope
from library.warehouse.pool import Pool
from service.sources import SCOPES
from tests.integration.api.conftest import Client

NOBODY = "00000000-0000-0000-0000-000000000000"
PUBLIC = {"/health/live", "/health/ready"}
VALUES = {
    "run_id": "none",
    "code": "RJ1",
    "text": "guys",
    "topic": "patient",
    "edition_id": NOBODY,
    "token_id": NOBODY,
    "name": "nobody",
    "api": "patient",
    "zipcode": "02139",
    "patient_id": "none",
    "rejection_id": "1",
}


def calls(document: dict[str, dict[str, dict[str, dict[str, str]]]]) -> list[tuple[str, str, set[str]]]:
    """Method, path with made-up values, and scopes of every route."""
    return [
        (
            method,
            re.sub(r"{(\w+)}", lambda found: VALUES[found[1]], path),
            {operation[name] for name in ("x-scope", "x-scope-also") if name in operation},
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


async def test_every_route_refuses_who_has_no_token_or_every_scope_but_its_own(api: Client) -> None:
    document = (await api.http.get("/openapi.json")).json()
    walked = calls(document)
    assert len(walked) > 15
    for method, path, scopes in walked:
        if path in PUBLIC:
            assert not scopes
            continue
        assert scopes, path
        if all(scope.startswith("post:") for scope in scopes):
            continue  # grants of users, which no token has: `test_records_access.py` tries them
        assert scopes <= set(SCOPES), path
        for headers in ({}, {"Authorization": "Bearer wf_wrong"}, {"Authorization": "Basic abc"}):
            refused = await api.http.request(method, path, headers=headers)
            assert refused.status_code == 401, (method, path)
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["www-authenticate"] == "Bearer"
        for scope in scopes:
            others = await api.bearing(*(each for each in SCOPES if each not in (scope, Scope.ADMIN)))
            forbidden = await api.http.request(method, path, headers=others)
            assert forbidden.status_code == 403, (method, path)
        own = await api.http.request(method, path, headers=await api.bearing(*scopes))
        assert own.status_code not in (401, 403), (method, path)


async def test_an_expired_or_revoked_token_counts_no_more(api: Client) -> None:
    _, expired = await api.tokens.create("t", [Scope.ADMIN], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    token_id, revoked = await api.tokens.create("t", [Scope.ADMIN])
    headers = {"Authorization": f"Bearer {revoked}"}
    assert (await api.http.get("/runs", headers=headers)).status_code == 200
    await api.tokens.revoke(token_id)
    assert (await api.http.get("/runs", headers=headers)).status_code == 401
    assert (await api.http.get("/runs", headers={"Authorization": f"Bearer {expired}"})).status_code == 401


async def test_no_token_is_stored_as_it_is(api: Client, pool: Pool) -> None:
    _, token = await api.tokens.create("t", [Scope.OPERATE])
    for row in await pool.fetch("SELECT token::text AS text FROM access.token"):
        assert token not in row["text"]
        assert token.encode().hex() not in row["text"]


async def test_what_everybody_may_see_says_no_more_than_that_it_lives(api: Client) -> None:
    assert (await api.http.get("/health/live")).json() == {"state": "live"}
    ready = await api.http.get("/health/ready")
    assert ready.json() == {"state": "ready", "parts": {"postgres": "ok", "s3": "ok", "temporal": "ok"}}


@pytest.mark.parametrize(
    "header", ["x-content-type-options", "x-frame-options", "content-security-policy", "x-request-id"]
)
async def test_every_answer_carries_what_keeps_browsers_safe(api: Client, header: str) -> None:
    for path in ("/health/live", "/runs", "/none"):
        assert header in (await api.http.get(path)).headers
