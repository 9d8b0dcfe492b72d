"""What people and programs ask of beds."""

import asyncio
import csv
import hashlib
import io
from itertools import product
from typing import Any

import httpx
import pytest

from library.sources.beds.names import READ_BEDS
from library.warehouse.pool import Pool
from tests.integration.api.conftest import TWO, Client, refused_fields
from tests.support.runs import NHS, Workbooks

pytestmark = pytest.mark.usefixtures("operator")


async def items(api: Client, headers: dict[str, str], path: str) -> list[dict[str, Any]]:
    """All items of a list, page by page."""
    found: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        answer = await api.http.get(following, headers=headers)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        following = answer.links["next"]["url"] if "next" in answer.links else None
    return found


@pytest.mark.usefixtures("two_editions")
async def test_occupancy_is_that_of_the_newest_edition_page_by_page_each_row_once(
    api: Client, operator: dict[str, str]
) -> None:
    paged = await items(api, operator, "/nhs-data/occupancy?year=2019-20&quarter=3&limit=97")
    assert len(paged) == 5 * 201
    assert len({(item["organisation_code"], item["sector"]) for item in paged}) == len(paged)
    assert sum(item["available"] for item in paged if item["sector"] == "total") == pytest.approx(
        128325.967391, abs=0.01
    )
    assert set(paged[0]) == {
        "edition_id", "financial_year", "quarter", "period_end", "basis", "organisation_code", "organisation_name",
        "parent_code", "sector", "available", "occupied", "rate", "warnings",
    }  # fmt: skip


@pytest.mark.usefixtures("two_editions")
async def test_as_of_asks_what_was_published_by_then(api: Client, operator: dict[str, str], pool: Pool) -> None:
    older = await pool.fetchrow("SELECT id, coalesce(revised, published) AS day FROM beds.edition ORDER BY 2 LIMIT 1")
    assert older is not None
    then = await items(api, operator, f"/nhs-data/occupancy?as_of={older['day']}&sector=total&limit=1000")
    assert {item["edition_id"] for item in then} == {str(older["id"])}
    assert await items(api, operator, "/nhs-data/occupancy?as_of=2001-01-01") == []
    assert await items(api, operator, "/nhs-data/occupancy?known_at=2001-01-01T00:00:00Z") == []


@pytest.mark.usefixtures("two_editions")
async def test_pages_of_a_sorted_list_are_in_order_and_lose_nothing(api: Client, operator: dict[str, str]) -> None:
    columns = ("rate", "available", "occupied", "organisation_code", "period_end")
    for column, descending in product(columns, (True, False)):
        found = await items(
            api, operator, f"/nhs-data/occupancy?sector=maternity&sort={column}&descending={descending}&limit=50"
        )
        assert len(found) == 201, column
        values = [-1 if item[column] is None else item[column] for item in found]
        assert values == sorted(values, reverse=descending), column


