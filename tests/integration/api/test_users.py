"""Users and grants by REST, for administrators."""

from typing import Any

from library.contracts.scopes import Scope, post_to
from library.sources.records.apis import Api
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client

PASSWORD = "correct horse battery"  # noqa: S105 - of a user that lives for a test


async def items(api: Client, operator: dict[str, str], path: str) -> list[dict[str, Any]]:
    answer = await api.http.get(f"/access/{path}", headers=operator)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_a_user_is_made_granted_changed_and_disabled(api: Client, operator: dict[str, str], pool: Pool) -> None:
    made = await api.http.post("/access/users", json={"name": "clinic", "password": PASSWORD}, headers=operator)
    assert made.status_code == 201
    for which in ("patient", "admissions"):
        assert (await api.http.put(f"/access/grants/clinic/{which}", headers=operator)).status_code == 204
    assert (await api.http.delete("/access/grants/clinic/patient", headers=operator)).status_code == 204
    (user,) = await items(api, operator, "users")
    assert (user["name"], user["grants"], user["has_password"]) == ("clinic", ["admissions"], True)
    assert "password" not in user
    (grant,) = await items(api, operator, "grants")
    assert (grant["user_name"], grant["api"], grant["path"]) == ("clinic", "admissions", "/api_admissions")

    token = (await api.http.post("/access/users/clinic/tokens", json={"days": 1}, headers=operator)).json()["token"]
    bearer = await api.tokens.verify(token)
    assert bearer is not None
    assert bearer.may(post_to(Api.ADMISSIONS))
    changed = await api.http.patch("/access/users/clinic", json={"disabled": True}, headers=operator)
    assert changed.status_code == 204
    assert await api.tokens.verify(token) is None
    assert [row["action"] for row in await pool.fetch("SELECT action FROM access.audit ORDER BY id")] == [
        "create_user", "grant", "grant", "ungrant", "create_token", "disable_user",
    ]  # fmt: skip


async def test_a_user_who_is_there_or_is_not_or_cannot_be_is_a_problem(api: Client, operator: dict[str, str]) -> None:
    assert (await api.http.post("/access/users", json={"name": "clinic"}, headers=operator)).status_code == 201
    assert (await api.http.post("/access/users", json={"name": "clinic"}, headers=operator)).status_code == 409
    for wanted in ({"name": "a:b"}, {"name": "other", "password": "short"}):
        assert (await api.http.post("/access/users", json=wanted, headers=operator)).status_code == 422
    assert (await api.http.put("/access/grants/nobody/patient", headers=operator)).status_code == 404
    assert (await api.http.put("/access/grants/clinic/beds", headers=operator)).status_code == 422
    assert (await api.http.patch("/access/users/nobody", json={}, headers=operator)).status_code == 404


async def test_only_administrators_see_and_change_users(api: Client) -> None:
    headers = await api.bearing(*(set(Scope) - {Scope.ADMIN}))
    for method, path in (("GET", "users"), ("POST", "users"), ("GET", "grants"), ("PUT", "grants/a/patient")):
        assert (await api.http.request(method, f"/access/{path}", headers=headers)).status_code == 403
