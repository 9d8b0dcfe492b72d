"""What an export says of errors and deletions: codes, types and counts, and no text of it."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.sources.fhir.delivery import MOST_KINDS, OTHERS, Delivery, summed
from library.sources.fhir.notices import read_deletions, read_errors

type Read = Callable[[Path], Delivery]
SEVERITIES = st.sampled_from(["error", "fatal", "warning", "information", "success"])
CODES = st.sampled_from(["exception", "not-found", "Jane", "x" * 80, None])
OUTCOMES = st.lists(st.tuples(SEVERITIES, CODES), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notices") / "file.ndjson"


def read_lines(read: Read, path: Path, *lines: object) -> Delivery:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return read(path)


def outcome(*issues: tuple[str | None, str | None]) -> dict[str, Any]:
    told = [{"severity": severity, "code": code, "diagnostics": "Jane"} for severity, code in issues]
    return {"resourceType": "OperationOutcome", "issue": told}


def deletions(*urls: str, method: str = "DELETE") -> dict[str, Any]:
    return {"resourceType": "Bundle", "entry": [{"request": {"method": method, "url": url}} for url in urls]}


@given(st.lists(OUTCOMES, max_size=5))
def test_issues_are_counted_by_severity_and_code(path: Path, outcomes: list[list[tuple[str, str | None]]]) -> None:
    found = read_lines(read_errors, path, *(outcome(*issues) for issues in outcomes))
    issues = [issue for each in outcomes for issue in each]
    assert sum(found.issues.values()) == len(issues)
    assert found.failures == sum(severity in ("error", "fatal") for severity, _ in issues)
    assert found.incomplete is (found.failures > 0)
    assert found.unread_errors == 0
    assert "Jane" not in found.model_dump_json()
    assert all(len(name) < 60 for name in found.issues)


@pytest.mark.parametrize(
    "line",
    [
        b"<html>", b'{"resourceType":"OperationOutcome","issue":[{"sev', b"[]", b"\xff", b"[" * 100_000,
        {"resourceType": "Patient", "id": "Jane"}, {"resourceType": "OperationOutcome"}, outcome((None, "exception")),
        {"resourceType": "OperationOutcome", "issue": [{"severity": 1}]},
    ],
)  # fmt: skip
def test_a_line_that_may_be_an_error_counts_as_unread(path: Path, line: object) -> None:
    found = read_lines(read_errors, path, b"\xef\xbb\xbf", b"", line, outcome(("warning", "x")))
    assert (found.unread_errors, found.issues, found.incomplete) == (1, {"warning/x": 1}, True)


def test_json_over_several_lines_is_read_as_one(path: Path) -> None:
    path.write_text(json.dumps(outcome(("error", "x"), ("warning", "y")), indent=2))
    assert read_errors(path) == Delivery(issues={"error/x": 1, "warning/y": 1}, failures=1)


@given(
    st.lists(
        st.sampled_from(["Patient/{}", "https://x.example/r4/Observation/{}", "/Patient/{}", "Patient?identifier={}"]),
        max_size=8,
    )
)
def test_deletions_are_counted_by_the_type_of_resource(path: Path, urls: list[str]) -> None:
    found = read_lines(read_deletions, path, deletions(*(url.format("Jane") for url in urls)))
    assert found.deleted == Counter("Observation" if "Observation" in url else "Patient" for url in urls)
    assert (found.unread_deletions, found.incomplete) == (0, False)
    assert "Jane" not in found.model_dump_json()


def test_what_is_no_deletion_counts_as_unread(path: Path) -> None:
    lines = (deletions("Patient/1", method="PUT"), deletions("Jane Doe"), {"resourceType": "Patient"}, b"{")
    found = read_lines(read_deletions, path, *lines, {"resourceType": "Bundle", "entry": [{}]})
    assert (found.deleted, found.unread_deletions) == ({OTHERS: 1}, 4)


def test_a_line_that_is_too_long_is_unread_and_the_next_one_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("library.sources.fhir.notices._LINE_LIMIT", 1_000)
    long = outcome(*[("error", "exception")] * 100)
    found = read_lines(read_errors, path, long, outcome(("fatal", "x")), b"")
    assert (found.issues, found.unread_errors) == ({"fatal/x": 1}, 1)


DELIVERIES = st.builds(
    Delivery,
    left_out=st.integers(0, 9),
    answered=st.integers(0, 9),
    patients_refused=st.integers(0, 9),
    everything=st.booleans(),
    short_searches=st.integers(0, 9),
    issues=st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)),
    failures=st.integers(0, 9),
    deleted=st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)),
)


@given(DELIVERIES, DELIVERIES, DELIVERIES)
def test_deliveries_are_summed_in_any_order(one: Delivery, two: Delivery, three: Delivery) -> None:
    assert one + two == two + one
    assert (one + two) + three == one + (two + three)
    assert one + Delivery() == one
    assert (one + two).incomplete is (one.incomplete or two.incomplete)
    assert all(value for value in one.report.values())


def test_a_server_that_makes_up_kinds_does_not_fill_the_report() -> None:
    sums = summed({}, {f"kind-{number}": 1 for number in range(10 * MOST_KINDS)})
    assert len(sums) == MOST_KINDS + 1
    assert sum(sums.values()) == 10 * MOST_KINDS
    assert len(" ".join(Delivery(issues=sums).warnings())) < 500
