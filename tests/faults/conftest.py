"""Options of `make faults`, and what the tests of faults share."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import SecretStr

from config.settings import Settings, StackSettings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool, create_pool
from service.resources import object_store, warehouse_dsn
from service.stack.detach import end_running, ensure_running
from service.temporal import connect
from tests.faults.harness import KH03, Clean, Ward, Workers
from tests.support.databases import make_database, named
from tests.support.runs import workbooks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where `tests/faults` stands on the command line, as in `make faults`; elsewhere the defaults count."""
    parser.addoption("--rounds", type=int, default=2, help="how many servers are killed, each in a backfill of its own")
    parser.addoption("--seed", type=int, default=1, help="decides which, and when")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A stack as `wardflow up` starts it, but for a worker that notices lost attempts sooner."""
    settings = Settings(stack=StackSettings(folder=tmp_path_factory.mktemp("faults") / ".wardflow"))
    try:
        yield ensure_running(settings, command=(sys.executable, "-m", "tests.faults.stack"))
    finally:
        end_running(settings)


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[Workers]:
    """Starts worker processes for the test's database and queues; ends them all."""
    made = Workers(settings, tmp_path)
    yield made
    made.end()


@pytest_asyncio.fixture
async def ward(settings: Settings, pool: Pool, store: ObjectStore) -> AsyncIterator[Ward]:
    """Sends workbooks, and looks at what became of them."""
    yield Ward(settings, await connect(settings), store, pool)


@pytest_asyncio.fixture(scope="session")
async def clean(servers: Settings) -> Clean:
    """What all 25 workbooks look like when nothing goes wrong."""
    database = "faults_clean"
    dsn = named(warehouse_dsn(servers), database)
    await make_database(warehouse_dsn(servers), database)
    settings = servers.model_copy(
        update={
            "postgres": servers.postgres.model_copy(update={"dsn": SecretStr(dsn)}),
            "worker": servers.worker.model_copy(update={"queue_prefix": f"{database}-"}),
        }
    )
    store, pool = object_store(settings), await create_pool(dsn, size=16)
    async with workbooks(settings, pool, store) as sent:
        ward = Ward(settings, sent.client, store, pool)
        handles = await asyncio.gather(*(ward.start(path) for path in KH03))
        runs = await asyncio.gather(*(ward.closed(handle) for handle in handles))
    assert {run.state for run in runs} == {RunState.COMPLETED}
    figures = Clean({path: await ward.figures(path) for path in KH03}, await ward.all_figures())
    await pool.close()
    store.close()
    return figures
