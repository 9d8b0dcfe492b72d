"""The API under load: reading, uploading, and who means it no good. API and worker are processes of their own."""

import asyncio
import io
import os
import socket
import sys
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median

import httpx
import pytest
import pytest_asyncio

from config.settings import Settings
from library.access.tokens import Tokens
from library.contracts.scopes import Scope
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.resources import warehouse_dsn
from tests.benchmarks.hammer import hammer
from tests.benchmarks.measure import Report, Stopwatch, seconds
from tests.benchmarks.test_workbooks import WARM_UP, WORKBOOKS, forget
from tests.support.processes import OwnProcess, api_process, worker_process

pytestmark = pytest.mark.benchmark

MEBIBYTE = 1024 * 1024
ROUNDS, REQUESTS, AT_ONCE = 3, 800, 8
_STATE = "SELECT state FROM ingest.run WHERE id = $1"
PAGE = "/nhs-data/occupancy?limit=100"

FILLED = """
INSERT INTO beds.edition (id, financial_year, quarter, period_end, basis, title, data_quality, warnings, object_key,
                          object_sha256, landed_at, published, load_id, reader_version)
SELECT md5('e' || n)::uuid, '2019-20', n % 4 + 1, date '1900-01-01' + n, 'overnight', 'made up', '{{}}', '{{}}', 'k',
       's', now(), date '1900-02-01' + n, gen_random_uuid(), 1
FROM generate_series(1, {editions}) n;
INSERT INTO beds.edition_organisation (edition_id, organisation_code, name, parent_code, parent_kind, warnings, load_id,
                                       reader_version)
SELECT id, 'R' || lpad(o::text, 3, '0'), 'Organisation ' || o, 'Y' || o % 7, 'region', '{{}}', load_id, 1
FROM beds.edition, generate_series(1, 200) o;
INSERT INTO beds.occupancy (edition_id, organisation_code, sector, available, occupied, warnings, load_id,
                            reader_version)
SELECT edition_id, organisation_code, sector, 1 + random() * 900, random() * 50, '{{}}', load_id, 1
FROM beds.edition_organisation,
     unnest(ARRAY['total', 'general_and_acute', 'learning_disabilities', 'maternity', 'mental_illness']) sector;
"""


@pytest_asyncio.fixture
async def headers(pool: Pool) -> dict[str, str]:
    _, token = await Tokens(pool).create("benchmark", [Scope.ADMIN])
    return {"Authorization": f"Bearer {token}"}


async def fill(pool: Pool, editions: int) -> None:
    await pool.execute(FILLED.format(editions=editions))
    await pool.execute("VACUUM ANALYZE beds.edition, beds.edition_organisation, beds.occupancy")


