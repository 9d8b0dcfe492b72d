"""The statements of each strategy. Those of datasets without steps are the ones that loads have always run."""

from dataclasses import replace

import pytest

from library.datasets.declaration import Dataset
from library.datasets.strategies import Family, Upsert
from library.warehouse.statements import keep_changed
from service.worker.parts import CATALOGUE
from tests.support.made_up import BED, READING, WARD
from tests.support.made_up_steps import ROOM, STAY


def one_line(text: str) -> str:
    return " ".join(text.split())


def family_of(dataset: Dataset) -> Family:
    assert isinstance(dataset.strategy, Family)
    return dataset.strategy


def test_an_upsert_writes_newer_rows_that_differ() -> None:
    assert WARD.strategy.merge(WARD) == one_line("""
        WITH merged AS (MERGE INTO "made_up"."ward" t USING (SELECT * FROM pg_temp."staged made_up.ward") s
        ON t."code" = s."code"
        WHEN MATCHED AND ROW(s."version", $2::smallint) >= ROW(t."version", t.reader_version)
        AND (ROW(s."name", s."version") IS DISTINCT FROM ROW(t."name", t."version") OR t.reader_version < $2)
        THEN UPDATE SET "name" = s."name", "version" = s."version", load_id = $1, reader_version = $2
        WHEN NOT MATCHED THEN INSERT ("code", "name", "version", "seen_first", load_id, reader_version)
        VALUES (s."code", s."name", s."version", s."seen_first", $1, $2)
        RETURNING merge_action() = 'INSERT' AS is_new)
        SELECT count(*) FILTER (WHERE is_new) AS inserted,
        count(*) FILTER (WHERE NOT is_new) AS updated FROM merged
    """)


def test_winners_are_the_parents_that_are_not_older() -> None:
    assert isinstance(WARD.strategy, Upsert)
    assert WARD.strategy.create_winners(WARD, 3) == one_line("""
        CREATE TEMP TABLE "winners made_up.ward" ON COMMIT DROP AS
        SELECT s."code" FROM pg_temp."staged made_up.ward" s JOIN "made_up"."ward" t ON t."code" = s."code"
        WHERE ROW(s."version", 3::smallint) >= ROW(t."version", t.reader_version)
    """)


def test_a_family_writes_the_children_of_winners_and_deletes_those_that_are_missing() -> None:
    winners = 'ANY (ARRAY(SELECT "code" FROM "winners made_up.ward"))'
    assert family_of(BED).merge(BED) == one_line(f"""
        WITH merged AS (MERGE INTO "made_up"."bed" t
        USING (SELECT s.* FROM pg_temp."staged made_up.bed" s
        JOIN "winners made_up.ward" w ON s."ward_code" = w."code") s
        ON t."ward_code" = s."ward_code" AND t."number" = s."number" AND t."ward_code" = {winners}
        WHEN MATCHED AND true AND (ROW(s."kind") IS DISTINCT FROM ROW(t."kind") OR t.reader_version < $2)
        THEN UPDATE SET "kind" = s."kind", load_id = $1, reader_version = $2
        WHEN NOT MATCHED THEN INSERT ("ward_code", "number", "kind", load_id, reader_version)
        VALUES (s."ward_code", s."number", s."kind", $1, $2)
        RETURNING merge_action() = 'INSERT' AS is_new)
        SELECT count(*) FILTER (WHERE is_new) AS inserted,
        count(*) FILTER (WHERE NOT is_new) AS updated FROM merged
    """)
    assert family_of(BED).delete_missing(BED) == one_line(f"""
        DELETE FROM "made_up"."bed" t USING "winners made_up.ward" w
        WHERE t."ward_code" = w."code" AND t."ward_code" = {winners}
        AND NOT EXISTS (SELECT FROM pg_temp."staged made_up.bed" s
        WHERE s."ward_code" = t."ward_code" AND s."number" = t."number")
    """)
    assert family_of(BED).insert(BED) == one_line("""
        INSERT INTO "made_up"."bed" ("ward_code", "number", "kind", load_id, reader_version)
        SELECT "ward_code", "number", "kind", $1, $2 FROM pg_temp."staged made_up.bed"
    """)


def test_loads_of_a_concurrent_upsert_write_what_an_upsert_writes() -> None:
    assert READING.strategy.merge(READING) == Upsert(order=("taken_at",)).merge(READING)
    assert (READING.strategy.needs_exclusive_lock, Upsert().needs_exclusive_lock) == (False, True)


def test_steps_add_the_keys_to_the_same_statements() -> None:
    plain = replace(ROOM, steps=())
    key = '"clinic", "number"'
    kept = f'INSERT INTO pg_temp."changed made_up_steps.room" ({key}, "_change") SELECT {key}, '
    room = family_of(ROOM)
    assert room.insert(ROOM) == (
        f"WITH written AS ({room.insert(plain)} RETURNING {key}) {kept}'inserted' FROM written"
    )
    assert room.delete_missing(ROOM) == (
        f'WITH written AS ({room.delete_missing(plain)} RETURNING t."clinic", t."number") '
        f"{kept}'deleted' FROM written"
    )
    before, _, after = room.merge(plain).partition("AS is_new)")
    case = "CASE WHEN \"_change\" THEN 'inserted' ELSE 'updated' END"
    assert room.merge(ROOM) == (
        f'{before}AS "_change", t."clinic", t."number"), kept AS ({kept}{case} FROM merged)'
        + after.replace("is_new", '"_change"')
    )
    assert keep_changed(STAY) == one_line("""
        CREATE TEMP TABLE IF NOT EXISTS "changed made_up_steps.stay"
        ("patient" TEXT NOT NULL, "number" SMALLINT NOT NULL, "_change" text NOT NULL) ON COMMIT DELETE ROWS
    """)


@pytest.mark.parametrize("dataset", tuple(CATALOGUE), ids=lambda dataset: dataset.name)
def test_datasets_without_steps_keep_no_keys(dataset: Dataset) -> None:
    assert dataset.steps or "changed" not in dataset.strategy.merge(dataset)
