"""Staging many rows at once is staging them one by one, only faster."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Date, DateTime, Double, SmallInteger, Text
from sqlmodel import Field

from library.datasets.declaration import Dataset, Loaded
from library.warehouse.staging import Staging


class Sample(Loaded, table=True):
    """A column of each kind that is judged as a whole, and of some that are not."""

    __tablename__ = "sample"
    __table_args__ = ({"schema": "staged_many"},)

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text)
    beds: float = Field(sa_type=Double)
    rank: int = Field(sa_type=SmallInteger)
    note: str | None = Field(default=None, sa_type=Text)
    rate: float | None = Field(default=None, sa_type=Double)
    day: date = Field(sa_type=Date)
    seen: datetime = Field(sa_type=DateTime(timezone=True))


SAMPLE = Dataset(Sample)
IDS = [UUID(int=1), UUID(int=2)]
TEXTS = st.one_of(st.sampled_from(["", "plain", 'say "x"', "a,b\nc", "é", "\0", "\ud800"]), st.text(max_size=4))
NUMBERS = st.one_of(st.floats(), st.sampled_from([0.0, -0.0, 1, True, "1.5", "nan", None]))
ROWS = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(IDS), st.just("no uuid")),
        TEXTS,
        NUMBERS,
        st.sampled_from([1, True, "7", 40_000]),
        st.none() | TEXTS,
        st.none() | NUMBERS,
        st.sampled_from([date(2026, 1, 1), "2026-02-30"]),
        st.just(datetime(2026, 1, 1, tzinfo=UTC)),
    ),
    max_size=6,
)


def staged(add: Callable[[Staging], bool]) -> tuple[bool, dict[str, int], int, dict[str, bytes]]:
    with TemporaryDirectory() as name:
        with Staging(Path(name), [SAMPLE]) as staging:
            all_taken = add(staging)
        return all_taken, staging.rows, staging.refused, {path.name: path.read_bytes() for path in Path(name).iterdir()}


@given(ROWS)
def test_the_same_bytes_counts_and_rejections_come_out_of_both(rows: list[tuple[Any, ...]]) -> None:
    lines = range(1, len(rows) + 1)

    def one_by_one(staging: Staging) -> bool:
        return all([staging.add(SAMPLE, row, line=line) for row, line in zip(rows, lines, strict=True)])

    assert staged(lambda staging: staging.add_all(SAMPLE, rows, lines=lines)) == staged(one_by_one)


def test_one_bad_row_among_many_is_refused_alone() -> None:
    good = (IDS[0], "a", 1.0, 1, None, None, date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC))
    bad = (IDS[0], "b\0", *good[2:])
    taken, rows, refused, _ = staged(lambda staging: staging.add_all(SAMPLE, [good, bad, good], lines=[1, 2, 3]))
    assert (taken, rows, refused) == (False, {"staged_many.sample": 2}, 1)
