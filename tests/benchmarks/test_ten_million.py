"""Ten times the rows take little more than ten times as long: nothing in a load grows faster than its rows."""

import pytest

from tests.benchmarks.measure import Report, in_turns
from tests.benchmarks.staged_readings import MILLION, Field

pytestmark = pytest.mark.benchmark

ROUNDS = 2


async def test_ten_million_rows_take_at_most_twelve_times_as_long_as_one_million(field: Field, report: Report) -> None:
    one, ten = await field.staged(), await field.staged(10 * MILLION)

    async def load_one() -> float:
        await field.empty()
        return min(await field.load(one), await again())

    async def again() -> float:
        await field.empty()
        return await field.load(one)

    async def load_ten() -> float:
        await field.empty()
        return await field.load(ten)

    await again()  # makes the files and the WAL segments that later rounds find
    ones, tens = await in_turns(ROUNDS, load_one, load_ten)
    figure = report.ratio("load of 10M new rows", min(tens), min(ones), at_most=12, of="1M rows")
    await field.empty()
    assert figure.kept
