"""Each fault, as a caller meets it."""

import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import msgspec
import pytest

from service.sources.fhir.sandbox.bundle import INCLUDED
from service.sources.fhir.sandbox.faults import RATES, Faults
from tests.support.sandbox import RunningSandbox
from tests.unit.service.sandbox.walking import ids, next_of, walk, walked_ids

SEARCH = "/Observation?_count=300"


@pytest.fixture
def all_ids(client: httpx.Client) -> list[str]:
    """What a search finds while nothing is wrong."""
    return walked_ids(client, SEARCH)


@pytest.mark.parametrize(("fault", "status"), [("too_many_requests", 429), ("unavailable", 503)])
def test_a_busy_server_says_in_seconds_when_to_come_again(
    sandbox: RunningSandbox, client: httpx.Client, fault: str, status: int
) -> None:
    sandbox.set_faults(**{fault: 1, "retry_after": 7, "times": 1})
    busy = client.get("/Patient")
    assert (busy.status_code, busy.headers["Retry-After"]) == (status, "7")
    assert busy.json()["resourceType"] == "OperationOutcome"
    assert client.get("/Patient").status_code == 200
    assert sandbox.calls()["impatient"] == 1
    assert sandbox.played() == {fault: 1}


def test_a_busy_server_says_by_a_date_when_to_come_again_or_says_nothing(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    sandbox.set_faults(too_many_requests=1, retry_after=3, retry_after_form="date")
    moment = parsedate_to_datetime(client.get("/Patient").headers["Retry-After"])
    assert 2 <= (moment - datetime.now(UTC)).total_seconds() <= 4
    sandbox.set_faults(unavailable=1, retry_after_form="none")
    assert "Retry-After" not in client.get("/Patient").headers


def test_who_waits_as_told_is_not_impatient(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(too_many_requests=1, retry_after=0.05, times=1)
    told = client.get("/Patient")
    time.sleep(float(told.headers["Retry-After"]))
    assert client.get("/Patient").status_code == 200
    assert sandbox.calls()["impatient"] == 0


def test_a_server_error_carries_an_outcome(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(server_error=1)
    broken = client.get("/Patient")
    assert broken.status_code == 500
    assert broken.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("faults", [{"latency": 0.3}, {"slow": 1, "slow_seconds": 0.3}])
def test_a_slow_server_takes_its_time(sandbox: RunningSandbox, client: httpx.Client, faults: dict[str, Any]) -> None:
    sandbox.set_faults(**faults)
    began = time.monotonic()
    assert client.get("/Patient").status_code == 200
    assert time.monotonic() - began >= 0.3


def test_a_body_that_is_cut_off_ends_with_its_connection(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(cut_off=1, times=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        client.get("/Patient")
    assert client.get("/Patient").status_code == 200


def test_json_can_be_cut_off_within_a_complete_answer(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(cut_json=1)
    answer = client.get("/Patient")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_a_page_can_come_as_html_with_status_200(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(html=1)
    answer = client.get("/Patient")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html;charset=UTF-8")
    assert "<html>" in answer.text


def test_a_body_can_be_compressed_for_those_who_accept_it(sandbox: RunningSandbox, client: httpx.Client) -> None:
    plain = client.get("/Patient").json()
    sandbox.set_faults(gzip=1)
    answer = client.get("/Patient")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json() == plain
    assert "Content-Encoding" not in client.get("/Patient", headers={"Accept-Encoding": "identity"}).headers


def test_a_resource_can_come_as_plain_json(sandbox: RunningSandbox, client: httpx.Client) -> None:
    assert client.get("/Patient").headers["Content-Type"].startswith("application/fhir+json")
    sandbox.set_faults(json_content_type=1)
    assert client.get("/Patient").headers["Content-Type"] == "application/json"


def test_a_page_link_can_expire_in_mid_walk_and_a_new_search_has_new_links(
    sandbox: RunningSandbox, client: httpx.Client, all_ids: list[str]
) -> None:
    sandbox.set_faults(expired_page=1, times=1)
    link = str(next_of(client.get(SEARCH).json()))
    assert client.get(link).status_code == 410
    assert client.get(link).status_code == 410
    assert walked_ids(client, SEARCH) == all_ids


def test_a_search_for_several_patients_can_be_refused(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(several_patients_refused=1)
    assert client.get("/Observation?patient=a,b").status_code == 400
    assert client.get("/Observation?patient=a").status_code == 200
    sandbox.set_faults(several_patients_refused=1, refusal_status=422)
    assert client.get("/Observation?patient=a,b").status_code == 422


def test_a_repeated_page_has_another_link_and_the_walk_goes_on(
    sandbox: RunningSandbox, client: httpx.Client, all_ids: list[str]
) -> None:
    sandbox.set_faults(repeated_page=1, times=1)
    pages = walk(client, SEARCH)
    assert ids(pages[0]) == ids(pages[1])
    assert next_of(pages[0]) != next_of(pages[1])
    assert [each for page in pages[1:] for each in ids(page)] == all_ids


def test_a_looping_next_leads_back_to_the_first_page(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(looping_next=1)
    first = client.get(SEARCH).json()
    second = client.get(str(next_of(first))).json()
    assert ids(first) == ids(second)
    assert next_of(first) == next_of(second)


def test_empty_pages_come_in_mid_walk_without_an_entry(
    sandbox: RunningSandbox, client: httpx.Client, all_ids: list[str]
) -> None:
    sandbox.set_faults(empty_page=1, empty_pages=3, times=1)
    pages = walk(client, SEARCH)
    assert ["entry" in page for page in pages[:6]] == [True, False, False, False, True, True]
    assert [each for page in pages for each in ids(page)] == all_ids


def test_a_page_can_be_shorter_than_asked_for(
    sandbox: RunningSandbox, client: httpx.Client, all_ids: list[str]
) -> None:
    sandbox.set_faults(short_page=1, times=2)
    pages = walk(client, SEARCH)
    assert [len(ids(page)) for page in pages] == [150, 150, 300, 300, 300, 300, 41]
    assert [each for page in pages for each in ids(page)] == all_ids


def test_the_total_can_be_missing_at_first(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(missing_total=1, times=2)
    assert ["total" in page for page in walk(client, SEARCH)] == [False, False, True, True, True, True]


def test_next_can_be_relative(sandbox: RunningSandbox, client: httpx.Client, all_ids: list[str]) -> None:
    sandbox.set_faults(relative_next=1)
    found, url = [], httpx.URL(f"{sandbox.url}{SEARCH}")
    while True:
        page = client.get(url).json()
        found += ids(page)
        if (link := next_of(page)) is None:
            break
        assert link.startswith("/fhir?")
        url = url.join(link)
    assert found == all_ids


def test_next_can_be_on_another_port_where_the_same_server_answers(
    sandbox: RunningSandbox, client: httpx.Client, all_ids: list[str]
) -> None:
    sandbox.set_faults(next_on_another_port=1)
    assert walked_ids(client, SEARCH) == all_ids
    link = str(next_of(client.get(SEARCH).json()))
    assert link.startswith(f"{sandbox.another_url}?")
    assert urlsplit(link).port != urlsplit(sandbox.url).port
    sandbox.set_faults(next_on_another_port=1, another_port=1)
    assert urlsplit(str(next_of(client.get(SEARCH).json()))).port == 1


def test_parameters_of_links_can_come_in_another_order(
    sandbox: RunningSandbox, client: httpx.Client, all_ids: list[str]
) -> None:
    usual = parse_qsl(urlsplit(str(next_of(client.get(SEARCH).json()))).query)
    sandbox.set_faults(other_parameter_order=1)
    pages = walk(client, SEARCH)
    links = [parse_qsl(urlsplit(link).query) for page in pages if (link := next_of(page))]
    assert any([name for name, _ in link] != [name for name, _ in usual] for link in links)
    assert sorted(links[0]) == sorted(usual)
    assert [each for page in pages for each in ids(page)] == all_ids


def test_outcomes_and_included_resources_can_stand_among_the_matches(
    sandbox: RunningSandbox, client: httpx.Client
) -> None:
    sandbox.set_faults(outcome_among_matches=1, include_among_matches=1)
    entries = client.get("/Patient").json()["entry"]
    modes = {entry["search"]["mode"]: entry["resource"] for entry in entries}
    assert modes["outcome"]["resourceType"] == "OperationOutcome"
    assert (modes["include"]["resourceType"], modes["include"]["id"]) == ("Patient", INCLUDED)
    assert len(entries) == 9 + 2


def test_faults_at_a_rate_are_the_same_for_the_same_seed(sandbox: RunningSandbox, client: httpx.Client) -> None:
    def statuses(seed: int) -> list[int]:
        sandbox.set_faults(unavailable=0.3, seed=seed)
        return [client.get(f"/Patient/{n}").status_code for n in range(60)]

    first = statuses(1)
    assert 8 <= first.count(503) <= 28
    assert statuses(1) == first
    assert statuses(2) != first


def test_a_repeated_call_draws_anew(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(unavailable=0.5)
    assert {client.get("/Patient").status_code for _ in range(30)} == {200, 503}


def test_faults_can_be_played_on_one_kind_of_call_alone(sandbox: RunningSandbox, client: httpx.Client) -> None:
    sandbox.set_faults(unavailable=1, calls=["page Observation"])
    first = client.get(SEARCH)
    assert first.status_code == 200
    assert client.get(str(next_of(first.json()))).status_code == 503
    assert client.get("/metadata").status_code == 200


@pytest.mark.parametrize("wrong", [{"unavailabel": 1}, {"unavailable": "often"}, {"retry_after_form": "soon"}])
def test_a_fault_that_there_is_not_is_refused(sandbox: RunningSandbox, wrong: dict[str, Any]) -> None:
    answer = sandbox.steering.put("/_sandbox/faults", json=wrong)
    assert answer.status_code == 422
    assert answer.json()["problem"]


@pytest.mark.parametrize("rate", [-0.1, 1.1, 2])
def test_a_rate_that_is_none_is_refused_and_the_faults_stay_as_they_were(sandbox: RunningSandbox, rate: float) -> None:
    sandbox.set_faults(unavailable=1)
    answer = sandbox.steering.put("/_sandbox/faults", json={"too_many_requests": rate})
    assert answer.status_code == 422
    assert answer.json()["problem"] == f"too_many_requests must be a rate from 0 to 1, not {rate:g}"
    assert (sandbox.faults().unavailable, sandbox.faults().too_many_requests) == (1, 0)


def test_every_rate_can_be_from_0_to_1_and_no_other_number() -> None:
    assert msgspec.convert(dict.fromkeys(RATES, 1.0), Faults).slow == 1
    for name in RATES:
        for none in (-0.01, 1.01, float("nan"), float("inf")):
            with pytest.raises(msgspec.ValidationError, match=f"^{name} must be a rate from 0 to 1"):
                msgspec.convert({name: none}, Faults)


def test_every_fault_that_is_played_at_a_rate_is_one_of_the_rates() -> None:
    no_rates = {"seed", "calls", "times", "latency", "retry_after", "retry_after_form", "slow_seconds"}
    no_rates |= {"empty_pages", "another_port", "refusal_status"}
    assert set(Faults.__struct_fields__) - no_rates == set(RATES)
