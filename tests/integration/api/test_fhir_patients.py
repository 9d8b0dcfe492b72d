"""What people and programs ask of patients."""

import csv
import io
from itertools import product
from typing import Any

import pytest
import pytest_asyncio

from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.integration.api.conftest import Client, refused_fields
from tests.support.fhir_rows import FhirRows, observation, patient
from tests.support.played_fhir import CASES

PATIENTS = (
    patient("1", "O'Brien", "Zoë", "Ann", zipcodes=["02139"], born="1980"),
    patient("2", "Obrian", "Max", zipcodes=["02139-1234", "02139"], gender="male", born="1980-06"),
    patient("3", "Müller", "Ann-Kathrin", zipcodes=["02114"], born="1980-06-15"),
    patient("4", None, zipcodes=[], gender="unknown", born=None),
)


@pytest_asyncio.fixture
async def reader(api: Client) -> dict[str, str]:
    """Headers of somebody who may read of patients, and nothing else."""
    return await api.bearing(Scope.READ_PATIENTS)


@pytest.fixture
def rows(pool: Pool, store: ObjectStore) -> FhirRows:
    """The way into the warehouse."""
    return FhirRows(pool, store)


@pytest_asyncio.fixture
async def known(rows: FhirRows) -> FhirRows:
    """Four patients of one server are known."""
    await rows.load(*PATIENTS)
    return rows


async def found(api: Client, headers: dict[str, str], path: str) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    items: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        answer = await api.http.get(following, headers=headers)
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        following = answer.links["next"]["url"] if "next" in answer.links else None
    return items


def ids(items: list[dict[str, Any]]) -> str:
    """Their ids, in their order."""
    return "".join(item["id"] for item in items)


FILTERS: dict[str, str] = {
    "": "1234",
    "zipcode=02139": "12",
    "zipcode=02139-1234": "12",
    "zipcode=02138": "",
    "family=obr": "12",
    "family=O'BRIE": "1",
    "family=muller": "3",
    "given=zoe": "1",
    "given=ann": "13",
    "given=ann&family=m%C3%BC": "3",
    "family=ann": "",
    "gender=male": "2",
    "gender=unknown": "4",
    "birth_date_from=1980-06-15&birth_date_to=1980-06-15": "123",
    "birth_date_from=1980-06-16&birth_date_to=1980-06-30": "12",
    "birth_date_from=1980-07-01": "1",
    "birth_date_to=1980-05-31": "1",
    "birth_date_to=1979-12-31": "",
    "birth_date_from=1981-01-01": "",
    "birth_date_from=0001-01-01&birth_date_to=9999-12-31": "123",
    "server=hapi&zipcode=02139": "12",
    "server=file": "",
    "zipcode=02139&family=ob&gender=male&birth_date_from=1980-06-30": "2",
}


@pytest.mark.usefixtures("known")
async def test_filters_find_those_whom_they_name(api: Client, reader: dict[str, str]) -> None:
    assert {query: ids(await found(api, reader, f"/patients?{query}")) for query in FILTERS} == FILTERS


async def test_a_us_zip_code_is_compared_by_its_five_digits(
    api: Client, reader: dict[str, str], rows: FhirRows
) -> None:
    written = ("57778-0001", "577780001", " 57778 ", "57779", "057778")
    await rows.load(*(patient(str(number), zipcodes=[code]) for number, code in enumerate(written)))
    await rows.load((CASES / "29-zip-plus-4" / "zip4.ndjson").read_bytes().strip(), server="file")
    for asked in ("57778", "57778-0001", "57778-9999"):
        assert ids(await found(api, reader, f"/patients?zipcode={asked}")) == "012"
        shown = (await api.http.get(f"/zipcodes/{asked}", headers=reader)).json()
        assert (shown["zipcode"], shown["patients"]) == ("57778", 3)
    assert ids(await found(api, reader, "/patients?zipcode=99906")) == "a-zip4"


