"""What an export does not deliver is told: cases 23, 24 and 26, and others of their kinds."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from config.settings import Settings
from library.contracts.runs import Run, RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.faults.harness import environment_of
from tests.support.commands import Commands
from tests.support.played_fhir import PlayedServer, observation, patient, played
from tests.unit.web.server import Server, answer, redirect, serving

TOKEN = "t0ken"  # noqa: S105 - a made-up one


@pytest_asyncio.fixture
async def elsewhere() -> AsyncIterator[Server]:
    """Another server, as of a cloud's files; downloads from it are allowed."""
    async with serving() as made:
        yield made


@pytest_asyncio.fixture
async def server(settings: Settings, pool: Pool, store: ObjectStore, elsewhere: Server) -> AsyncIterator[PlayedServer]:
    """A server with a token."""
    downloads = settings.downloads.model_copy(
        update={"private_origins": (elsewhere.origin,), "schemes": ("https", "http")}
    )
    allowed = settings.model_copy(update={"downloads": downloads})
    async with played(allowed, pool, store, server={"token": TOKEN}) as made:
        yield made


def ndjson(*resources: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in resources)


def outcome(severity: str | None, code: str = "exception") -> dict[str, Any]:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, "diagnostics": "Jane"}]}


def manifest(server: PlayedServer, *files: str | tuple[str, Any], **more: Any) -> dict[str, Any]:
    """A manifest of files of patients, some with their counts."""
    counted = [file if isinstance(file, tuple) else (file, None) for file in files]
    return {
        "transactionTime": "2030-04-01T00:00:00Z",
        "requiresAccessToken": False,
        "output": [
            {"type": "Patient", "url": server.web.url(f"/bulk/{name}")} | ({} if count is None else {"count": count})
            for name, count in counted
        ],
        **more,
    }


def of_case(server: PlayedServer, case: str, *files: str) -> None:
    for file in files:
        server.answers(f"/bulk/{file}", server.bytes_of(case, file))


def one_patient(server: PlayedServer) -> dict[str, Any]:
    server.answers("/bulk/p.ndjson", ndjson(patient("a")))
    return manifest(server, "p.ndjson")


async def exported(server: PlayedServer, body: Mapping[str, Any]) -> Run:
    server.answers("/bulk/m", body)
    return await server.export("/bulk/m")


async def test_deletions_are_told_with_their_counts_and_types(server: PlayedServer, pool: Pool) -> None:
    of_case(server, "23-manifest-deleted", "m1", "m2", "p1.ndjson", "p2.ndjson", "o1.ndjson", "del.ndjson")
    assert (await server.export("/bulk/m1")).warnings == []
    run = await server.export("/bulk/m2")
    assert (run.state, run.result) == (RunState.COMPLETED, "loaded")
    assert run.warnings == ["The export names deletions, which were not applied: Observation 1, Patient 1."]
    assert run.report["deleted"] == {"Observation": 1, "Patient": 1}
    assert await server.ids() == ["d-gone", "d-keep"]
    assert await pool.fetchval("SELECT postal_code FROM fhir.patient WHERE id = 'd-keep'") == "10021"


async def test_errors_of_an_export_make_its_result_incomplete(server: PlayedServer) -> None:
    of_case(server, "24-manifest-error", "m3", "p3.ndjson", "err.ndjson")
    run = await server.export("/bulk/m3")
    assert (run.state, run.result, run.error) == (RunState.COMPLETED, "incomplete", None)
    assert run.warnings == ["The export names issues in its files of errors: error/exception 1."]
    assert (run.report["issues"], run.report["failures"]) == ({"error/exception": 1}, 1)
    assert await server.ids() == ["e-1"]


async def test_a_command_that_gets_errors_of_an_export_ends_with_its_own_code(
    settings: Settings, server: PlayedServer, tmp_path: Any
) -> None:
    of_case(server, "24-manifest-error", "m3", "p3.ndjson", "err.ndjson")
    servers = {"WARDFLOW_FHIR__SERVERS": json.dumps({"played": {"base_url": server.web.url("/app/FHIR/r4")}})}
    commands = Commands(environment_of(settings) | servers | {"WARDFLOW_STACK__FOLDER": str(tmp_path)})
    ended = await commands.call("import", "fhir", server.web.url("/bulk/m3"))
    assert ended.exit_code == 3, ended.stderr
    assert "incomplete" in ended.stdout
    warning = "The export names issues in its files of errors: error/exception 1."
    assert warning in " ".join(ended.stderr.split())
    (told,) = json.loads((await commands.call("import", "fhir", server.web.url("/bulk/m3"), "--json")).stdout)
    assert (told["result"], told["warnings"]) == ("incomplete", [warning])


