"""A workbook from its bytes to its rows, on the real servers."""

import asyncio
import csv
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from library.contracts.runs import RunState
from library.warehouse.pool import Pool
from tests.support.runs import NHS, Workbooks

CASES = NHS.parent / "cases" / "11-silent-rerelease"
Q3_2019 = NHS / "kh03" / "1920-Q3-Beds-Open-Overnight-Web_File-Final-DE5WC.xlsx"
Q3_2019_FIRST = NHS / "superseded" / "Beds-Open-Overnight-Web_File-Final-Q3-2019-20-kg8gu.xlsx"
TABLES = ("edition", "edition_organisation", "occupancy", "specialty_occupancy", "england_total", "specialty")


def packed_otherwise(workbook: Path, copy: Path) -> Path:
    """The same workbook as other bytes."""
    with zipfile.ZipFile(workbook) as before, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    return copy


async def test_a_workbook_becomes_rows_that_lead_back_to_its_bytes(sent: Workbooks, pool: Pool) -> None:
    run = await sent.ingest(Q3_2019)

    assert (run.state, run.result, run.phase, run.error) == (RunState.COMPLETED, "loaded", "done", None)
    assert run.subject == Q3_2019.name
    edition = await pool.fetchrow("SELECT * FROM beds.edition")
    assert edition is not None
    assert (edition["financial_year"], edition["quarter"], str(edition["period_end"])) == ("2019-20", 3, "2019-12-31")
    load = await pool.fetchrow("SELECT * FROM ingest.load")
    assert load is not None
    assert edition["load_id"] == load["id"]
    assert load["object_sha256"] == edition["object_sha256"]
    assert run.object_key == load["object_key"] == edition["object_key"]
    assert run.load_ids == [str(load["id"])]
    for table in TABLES:
        assert await pool.fetchval(f"SELECT bool_and(load_id = $1) FROM beds.{table}", load["id"]), table


@pytest.mark.parametrize("order", [(Q3_2019_FIRST, Q3_2019), (Q3_2019, Q3_2019_FIRST)])
async def test_the_newest_edition_of_a_quarter_counts_whichever_is_loaded_last(
    sent: Workbooks, pool: Pool, order: tuple[Path, Path]
) -> None:
    for path in order:
        await sent.ingest(path)
    assert await pool.fetchval("SELECT count(*) FROM beds.edition") == 2
    current = await pool.fetchval("SELECT sum(available) FROM beds.current_occupancy WHERE sector = 'total'")
    assert current == pytest.approx(128325.967391, abs=0.01)


async def test_an_older_edition_says_that_it_does_not_count_and_which_one_does(sent: Workbooks) -> None:
    newer = await sent.ingest(Q3_2019)
    older = await sent.ingest(Q3_2019_FIRST)
    assert (newer.report["current_edition"], "note" in newer.report) == (newer.report["edition"], False)
    assert (older.state, older.result) == (RunState.COMPLETED, "loaded")
    assert older.report["current_edition"] == newer.report["edition"] != older.report["edition"]
    note = str(older.report["note"])
    for told in ("2019-20 Q3", "does not count", newer.report["edition"], Q3_2019.name, "2020-11-19", "2020-02-27"):
        assert str(told) in note


async def test_a_workbook_of_the_same_date_with_other_bytes_says_that_the_first_one_counts(
    sent: Workbooks, pool: Pool, tmp_path: Path
) -> None:
    first = await sent.ingest(Q3_2019)
    await pool.execute("UPDATE beds.edition SET landed_at = landed_at - interval '1 minute'")
    second = await sent.ingest(packed_otherwise(Q3_2019, tmp_path / "the same again.xlsx"))
    assert (second.result, second.report["current_edition"]) == ("loaded", first.report["edition"])
    assert second.report["edition"] != first.report["edition"]
    for told in ("Both editions state the date 2020-11-19", "landed here first", Q3_2019.name):
        assert told in str(second.report["note"])


