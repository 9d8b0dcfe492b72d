"""Nothing is public but health and docs: each route of whatever source needs just its scopes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
import pytest_asyncio

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from service.sources import SCOPES
from tests.support.api import api_here
from tests.support.routes import Route, routes_of

PUBLIC = {"/health/live", "/health/ready"}
POST = "post:"
"""How scopes begin that no token has: they are grants of users."""


@pytest_asyncio.fixture
async def http(settings: Settings, pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    """The API, as bearer of a token that may do everything."""
    _, token = await Tokens(pool).create("administrator", [Scope.ADMIN])
    async with api_here(settings, token=token) as made:
        yield made


@pytest_asyncio.fixture
async def routes(http: httpx.AsyncClient) -> list[Route]:
    """Every route of the document."""
    return list(routes_of((await http.get("/openapi.json")).json()))


@dataclass
class Bearers:
    """Makes bearers of scopes: a token, or a user with grants where they are to post."""

    http: httpx.AsyncClient
    pool: Pool
    _made: dict[frozenset[str], dict[str, str]] = field(default_factory=dict)

    async def of(self, scopes: frozenset[str]) -> dict[str, str]:
        """Headers of somebody with just these scopes."""
        if scopes not in self._made:
            grants = {scope.removeprefix(POST) for scope in scopes if scope.startswith(POST)}
            token = await (self._user(grants) if grants else self._token(scopes))
            self._made[scopes] = {"Authorization": f"Bearer {token}"}
        return self._made[scopes]

    async def _token(self, scopes: frozenset[str]) -> str:
        return (await Tokens(self.pool).create("suite", sorted(scopes)))[1]

    async def _user(self, grants: set[str]) -> str:
        name = f"clinic-{len(self._made)}"
        assert (await self.http.post("/access/users", json={"name": name})).status_code == 201
        for api in grants:
            assert (await self.http.put(f"/access/grants/{name}/{api}")).status_code == 204
        made = await self.http.post(f"/access/users/{name}/tokens", json={"name": "suite"})
        return str(made.json()["token"])


def test_the_document_names_no_route_without_scopes_but_health(routes: list[Route]) -> None:
    assert len(routes) > 15
    assert {route.template for route in routes if not route.scopes} == PUBLIC


async def test_each_route_refuses_who_has_no_token(http: httpx.AsyncClient, routes: list[Route]) -> None:
    for route in routes:
        if not route.scopes:
            continue
        for credentials in ("", "Bearer wf_wrong", "Basic abc"):
            headers = {"Authorization": credentials}
            refused = await http.request(route.method, route.path, params=route.query, headers=headers)
            assert refused.status_code == 401, route
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["www-authenticate"].startswith("Bearer")


async def test_each_route_needs_just_its_scopes(http: httpx.AsyncClient, pool: Pool, routes: list[Route]) -> None:
    bearers = Bearers(http, pool)
    grants = frozenset(scope for route in routes for scope in route.scopes if scope.startswith(POST))
    tokens = frozenset(SCOPES) - {Scope.ADMIN}
    for route in routes:
        assert route.scopes <= {*tokens, *grants, Scope.ADMIN}, route
        for scope in route.scopes:
            for others in (tokens, grants):
                headers = await bearers.of(others - {scope})
                refused = await http.request(route.method, route.path, params=route.query, headers=headers)
                assert refused.status_code == 403, (route, scope)
        if route.scopes:
            headers = await bearers.of(route.scopes)
            own = await http.request(route.method, route.path, params=route.query, headers=headers)
            assert own.status_code not in (401, 403), route
