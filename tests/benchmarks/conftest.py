"""The table of figures, printed when all benchmarks have run."""

from collections.abc import Iterator

import pytest
from rich.console import Console

from tests.benchmarks.measure import Report

_REPORT = pytest.StashKey[Report]()


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Iterator[Report]:
    """Where benchmarks enter what they measured."""
    yield pytestconfig.stash.setdefault(_REPORT, Report())


def pytest_terminal_summary(config: pytest.Config) -> None:
    made = config.stash.get(_REPORT, None)
    if made is not None:
        print()  # noqa: T201 - the table is what the benchmarks are for
        made.show(Console(width=160))