async def test_a_run_counts_the_warnings_that_its_edition_has_when_the_run_ends(sent: Workbooks, pool: Pool) -> None:
    first = await sent.ingest(CASES / "a-first.xlsx")
    corrected = await sent.ingest(CASES / "b-corrected.xlsx")
    again = await sent.ingest(CASES / "a-first.xlsx")
    assert [run.report["warnings"] for run in (first, corrected, again)] == [0, 1, 1]
    assert again.report["current_edition"] == corrected.report["current_edition"] == first.report["edition"]
    for run in (corrected, again):
        warnings = await pool.fetch(
            "SELECT warning FROM beds.warning WHERE edition_id = $1::uuid", run.report["edition"]
        )
        assert len(warnings) == run.report["warnings"]


async def test_of_two_that_landed_in_the_same_second_the_one_that_does_not_count_says_why(
    sent: Workbooks, pool: Pool, tmp_path: Path
) -> None:
    paths = (Q3_2019, packed_otherwise(Q3_2019, tmp_path / "the same again.xlsx"))
    for path in paths:
        await sent.ingest(path)
    await pool.execute("UPDATE beds.edition SET landed_at = (SELECT min(landed_at) FROM beds.edition)")
    runs = [await sent.ingest(path) for path in paths]
    lower = min(str(run.report["edition"]) for run in runs)
    assert {run.report["current_edition"] for run in runs} == {lower}
    (note,) = [str(run.report["note"]) for run in runs if run.report["edition"] != lower]
    assert "in the same second; then the one with the lower id counts" in note


async def test_which_edition_counts_is_said_as_of_the_end_of_each_run(sent: Workbooks) -> None:
    first = await sent.ingest(Q3_2019_FIRST)
    assert first.report["current_edition"] == first.report["edition"]
    newer = await sent.ingest(Q3_2019)
    again = await sent.ingest(Q3_2019_FIRST)
    assert (again.result, again.report["current_edition"]) == ("already_loaded", newer.report["edition"])
    assert "does not count" in str(again.report["note"])
    assert {name: value for name, value in again.report.items() if name != "note"} == (
        first.report | {"current_edition": newer.report["edition"]}
    )
    assert again.warnings == first.warnings


async def test_every_real_workbook_agrees_with_its_published_totals(sent: Workbooks, pool: Pool) -> None:
    with (NHS / "england-totals.csv").open(newline="") as file:
        published = list(csv.DictReader(file))
    runs = await asyncio.gather(*(sent.ingest(NHS / row["folder"] / row["file"]) for row in published))
    for row, run in zip(published, runs, strict=True):
        assert run.state is RunState.COMPLETED, run.error
        found = await pool.fetch(
            "SELECT sector, count(*) AS organisations, sum(available) AS available, sum(occupied) AS occupied "
            "FROM beds.occupancy WHERE edition_id = $1::uuid GROUP BY sector",
            run.report["edition"],
        )
        assert len(found) == 5
        for sector in found:
            assert sector["organisations"] == int(row["organisations"])
            for kind in ("available", "occupied"):
                assert sector[kind] == pytest.approx(float(row[f"{kind}_{sector['sector']}"]), abs=0.01)
    assert await pool.fetchval("SELECT count(*) FROM beds.edition") == len(published) == 27
    assert await pool.fetchval("SELECT count(*) FROM beds.current_edition") == 25


async def test_staged_objects_go_after_their_commit(sent: Workbooks) -> None:
    run = await sent.ingest(Q3_2019)
    left = list(sent.starter.store.keys_older_than(f"staged/{run.load_ids[0]}", datetime.now(UTC) + timedelta(hours=1)))
    assert left == []


async def test_a_run_says_what_it_was_warned_of_and_an_already_loaded_one_repeats_it(sent: Workbooks) -> None:
    path = NHS / "kh03" / "NHS-organisations-in-England-Quarter-1-2010-11--HowsMyNHS-tempfile.xls"
    first = await sent.ingest(path)
    again = await sent.ingest(path)
    assert first.warnings
    assert first.report["warnings"] == len(first.warnings)
    assert again.warnings == first.warnings