@pytest.mark.parametrize(
    ("lines", "result", "report"),
    [
        ([outcome("warning"), outcome("information", "informational")], "loaded",
         {"issues": {"warning/exception": 1, "information/informational": 1}}),
        ([outcome("warning"), outcome("fatal")], "incomplete",
         {"issues": {"warning/exception": 1, "fatal/exception": 1}, "failures": 1}),
        ([outcome("error", "Jane Doe!")], "incomplete", {"issues": {"error/others": 1}, "failures": 1}),
        ([], "loaded", {}),
        ([patient("Jane")], "incomplete", {"unread_errors": 1}),
        ([outcome(None)], "incomplete", {"unread_errors": 1}),
    ],
)  # fmt: skip
async def test_only_errors_make_the_result_incomplete_and_no_text_of_them_is_told(
    server: PlayedServer, lines: list[dict[str, Any]], result: str, report: dict[str, Any]
) -> None:
    server.answers("/bulk/err", ndjson(*lines))
    error = [{"type": "OperationOutcome", "url": server.web.url("/bulk/err")}]
    run = await exported(server, one_patient(server) | {"error": error})
    told = {name: value for name, value in run.report.items() if name not in ("files", "pages", "patient_unknown")}
    assert (run.result, told) == (result, report)
    assert "Jane" not in run.model_dump_json()


async def test_errors_of_an_export_and_references_to_another_server_are_both_told(server: PlayedServer) -> None:
    stray = observation("o", of="a") | {"subject": {"reference": "https://other.example/fhir/Patient/a"}}
    server.answers("/bulk/p.ndjson", ndjson(patient("a"), stray))
    server.answers("/bulk/err", ndjson(outcome("error")))
    error = [{"type": "OperationOutcome", "url": server.web.url("/bulk/err")}]
    run = await exported(server, manifest(server, "p.ndjson", error=error))
    assert [warning.split()[:5] for warning in run.warnings] == [
        ["The", "export", "names", "issues", "in"],
        ["1", "observation", "refers", "to", "patients"],
    ]


async def test_a_file_of_errors_that_is_refused_makes_the_result_incomplete(server: PlayedServer) -> None:
    error = [{"type": "OperationOutcome", "url": server.web.url("/bulk/not-there")}]
    run = await exported(server, one_patient(server) | {"error": error})
    assert (run.result, run.report["unread_errors"]) == ("incomplete", 1)


async def test_messages_among_the_output_are_messages(server: PlayedServer) -> None:
    body = one_patient(server)
    body["output"].append({"type": "OperationOutcome", "url": server.web.url("/bulk/err")})
    server.answers("/bulk/err", ndjson(outcome("error")))
    assert (await exported(server, body)).result == "incomplete"


async def test_all_pages_of_a_manifest_are_read(server: PlayedServer) -> None:
    following = [{"relation": "next", "url": "/bulk/m-2"}]
    for name in "abc":
        server.answers(f"/bulk/{name}", ndjson(patient(name)))
    server.answers("/bulk/err", ndjson(outcome("error")))
    error = [{"type": "OperationOutcome", "url": "/bulk/err"}]
    server.answers("/bulk/m-2", manifest(server, "b", link=[{"relation": "next", "url": server.web.url("/bulk/m-3")}]))
    server.answers("/bulk/m-3", manifest(server, "c", "a", error=error))
    run = await exported(server, manifest(server, "a", link=following))
    assert (run.result, run.report["files"], run.report["failures"]) == ("incomplete", 3, 1)
    assert await server.ids() == ["a", "b", "c"]
    assert len(server.asked("/bulk/a")) == 1


@pytest.mark.parametrize("following", ["/bulk/not-there", "/bulk/m", "https://elsewhere.example/m-2", "/bulk/a"])
async def test_a_page_of_a_manifest_that_cannot_be_read_makes_the_result_incomplete(
    server: PlayedServer, following: str
) -> None:
    server.answers("/bulk/a", ndjson(patient("a")))
    run = await exported(server, manifest(server, "a", link=[{"relation": "next", "url": following}]))
    assert (run.state, run.result) == (RunState.COMPLETED, "incomplete")
    assert run.warnings == [
        "A further page of the export's manifest cannot be read. Its files, and those after it, are missing."
    ]
    assert await server.ids() == ["a"]


@pytest.mark.parametrize("place", ["/bulk/m", "/bulk/m-2"])
async def test_a_manifest_or_a_page_that_is_not_ready_is_asked_for_again(server: PlayedServer, place: str) -> None:
    """A partial manifest comes with the status 202. Its files are listed again when it is whole."""
    tries = []

    async def ready_at_the_third_try(writer: Any) -> None:
        tries.append(1)
        ready = len(tries) == 3
        body = json.dumps(manifest(server, *("ab" if ready else "a"))).encode()
        writer.write(answer(body, "Retry-After: 0", status=200 if ready else 202))

    for name in "ab":
        server.answers(f"/bulk/{name}", ndjson(patient(name)))
    server.answers("/bulk/m", manifest(server, "a", link=[{"relation": "next", "url": "/bulk/m-2"}]))
    server.web.answers[place] = ready_at_the_third_try
    run = await server.export("/bulk/m")
    assert (run.result, run.warnings, len(tries)) == ("loaded", [], 3)
    assert await server.ids() == ["a", "b"]


