"""`wardflow sql`: what a script reads is what Postgres has, and nothing can be changed."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from library.access.tokens import Tokens
from library.sources.beds.names import READ_BEDS
from library.warehouse.pool import Pool
from tests.support.access import all_tokens
from tests.support.commands import Commands

ID = "6564218e-0000-4000-8000-000000000001"
VALUES: dict[str, tuple[str, Any, str | None]] = {
    "price": ("1.10::numeric", Decimal("1.10"), "1.10"),
    "total": (
        "(SELECT sum(x) FROM (VALUES (9007199254740993::bigint), (2)) v (x))",
        9007199254740995,
        "9007199254740995",
    ),
    "big": ("9223372036854775807", 9223372036854775807, "9223372036854775807"),
    "no_number": ("'NaN'::numeric", "NaN", "NaN"),
    "endless": ("'-Infinity'::float8", "-Infinity", "-Infinity"),
    "float": ("0.1::float8 + 0.2::float8", Decimal("0.30000000000000004"), "0.30000000000000004"),
    "json": ("""'{"a": [1, 2.50]}'::json""", {"a": [1, Decimal("2.50")]}, '{"a": [1, 2.50]}'),
    "jsonb": ("""'{"a": [1, 2.50]}'::jsonb""", {"a": [1, Decimal("2.50")]}, '{"a": [1, 2.50]}'),
    "numbers": ("ARRAY[1.5, NULL]", [Decimal("1.5"), None], "{1.5,NULL}"),
    "texts": ("""ARRAY['a "b"', 'ü,']""", ['a "b"', "ü,"], r'{"a \"b\"","ü,"}'),
    "id": (f"'{ID}'::uuid", ID, ID),
    "bytes": (r"'\x00ff'::bytea", r"\x00ff", r"\x00ff"),
    "day": ("date '2026-01-05'", "2026-01-05", "2026-01-05"),
    "yes": ("true", True, "t"),
    "nothing": ("NULL::int", None, None),
    "empty": ("''", "", ""),
    "q": ("1", 1, "1"),  # whatever the row may be called that the answer is made of
}
"""By column: what is asked for, and what is to stand in JSON and in CSV."""

QUERY = "SELECT " + ", ".join(f'{asked} AS "{name}"' for name, (asked, *_) in VALUES.items())
INSTANT = datetime(2026, 1, 5, 12, tzinfo=UTC)


def rows(text: str) -> list[list[str | None]]:
    return [list(row) for row in csv.reader(io.StringIO(text), quoting=csv.QUOTE_NOTNULL)]


async def test_every_type_reaches_a_script_as_json_has_it(commands: Commands) -> None:
    printed = await commands.done("sql", "--json", QUERY)
    (row,) = json.loads(printed, parse_float=Decimal)
    assert row == {name: value for name, (_, value, _) in VALUES.items()}


async def test_every_type_reaches_a_script_as_postgres_writes_csv(commands: Commands) -> None:
    header, row = rows(await commands.done("sql", "--csv", QUERY))
    assert header == list(VALUES)
    assert dict(zip(VALUES, row, strict=True)) == {name: value for name, (*_, value) in VALUES.items()}


async def test_an_instant_has_its_zone(commands: Commands) -> None:
    query = "SELECT '2026-01-05 13:00+01'::timestamptz AS at"
    (found,) = await commands.answer("sql", query)
    _, (written,) = rows(await commands.done("sql", "--csv", query))
    assert datetime.fromisoformat(found["at"]) == datetime.fromisoformat(written or "") == INSTANT


async def test_many_rows_keep_their_order(commands: Commands) -> None:
    query = "SELECT n FROM generate_series(1, 5000) n ORDER BY n % 7, n DESC"
    expected = sorted(range(1, 5001), key=lambda n: (n % 7, -n))
    assert [row["n"] for row in await commands.answer("sql", query)] == expected
    _, *written = rows(await commands.done("sql", "--csv", query))
    assert [int(row[0] or "") for row in written] == expected


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("SELECT 1 AS n WHERE false", []),
        ("SELECT 1 AS n;", [{"n": 1}]),
        (" -- what is asked\nSELECT 1 AS n -- and no more;", [{"n": 1}]),
        ("WITH one AS (SELECT 1 AS n) SELECT n FROM one", [{"n": 1}]),
        ("VALUES (1), (2)", [{"column1": 1}, {"column1": 2}]),
        ("SHOW transaction_read_only", [{"transaction_read_only": "on"}]),
        ("EXPLAIN (COSTS off) SELECT 1", [{"QUERY PLAN": "Result"}]),
    ],
)
async def test_whatever_gives_rows_can_be_asked(commands: Commands, query: str, answer: list[dict[str, Any]]) -> None:
    assert await commands.answer("sql", query) == answer
    header, *written = rows(await commands.done("sql", "--csv", query))
    assert header == list(answer[0] if answer else ["n"])
    assert written == [[str(value) for value in each.values()] for each in answer]


async def test_a_plan_that_is_json_is_json(commands: Commands) -> None:
    (found,) = await commands.answer("sql", "EXPLAIN (FORMAT json) SELECT 1")
    assert found["QUERY PLAN"][0]["Plan"]["Node Type"] == "Result"


async def test_what_stands_behind_the_query_is_refused_rather_than_guessed(commands: Commands) -> None:
    for form in ("--json", "--csv"):
        refused = await commands.call("sql", form, "SELECT 1 AS n; -- done")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "Give one SELECT, and nothing after its semicolon." in refused.stderr


@pytest.mark.parametrize("query", ["COPY (SELECT 1) TO STDOUT", "SET work_mem = 1000", ""])
async def test_what_gives_no_rows_is_refused_rather_than_answered_with_none(commands: Commands, query: str) -> None:
    for form in ([], ["--json"], ["--csv"]):
        refused = await commands.call("sql", *form, query)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "This statement returns no rows." in refused.stderr


async def test_two_columns_of_one_name_are_refused_as_json_which_would_lose_one(commands: Commands) -> None:
    query = "SELECT 1 AS n, 2 AS n"
    refused = await commands.call("sql", "--json", query)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "Two columns are called 'n'" in refused.stderr
    assert rows(await commands.done("sql", "--csv", query)) == [["n", "n"], ["1", "2"]]


BREAKING_OUT = "SELECT 1) TO STDOUT; COMMIT; DELETE FROM access.token; COPY (SELECT 1"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("DELETE FROM access.token", "read-only"),
        ("DELETE FROM access.token RETURNING name", "read-only"),
        ("WITH gone AS (DELETE FROM access.token RETURNING name) SELECT * FROM gone", "read-only"),
        ("SELECT set_config('transaction_read_only', 'off', true)", "read-write mode must be set before"),
        ("SELECT 1; DELETE FROM access.token", "multiple commands"),
        (BREAKING_OUT, "syntax error"),
        (BREAKING_OUT.replace("STDOUT", "STDOUT --"), "syntax error"),
        ("SELECT 1 / (n - 500) FROM generate_series(1, 1000) n", "division by zero"),
        ("SELECT $1", "has parameters"),
    ],
)
async def test_nothing_is_changed_and_nothing_half_said(
    commands_with: Callable[..., Commands], pool: Pool, query: str, said: str
) -> None:
    await Tokens(pool).create("kept", [READ_BEDS])
    # As the owner, who may do everything: what is refused is refused by the transaction alone.
    owner = commands_with(POSTGRES__READ_ONLY_DSN=commands_with().environment["WARDFLOW_POSTGRES__DSN"])
    for form in ((), ("--json",), ("--csv",)):
        refused = await owner.call("sql", *form, query)
        assert (refused.exit_code, refused.stdout) == (1, ""), form
        assert said in refused.stderr, form
    assert [each["name"] for each in await all_tokens(pool)] == ["kept"]
