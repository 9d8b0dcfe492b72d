"""What people and programs ask of observations."""

import csv
import io
import json
from itertools import product
from typing import Any

import pytest_asyncio

from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client, refused_fields
from tests.integration.api.test_fhir_patients import found, ids
from tests.support.fhir import case
from tests.support.fhir_rows import FhirRows, observation, patient

OBSERVATIONS = (
    observation("1", "p", 170.5, "2025-06-01T12:00:00Z"),
    observation("2", "p", 171.5, "2025-06-02T00:30:00+02:00", code="29463-7"),
    observation("3", "p", -5, "2025-06", code="2339-0", category="laboratory"),
    observation("4", "q", None, "2025-06-03", code="85354-9", components=[("8480-6", 120), ("8462-4", 80)]),
    observation("5", "unknown", 171, "2025-06-04"),
)


@pytest_asyncio.fixture
async def reader(api: Client) -> dict[str, str]:
    """Headers of somebody who may read of patients, and nothing else."""
    return await api.bearing(Scope.READ_PATIENTS)


@pytest_asyncio.fixture(autouse=True)
async def known(pool: Pool, store: ObjectStore) -> FhirRows:
    """Two patients and five observations are known."""
    rows = FhirRows(pool, store)
    await rows.load(patient("p"), patient("q"), *OBSERVATIONS)
    return rows


FILTERS: dict[str, str] = {
    "": "54213",
    "patient_id=p": "213",
    "patient_id=unknown": "5",
    "patient_id=nobody": "",
    "code=8302-2": "51",
    "code=8480-6": "",
    "category=laboratory": "3",
    "category=laboratory&code=8302-2": "",
    "from=2025-06-03": "54",
    "to=2025-06-01": "213",
    "from=2025-06-01&to=2025-06-01": "213",
    "from=2025&to=2025": "54213",
    "from=2026": "",
    "to=2024": "",
    "from=2025-06&to=2025-06": "54213",
    "to=2025-05": "",
    "from=2025-06-01T12:00:00Z&to=2025-06-01T22:29:59Z": "1",
    "from=2025-06-02T00:30:00%2B02:00&to=2025-06-02": "2",
    "min_value=171": "52",
    "max_value=170.5": "13",
    "min_value=-5&max_value=-5": "3",
    "patient_id=p&code=8302-2&category=vital-signs&from=2025-06-01&to=2025-06-30&min_value=1&server=hapi": "1",
    "server=other": "",
}


async def test_filters_find_those_whom_they_name(api: Client, reader: dict[str, str]) -> None:
    assert {query: ids(await found(api, reader, f"/observations?{query}")) for query in FILTERS} == FILTERS


async def test_an_observation_without_a_time_lies_between_no_two_times(
    api: Client, reader: dict[str, str], known: FhirRows
) -> None:
    await known.load(observation("6", "p", 1, None))
    assert ids(await found(api, reader, "/observations")) == "542136"
    for query in ("to=0001", "to=2030", "from=0001", "from=0001&to=2030"):
        assert "6" not in ids(await found(api, reader, f"/observations?{query}")), query


def compared(identity: str, comparator: str | None, value: float = 5) -> dict[str, Any]:
    """An observation whose number has a comparator."""
    made = observation(identity, "c", value)
    made["valueQuantity"] |= {"comparator": comparator} if comparator else {}
    return made


async def test_case_34_a_filter_by_value_respects_comparators(
    api: Client, reader: dict[str, str], known: FhirRows
) -> None:
    await known.load(case("34-comparator/"))
    assert [each["id"] for each in await found(api, reader, "/observations?code=h4-lt&min_value=5")] == ["n-eq"]


async def test_case_55_what_was_entered_in_error_is_listed_only_if_its_status_is_asked_for(
    api: Client, reader: dict[str, str], known: FhirRows
) -> None:
    await known.load(case("55-entered-in-error/"), observation("6", "tp", 1) | {"status": None})
    listed = await found(api, reader, "/patients/tp/observations")
    assert [each["id"] for each in listed] == ["6"]
    assert await found(api, reader, "/observations?code=X-eie") == []
    for path in ("/patients/tp/observations", "/observations"):
        (shown,) = await found(api, reader, f"{path}?status=entered-in-error")
        assert (shown["id"], shown["status"], shown["value_number"]) == ("eie", "entered-in-error", 999)
    assert "6" not in ids(await found(api, reader, "/observations?status=final"))


async def test_a_number_with_a_comparator_is_found_by_what_it_can_be(
    api: Client, reader: dict[str, str], known: FhirRows
) -> None:
    kinds = {"a": "<", "b": "<=", "c": None, "d": ">=", "e": ">"}
    await known.load(*(compared(name, comparator) for name, comparator in kinds.items()))
    expected = {
        "min_value=4": "edcba",
        "min_value=5": "edcb",
        "min_value=6": "ed",
        "max_value=4": "ba",
        "max_value=5": "dcba",
        "max_value=6": "edcba",
        "min_value=5&max_value=5": "dcb",
        "min_value=6&max_value=7": "ed",
    }
    assert {query: ids(await found(api, reader, f"/observations?patient_id=c&{query}")) for query in expected} == (
        expected
    )


