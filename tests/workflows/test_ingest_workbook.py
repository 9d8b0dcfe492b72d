"""A workbook from its bytes to its rows, on the real servers."""

import asyncio
import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from library.contracts.runs import RunState
from library.warehouse.pool import Pool
from tests.support.runs import NHS, Workbooks

Q3_2019 = NHS / "kh03" / "1920-Q3-Beds-Open-Overnight-Web_File-Final-DE5WC.xlsx"
Q3_2019_FIRST = NHS / "superseded" / "Beds-Open-Overnight-Web_File-Final-Q3-2019-20-kg8gu.xlsx"
TABLES = ("edition", "edition_organisation", "occupancy", "specialty_occupancy", "england_total", "specialty")


async def written(pool: Pool) -> dict[str, list[str]]:
    """Which transaction wrote each row: equal before and after means that nothing was written."""
    return {
        table: [row["xmin"] for row in await pool.fetch(f"SELECT xmin::text FROM beds.{table} ORDER BY ctid")]
        for table in TABLES
    }


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


async def test_the_same_workbook_again_is_already_loaded_with_the_first_figures_and_writes_nothing(
    sent: Workbooks, pool: Pool
) -> None:
    first = await sent.ingest(Q3_2019)
    before = await written(pool)
    again = await sent.ingest(Q3_2019)

    assert (again.state, again.result) == (RunState.COMPLETED, "already_loaded")
    assert again.id != first.id
    assert (again.counts, again.report, again.load_ids) == (first.counts, first.report, first.load_ids)
    assert await written(pool) == before
    assert await pool.fetchval("SELECT count(*) FROM ingest.load") == 1


async def test_a_reload_loads_once_more_and_leaves_every_equal_row_alone(sent: Workbooks, pool: Pool) -> None:
    first = await sent.ingest(Q3_2019)
    before = await written(pool)
    reloaded = await sent.ingest(Q3_2019, reload=True)

    assert reloaded.result == "loaded"
    assert reloaded.load_ids != first.load_ids
    assert await written(pool) == before
    assert await pool.fetchval("SELECT max(reload) FROM ingest.load") == 1


@pytest.mark.parametrize("order", [(Q3_2019_FIRST, Q3_2019), (Q3_2019, Q3_2019_FIRST)])
async def test_the_newest_edition_of_a_quarter_counts_whichever_is_loaded_last(
    sent: Workbooks, pool: Pool, order: tuple[Path, Path]
) -> None:
    for path in order:
        await sent.ingest(path)
    assert await pool.fetchval("SELECT count(*) FROM beds.edition") == 2
    current = await pool.fetchval("SELECT sum(available) FROM beds.current_occupancy WHERE sector = 'total'")
    assert current == pytest.approx(128325.967391, abs=0.01)


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


@pytest.mark.parametrize("path", sorted((NHS / "not-kh03").glob("*.xls*")), ids=lambda path: path.name[:20])
async def test_a_workbook_of_another_series_is_refused_with_a_reason_and_leaves_no_row(
    sent: Workbooks, pool: Pool, path: Path
) -> None:
    run = await sent.ingest(path)
    assert run.state is RunState.FAILED
    assert run.error is not None
    assert run.error.type == "AnotherSeries"
    assert run.error.message
    assert run.error.advice
    assert run.object_key is not None  # the bytes stay for inspection, and the run says where
    assert await pool.fetchval("SELECT count(*) FROM ingest.load") == 0
    for table in TABLES:
        assert await pool.fetchval(f"SELECT count(*) FROM beds.{table}") == 0


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
