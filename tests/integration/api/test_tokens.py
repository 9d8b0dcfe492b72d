"""Tokens and the audit by REST."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from service.sources import SCOPES
from tests.integration.api.conftest import Client


async def created(api: Client, operator: dict[str, str], **wanted: Any) -> dict[str, Any]:
    answer = await api.http.post(
        "/access/tokens", headers=operator, json={"name": "t", "scopes": ["read:beds"], **wanted}
    )
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_token_is_shown_once_counts_and_can_be_taken_back(api: Client, operator: dict[str, str]) -> None:
    made = await created(api, operator, days=1)
    headers = {"Authorization": f"Bearer {made['token']}"}
    assert (await api.http.get("/nhs-data/summary", headers=headers)).status_code == 200
    assert (await api.http.get("/runs", headers=headers)).status_code == 403
    listed = (await api.http.get("/access/tokens", headers=operator)).json()["items"]
    (shown,) = [each for each in listed if each["id"] == made["id"]]
    assert datetime.fromisoformat(shown["expires_at"]) == datetime.fromisoformat(made["expires_at"])
    assert made["token"] not in str(listed)
    assert (await api.http.delete(f"/access/tokens/{made['id']}", headers=operator)).status_code == 204
    assert (await api.http.get("/nhs-data/summary", headers=headers)).status_code == 401
    assert (await api.http.delete(f"/access/tokens/{uuid4()}", headers=operator)).status_code == 404


async def test_who_may_not_administer_makes_no_tokens(api: Client) -> None:
    everything_else = await api.bearing(*(scope for scope in SCOPES if scope != Scope.ADMIN))
    for method, path in (("GET", "tokens"), ("POST", "tokens"), ("DELETE", f"tokens/{uuid4()}"), ("GET", "audit")):
        assert (await api.http.request(method, f"/access/{path}", headers=everything_else)).status_code == 403


async def test_the_audit_says_who_did_what_page_by_page(api: Client, operator: dict[str, str], pool: Pool) -> None:
    made = [await created(api, operator) for _ in range(3)]
    await api.http.delete(f"/access/tokens/{made[0]['id']}", headers=operator)
    me = str(await pool.fetchval("SELECT id FROM access.token ORDER BY created_at LIMIT 1"))
    found: list[dict[str, Any]] = []
    following: str | None = f"/access/audit?actor={me}&limit=3"
    while following:
        page = await api.http.get(following, headers=operator)
        found += page.json()["items"]
        following = page.links["next"]["url"] if "next" in page.links else None
    assert [(each["action"], each["subject"]) for each in found] == [
        ("revoke_token", made[0]["id"]),
        *(("create_token", each["id"]) for each in reversed(made)),
    ]
    assert found[-1]["detail"] == {"scopes": ["read:beds"]}
    only = (await api.http.get("/access/audit?action=revoke_token", headers=operator)).json()["items"]
    assert [each["subject"] for each in only] == [made[0]["id"]]
    later = await api.http.get("/access/audit?since=2999-01-01T00:00:00Z", headers=operator)
    assert later.json() == {"items": []}


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["read:everything"]}, "scopes.1"),
        ({"days": 0}, "days"),
    ],
)
async def test_a_token_that_cannot_be_is_refused(
    api: Client, operator: dict[str, str], wanted: dict[str, Any], field: str
) -> None:
    answer = await api.http.post(
        "/access/tokens", headers=operator, json={"name": "t", "scopes": ["read:beds"], **wanted}
    )
    assert (answer.status_code, answer.json()["field"]) == (422, field)