async def test_case_54_letters_without_an_accent_and_names_of_only_a_text_are_found(
    api: Client, reader: dict[str, str], rows: FhirRows
) -> None:
    await rows.load((CASES / "54-name-search" / "name-search.ndjson").read_bytes().strip())
    expected = {
        "family=lukasz": "x1",
        "given=soren": "x1",
        "given=dorde": "x1",
        "given=aethel": "x1",
        "family=isil": "x3",
        "given=isil": "x3",
        "family=text": "x7",
        "given=only": "x7",
        "family=only te": "x7",
    }
    assert {query: ids(await found(api, reader, f"/patients?{query}")) for query in expected} == expected


async def test_a_patient_is_shown_as_the_resource_says(api: Client, reader: dict[str, str], known: FhirRows) -> None:
    shown = (await api.http.get("/patients/2", headers=reader)).json()
    expected = {
        "id": "2", "server": "hapi", "family": "Obrian", "given": ["Max"], "gender": "male", "birth_date": "1980-06",
        "birth_date_precision": "month", "postal_code": "02139-1234", "postal_codes": ["02139-1234", "02139"],
        "address_lines": ["1 Main Street"], "deceased": None, "last_updated": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    assert shown | expected == shown
    assert shown["load_id"] == str(await known.pool.fetchval("SELECT id FROM ingest.load"))
    assert shown["object_key"] == await known.pool.fetchval("SELECT object_key FROM ingest.load")
    assert shown in (await api.http.get("/patients", headers=reader)).json()["items"]
    assert "search_names" not in shown


async def test_pages_hold_each_patient_once_though_others_come_in_between(
    api: Client, reader: dict[str, str], rows: FhirRows
) -> None:
    await rows.load(*(patient(f"{number:03}") for number in range(50)))
    await rows.load(*(patient(f"{number:03}") for number in range(50)), server="other")
    first = await api.http.get("/patients?zipcode=02139&limit=33", headers=reader)
    assert len(first.json()["items"]) == 33
    await rows.load(patient("000a"), patient("049a"))
    rest = await found(api, reader, first.links["next"]["url"])
    ids = [(item["id"], item["server"]) for item in first.json()["items"] + rest]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids) == 101
    assert ("049a", "hapi") in ids