@pytest.mark.usefixtures("two_editions")
async def test_csv_has_all_rows_unless_fewer_are_asked_for(api: Client, operator: dict[str, str]) -> None:
    answer = await api.http.get("/nhs-data/occupancy", headers=operator | {"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 5 * 201
    for limit in (3, 1_003):
        fewer = await api.http.get(f"/nhs-data/occupancy?limit={limit}", headers=operator | {"Accept": "text/csv"})
        assert list(csv.DictReader(io.StringIO(fewer.text))) == rows[:limit]
    specialties = await api.http.get(
        "/nhs-data/occupancy-by-specialty?specialty=100", headers=operator | {"Accept": "text/csv"}
    )
    assert {row["specialty_code"] for row in csv.DictReader(io.StringIO(specialties.text))} == {"100"}


@pytest.mark.usefixtures("two_editions")
async def test_provenance_leads_to_the_original_bytes(api: Client, operator: dict[str, str]) -> None:
    editions = await items(api, operator, "/nhs-data/editions")
    assert [edition["current"] for edition in editions].count(True) == 1
    for edition in editions:
        one = (await api.http.get(f"/nhs-data/editions/{edition['id']}", headers=operator)).json()
        assert one == edition
        workbook = await api.http.get(f"/nhs-data/editions/{edition['id']}/workbook", headers=operator)
        assert hashlib.sha256(workbook.content).hexdigest() == edition["object_sha256"]


@pytest.mark.usefixtures("two_editions")
async def test_organisations_are_found_by_code_and_by_a_name_that_is_nearly_right(
    api: Client, operator: dict[str, str]
) -> None:
    history = await items(api, operator, "/nhs-data/organization/rj1")
    assert {item["sector"] for item in history} == {
        "total", "general_and_acute", "learning_disabilities", "maternity", "mental_illness",
    }  # fmt: skip
    for text in ("moorfields", "morfields eye"):
        names = [each["name"] for each in await items(api, operator, f"/nhs-data/organization-name/{text}")]
        assert any("MOORFIELDS" in name.upper() for name in names), text
    for path in ("organization/ZZZZ9", "organization-name/qqqqqq"):
        assert (await api.http.get(f"/nhs-data/{path}", headers=operator)).status_code == 404


@pytest.mark.usefixtures("two_editions")
async def test_england_is_summed_from_totals_alone(api: Client, operator: dict[str, str]) -> None:
    (summary,) = await items(api, operator, "/nhs-data/summary")
    assert summary["organisations"] == 201
    assert summary["available"] == pytest.approx(128325.967391, abs=0.01)
    assert summary["rate"] == pytest.approx(summary["occupied"] / summary["available"])
    (period,) = await items(api, operator, "/nhs-data/available-periods")
    assert len(period["editions"]) == 2


async def test_a_workbook_uploaded_twice_at_once_is_one_run_and_one_load(
    api: Client, operator: dict[str, str], sent: Workbooks, pool: Pool
) -> None:
    async def upload() -> httpx.Response:
        return await api.http.post(
            "/nhs-data/upload", headers=operator, files={"file": (TWO[0].name, TWO[0].read_bytes())}
        )

    answers = await asyncio.gather(upload(), upload())
    assert [answer.status_code for answer in answers] == [202, 202]
    for answer in answers:
        run_id = answer.json()["run_id"]
        assert answer.headers["location"] == f"/runs/{run_id}"
        run = await sent.runs.get(run_id)
        assert run is not None
        await sent.client.get_workflow_handle(run.workflow_id, run_id=run_id).result()
        status = (await api.http.get(f"/nhs-data/status/{run_id}", headers=operator)).json()
        assert (status["state"], status["subject"]) == ("completed", TWO[0].name)
    assert await pool.fetchval("SELECT count(*) FROM ingest.load") == 1
    assert await pool.fetchval("SELECT count(*) FROM access.audit WHERE action = 'start_run'") == 2


async def test_an_upload_that_is_none_is_refused_with_what_to_do(
    api: Client, operator: dict[str, str], pool: Pool
) -> None:
    wrong = [
        (await api.http.post("/nhs-data/upload", headers=operator, content=b"x"), 415),
        (await api.http.post("/nhs-data/upload", headers=operator, files={"other": b"x"}), 422),
        (await api.http.post("/nhs-data/upload", headers=operator, files={"file": b"x" * (51 * 1024 * 1024)}), 413),
        (
            await api.http.post(
                "/nhs-data/upload",
                headers=operator | {"Content-Type": "multipart/form-data; boundary=x"},
                content=b"no multipart at all",
            ),
            400,
        ),
    ]
    for answer, status in wrong:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
    assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 0


FORBIDDEN = (
    "http://www.england.nhs.uk/x.xlsx",
    "https://example.org/x.xlsx",
    "https://169.254.169.254/latest",
    "https://www.england.nhs.uk@10.0.0.1/x",
    "file:///etc/passwd",
    "",
    "https://[::1]/",
)


async def test_a_url_that_must_not_be_asked_for_starts_no_run(
    api: Client, operator: dict[str, str], pool: Pool
) -> None:
    for url in FORBIDDEN:
        answer = await api.http.post("/nhs-data/trigger-pipeline", headers=operator, json={"url": url})
        assert (answer.status_code, answer.json()["type"]) == (422, "UrlNotAllowed"), url
    assert await pool.fetchval("SELECT count(*) FROM ingest.run") == 0


IMPOSSIBLE: dict[str, str] = {
    "/nhs-data/occupancy?year=19": "year",
    "/nhs-data/occupancy?quarter=5": "quarter",
    "/nhs-data/occupancy?sector=none": "sector",
    "/nhs-data/occupancy?organisation=' OR 1=1": "organisation",
    "/nhs-data/occupancy?min_rate=nan": "min_rate",
    "/nhs-data/occupancy?limit=1001": "limit",
    "/nhs-data/occupancy?limit=0": "limit",
    "/nhs-data/occupancy?as_of=2023-02-30": "as_of",
    "/nhs-data/occupancy?known_at=2023-02-01T00:00:00": "known_at",
    "/nhs-data/occupancy?known_at=0001-01-01T00:00:00%2B14:00": "known_at",
    "/nhs-data/occupancy?sort=name": "sort",
    "/runs?source=%00": "source",
}


async def test_a_parameter_that_cannot_be_is_named(api: Client, operator: dict[str, str]) -> None:
    assert await refused_fields(api, operator, IMPOSSIBLE) == IMPOSSIBLE


async def test_a_cursor_that_was_never_given_is_refused(api: Client, operator: dict[str, str]) -> None:
    for after in ("AAAA", "%00", "WyJhIl0", "WyJ4IiwieCIsIngiLCJ4Il0", "é"):
        answer = await api.http.get(f"/nhs-data/occupancy?after={after}", headers=operator)
        assert (answer.status_code, answer.json()["type"]) == (422, "CursorInvalid"), after


async def test_runs_can_be_read_followed_and_cancelled(api: Client, operator: dict[str, str], sent: Workbooks) -> None:
    finished = await sent.ingest(NHS / "not-kh03" / "AE-weekly-week-ending-2010-11-07.xls")
    listed = await items(api, operator, "/runs?state=failed&limit=1")
    assert [run["id"] for run in listed] == [finished.id]
    one = (await api.http.get(f"/runs/{finished.id}", headers=operator)).json()
    assert one["error"]["type"] == "AnotherSeries"
    assert one["history"].endswith(f"{finished.id}/history")
    events = (await api.http.get(f"/runs/{finished.id}/events", headers=operator)).text
    assert events.startswith("event: run\ndata: {")
    cancelled = await api.http.post(f"/runs/{finished.id}/cancel", headers=operator)
    assert cancelled.json()["state"] == "failed"
    for path in ("/runs/none", "/runs/none/events", "/runs/%00"):
        assert (await api.http.get(path, headers=operator)).status_code == 404


async def test_without_a_worker_runs_are_listed_and_uploads_accepted(api: Client, operator: dict[str, str]) -> None:
    answer = await api.http.post(
        "/nhs-data/upload", headers=operator, files={"file": (TWO[1].name, TWO[1].read_bytes())}
    )
    run_id = answer.json()["run_id"]
    assert [run["id"] for run in await items(api, operator, "/runs?state=running")] == [run_id]
    assert (await api.http.post(f"/runs/{run_id}/cancel", headers=operator)).status_code == 202
    reader = await api.bearing(READ_BEDS)
    assert (await api.http.post(f"/runs/{run_id}/cancel", headers=reader)).status_code == 403
