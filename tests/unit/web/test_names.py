"""How long a name that does not resolve is tried."""

from types import SimpleNamespace

import pytest

from library.contracts.errors import HostNotResolved
from library.web.names import FailingNames


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr("library.web.names.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_name_that_stays_unknown_is_given_up_after_fifteen_seconds_of_tries(clock: list[float]) -> None:
    names = FailingNames()
    for _ in range(3):
        names.failed("a.invalid")
        clock[0] += 5
    names.failed("b.invalid")  # each name for itself
    with pytest.raises(HostNotResolved, match=r"a\.invalid does not resolve; it was tried for 15 seconds"):
        names.failed("a.invalid")


def test_a_name_that_resolved_between_begins_anew(clock: list[float]) -> None:
    names = FailingNames()
    names.failed("a.invalid")
    clock[0] += 15
    names.resolved("a.invalid")
    clock[0] += 15
    names.failed("a.invalid")


def test_a_failure_of_long_ago_does_not_count(clock: list[float]) -> None:
    names = FailingNames()
    names.failed("a.invalid")
    clock[0] += 3_600
    names.failed("a.invalid")