async def test_a_file_with_fewer_lines_than_its_count_is_fetched_again_and_told(server: PlayedServer) -> None:
    server.answers("/bulk/short", ndjson(patient("a"), patient("b")))
    server.answers("/bulk/whole", ndjson(patient("c")) + b"\n\n" + ndjson(observation("o", of="c")))
    run = await exported(server, manifest(server, ("short", 5), ("whole", 2)))
    assert (run.state, run.result) == (RunState.COMPLETED, "loaded")
    assert run.warnings == [
        "1 file of the export had fewer lines than the manifest counts, in two tries: 3 did not come."
    ]
    assert (run.report["short_files"], run.report["missing_lines"]) == (1, 3)
    assert (len(server.asked("/bulk/short")), len(server.asked("/bulk/whole"))) == (2, 1)
    assert await server.ids() == ["a", "b", "c"]


async def test_what_was_short_is_told_though_the_workflow_continues_as_new(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with played(settings, pool, store, history=20) as server:
        for number in range(12):
            server.answers(f"/bulk/{number}", ndjson(patient(f"{number:02}")))
        run = await exported(server, manifest(server, *((str(number), 2) for number in range(12))))
        assert (run.result, run.report["short_files"], run.report["missing_lines"]) == ("loaded", 12, 12)
        assert len(await server.ids()) == 12


async def test_a_file_that_is_whole_at_the_second_try_is_loaded_whole(server: PlayedServer) -> None:
    tries: list[int] = []

    async def whole_at_the_second_try(writer: Any) -> None:
        tries.append(1)
        writer.write(answer(ndjson(*(patient("a"), patient("b"))[: len(tries)])))

    server.web.answers["/bulk/p"] = whole_at_the_second_try
    run = await exported(server, manifest(server, ("p", 2)))
    assert (run.result, run.warnings, await server.ids()) == ("loaded", [], ["a", "b"])


@pytest.mark.parametrize("count", ["2", None, -1, 2.5, [], 10**30])
async def test_a_count_that_is_no_number_is_no_count(server: PlayedServer, count: object) -> None:
    body = one_patient(server)
    body["output"][0]["count"] = count
    run = await exported(server, body)
    assert (run.result, run.warnings) == ("loaded", [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_file_that_redirects_elsewhere_is_loaded_and_the_token_stays(
    server: PlayedServer, elsewhere: Server, status: int
) -> None:
    of_case(server, "26-file-redirect", "m5")
    elsewhere.answers["/signed"] = redirect("/moved-again", 307)
    elsewhere.answers["/moved-again"] = answer(server.bytes_of("26-file-redirect", "p5.ndjson"))
    server.web.answers["/bulk/r5.ndjson"] = redirect(elsewhere.url("/signed"), status)
    run = await server.export("/bulk/m5")
    assert (run.state, run.result, run.error) == (RunState.COMPLETED, "loaded", None)
    assert await server.ids() == ["r-1"]
    assert elsewhere.paths == ["/signed", "/moved-again"]
    assert not any("authorization" in request.lower() for request in elsewhere.requests)
    assert all(f"bearer {TOKEN}" in request.lower() for request in server.web.requests)


async def test_a_file_that_redirects_at_its_own_server_is_loaded_with_the_token(server: PlayedServer) -> None:
    of_case(server, "26-file-redirect", "m5", "p5.ndjson")
    server.web.answers["/bulk/r5.ndjson"] = redirect("/bulk/p5.ndjson", 307)
    assert (await server.export("/bulk/m5")).result == "loaded"
    assert await server.ids() == ["r-1"]
    assert f"bearer {TOKEN}" in server.web.requests[-1].lower()


async def test_a_file_that_redirects_to_where_downloads_are_not_allowed_is_refused_with_what_to_do(
    server: PlayedServer,
) -> None:
    of_case(server, "26-file-redirect", "m5")
    server.web.answers["/bulk/r5.ndjson"] = redirect("https://files.example/p5.ndjson?signature=secret", 307)
    run = await server.export("/bulk/m5")
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.type == "UrlNotAllowed"
    assert "answered 307 and redirects to another origin, https://files.example:443" in run.error.message
    assert "downloads.hosts" in run.error.advice
    assert "secret" not in run.error.model_dump_json()


async def test_a_manifest_that_redirects_elsewhere_is_read_without_the_token(
    server: PlayedServer, elsewhere: Server
) -> None:
    elsewhere.answers["/m"] = answer(json.dumps(one_patient(server)).encode())
    server.web.answers["/bulk/m"] = redirect(elsewhere.url("/m"), 303)
    assert (await server.export("/bulk/m")).result == "loaded"
    assert await server.ids() == ["a"]
    assert "authorization" not in elsewhere.requests[0].lower()
