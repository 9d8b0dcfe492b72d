"""Tokens, and what is public. `tests/sources/test_routes.py` tries each route without its scope."""

from datetime import UTC, datetime, timedelta

import pytest

from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client


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
