"""What benchmarks share; the table of figures is printed when all of them have run."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from rich.console import Console

from config.settings import Settings
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.benchmarks.measure import Report
from tests.benchmarks.staged_readings import Field

_REPORT = pytest.StashKey[Report]()


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Where benchmarks enter what they measured."""
    return pytestconfig.stash.setdefault(_REPORT, Report())


@pytest_asyncio.fixture
async def field(settings: Settings, pool: Pool, store: ObjectStore, tmp_path: Path) -> AsyncIterator[Field]:
    """The made-up tables, empty, in a database of their own; and their files, gone afterwards."""
    made = Field(settings, pool, store, tmp_path)
    await made.prepare()
    yield made
    made.clean()


def pytest_terminal_summary(config: pytest.Config) -> None:
    made = config.stash.get(_REPORT, None)
    if made is not None:
        made.show(Console(width=160))
