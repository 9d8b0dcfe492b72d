"""The client against a server that says whatever a test wants: what an answer means, and where links may lead."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import pytest_asyncio
from pydantic import SecretStr

from config.fhir import FhirServerSettings, FhirSettings
from library.contracts.errors import HostNotResolved, WardflowError
from library.sources.fhir.client import FhirClient
from library.sources.fhir.errors import (
    AnotherOrigin,
    PageTooLarge,
    PageUnreadable,
    SearchExpired,
    ServerBusy,
    ServerRefused,
)
from library.sources.fhir.page import issue_codes
from tests.unit.web.server import Server, answer, redirect

BUNDLE = b'{"resourceType":"Bundle","type":"searchset"}'
LIMIT = 100_000
ZIP = [("address-postalcode", "02139")]


def client_of(server: Server, **settings: object) -> FhirClient:
    made = FhirServerSettings.model_validate({"base_url": server.url("/fhir"), **settings})
    limits = FhirSettings(max_page_bytes=LIMIT, read_timeout=0.5, deadline=2.0)
    return FhirClient("test", made, limits, ca_file=None)


@pytest_asyncio.fixture
async def client(server: Server) -> AsyncIterator[FhirClient]:
    made = client_of(server)
    yield made
    await made.close()


async def test_a_search_is_asked_for_as_fhir_json_past_any_cache_with_its_values_encoded(
    server: Server, client: FhirClient
) -> None:
    server.answers["/fhir/Patient"] = answer(BUNDLE, "Date: Sat, 21 Nov 2026 10:00:00 GMT")
    found = await client.search("Patient", [("address-postalcode", "02 1&_id=x'"), ("_count", "5")])
    assert (found.body, found.date) == (BUNDLE, datetime(2026, 11, 21, 10, tzinfo=UTC))
    assert server.paths == ["/fhir/Patient?address-postalcode=02%201%26_id%3Dx%27&_count=5"]
    head = server.requests[0].lower()
    assert "accept: application/fhir+json" in head
    assert "cache-control: no-cache" in head


async def test_a_search_that_is_too_long_for_a_url_goes_by_post(server: Server, client: FhirClient) -> None:
    server.answers["/fhir/Observation/_search"] = answer(BUNDLE)
    found = await client.search("Observation", [("patient", ",".join(f"patient-{n:04}" for n in range(900)))])
    assert server.requests[0].startswith("POST /fhir/Observation/_search ")
    assert client.absolute("?page=2", at=found.url) == server.url("/fhir/Observation?page=2")


@pytest.mark.parametrize(
    ("link", "leads_to"),
    [
        ("{own}/fhir?_getpages=1&x=%2C", "{own}/fhir?_getpages=1&x=%2C"),
        ("/fhir?_getpages=1", "{own}/fhir?_getpages=1"),
        ("Patient?page=2", "{own}/fhir/Patient?page=2"),
        ("http://inside:8080/fhir?_getpages=1", "{own}/fhir?_getpages=1"),
    ],
)
async def test_links_are_followed_as_given_at_the_origin_of_the_base(server: Server, link: str, leads_to: str) -> None:
    client = client_of(server, next_origins=("http://inside:8080",))
    own = server.url("")
    assert client.absolute(link.format(own=own), at=f"{own}/fhir/Patient") == leads_to.format(own=own)
    await client.close()


@pytest.mark.parametrize(
    "link",
    [
        "http://elsewhere.example/fhir",
        "https://127.0.0.1/fhir",
        "http://127.0.0.1:1/fhir",
        "//evil.example/x",
        "file:///x",
    ],
)
async def test_links_elsewhere_are_not_followed(client: FhirClient, link: str) -> None:
    with pytest.raises(AnotherOrigin):
        await client.page(link)


async def test_credentials_in_a_link_are_another_origin(server: Server, client: FhirClient) -> None:
    with pytest.raises(AnotherOrigin):
        await client.page(f"http://user:secret@{server.origin}/fhir")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (answer(status=429), ServerBusy),
        (answer(status=503), ServerBusy),
        (answer(status=500), ServerBusy),
        (answer(status=501), ServerRefused),
        (answer(status=403), ServerRefused),
        (answer(status=404), ServerRefused),
        (answer(b"", "Location: http://elsewhere.example/", status=302), ServerRefused),
        (answer(BUNDLE, length=500), PageUnreadable),
        (answer(gzip.compress(BUNDLE)[:20], "Content-Encoding: gzip"), PageUnreadable),
        (answer(b"no gzip", "Content-Encoding: gzip"), PageUnreadable),
        (answer(BUNDLE, "Content-Encoding: br"), PageUnreadable),
        (answer(b"x" * (LIMIT + 1)), PageTooLarge),
        (answer(gzip.compress(bytes(50 * LIMIT)), "Content-Encoding: gzip"), PageTooLarge),
        (
            answer(gzip.compress(bytes(LIMIT)) + gzip.compress(bytes(50 * LIMIT)), "Content-Encoding: gzip"),
            PageTooLarge,
        ),
        (answer(gzip.compress(BUNDLE) + gzip.compress(BUNDLE)[:20], "Content-Encoding: gzip"), PageUnreadable),
    ],
)
async def test_each_answer_that_is_no_page_is_called_what_it_is(
    server: Server, client: FhirClient, said: bytes, error: type[WardflowError]
) -> None:
    server.answers["/fhir/Patient"] = said
    with pytest.raises(error) as raised:
        await client.search("Patient", ZIP)
    assert type(raised.value) is error
    assert "02139" not in raised.value.message


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_search_and_a_page_are_redirected_at_their_origin_with_the_token(server: Server, status: int) -> None:
    client = client_of(server, token=SecretStr("t0ken"), next_origins=("http://inside:8080",))
    server.answers["/fhir/Patient"] = redirect("http://inside:8080/moved/Patient?a=1", status)
    server.answers["/moved/Patient?a=1"] = redirect("Again?b=2", status)
    server.answers["/moved/Again?b=2"] = answer(BUNDLE)
    found = await client.search("Patient", ZIP)
    assert (found.body, found.url) == (BUNDLE, server.url("/moved/Again?b=2"))
    assert (await client.page("/fhir/Patient")).body == BUNDLE
    assert all("bearer t0ken" in request.lower() for request in server.requests)
    assert [request.partition(" ")[0] for request in server.requests] == ["GET"] * 6
    await client.close()


@pytest.mark.parametrize(("status", "method"), [(307, "POST"), (308, "POST"), (301, "POST"), (303, "GET")])
async def test_a_long_search_is_sent_again_to_where_it_is_redirected(
    server: Server, client: FhirClient, status: int, method: str
) -> None:
    server.answers["/fhir/Observation/_search"] = redirect("/moved/Observation/_search", status)
    server.answers["/moved/Observation/_search"] = answer(BUNDLE)
    await client.search("Observation", [("patient", ",".join(f"patient-{n:04}" for n in range(900)))])
    assert server.requests[1].startswith(f"{method} /moved/Observation/_search ")
    assert ("content-length: 1" in server.requests[1].lower()) is (method == "POST")


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ("https://elsewhere.example/fhir?name=Zwetschgenbaum", "https://elsewhere.example:443"),
        ("//elsewhere.example", "http://elsewhere.example:80"),
        ("http://127.0.0.1:1/fhir", "http://127.0.0.1:1"),
        ("file:///etc/passwd", "not a web address"),
    ],
)
async def test_a_search_is_not_redirected_elsewhere_and_the_advice_says_what_to_set(
    server: Server, client: FhirClient, location: str, place: str
) -> None:
    server.answers["/fhir/Patient"] = redirect(location, 302)
    with pytest.raises(ServerRefused) as raised:
        await client.search("Patient", ZIP)
    assert f"answered 302 and redirects to another origin, {place}." in raised.value.message
    assert "base_url" in raised.value.advice
    assert "next_origins" in raised.value.advice
    assert "Zwetschgenbaum" not in raised.value.message + raised.value.advice
    assert len(server.requests) == 1


async def test_redirects_in_a_circle_end(server: Server, client: FhirClient) -> None:
    server.answers["/fhir/Patient"] = redirect("/fhir/Patient", 307)
    with pytest.raises(ServerRefused, match="redirects more than 5 times"):
        await client.search("Patient", ZIP)
    assert len(server.requests) == 6


@pytest.mark.parametrize("status", [404, 410])
async def test_a_page_that_is_gone_has_expired(server: Server, client: FhirClient, status: int) -> None:
    server.answers["/fhir"] = answer(status=status)
    with pytest.raises(SearchExpired):
        await client.page("?_getpages=1")


async def test_a_busy_server_is_asked_again_when_it_says_in_seconds_or_as_a_date(
    server: Server, client: FhirClient
) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    for header, low, high in ((" 7", 7, 7), (f" {soon}", 50, 60)):
        server.answers["/fhir/Patient"] = answer(b"", f"Retry-After:{header}", status=503)
        with pytest.raises(ServerBusy) as raised:
            await client.search("Patient", ZIP)
        assert raised.value.retry_after is not None
        assert low <= raised.value.retry_after <= high


async def test_a_server_that_is_silent_or_not_there_is_busy(server: Server, client: FhirClient) -> None:
    async def silent(_: object) -> None:
        await asyncio.sleep(5)

    server.answers["/fhir/Patient"] = silent
    with pytest.raises(ServerBusy):
        await client.search("Patient", ZIP)
    nobody = FhirClient("gone", FhirServerSettings(base_url="http://127.0.0.1:9"), FhirSettings(), ca_file=None)
    with pytest.raises(ServerBusy):
        await nobody.search("Patient", ZIP)
    await nobody.close()


async def test_a_compressed_page_is_inflated(server: Server, client: FhirClient) -> None:
    server.answers["/fhir/Patient"] = answer(gzip.compress(BUNDLE), "Content-Encoding: gzip")
    assert (await client.search("Patient", ZIP)).body == BUNDLE


async def test_a_compressed_page_of_several_members_is_one(server: Server, client: FhirClient) -> None:
    parts = gzip.compress(BUNDLE[:9]) + gzip.compress(b"") + gzip.compress(BUNDLE[9:])
    server.answers["/fhir/Patient"] = answer(parts, "Content-Encoding: gzip")
    assert (await client.search("Patient", ZIP)).body == BUNDLE


async def test_of_what_a_server_says_of_an_error_only_its_codes_are_told(server: Server, client: FhirClient) -> None:
    issue = {
        "severity": "error",
        "code": "not-found",
        "diagnostics": "Patient/Zwetschgenbaum",
        "details": {"text": "K."},
    }
    odd = {"severity": "Zwetschgenbaum", "code": "x"}
    body = json.dumps({"resourceType": "OperationOutcome", "issue": [issue, odd]}).encode()
    server.answers["/fhir/Patient"] = answer(body, status=400)
    with pytest.raises(ServerRefused) as raised:
        await client.search("Patient", ZIP)
    assert raised.value.message == "The server test answered 400 with error/not-found."
    assert issue_codes(b"<html>") == ()


@pytest.mark.parametrize("wrong", ["..", "a/b", "a b", "", "x" * 65])
async def test_what_is_no_id_is_not_asked_for(server: Server, client: FhirClient, wrong: str) -> None:
    assert await client.read("Patient", wrong) is None
    assert server.requests == []


async def test_a_bearer_token_is_sent(server: Server) -> None:
    client = client_of(server, token=SecretStr("t0ken"))
    server.answers["/fhir/Patient"] = answer(BUNDLE)
    await client.search("Patient", ZIP)
    assert "authorization: bearer t0ken" in server.requests[0].lower()
    await client.close()


async def test_client_credentials_become_a_token_once(server: Server) -> None:
    server.answers["/token"] = answer(b'{"access_token": "granted", "expires_in": 600}')
    server.answers["/fhir/Patient"] = answer(BUNDLE)
    settings = {"client_id": "us", "client_secret": SecretStr("s"), "token_url": server.url("/token")}
    client = client_of(server, **settings)
    for _ in range(2):
        await client.search("Patient", ZIP)
    assert server.paths.count("/token") == 1
    assert "authorization: bearer granted" in server.requests[-1].lower()
    await client.close()


async def test_a_busy_server_of_tokens_says_when_to_ask_again(server: Server) -> None:
    server.answers["/token"] = answer(b"", "Retry-After: 7", status=429)
    settings = {"client_id": "us", "client_secret": SecretStr("s"), "token_url": server.url("/token")}
    client = client_of(server, **settings)
    with pytest.raises(ServerBusy) as busy:
        await client.search("Patient", ZIP)
    assert busy.value.retry_after == 7
    await client.close()


@pytest.mark.parametrize("status", [401, 501])
async def test_a_server_of_tokens_that_grants_none_is_refused(server: Server, status: int) -> None:
    server.answers["/token"] = answer(b'{"error": "invalid_client"}', status=status)
    settings = {"client_id": "us", "client_secret": SecretStr("s"), "token_url": server.url("/token")}
    client = client_of(server, **settings)
    with pytest.raises(ServerRefused):
        await client.search("Patient", ZIP)
    await client.close()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"base_url": "https://fhir.invalid/r4"}, "fhir.invalid of the server test"),
        (
            {"token_url": "https://tokens.invalid/", "client_id": "me", "client_secret": SecretStr("x")},
            "tokens.invalid of the token server",
        ),
    ],
)
async def test_a_name_that_does_not_resolve_is_named_and_given_up_after_a_while(
    server: Server, monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], named: str
) -> None:
    client = client_of(server, **settings)
    with pytest.raises(ServerBusy, match=f"{named} does not resolve") as first:
        await client.search("Patient", ZIP)
    assert first.value.retry_after == 5
    monkeypatch.setattr("library.web.names.NAME_MAY_TAKE", 0.0)
    with pytest.raises(HostNotResolved, match=rf"{named.split()[0]} does not resolve; it was tried") as given_up:
        await client.search("Patient", ZIP)
    assert not given_up.value.retryable
    await client.close()
