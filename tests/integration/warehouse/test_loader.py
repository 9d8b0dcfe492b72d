"""One load is one transaction: right under every repeat, order, race and bad row."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from library.contracts.errors import ExpectationFailed, LoadRejected, ObjectDamaged, StagedObjectMalformed
from library.contracts.loads import DatasetCounts, LoadOutcome
from library.warehouse import ledger
from library.warehouse.sessions import Attempt
from tests.support.made_up import READING, WARD
from tests.support.warehouse import Family, MadeUpSource

DAY = datetime(2024, 1, 1, tzinfo=UTC)


def later(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


async def test_rows_are_stored_and_counted_in_the_ledger(made_up: MadeUpSource) -> None:
    result = await made_up.load(made_up.readings((1, DAY, "2024-01-01", 1.5, "one"), (2, DAY, None, None, "")))

    assert result.outcome is LoadOutcome.LOADED
    assert result.counts == {READING.name: DatasetCounts(staged=2, inserted=2)}
    stored = await made_up.table(READING, "id", "value", "note", "load_id")
    assert stored == [(1, 1.5, "one", result.load_id), (2, None, "", result.load_id)]
    assert (await ledger.find(made_up.pool, result.load_id)) == result.model_copy(
        update={"outcome": LoadOutcome.ALREADY_LOADED}
    )


async def test_a_repeated_load_says_already_loaded_with_the_first_figures_and_writes_nothing(
    made_up: MadeUpSource,
) -> None:
    request = made_up.readings((1, DAY), (2, DAY))
    first = await made_up.load(request)
    before = await made_up.table(READING, "id", "xmin::text", "ctid::text")

    again = await made_up.load(request.model_copy(update={"run_id": "another run"}))

    assert again == first.model_copy(update={"outcome": LoadOutcome.ALREADY_LOADED})
    assert await made_up.table(READING, "id", "xmin::text", "ctid::text") == before


async def test_a_run_that_could_not_report_its_commit_still_counts_as_the_one_that_loaded(
    made_up: MadeUpSource,
) -> None:
    request = made_up.readings((1, DAY))
    await made_up.load(request)
    assert (await made_up.load(request)).outcome is LoadOutcome.LOADED


async def test_two_loads_of_the_same_id_at_once_are_one(made_up: MadeUpSource) -> None:
    request = made_up.readings(*((number, DAY) for number in range(500)))
    both = [request, request.model_copy(update={"run_id": "the other"})]
    results = await asyncio.gather(*(made_up.load(each) for each in both))

    assert sorted(result.outcome for result in results) == [LoadOutcome.ALREADY_LOADED, LoadOutcome.LOADED]
    assert len(await made_up.table(READING)) == 500


@pytest.mark.parametrize("round_", range(3))
async def test_loads_of_overlapping_keys_at_once_leave_the_newest_row_of_each_key(
    made_up: MadeUpSource, round_: int
) -> None:
    writers, rows = 6, 300
    requests = [
        made_up.readings(
            *((key, later((key * 7 + writer * 5 + round_) % writers), None, writer) for key in range(rows))
        )
        for writer in range(writers)
    ]
    results = await asyncio.gather(*(made_up.load(request) for request in requests))

    newest = {
        key: max(((key * 7 + writer * 5 + round_) % writers, writer) for writer in range(writers))
        for key in range(rows)
    }
    stored = await made_up.table(READING, "id", "taken_at", "value")
    assert stored == [(key, later(hour), float(writer)) for key, (hour, writer) in newest.items()]
    assert sum(result.counts[READING.name].inserted for result in results) == rows


async def test_an_older_row_never_replaces_a_newer_one(made_up: MadeUpSource) -> None:
    await made_up.load(made_up.readings((1, later(2), None, 2)))
    result = await made_up.load(made_up.readings((1, later(1), None, 1)))
    assert await made_up.table(READING, "value") == [(2.0,)]
    assert result.counts[READING.name] == DatasetCounts(staged=1, unchanged=1)


async def test_a_row_that_only_moved_in_time_still_moves_so_that_a_late_one_cannot_pass_it(
    made_up: MadeUpSource,
) -> None:
    for hour, value in ((10, 1), (20, 1), (15, 2)):
        await made_up.load(made_up.readings((1, later(hour), None, value)))
    assert await made_up.table(READING, "taken_at", "value") == [(later(20), 1.0)]


async def test_at_equal_order_the_later_load_wins(made_up: MadeUpSource) -> None:
    await made_up.load(made_up.readings((1, DAY, None, 1)))
    await made_up.load(made_up.readings((1, DAY, None, 2)))
    assert await made_up.table(READING, "value") == [(2.0,)]


async def test_at_equal_order_the_higher_reader_version_wins_whichever_comes_first(made_up: MadeUpSource) -> None:
    landed = made_up.landed()
    await made_up.load(made_up.readings((1, DAY, None, 2), landed=landed, version=2))
    stale = await made_up.load(made_up.readings((1, DAY, None, 1), landed=landed, version=1))
    assert await made_up.table(READING, "value", "reader_version") == [(2.0, 2)]
    assert stale.counts[READING.name].unchanged == 1

    await made_up.load(made_up.readings((1, DAY, None, 3), landed=landed, version=3))
    assert await made_up.table(READING, "value", "reader_version") == [(3.0, 3)]


async def test_an_object_is_loaded_again_by_a_raised_reader_version_and_by_a_reload(made_up: MadeUpSource) -> None:
    landed = made_up.landed()
    requests = [
        made_up.readings((1, DAY, None, 1), landed=landed),
        made_up.readings((1, DAY, None, 2), landed=landed, version=2),
        made_up.readings((1, DAY, None, 3), landed=landed, version=2, reload=1),
    ]
    results = [await made_up.load(request) for request in requests]
    assert [result.outcome for result in results] == [LoadOutcome.LOADED] * 3
    assert len({result.load_id for result in results}) == 3
    assert await made_up.table(READING, "value") == [(3.0,)]
    assert await ledger.next_reload(made_up.pool, requests[0].identity) == 2


async def test_equal_rows_are_not_written_again_whatever_load_brings_them(made_up: MadeUpSource) -> None:
    first = await made_up.load(made_up.readings((1, DAY, "2024-01-01", 1, "n", ["a", "b"]), (2, DAY)))
    before = await made_up.table(READING, "xmin::text", "load_id")
    result = await made_up.load(made_up.readings((1, DAY, "2024-01-01", 1, "n", ["a", "b"]), (2, DAY)))
    assert result.counts[READING.name] == DatasetCounts(staged=2, unchanged=2)
    assert await made_up.table(READING, "xmin::text", "load_id") == before
    assert before[0][1] == first.load_id


async def test_a_newer_reader_stamps_equal_rows_so_that_a_late_load_of_the_old_one_loses(made_up: MadeUpSource) -> None:
    for version, value in ((1, 1), (2, 1), (1, 9)):
        await made_up.load(made_up.readings((1, DAY, None, value), version=version))
    assert await made_up.table(READING, "value", "reader_version") == [(1.0, 2)]


async def test_of_one_key_in_one_load_the_newest_counts_and_of_equally_new_ones_the_last(made_up: MadeUpSource) -> None:
    result = await made_up.load(
        made_up.readings(
            (1, later(1), None, 1), (1, later(3), None, 3), (1, later(2), None, 2), (2, DAY), (2, DAY, None, 9)
        )
    )
    assert await made_up.table(READING, "id", "value") == [(1, 3.0), (2, 9.0)]
    assert result.counts[READING.name] == DatasetCounts(staged=5, repeated=3, inserted=2)


async def test_what_is_kept_from_the_first_load_is_neither_compared_nor_replaced(made_up: MadeUpSource) -> None:
    await made_up.load(made_up.wards(Family(("w", "one", 1, later(1)))))
    same = await made_up.load(made_up.wards(Family(("w", "one", 1, later(2)))))
    assert same.counts[WARD.name].unchanged == 1
    await made_up.load(made_up.wards(Family(("w", "two", 2, later(3)))))
    assert await made_up.table(WARD, "name", "seen_first") == [("two", later(1))]


async def test_a_bad_row_never_stops_the_good_ones(made_up: MadeUpSource) -> None:
    result = await made_up.load(
        made_up.readings(
            (1, DAY, None, 1.0),
            (2, DAY, None, "1e400"),
            (3, DAY, "2023-02-30"),
            (4, DAY, None, None, "nul \0 inside"),
            (5, "today"),
            (2**31, DAY),
            (7, DAY, None, 5000.0),
            (None, DAY, None, 1.0),
            (9, DAY, None, float("nan")),
            (10, DAY, None, None, "half \ud800"),
            (11, DAY, None, 2.0),
        )
    )
    assert await made_up.table(READING, "id") == [(1,), (11,)]
    assert result.counts[READING.name] == DatasetCounts(staged=11, rejected=9, inserted=2)
    reasons = {row["line"]: row["reasons"] for row in await made_up.rejections()}
    assert reasons == {
        2: ["value: not a finite number"],
        3: ["day: a day that the calendar does not have"],
        4: ["note: holds a NUL character"],
        5: ["taken_at: not a time of the form YYYY-MM-DDThh:mm:ss+00:00"],
        6: ["id: outside -2147483648 to 2147483647"],
        7: ["value_in_range"],
        8: ["id: missing"],
        9: ["value: not a finite number"],
        10: ["note: holds half a surrogate pair"],
    }


async def test_a_refused_row_keeps_its_raw_form_unless_it_is_too_long(made_up: MadeUpSource) -> None:
    long = "x" * 70_000
    await made_up.load(made_up.readings(("short", DAY), (long, DAY), (3, DAY, None, 5000.0)))
    raw = [row["raw"] for row in await made_up.rejections()]
    assert raw[0] == repr(("short", DAY)).encode()
    assert raw[1] is None
    assert b'"value":5000' in raw[2]


HEADER = b"_line,id,taken_at,day,value,note,tags,batch\n"


async def test_cells_that_copy_refuses_are_found_one_by_one(made_up: MadeUpSource) -> None:
    lines = [
        b'1,1,"2024-01-01T00:00:00+00:00",,1.5,"good",,',
        b'2,2,"2024-01-01T00:00:00+00:00",,1e400,"too large",,',
        b'3,3,"2024-01-01T00:00:00+00:00","2023-02-30",,"no such day",,',
        b'4,4,"2024-01-01T00:00:00+00:00",,,"nul \0",,',
        b'5,5,"2024-01-01T00:00:00+00:00",,,"bytes \xff",,',
        b'6,99999999999,"2024-01-01T00:00:00+00:00",,,"id",,',
        b'7,7,"2024-01-01T00:00:00+00:00",,,"short"',
        b'8,8,"2024-01-01T00:00:00+00:00",,,"","{""a"",""b""}",',
    ]
    result = await made_up.load(made_up.written(READING, HEADER + b"\n".join(lines) + b"\n", len(lines)))

    assert await made_up.table(READING, "id", "value", "note", "tags") == [
        (1, 1.5, "good", None),
        (8, None, "", ["a", "b"]),
    ]
    assert result.counts[READING.name] == DatasetCounts(staged=8, rejected=6, inserted=2)
    reasons = {row["line"]: row["reasons"] for row in await made_up.rejections()}
    assert reasons == {
        2: ["value: not a valid double precision"],
        3: ["day: not a valid date"],
        4: ["note: holds a NUL character"],
        5: ["note: not UTF-8"],
        6: ["id: not a valid integer"],
        7: ["6 cells instead of 8"],
    }


async def test_a_later_load_of_the_same_object_answers_for_its_rejections(made_up: MadeUpSource) -> None:
    landed = made_up.landed()
    await made_up.load(made_up.readings((1, DAY, None, -1), (2, DAY, None, -1), landed=landed))
    other = await made_up.load(made_up.readings((3, DAY, None, -1)))
    mended = await made_up.load(made_up.readings((1, DAY, None, 1), (2, DAY, None, -1), landed=landed, version=2))
    assert [(row["line"], row["load_id"]) for row in await made_up.rejections()] == [
        (1, other.load_id),
        (2, mended.load_id),
    ]


async def test_a_late_load_of_an_old_reader_leaves_the_rejections_of_a_newer_one(made_up: MadeUpSource) -> None:
    landed = made_up.landed()
    newer = await made_up.load(made_up.readings((1, DAY, None, 1), (2, DAY, None, -1), landed=landed, version=2))
    await made_up.load(made_up.readings((1, DAY, None, -1), (2, DAY, None, 1), landed=landed))
    assert [(row["line"], row["load_id"]) for row in await made_up.rejections()] == [(2, newer.load_id)]


async def test_a_warning_is_counted_only_for_rows_that_are_loaded(made_up: MadeUpSource) -> None:
    result = await made_up.load(made_up.readings((1, DAY, None, -1, "much too long a note")))
    assert result.counts[READING.name] == DatasetCounts(staged=1, rejected=1)


async def test_a_warning_loads_the_row_and_is_counted(made_up: MadeUpSource) -> None:
    result = await made_up.load(made_up.readings((1, DAY, None, 1, "much too long a note"), (2, DAY)))
    assert result.counts[READING.name] == DatasetCounts(staged=2, inserted=2, warned={"note_short": 1})


async def test_an_expectation_that_must_hold_stops_the_load_and_leaves_nothing(made_up: MadeUpSource) -> None:
    request = made_up.readings((1, DAY), (2, DAY, None, -5.0), (3, DAY, None, 1, "poison"))
    with pytest.raises(ExpectationFailed, match="no_poison"):
        await made_up.load(request)
    assert await made_up.table(READING) == []
    assert await made_up.rejections() == []
    assert await ledger.find(made_up.pool, request.identity.load_id) is None


async def test_a_load_without_its_childrens_objects_is_refused(made_up: MadeUpSource) -> None:
    request = made_up.wards(Family(("a", "A", 1), [(1, "x")]))
    with pytest.raises(StagedObjectMalformed, match=r"made_up\.bed"):
        await made_up.load(request.model_copy(update={"staged": request.staged[:1]}))


async def test_a_dataset_that_is_staged_twice_in_one_load_is_refused(made_up: MadeUpSource) -> None:
    request = made_up.readings((1, DAY))
    with pytest.raises(StagedObjectMalformed, match="twice"):
        await made_up.load(request.model_copy(update={"staged": request.staged * 2}))


async def test_rejections_of_another_form_are_refused(made_up: MadeUpSource) -> None:
    request = made_up.readings((1, DAY))
    wrong = made_up.written(READING, b"line,reasons\n1,x\n", 1).staged[0].object
    with pytest.raises(StagedObjectMalformed, match="rejections"):
        await made_up.load(request.model_copy(update={"rejections": wrong}))


async def test_a_very_long_text_survives_the_slow_way_too(made_up: MadeUpSource) -> None:
    long = b"x" * 200_000
    lines = b'1,1,"2024-01-01T00:00:00+00:00",,1e400,,,\n2,2,"2024-01-01T00:00:00+00:00",,,"' + long + b'",,\n'
    await made_up.load(made_up.written(READING, HEADER + lines, 2))
    assert await made_up.table(READING, "id", "length(note)") == [(2, 200_000)]


async def test_a_staged_object_with_other_columns_is_refused(made_up: MadeUpSource) -> None:
    request = made_up.written(READING, b"_line,id,value\n1,1,2\n", 1)
    with pytest.raises(StagedObjectMalformed, match="columns"):
        await made_up.load(request)


async def test_a_staged_object_with_fewer_rows_than_stated_is_refused(made_up: MadeUpSource) -> None:
    request = made_up.written(READING, HEADER + b'1,1,"2024-01-01T00:00:00+00:00",,,,,\n', 2)
    with pytest.raises(StagedObjectMalformed, match="2 rows"):
        await made_up.load(request)


async def test_damaged_bytes_leave_nothing(made_up: MadeUpSource) -> None:
    request = made_up.readings((1, DAY))
    entry = request.staged[0]
    wrong = entry.object.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(ObjectDamaged):
        await made_up.load(request.model_copy(update={"staged": (entry.model_copy(update={"object": wrong}),)}))
    assert await made_up.table(READING) == []


async def test_a_load_whose_staged_objects_went_after_its_commit_is_already_loaded(made_up: MadeUpSource) -> None:
    request = made_up.readings((1, DAY))
    await made_up.load(request)
    made_up.store.remove([entry.object.key for entry in request.staged])
    again = await made_up.load(request.model_copy(update={"run_id": "another"}))
    assert again.outcome is LoadOutcome.ALREADY_LOADED


async def test_a_constraint_without_an_expectation_is_an_error_that_no_repeat_is_tried_for(
    made_up: MadeUpSource,
) -> None:
    await made_up.pool.execute("ALTER TABLE made_up.reading ADD CONSTRAINT one_note UNIQUE (note)")
    with pytest.raises(LoadRejected, match="one_note"):
        await made_up.load(made_up.readings((1, DAY, None, 1, "same"), (2, DAY, None, 1, "same")))
    assert await made_up.table(READING) == []


async def test_a_load_that_was_frozen_in_copy_is_ended_when_its_next_attempt_begins(made_up: MadeUpSource) -> None:
    request = made_up.readings((1, DAY))
    frozen = await made_up.pool.acquire()
    transaction = frozen.transaction()
    await transaction.start()
    name = Attempt("0wner000", 1).session_name(request.identity.load_id)
    await frozen.execute(f"SET LOCAL application_name = '{name}'")

    result = await made_up.load(request, attempt=Attempt("0wner000", 2))

    assert result.outcome is LoadOutcome.LOADED
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
        await frozen.execute("SELECT 1")
    await made_up.pool.release(frozen)
