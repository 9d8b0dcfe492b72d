"""What the encoders let through, Postgres stores as it was; what Postgres would refuse or bend, they refuse."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.made_up import READING
from tests.support.warehouse import MadeUpSource

DAY = datetime(2024, 1, 1, tzinfo=UTC)

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
_rows = st.tuples(
    st.datetimes(timezones=st.just(UTC)),
    st.none() | st.dates(),
    st.none() | st.floats(0, 1000),
    st.none() | _texts.filter(lambda text: text != "poison"),
    st.none() | st.lists(_texts, max_size=3),
    st.none() | st.uuids(),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(_rows, max_size=20))
async def test_every_value_comes_back_as_it_was_given(
    made_up: MadeUpSource,
    rows: list[tuple[datetime, date | None, float | None, str | None, list[str] | None, UUID | None]],
) -> None:
    await made_up.pool.execute("TRUNCATE made_up.reading")
    given_rows = [(key, *row) for key, row in enumerate(rows)]
    await made_up.load(made_up.readings(*given_rows))
    assert await made_up.table(READING) == given_rows


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("id", "1.0"),
        ("id", " 1"),
        ("id", "٣"),
        ("id", True),
        ("id", 1.0),
        ("id", 2**31),
        ("id", None),
        ("taken_at", "now"),
        ("taken_at", "infinity"),
        ("taken_at", "2024-01-01"),
        ("taken_at", "2024-01-01T00:00:00"),
        ("taken_at", "2024-01-01T24:30:00+00:00"),
        ("taken_at", datetime(2024, 1, 1)),  # noqa: DTZ001 - without a zone, on purpose
        ("taken_at", date(2024, 1, 1)),
        ("day", "today"),
        ("day", "2023-02-30"),
        ("day", "20230201"),
        ("day", "2023-W01-1"),
        ("day", datetime(2024, 1, 1, tzinfo=UTC)),
        ("value", "NaN"),
        ("value", "1e400"),
        ("value", "0x10"),
        ("value", "1_000"),
        ("value", "1,000"),
        ("value", float("inf")),
        ("value", True),
        ("value", 10**400),
        ("note", 1),
        ("note", "nul\0"),
        ("note", "\ud800"),
        ("tags", "text"),
        ("tags", ["\0"]),
        ("batch", "no uuid"),
    ],
)
async def test_what_is_not_of_the_type_is_refused_and_named(made_up: MadeUpSource, column: str, value: object) -> None:
    names = [each.name for each in READING.columns]
    row: list[object] = [1, DAY, None, None, None, None, None]
    row[names.index(column)] = value
    result = await made_up.load(made_up.readings(row))
    assert result.counts[READING.name].rejected == 1
    (rejection,) = await made_up.rejections()
    (reason,) = rejection["reasons"]
    assert reason.startswith(f"{column}: ")
