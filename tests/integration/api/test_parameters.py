"""What no parameter may be read as, on whatever route it is."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client, refused_fields
from tests.support.api import api_here
from tests.support.routes import routes_of

NO_TIMES = ("20240101", "2024-W10", "2024.5", "0", "-86400", "+5", ".5", "5.", "1704067200", "1704067200000", "today")
"""Many of them could be seconds since 1970, or milliseconds."""
PARTS_OF_A_DATE = ("2024", "2024-03")
NO_PARTS = ("0000", "2024-13", "2024-02-30", "24", "02024")


@pytest_asyncio.fixture
async def http(settings: Settings, pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    """A caller with all scopes, at an API with every route. At its address of Kafka is no server."""
    kafka = settings.kafka.model_copy(update={"enabled": True, "bootstrap_servers": "127.0.0.1:1"})
    _, token = await Tokens(pool).create("test", [Scope.ADMIN])
    async with api_here(settings.model_copy(update={"kafka": kafka}), token=token) as made:
        yield made


def with_a_nul(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Calls of every route, each with a NUL in one parameter of its path or its query."""
    calls = []
    for route in routes_of(document):
        for parameter in route.parameters:
            if parameter["in"] == "header":
                continue
            name = parameter["name"]
            path = route.template.format_map({**route.values, name: "a%00"})
            calls.append((route.method, f"{path}?{name}=a%00" if parameter["in"] == "query" else path))
    return calls


async def test_a_nul_in_whatever_parameter_is_refused(http: httpx.AsyncClient) -> None:
    calls = with_a_nul((await http.get("/openapi.json")).json())
    assert len(calls) > 100
    answers = {call: (await http.request(*call)).status_code for call in calls}
    assert {call: status for call, status in answers.items() if status not in (404, 422)} == {}


async def test_a_parameter_that_a_route_does_not_have_is_refused_and_the_refusal_names_those_that_it_has(
    http: httpx.AsyncClient,
) -> None:
    document = (await http.get("/openapi.json")).json()
    with_filters = [route.path for route in routes_of(document) if route.method == "GET" and route.has("query")]
    assert len(with_filters) > 20
    for path in with_filters:
        refused = await http.get(f"{path}?sektor=total")
        assert (refused.status_code, refused.json()["field"]) == (422, "sektor"), path
    said = (await http.get("/zipcodes/02139?sever=hapi")).json()["detail"]
    assert said == "sever: none of the parameters here (outdated, server)."


async def test_a_body_that_is_no_json_is_told_so(http: httpx.AsyncClient) -> None:
    json = {"Content-Type": "application/json"}
    for path in ("/nhs-data/trigger-pipeline", "/fhir/bulk"):
        cut = (await http.post(path, content='{"url": "', headers=json)).json()
        assert (cut["status"], cut["field"], cut["detail"]) == (422, "body", "body: no JSON, or cut off.")
    unnamed = (await http.post("/zipcodes", content='{"zipcodes": ["02139"]}')).json()
    assert (unnamed["status"], unnamed["field"]) == (422, "body")
    assert "Content-Type: application/json" in unnamed["advice"]


async def test_a_parameter_that_counts_once_is_refused_where_it_is_given_twice(http: httpx.AsyncClient) -> None:
    refused = await http.get("/nhs-data/occupancy?sector=total&sector=maternity")
    assert (refused.status_code, refused.json()["detail"]) == (422, "sector: given more than once.")
    assert (await http.get("/runs?state=failed&state=running")).status_code == 200


async def test_who_may_not_ask_is_told_so_first_and_a_route_without_parameters_ignores_them(
    http: httpx.AsyncClient,
) -> None:
    assert (await http.get("/patients?zipcod=02139", headers={"Authorization": "Bearer x"})).status_code == 401
    assert (await http.get("/records/statistics?x=1")).status_code == 200


TIMES = {
    "/nhs-data/occupancy": ("as_of", "known_at"),
    "/nhs-data/occupancy-by-specialty": ("as_of", "known_at"),
    "/access/audit": ("since",),
    "/patients": ("birth_date_from", "birth_date_to"),
    "/observations": ("from", "to"),
    "/patients/none/observations": ("from", "to"),
    "/records/admissions": ("from", "to"),
    "/records/lab-results": ("from", "to"),
}
OF_SPANS = ("/observations", "/patients/none/observations", "/records/admissions", "/records/lab-results")


async def test_a_number_is_no_time_and_the_refusal_says_how_one_is_written(
    api: Client, operator: dict[str, str]
) -> None:
    for route, fields in TIMES.items():
        wrong = (*NO_TIMES, *(NO_PARTS if route in OF_SPANS else PARTS_OF_A_DATE))
        asked = {f"{route}?{field}={each.replace('+', '%2B')}": field for field in fields for each in wrong}
        assert await refused_fields(api, operator, asked) == asked
    time = await api.http.get("/observations?from=20240101", headers=operator)
    assert time.json()["detail"] == "from: not a time; write it as 2024-01-01T00:00:00Z."
    day = await api.http.get("/patients?birth_date_to=0", headers=operator)
    assert day.json()["detail"] == "birth_date_to: not a day; write it as 2024-01-01."


async def test_a_rewind_to_a_number_is_refused_before_anything_is_asked_of_kafka(http: httpx.AsyncClient) -> None:
    numbers: tuple[object, ...] = ("2026", "0", "1704067200", "2026-01", 2026, 1704067200.5, True)
    for time in numbers:
        answer = await http.post("/streams/patient/rewind", json={"time": time})
        assert (answer.status_code, answer.json().get("field")) == (422, "time"), (time, answer.text)
        assert "2024-01-01T00:00:00Z" in answer.json()["detail"], time