@asynccontextmanager
async def orm_process(settings: Settings) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.benchmarks.orm_api",
        str(port),
        env=os.environ | {"WARDFLOW_BENCHMARK_DSN": warehouse_dsn(settings)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/occupancy"
    try:
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    assert (await client.get(url, timeout=30)).status_code == 200
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def test_a_page_of_occupancy(settings: Settings, pool: Pool, headers: dict[str, str], report: Report) -> None:
    await fill(pool, 60)
    ours: list[float] = []
    theirs: list[float] = []
    slowest: list[float] = []
    async with api_process(settings) as api, orm_process(settings) as orm:
        async with httpx.AsyncClient(trust_env=False) as client:
            one = (await client.get(api.url + PAGE, headers=headers)).json()
            other = (await client.get(orm)).json()
        assert one == other
        for turn in range(ROUNDS):
            for contestant in (0, 1) if turn % 2 == 0 else (1, 0):
                url, sent = ((api.url + PAGE, headers), (orm, {}))[contestant]
                done = await hammer(url, sent, requests=REQUESTS, connections=AT_ONCE)
                (ours, theirs)[contestant].append(1 / done.rate)
                if contestant == 0:
                    slowest.append(done.percentile(0.99))
    figure = report.speedup(
        "GET /nhs-data/occupancy, 100 rows", min(ours), min(theirs), at_least=3, of="SQLModel ORM, bare FastAPI route"
    )
    report.enter("… requests a second, 8 at once", f"{1 / min(ours):.0f}", parts=f"ORM: {1 / min(theirs):.0f}")
    report.enter("… p99 of them", seconds(min(slowest)), parts=f"rounds: {', '.join(map(seconds, slowest))}")
    assert figure.kept


async def test_a_million_rows_as_csv(settings: Settings, pool: Pool, headers: dict[str, str], report: Report) -> None:
    await fill(pool, 1_000)
    async with api_process(settings, API__STATEMENT_TIMEOUT="600") as api, httpx.AsyncClient(trust_env=False) as client:
        await client.get(f"{api.url}/nhs-data/occupancy?limit=1", headers=headers)
        before, most, lines, first = rss(api), 0, 0, 0.0
        took = Stopwatch()
        asked = client.stream(
            "GET", f"{api.url}/nhs-data/occupancy", headers=headers | {"Accept": "text/csv"}, timeout=600
        )
        async with asked as answer:
            async for chunk in answer.aiter_raw():
                first = first or took()
                lines += chunk.count(b"\n")
                most = max(most, rss(api) - before)
        in_all = took()
    assert lines == 1_000_001
    kept = most <= 32 * MEBIBYTE
    parts = f"{seconds(in_all)}, the first bytes after {seconds(first)}"
    figure = report.enter(
        "1M rows as CSV: memory over base", f"{most / MEBIBYTE:.0f} MiB", "≤ 32 MiB", kept=kept, parts=parts
    )
    assert figure.kept


async def test_a_workbook_from_post_to_completed(
    settings: Settings, pool: Pool, store: ObjectStore, headers: dict[str, str], report: Report
) -> None:
    forget(store, WORKBOOKS)
    taken = []
    async with service(settings, headers) as client:
        for path in WARM_UP:
            await completed(pool, await posted(client, path))
        for path in WORKBOOKS:
            took = Stopwatch()
            await completed(pool, await posted(client, path))
            taken.append(took())
    p50 = median(taken)
    parts = f"each of the 25 once, one after the other: {seconds(min(taken))} to {seconds(max(taken))}"
    figure = report.enter(
        "p50 of one workbook, POST to completed", seconds(p50), "≤ 500 ms", kept=p50 <= 0.5, parts=parts
    )
    assert figure.kept


async def test_25_uploads_at_once(
    settings: Settings, pool: Pool, store: ObjectStore, headers: dict[str, str], report: Report
) -> None:
    forget(store, WORKBOOKS)
    async with service(settings, headers) as client:
        for path in WARM_UP:
            await completed(pool, await posted(client, path))
        took = Stopwatch()
        runs = await asyncio.gather(*(posted(client, path) for path in WORKBOOKS))
        accepted = took()
        await asyncio.gather(*(completed(pool, run) for run in runs))
        in_all = took()
    assert await pool.fetchval("SELECT count(*) FROM beds.edition") == len(WORKBOOKS) + len(WARM_UP)
    assert await pool.fetchval("SELECT count(*) FROM ingest.load") == len(WORKBOOKS) + len(WARM_UP)
    report.enter(
        "25 uploads at once, to all completed", seconds(in_all), parts=f"all accepted after {seconds(accepted)}"
    )


@asynccontextmanager
async def service(settings: Settings, headers: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A worker, an API, and who asks it."""
    async with (
        worker_process(settings),
        api_process(settings) as api,
        httpx.AsyncClient(base_url=api.url, headers=headers, trust_env=False, timeout=120) as client,
    ):
        yield client


async def posted(client: httpx.AsyncClient, path: Path) -> str:
    answer = await client.post("/nhs-data/upload", files={"file": (path.name, path.read_bytes())})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["run_id"])


async def completed(pool: Pool, run: str) -> None:
    async with asyncio.timeout(120):
        # Another process changes it.
        while (state := await pool.fetchval(_STATE, run)) == "running":  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert state == "completed"


async def test_who_means_it_no_good(settings: Settings, pool: Pool, headers: dict[str, str], report: Report) -> None:
    await fill(pool, 20)
    made = bomb()
    async with api_process(settings) as api, httpx.AsyncClient(trust_env=False, timeout=120) as client:
        await client.get(api.url + PAGE, headers=headers)
        before = rss(api)
        watched = asyncio.create_task(watch(client, api, headers))
        statuses = await asyncio.gather(
            too_large(client, api, headers), sends(client, api, headers, made), slow_clients(api, 50), crowd(api, 1_000)
        )
        watched.cancel()
        most, slowest, asked = await watched
    over = most - before
    kept = over <= 256 * MEBIBYTE
    parts = f"200 MB upload ({statuses[0]}), zip bomb ({statuses[1]}), 50 slow clients, 1,000 connections"
    figure = report.enter(
        "hostile clients: memory over base", f"{over / MEBIBYTE:.0f} MiB", "≤ 256 MiB", kept=kept, parts=parts
    )
    report.enter("… another call meanwhile, the slowest", seconds(slowest), parts=f"of {asked}, all answered")
    assert figure.kept
    assert statuses[0] == 413


async def watch(client: httpx.AsyncClient, api: OwnProcess, headers: dict[str, str]) -> tuple[int, float, int]:
    """Another caller, all the while: the most memory, the slowest answer, how many."""
    most, slowest, asked = 0, 0.0, 0
    try:
        while True:
            took = Stopwatch()
            answer = await client.get(api.url + PAGE, headers=headers)
            assert answer.status_code == 200
            slowest, asked, most = max(slowest, took()), asked + 1, max(most, rss(api))
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        return most, slowest, asked


async def too_large(client: httpx.AsyncClient, api: OwnProcess, headers: dict[str, str]) -> int:
    """200 MB, without saying so first."""
    boundary = sha256(b"boundary").hexdigest()

    async def body() -> AsyncIterator[bytes]:
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.xlsx"\r\n\r\n'.encode()
        for _ in range(200):
            yield os.urandom(MEBIBYTE)
        yield f"\r\n--{boundary}--\r\n".encode()

    sent = headers | {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    try:
        return (await client.post(f"{api.url}/nhs-data/upload", content=body(), headers=sent)).status_code
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        return 413  # the connection was closed on the rest of it


def bomb() -> bytes:
    """400 KB that inflate to 400 MB; the run refuses it, and the API only stores it."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w") as sheet,
    ):
        for _ in range(400):
            sheet.write(b"0" * 1_000_000)
    return made.getvalue()


async def sends(client: httpx.AsyncClient, api: OwnProcess, headers: dict[str, str], file: bytes) -> int:
    answer = await client.post(f"{api.url}/nhs-data/upload", files={"file": ("bomb.xlsx", file)}, headers=headers)
    return answer.status_code


async def slow_clients(api: OwnProcess, count: int) -> None:
    """Say that a body comes, and send a byte now and then."""
    host, _, port = api.url.removeprefix("http://").partition(":")

    async def one() -> None:
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /nhs-data/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(20):
            writer.write(b"x")
            await asyncio.sleep(0.25)
        writer.close()

    await asyncio.gather(*(one() for _ in range(count)))


async def crowd(api: OwnProcess, count: int) -> None:
    """Connections that are open at once; each asks one thing."""
    host, _, port = api.url.removeprefix("http://").partition(":")
    opened = [await asyncio.open_connection(host, int(port)) for _ in range(count)]
    for _, writer in opened:
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    for reader, _ in opened:
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
    for _, writer in opened:
        writer.close()


def rss(api: OwnProcess) -> int:
    return int(api.process.memory_info().rss)
