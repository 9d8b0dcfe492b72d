"""A workbook by its URL: downloaded in an activity, and from then on like any other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import pytest_asyncio
from temporalio.client import WorkflowFailureError

from config.settings import DownloadSettings, Settings
from library.contracts.runs import Run, RunState
from library.contracts.web import UrlNotAllowed
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.sources.beds.starts import ingest_workbook_from
from service.starts import run_id
from tests.support.runs import NHS, Workbooks, workbooks

NAME = "Beds-Open-Overnight-Web_File-Q2-2024-25.xlsx"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Files over http on loopback; yields host:port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[str]:
    (tmp_path / NAME).write_bytes((NHS / "kh03" / NAME).read_bytes())
    (tmp_path / "page.html").write_text("<!doctype html><html><body>Sign in</body></html>")
    with serving(tmp_path) as address:
        yield address


@pytest_asyncio.fixture
async def allowed(settings: Settings, pool: Pool, store: ObjectStore, origin: str) -> AsyncIterator[Workbooks]:
    downloads = DownloadSettings(hosts=(), private_origins=(origin,), schemes=("http", "https"))
    async with workbooks(settings.model_copy(update={"downloads": downloads}), pool, store) as made:
        yield made


async def ingest(sent: Workbooks, url: str) -> Run:
    handle = await ingest_workbook_from(sent.starter, url)
    try:
        await asyncio.wait_for(handle.result(), 60)
    except WorkflowFailureError:
        assert (await sent.runs.get(run_id(handle))) is not None
    found = await sent.runs.get(run_id(handle))
    assert found is not None
    return found


async def test_a_workbook_is_downloaded_and_loaded_and_its_upload_is_then_already_loaded(
    allowed: Workbooks, origin: str, pool: Pool
) -> None:
    run = await ingest(allowed, f"http://{origin}/{NAME}")
    assert (run.state, run.result, run.subject) == (RunState.COMPLETED, "loaded", NAME)
    assert run.object_key == await pool.fetchval("SELECT object_key FROM ingest.load")
    again = await allowed.ingest(NHS / "kh03" / NAME)
    assert again.result == "already_loaded"
    assert again.load_ids == run.load_ids


@pytest.mark.parametrize(("path", "error"), [("page.html", "UnexpectedContent"), ("none.xlsx", "DownloadRefused")])
async def test_what_is_no_workbook_ends_the_run_with_a_typed_error(
    allowed: Workbooks, origin: str, path: str, error: str
) -> None:
    run = await ingest(allowed, f"http://{origin}/{path}")
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.type == error
    assert run.error.advice


async def test_a_private_address_that_is_not_listed_is_never_asked(
    settings: Settings, sent: Workbooks, origin: str
) -> None:
    assert settings.downloads.private_origins == ()
    with pytest.raises(UrlNotAllowed):
        await ingest_workbook_from(sent.starter, f"http://{origin}/{NAME}")
