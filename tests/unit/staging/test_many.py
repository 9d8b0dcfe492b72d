"""Staging many rows at once is staging them one by one, only faster."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Date, DateTime, Double, SmallInteger, Text
from sqlmodel import Field

from library.datasets.declaration import Dataset, Loaded
from library.datasets.strategies import Upsert
from library.staging.files import Staging


class Sample(Loaded, table=True):
    """A column of each kind that is judged as a whole, and of some that are not."""

    __tablename__ = "sample"
    __table_args__ = ({"schema": "made_up"},)

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    beds: float = Field(sa_type=Double)
    rank: int = Field(sa_type=SmallInteger)
    note: str | None = Field(default=None, sa_type=Text)
    rate: float | None = Field(default=None, sa_type=Double)
    day: date = Field(sa_type=Date)
    seen: datetime = Field(sa_type=DateTime(timezone=True))


class SampleRow(NamedTuple):
    """Cells of one row, or the columns of many."""

    id: object
    name: object
    beds: object
    rank: object
    note: object
    rate: object
    day: object
    seen: object


SAMPLE = Dataset(Sample, SampleRow, Upsert())
IDS = [UUID(int=1), UUID(int=2)]
TEXTS = st.sampled_from(["", "plain", 'say "x"', "a,b\nc", "é"])
NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([0.0, -0.0, 1, "1.5"]))
DAY, SEEN = date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC)
GOOD = st.tuples(
    st.sampled_from(IDS),
    TEXTS,
    NUMBERS,
    st.sampled_from([1, 1, "7"]),
    st.none() | TEXTS,
    st.none() | NUMBERS,
    st.just(DAY),
    st.just(SEEN),
)
BAD: tuple[tuple[object, ...], ...] = (
    ("no uuid", None),
    ("\0", "\ud800", None),
    (True, float("nan"), float("inf"), None),
    (True, 40_000),
    ("\0", 1),
    (False, float("inf")),
    ("2026-02-30", SEEN),
    (DAY,),
)
ONE_BAD_CELL = st.integers(0, len(BAD) - 1).flatmap(lambda at: st.tuples(st.just(at), st.sampled_from(BAD[at])))


def staged(add: Callable[[Staging], bool]) -> tuple[bool, dict[str, int], int, dict[str, bytes]]:
    with TemporaryDirectory() as name:
        with Staging(Path(name), [SAMPLE]) as staging:
            all_taken = add(staging)
        return all_taken, staging.rows, staging.refused, {path.name: path.read_bytes() for path in Path(name).iterdir()}


def columns_of(rows: list[tuple[Any, ...]]) -> SampleRow:
    return SampleRow._make([row[at] for row in rows] for at in range(len(SAMPLE.columns)))


@settings(max_examples=400)
@given(st.lists(GOOD, max_size=5), st.none() | ONE_BAD_CELL, st.randoms())
def test_the_same_bytes_counts_and_rejections_come_out_of_both(
    rows: list[tuple[Any, ...]], bad: tuple[int, object] | None, random: Random
) -> None:
    if rows and bad:
        at = random.randrange(len(rows))
        rows[at] = (*rows[at][: bad[0]], bad[1], *rows[at][bad[0] + 1 :])
    lines = range(1, len(rows) + 1)

    def one_by_one(staging: Staging) -> bool:
        taken = [staging.add(SAMPLE, SampleRow(*row), line=line) for row, line in zip(rows, lines, strict=True)]
        return all(taken)

    assert staged(lambda staging: staging.add_columns(SAMPLE, columns_of(rows), lines=lines)) == staged(one_by_one)


def test_one_bad_row_among_many_is_refused_alone() -> None:
    good = (IDS[0], "a", 1.0, 1, None, None, DAY, SEEN)
    bad = (IDS[0], "b\0", *good[2:])
    columns = columns_of([good, bad, good])
    taken, rows, refused, _ = staged(lambda staging: staging.add_columns(SAMPLE, columns, lines=[1, 2, 3]))
    assert (taken, rows, refused) == (False, {"made_up.sample": 2}, 1)