async def test_a_period_with_one_end_is_found_by_the_filters_that_it_overlaps(
    api: Client, reader: dict[str, str], known: FhirRows
) -> None:
    def lasting(identity: str, **period: str) -> dict[str, Any]:
        made = observation(identity, "l", at=None)
        del made["effectiveDateTime"]
        return made | {"effectivePeriod": period}

    ended = lasting("b", end="2020-06-30")
    await known.load(
        patient("l"),
        lasting("a", start="2020-06-01"),
        ended,
        ended | {"id": "c", "issued": "2022-01-01T00:00:00Z"},
        lasting("d", start="2020-06-01", end="2020-06-30"),
    )
    expected = {
        "": "cdab",
        "from=2020-06-30": "cab",
        "from=2020-07": "a",
        "from=2030": "a",
        "to=2020-05": "cb",
        "to=2020-06-01": "cdab",
        "from=2020-06-01&to=2020-06-01": "cdab",
        "from=2020-05&to=2020-05": "cb",
        "from=2021&to=2021": "a",
    }
    for limit in (1, 100):
        asked = {
            query: await found(api, reader, f"/patients/l/observations?limit={limit}&{query}") for query in expected
        }
        assert {query: ids(items) for query, items in asked.items()} == expected


async def test_observations_of_patients_at_another_server_are_kept_apart_and_can_be_found(
    api: Client, reader: dict[str, str], known: FhirRows
) -> None:
    await known.load(case("22-foreign-reference/"), server="odd")
    assert await found(api, reader, "/patients/fr-1/observations?server=odd") == []
    reference = "https://lab.elsewhere.example/fhir/Patient/fr-1"
    for query in ("patient_elsewhere=true", f"patient_reference={reference}", "server=odd"):
        (shown,) = await found(api, reader, f"/observations?{query}")
        assert (shown["id"], shown["patient_id"], shown["patient_reference"]) == ("fr-o", None, reference)
    assert len(await found(api, reader, "/observations?patient_elsewhere=false")) == 6


FILTERS_BELOW_A_PATIENT: dict[str, str] = {
    "": "213",
    "code=2339-0": "3",
    "category=vital-signs": "21",
    "from=2025-06-01T13:00Z": "2",
    "from=2025-06&to=2025": "213",
    "limit=1": "213",
}


async def test_those_of_a_patient_are_found_below_it(api: Client, reader: dict[str, str]) -> None:
    told = FILTERS_BELOW_A_PATIENT
    assert {query: ids(await found(api, reader, f"/patients/p/observations?{query}")) for query in told} == told


async def test_an_observation_is_shown_with_its_components(api: Client, reader: dict[str, str]) -> None:
    (shown,) = await found(api, reader, "/observations?patient_id=q")
    expected = {
        "id": "4", "server": "hapi", "patient_id": "q", "status": "final", "category": "vital-signs",
        "code": "85354-9", "code_text": "No. 85354-9", "codes": ["85354-9"], "value_kind": "none",
        "effective_text": "2025-06-03", "effective_start": "2025-06-03T00:00:00+00:00",
    }  # fmt: skip
    assert shown | expected == shown
    parts = [(part["position"], part["code"], part["value_number"], part["unit"]) for part in shown["components"]]
    assert parts == [(1, "8480-6", 120.0, "cm"), (2, "8462-4", 80.0, "cm")]
    assert {"sort_time", "version_number", "reader_version"}.isdisjoint(shown)


async def test_pages_hold_each_observation_once_the_newest_first(
    api: Client, reader: dict[str, str], known: FhirRows
) -> None:
    same = [observation(f"m{number:03}", "many", number, "2025-07-01") for number in range(60)]
    await known.load(*same, *(observation(f"n{number}", "many", 1, f"2025-07-{number:02}") for number in range(2, 9)))
    await known.load(*same, server="other")
    items = await found(api, reader, "/observations?from=2025-07-01&limit=13")
    assert len({(item["id"], item["server"]) for item in items}) == len(items) == 127
    order = [(item["effective_start"], item["id"], item["server"]) for item in items]
    assert order == sorted(order, reverse=True)


async def test_csv_has_all_rows_with_their_components(api: Client, reader: dict[str, str]) -> None:
    answer = await api.http.get("/observations", headers=reader | {"Accept": "text/csv"})
    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    assert list(rows) == ["5", "4", "2", "1", "3"]
    assert [part["value_number"] for part in json.loads(rows["4"]["components"])] == [120.0, 80.0]


IMPOSSIBLE: dict[str, str] = {
    "/observations?from=2025-06-01T12:00:00": "from",
    "/observations?to=yesterday": "to",
    "/observations?from=0001-01-01T00:00:00%2B14:00": "from",
    "/observations?min_value=nan": "min_value",
    "/observations?max_value=inf": "max_value",
    "/observations?code=": "code",
    "/observations?category=%00": "category",
    "/observations?patient_id=%00": "patient_id",
    "/observations?limit=0": "limit",
}


async def test_a_parameter_that_cannot_be_is_named(api: Client, reader: dict[str, str]) -> None:
    assert await refused_fields(api, reader, IMPOSSIBLE) == IMPOSSIBLE


async def test_a_cursor_that_was_never_given_is_refused(api: Client, reader: dict[str, str]) -> None:
    paths = ("/observations", "/patients/p/observations")
    for path, after in product(paths, ("AAAA", "WyJhIl0", "WyJ4IiwieCIsIngiXQ", "é")):
        answer = await api.http.get(f"{path}?after={after}", headers=reader)
        assert (answer.status_code, answer.json()["type"]) == (422, "CursorInvalid")
