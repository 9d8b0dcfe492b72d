"""What is found, and how its pages are walked through."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from service.sources.fhir.sandbox.app import Options
from tests.support.sandbox import NO_TLS, RunningSandbox, running_sandbox
from tests.unit.service.sandbox.walking import ids, next_of, walk, walked_ids


def patient(identity: str, *postal_codes: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": identity, "address": [{"postalCode": code} for code in postal_codes]}


def observation(identity: str, of: str, code: str = "8302-2") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": identity,
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{of}"},
    }


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"address-postalcode": "02139"}, ["a", "b"]),
        ({"address-postalcode": "0213"}, ["a", "b", "c"]),
        ({"address-postalcode:exact": "02139"}, ["a"]),
        ({"address-postalcode": "99999"}, []),
        ({"address-postalcode": "0213,ab1"}, ["a", "b", "c", "d"]),
        ({"address-postalcode": "0213", "_id": "c,b,x"}, ["b", "c"]),
    ],
)
def test_postal_codes_are_found_by_their_beginning(
    sandbox: RunningSandbox, client: httpx.Client, asked: dict[str, str], found: list[str]
) -> None:
    sandbox.put(
        patient("a", "99501", "02139"), patient("b", "02139-1234"), patient("c", "02130"), patient("d", "AB1 2C")
    )
    assert ids(client.get("/Patient", params=asked).json()) == found


def test_observations_of_several_patients_are_found_by_get_and_by_post(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    sandbox.put(observation("1", "a"), observation("2", "b", "29463-7"), observation("3", "c"), observation("4", "a"))
    assert ids(client.get("/Observation?patient=a,Patient/b").json()) == ["1", "2", "4"]
    assert ids(client.post("/Observation/_search", data={"patient": "b,c"}).json()) == ["2", "3"]
    assert ids(client.get("/Observation?patient=a,b&code=http://loinc.org|29463-7,x").json()) == ["2"]
    assert ids(client.get("/Observation?patient=a,b&code=8302-2").json()) == ["1", "4"]
    assert ids(client.get("/Observation?patient=a,b&code=http://snomed.info/sct|8302-2").json()) == []


def test_an_observation_that_moves_to_another_patient_is_found_only_there(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    sandbox.put(observation("1", "a"))
    sandbox.put(observation("1", "b"))
    assert ids(client.get("/Observation?patient=a").json()) == []
    assert ids(client.get("/Observation?patient=b").json()) == ["1"]


def test_what_changed_since_a_moment_is_found_by_last_updated(sandbox: RunningSandbox, client: httpx.Client) -> None:
    old = observation("old", "a") | {"meta": {"lastUpdated": "2020-02-03T10:00:00.500+00:00"}}
    sandbox.put_as_given(old)
    sandbox.put(observation("new", "a"))

    def found(*moments: str) -> list[str]:
        return ids(client.get("/Observation", params={"patient": "a", "_lastUpdated": moments}).json())

    assert found("ge2020-02-03T10:00:00.500Z") == ["old", "new"]
    assert found("gt2020-02-03T10:00:00.500Z") == ["new"]
    assert found("gt2020-02-03T10:00:00Z") == ["new"]
    assert found("le2020-02-03T10:00:00Z") == ["old"]
    assert found("lt2020-02-03T10:00:00.500Z") == []
    assert found("2020-02-03") == ["old"]
    assert found("ge2020-02-03", "lt2020-02-04") == ["old"]
    assert found("ge2020-02-03T12:00:00.500+02:00", "le2021-01-01") == ["old"]


@pytest.mark.parametrize("query", ["patient=a&_lastUpdated=gt20", "_lastUpdated=ge2020-13-01", "_count=x", "name=x"])
def test_a_search_that_cannot_be_understood_is_refused_with_an_outcome(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/Observation?{query}")
    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_pages_hold_each_match_once_in_one_order(client: httpx.Client) -> None:
    pages = walk(client, "/Observation", _count=100)
    assert [len(ids(page)) for page in pages] == [100] * 15 + [41]
    assert {page["total"] for page in pages} == {1541}
    found = [each for page in pages for each in ids(page)]
    assert len(set(found)) == 1541
    assert found == walked_ids(client, "/Observation", _count=333)


def test_next_is_absolute_and_names_the_host_that_the_caller_named(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    port = urlsplit(sandbox.url).port
    for host in ("127.0.0.1", "localhost"):
        page = client.get(f"http://{host}:{port}/fhir/Patient?_count=2").json()
        link = urlsplit(str(next_of(page)))
        assert link.netloc == f"{host}:{port}"
        assert "_getpages" in parse_qs(link.query)
        assert page["entry"][0]["fullUrl"].startswith(f"http://{host}:{port}/fhir/Patient/")


def test_pages_show_what_was_there_when_the_search_ran(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.put(*(observation(str(n), "a") for n in range(6)))
    first = client.get("/Observation?patient=a&_count=2").json()
    sandbox.delete("Observation", "3")
    sandbox.put(observation("5", "b"), observation("6", "a"))
    rest = walk(client, str(next_of(first)))
    assert [each for page in rest for each in ids(page)] == ["2", "3", "4", "5"]
    assert {page["meta"]["lastUpdated"] for page in rest} == {first["meta"]["lastUpdated"]}


def test_a_page_link_that_is_too_old_or_made_up_is_gone(sandbox: RunningSandbox, client: httpx.Client) -> None:
    link = str(next_of(client.get("/Patient?_count=2").json()))
    assert client.get(link).status_code == 200
    sandbox.set_pages(lifetime=0)
    gone = client.get(link)
    assert gone.status_code == 410
    assert "may have expired" in gone.json()["issue"][0]["diagnostics"]
    assert client.get("?_getpages=made-up&_getpagesoffset=2&_count=2").status_code == 410


def test_a_repeated_search_is_answered_from_before_unless_sent_with_no_cache(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    sandbox.put(observation("1", "a"))
    first = client.get("/Observation?patient=a").json()
    sandbox.put(observation("2", "a"))
    assert client.get("/Observation?patient=a").json() == first
    fresh = client.get("/Observation?patient=a", headers={"Cache-Control": "no-cache"}).json()
    assert ids(fresh) == ["1", "2"]
    assert ids(client.get("/Observation?patient=a").json()) == ["1", "2"]
    sandbox.put(observation("3", "a"))
    sandbox.set_pages(reuse=0)
    assert ids(client.get("/Observation?patient=a").json()) == ["1", "2", "3"]


def test_the_server_says_what_time_it_is(client: httpx.Client) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    answer = client.get("/Patient?_count=1")
    at = datetime.fromisoformat(answer.json()["meta"]["lastUpdated"])
    assert before <= at <= datetime.now(UTC)
    assert abs(parsedate_to_datetime(answer.headers["Date"]) - at) < timedelta(seconds=3)


def test_a_url_that_is_too_long_is_answered_by_a_page_of_html_and_its_search_may_be_posted(
    client: httpx.Client,
) -> None:
    patients = ",".join(f"{n:036}" for n in range(222))
    refused = client.get(f"/Observation?patient={patients}")
    assert refused.status_code == 400
    assert refused.headers["Content-Type"].startswith("text/html")
    assert client.get(f"/Observation?patient={patients[: 220 * 37 - 1]}").status_code == 200
    assert client.post("/Observation/_search", data={"patient": patients * 20}).status_code == 200
    assert client.get(f"/Observation?patient={patients * 7}").status_code == 400


def test_a_caller_that_accepts_html_gets_html(client: httpx.Client) -> None:
    browser = client.get("/Patient", headers={"Accept": "text/html,*/*"})
    assert browser.status_code == 200
    assert browser.headers["Content-Type"].startswith("text/html")
    assert client.get("/Patient", headers={"Accept": "application/fhir+json, text/html"}).json()


def test_searches_side_by_side_are_told_apart_in_the_counts(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(latency=0.2)
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(client.get, [f"/Observation?patient={n}" for n in "aab"]))
    client.get("/Patient/nobody")
    calls = sandbox.calls()
    assert (calls["count"], calls["at_once"], calls["most_at_once"]) == (4, 0, 3)
    assert calls["by_kind"] == {"search Observation": 3, "read Patient": 1}
    assert calls["most_at_once_by_kind"] == {"search Observation": 3, "read Patient": 1}
    assert calls["by_status"] == {"200": 3, "404": 1}
    log = sandbox.call_log("search")
    assert sorted(call["parameters"] for call in log) == [[["patient", each]] for each in "aab"]
    assert all(call["seconds"] > 0.19 for call in log)  # clocks and timers round
    sandbox.clear_calls()
    assert sandbox.calls()["count"] == 0


def test_a_server_can_demand_a_token() -> None:
    with running_sandbox(options=Options(token="sesame")) as sandbox:  # noqa: S106 - nobody's
        assert httpx.get(f"{sandbox.url}/Patient", trust_env=False).status_code == 401
        let_in = httpx.get(f"{sandbox.url}/Patient", trust_env=False, headers={"Authorization": "Bearer sesame"})
        assert let_in.status_code == 200


def test_a_server_can_stand_at_the_root() -> None:
    with (
        running_sandbox(options=Options(base_path="")) as sandbox,
        httpx.Client(trust_env=False, verify=NO_TLS) as client,
    ):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", sandbox.url)
        assert len(walked_ids(client, f"{sandbox.url}/Patient", _count=2)) == 9
        assert client.get(f"{sandbox.url}/metadata").json()["fhirVersion"] == "4.0.1"


def test_the_order_of_matches_survives_new_versions(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.put(*(observation(str(n), of) for n, of in enumerate("abacada")))
    before = walked_ids(client, "/Observation?patient=a,b,c,d")
    sandbox.set_pages(reuse=0)
    sandbox.put(observation(before[0], "a"))
    assert before == walked_ids(client, "/Observation?patient=a,b,c,d") == list("0123456")
