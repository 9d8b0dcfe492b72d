"""Which form of a list is wanted."""

import pytest

from service.api.pages import wants_csv


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/csv;q=0.5, application/json;q=0.4", True),
        ("application/json, text/csv", False),
        ("", False),
        ("*/*", False),
        ("text/csv;q=0", False),
        ("text/csv; q=0.000, text/*", True),
        ("text/csv;q=0.001", True),
        ("image/png, text/csv", True),
    ],
)
def test_the_first_type_that_is_acceptable_and_there_counts(accept: str, csv: bool) -> None:
    assert wants_csv(accept) is csv