@pytest.mark.usefixtures("known")
async def test_csv_has_all_rows(api: Client, reader: dict[str, str]) -> None:
    answer = await api.http.get("/patients", headers=reader | {"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert [row["family"] for row in csv.DictReader(io.StringIO(answer.text))] == ["O'Brien", "Obrian", "Müller", ""]


@pytest.mark.usefixtures("known")
async def test_an_id_on_two_servers_is_no_answer_until_one_is_named(
    api: Client, reader: dict[str, str], rows: FhirRows
) -> None:
    await rows.load(patient("2", "Another"), observation("a", of="2"), server="other")
    for path in ("/patients/2", "/patients/2/observations", "/observations?patient_id=2"):
        answer = await api.http.get(path, headers=reader)
        assert answer.status_code == 409, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["servers"], answer.json()["field"]) == (["hapi", "other"], "server")
    for server, family, observations in (("hapi", "Obrian", 0), ("other", "Another", 1)):
        assert (await api.http.get(f"/patients/2?server={server}", headers=reader)).json()["family"] == family
        assert len(await found(api, reader, f"/patients/2/observations?server={server}")) == observations
        assert len(await found(api, reader, f"/observations?patient_id=2&server={server}")) == observations


@pytest.mark.usefixtures("known")
async def test_what_is_not_there_is_a_404(api: Client, reader: dict[str, str]) -> None:
    for path in ("/patients/9", "/patients/1?server=other", "/patients/9/observations", "/zipcodes/99999"):
        answer = await api.http.get(path, headers=reader)
        assert answer.status_code == 404, path
        assert answer.json()["advice"]


IMPOSSIBLE: dict[str, str] = {
    "/patients?gender=m": "gender",
    "/patients?family=-": "family",
    "/patients?given=%00": "given",
    "/patients?birth_date_from=1980": "birth_date_from",
    "/patients?birth_date_to=2023-02-30": "birth_date_to",
    "/patients?server=' OR 1=1": "server",
    "/patients?limit=1001": "limit",
    "/patients/%00": "patient_id",
    f"/patients/{'x' * 256}": "patient_id",
}


async def test_a_parameter_that_cannot_be_is_named(api: Client, reader: dict[str, str]) -> None:
    assert await refused_fields(api, reader, IMPOSSIBLE) == IMPOSSIBLE


async def test_a_zip_code_that_is_none_is_refused(api: Client, reader: dict[str, str]) -> None:
    wrong = ("0213", "021390", "02139-12", "O2139", "02139%0A", "%D9%A0%D9%A2%D9%A1%D9%A3%D9%A9", "';--")
    for path, zipcode in product(("/zipcodes/{}", "/patients?zipcode={}"), wrong):
        answer = await api.http.get(path.format(zipcode), headers=reader)
        refusal = (answer.status_code, answer.json()["type"], answer.json()["field"])
        assert refusal == (422, "InvalidZipcode", "zipcode"), (path, zipcode)


async def test_a_zip_code_says_what_is_there_by_server_and_when_it_was_imported(
    api: Client, reader: dict[str, str], rows: FhirRows, pool: Pool
) -> None:
    await rows.load(*PATIENTS, *(observation(f"a{number}", of="1") for number in range(3)), observation("b", of="3"))
    await rows.load(patient("1"), observation("a1", of="1"), observation("c", of="nobody"), server="other")
    await pool.execute(
        "INSERT INTO fhir.zipcode_import VALUES ('02139', 'hapi', 'run', '{\"patients\": 2}', '2026-02-03T04:05:06Z'), "
        "('02139', 'empty', 'later', '{}', '2026-02-03T04:05:06Z')"
    )
    shown = (await api.http.get("/zipcodes/02139", headers=reader)).json()
    imported = {"run_id": "run", "imported_at": "2026-02-03T04:05:06Z", "counts": {"patients": 2}}
    empty = {"run_id": "later", "imported_at": "2026-02-03T04:05:06Z", "counts": {}}
    assert shown == {
        "zipcode": "02139",
        "patients": 3,
        "observations": 4,
        "servers": [
            {"server": "empty", "patients": 0, "observations": 0, "last_import": empty},
            {"server": "hapi", "patients": 2, "observations": 3, "last_import": imported},
            {"server": "other", "patients": 1, "observations": 1, "last_import": None},
        ],
    }
    (one,) = (await api.http.get("/zipcodes/02139?server=other", headers=reader)).json()["servers"]
    assert one["observations"] == 1


async def test_what_is_outdated_is_left_out_of_lists_and_counts_unless_it_is_asked_for(
    api: Client, reader: dict[str, str], rows: FhirRows
) -> None:
    def refused(resource: dict[str, Any]) -> dict[str, Any]:
        return resource | {"meta": {"versionId": "2"}, "implicitRules": "http://x/not-as-you-think"}

    people, values = (patient("1"), patient("2")), (observation("a", "1"), observation("b", "2"), observation("c", "2"))
    await rows.load(*people, *values)
    await rows.load(refused(people[0]), refused(values[1]))
    for path, current, every in (
        ("/patients?", "2", "12"),
        ("/patients?zipcode=02139&", "2", "12"),
        ("/observations?", "ca", "cba"),
        ("/patients/2/observations?", "c", "cb"),
        ("/observations?from=2020&", "ca", "cba"),
    ):
        assert ids(await found(api, reader, path)) == current
        assert ids(await found(api, reader, f"{path}outdated=false")) == current
        shown = await found(api, reader, f"{path}outdated=true&limit=1")
        assert ids(shown) == every
        assert "".join(each["id"] for each in shown if not each["outdated"]) == current
    for query, patients, observations in (("", 1, 1), ("?outdated=true", 2, 3)):
        counted = (await api.http.get(f"/zipcodes/02139{query}", headers=reader)).json()
        assert (counted["patients"], counted["observations"]) == (patients, observations)
    assert (await api.http.get("/patients/1", headers=reader)).json()["outdated"] is True
