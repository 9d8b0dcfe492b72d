"""What servers did not deliver in searches is told: cases 28, 29, 31 to 33, and others of their kinds."""

import json
from typing import Any

import pytest

from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.played_fhir import BASE, PlayedServer, bundle, observation, patient, played

SEARCH = f"{BASE}/Patient"
MADE = {"lastUpdated": "2030-01-01T00:00:00Z"}
NEXT = [{"relation": "next", "url": f"{BASE}/Patient?pg=2"}]


async def through(pool: Pool) -> list[str]:
    """The patients whose observations are known completely."""
    rows = await pool.fetch(
        "SELECT patient_id FROM fhir.patient_import WHERE observations_complete_through IS NOT NULL ORDER BY 1"
    )
    return [row["patient_id"] for row in rows]


async def test_patients_whose_zip_code_has_four_more_digits_or_blanks_are_of_the_zip_code(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with played(settings, pool, store) as server:
        page = json.loads(server.bytes_of("29-zip-plus-4", "page.json"))
        for identity, code in (("s6-c", " 10006 "), ("s6-d", "100061234"), ("other", "10060"), ("sa", "10006-1234")):
            page["entry"].append({"resource": patient(identity, code)})
        page["entry"][-1]["resource"]["address"][0]["country"] = "SA"
        page["total"] = 6
        server.answers(SEARCH, page)
        run = await server.zipcode("10006-9999")
        assert (run.workflow_id.partition("-")[2], run.subject) == ("zipcode-played-10006", "10006 at played")
        assert (run.state, run.result, run.warnings) == (RunState.COMPLETED, "loaded", [])
        assert (run.report["patients"], run.report["left_out"]) == (4, 2)
        assert server.asked(SEARCH) == [f"{SEARCH}?address-postalcode=10006&_count=20"]
        assert await server.ids() == ["s6-a", "s6-b", "s6-c", "s6-d"]
        counts = await pool.fetchrow("SELECT zipcode, counts FROM fhir.zipcode_import")
        assert (counts["zipcode"], counts["counts"]["left_out"]) == ("10006", 2)
        server.answers(SEARCH, bundle())
        again = await server.zipcode("10006")
    # The server no longer finds them, so each one is read by its id.
    assert (again.result, len(server.asked(f"{BASE}/Patient/"))) == ("loaded", 4)


async def test_a_server_that_ignores_the_zip_code_does_not_fill_the_warehouse(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    everybody = [patient(str(number), f"{number:05}") for number in range(10_000, 10_030)]
    async with played(settings, pool, store) as server:
        server.answers(SEARCH, bundle(*everybody[:20], link=NEXT))
        server.answers(NEXT[0]["url"], bundle(*everybody[20:]))
        run = await server.zipcode("10021")
        assert (await server.ids(), run.report["left_out"]) == (["10021"], 29)


async def test_a_total_that_is_missed_twice_is_a_warning_and_advances_nothing(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with played(settings, pool, store) as server:
        server.answers(SEARCH, server.bytes_of("28-total-without-next", "page.json"))
        server.answers(f"{BASE}/Observation", bundle(observation("o", of="s4-a"), total=2, meta=MADE))
        run = await server.zipcode("10004")
        assert (run.state, run.result) == (RunState.COMPLETED, "loaded")
        assert run.warnings == [
            "2 searches had fewer resources than the server's total, in two tries: 4 did not come. The next import "
            "requests all of them again."
        ]
        assert (run.report["short_searches"], run.report["missing_resources"]) == (2, 4)
        assert (len(server.asked(SEARCH)), len(server.asked(f"{BASE}/Observation"))) == (2, 2)
        assert (await server.ids(), await server.ids("observation")) == (["s4-a", "s4-b"], ["o"])
        assert await through(pool) == []


async def test_an_error_beside_the_results_of_a_search_makes_the_run_incomplete_and_advances_nothing(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    def outcome(severity: str) -> dict[str, Any]:
        return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": "transient"}]}

    async with played(settings, pool, store) as server:
        server.answers(SEARCH, bundle(patient("p", "10004"), outcome("warning")))
        server.answers(f"{BASE}/Observation", bundle(observation("o", of="p"), outcome("fatal"), meta=MADE))
        run = await server.zipcode("10004")
        assert (run.state, run.result) == (RunState.COMPLETED, "incomplete")
        assert run.warnings == [
            "The server stated 1 error beside the results of searches, so results can be missing. The next import "
            "requests all of them again."
        ]
        assert (run.report["search_failures"], await server.ids("observation")) == (1, ["o"])
        assert await through(pool) == []
        server.answers(f"{BASE}/Observation", bundle(observation("o", of="p"), outcome("information"), meta=MADE))
        assert (await server.zipcode("10004")).result == "already_loaded"
        assert await through(pool) == ["p"]


async def test_a_total_that_is_met_at_the_second_try_is_no_warning(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    tries: list[bytes] = []

    async def second_try_has_all(writer: Any) -> None:
        tries.append(b"")
        some = [patient("a"), patient("b")][: len(tries)]
        body = json.dumps(bundle(*some, total=2)).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async with played(settings, pool, store) as server:
        server.web.answers[SEARCH] = second_try_has_all
        server.answers(f"{BASE}/Observation", bundle(total=0, meta=MADE))
        run = await server.zipcode("10001")
        assert (run.result, run.warnings, len(tries)) == ("loaded", [], 2)
        assert await server.ids() == await through(pool) == ["a", "b"]


async def test_of_patients_asked_one_by_one_only_those_with_a_missed_total_are_not_known_completely(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with played(settings, pool, store, batch=3) as server:
        server.answers(SEARCH, bundle(patient("a"), patient("b"), patient("c")))
        server.answers(f"{BASE}/Observation", b"", status=400)
        for name, total in (("a", 1), ("b", 2), ("c", 1)):
            page = bundle(observation(f"o{name}", of=name), total=total, meta=MADE)
            server.answers(f"{BASE}/Observation?patient={name}&_count=20", page)
        run = await server.zipcode("10001")
        assert (run.result, run.report["short_searches"]) == ("loaded", 1)
        assert await through(pool) == ["a", "c"]


@pytest.mark.parametrize(
    "sizes",
    [{"batch": 3}, {"batch": 1, "history": 20, "window": 1}, {"batch": 1, "large_zipcode": 1, "part": 1}],
    ids=["together", "continued as new", "by children"],
)
async def test_one_patient_who_may_not_be_read_makes_the_result_incomplete(
    settings: Settings, pool: Pool, store: ObjectStore, sizes: dict[str, Any]
) -> None:
    async with played(settings, pool, store, **sizes) as server:
        server.answers(SEARCH, bundle(patient("a"), patient("b"), patient("c")))
        server.answers(f"{BASE}/Observation", b"", status=403)
        for name in ("a", "c"):
            page = bundle(observation(f"o{name}", of=name), meta=MADE)
            server.answers(f"{BASE}/Observation?patient={name}&_count=20", page)
        run = await server.zipcode("10001")
        assert (run.state, run.result, run.error) == (RunState.COMPLETED, "incomplete", None)
        assert run.report["patients_refused"] == 1
        assert run.warnings == ["The server refused the resources of 1 patient. The server played answered 403."]
        assert await server.ids("observation") == ["oa", "oc"]
        assert await through(pool) == ["a", "c"]
        server.answers(f"{BASE}/Observation?patient=b&_count=20", bundle(observation("ob", of="b")))
        assert (await server.zipcode("10001")).result == "loaded"
        assert await server.ids("observation") == ["oa", "ob", "oc"]


async def test_a_moved_patient_who_may_not_be_read_makes_the_result_incomplete(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with played(settings, pool, store) as server:
        server.answers(SEARCH, bundle(patient("a"), patient("b")))
        assert (await server.zipcode("10001")).result == "loaded"
        server.answers(SEARCH, bundle(patient("a")))
        server.answers(f"{BASE}/Patient/b", b"", status=403)
        run = await server.zipcode("10001")
        assert (run.result, run.report["patients_refused"]) == ("incomplete", 1)


@pytest.mark.parametrize("batch", [1, 7])
async def test_if_all_patients_are_refused_the_run_fails(
    settings: Settings, pool: Pool, store: ObjectStore, batch: int
) -> None:
    async with played(settings, pool, store, batch=batch) as server:
        server.answers(SEARCH, bundle(*map(patient, "abcdefg")))
        server.answers(f"{BASE}/Observation", b"", status=403)
        run = await server.zipcode("10001")
        assert (run.state, run.error and run.error.type) == (RunState.FAILED, "ServerRefused")
        assert await through(pool) == []


async def test_a_server_that_refuses_last_updated_is_asked_for_everything_with_a_warning(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with played(settings, pool, store, window=1) as server:
        server.answers(SEARCH, bundle(*map(patient, "abcd")))
        server.answers(f"{BASE}/Observation", b"", status=400)
        for pair in ("a,b", "c,d"):
            page = bundle(*(observation(f"o{each}", of=each) for each in pair.split(",")))
            page["meta"] = {"lastUpdated": "2030-01-01T00:00:00Z"}
            server.answers(f"{BASE}/Observation?patient={pair}&_count=20", page)
        first = await server.zipcode("10001")
        assert (first.result, first.warnings) == ("loaded", [])
        server.web.requests.clear()
        run = await server.zipcode("10001")
        assert (run.state, run.result) == (RunState.COMPLETED, "already_loaded")
        assert run.warnings == ["The server refused the parameter _lastUpdated, so all observations were requested."]
        calls = server.asked(f"{BASE}/Observation")
        assert ["_lastUpdated" in call for call in calls] == [True, False, False]


async def test_a_next_link_that_is_a_path_is_followed(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with played(settings, pool, store) as server:
        server.answers(SEARCH, server.bytes_of("31-relative-next", "page.json"))
        server.answers(f"{SEARCH}?z=10001&pg=2", bundle(patient("s1-c")))
        assert (await server.zipcode("10001")).result == "loaded"
        assert await server.ids() == ["s1-a", "s1-b", "s1-c"]


async def test_an_empty_page_with_a_next_link_is_not_the_last_one(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with played(settings, pool, store) as server:
        server.answers(SEARCH, server.bytes_of("32-empty-page-next", "page.json"))
        server.answers(f"{SEARCH}?z=10002&pg=2", bundle(patient("s2-a", "10002")))
        assert (await server.zipcode("10002")).result == "loaded"
        assert await server.ids() == ["s2-a"]


async def test_a_page_that_leads_to_itself_ends_the_run(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    async with played(settings, pool, store) as server:
        for target in (SEARCH, f"{SEARCH}?z=10003&pg=2"):
            server.answers(target, server.bytes_of("33-next-loop", "page.json"))
        run = await server.zipcode("10003")
        assert (run.state, run.error and run.error.type) == (RunState.FAILED, "PageLoops")


async def pages(server: PlayedServer, *contents: str) -> None:
    """A search whose pages have patients with these letters as ids."""
    for number, content in enumerate(contents, start=1):
        link = [{"relation": "next", "url": f"{SEARCH}?pg={number + 1}"}] if number < len(contents) else []
        server.answers(SEARCH if number == 1 else f"{SEARCH}?pg={number}", bundle(*map(patient, content), link=link))


@pytest.mark.parametrize("contents", [("a", "a", "b"), ("ab", "b", "bc"), ("a", "ab", "b")])
async def test_a_resource_that_comes_again_on_the_next_page_is_no_loop(
    settings: Settings, pool: Pool, store: ObjectStore, contents: tuple[str, ...]
) -> None:
    async with played(settings, pool, store) as server:
        await pages(server, *contents)
        run = await server.zipcode("10001")
        assert (run.state, run.error) == (RunState.COMPLETED, None)
        assert await server.ids() == sorted(set("".join(contents)))


@pytest.mark.parametrize("contents", [("ab", "ab", "c"), ("a", "a", "a", "b")])
async def test_a_page_that_comes_again_is_a_loop(
    settings: Settings, pool: Pool, store: ObjectStore, contents: tuple[str, ...]
) -> None:
    async with played(settings, pool, store) as server:
        await pages(server, *contents)
        run = await server.zipcode("10001")
        assert (run.error and run.error.type) == "PageLoops"
