"""A load from the folder where its rows were staged is a load from the store, and brings the store nothing."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from library.contracts.loads import DatasetCounts, LoadIdentity, LoadRequest, LoadResult
from library.objects.staged import STAGED, StagedFolder, upload
from library.staging.files import Staging
from library.warehouse.sessions import Attempt
from tests.support.made_up import READING, ReadingRow
from tests.support.warehouse import MadeUpSource

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
TOO_LARGE_TO_BE_FETCHED_AHEAD = 120_000
"""Rows."""


async def loaded(made_up: MadeUpSource, folder: Path, rows: int) -> LoadResult:
    landed = made_up.landed()
    objects = StagedFolder(folder)
    request: LoadRequest = upload(
        objects,
        folder,
        {READING.name: rows},
        identity=LoadIdentity(source="made_up", sha256=landed.sha256, reader_version=1),
        landed=landed,
        run_id="by hand",
        report={},
    )
    result = await made_up.loader.load(request, attempt=Attempt("by hand"), objects=objects)
    assert not list(
        made_up.store.keys_older_than(f"{STAGED}{request.identity.load_id}", datetime.max.replace(tzinfo=UTC))
    )
    return result


@pytest.mark.parametrize("rows", [3, TOO_LARGE_TO_BE_FETCHED_AHEAD])
async def test_its_rows_and_rejections_are_loaded(made_up: MadeUpSource, tmp_path: Path, rows: int) -> None:
    with Staging(tmp_path, [READING]) as staging:
        for number in range(rows):
            staging.add(READING, ReadingRow(number, MOMENT, None, 1.0, "a note"), line=number + 1)
        staging.refuse(READING, ["too bad"], line=rows + 1, raw=b"raw")
    result = await loaded(made_up, tmp_path, rows)
    assert result.counts[READING.name] == DatasetCounts(staged=rows + 1, rejected=1, inserted=rows)
    assert [(row["line"], row["reasons"]) for row in await made_up.rejections()] == [(rows + 1, ["too bad"])]


async def test_a_cell_that_copy_refuses_never_stops_the_others(made_up: MadeUpSource, tmp_path: Path) -> None:
    (tmp_path / f"{READING.name}.csv").write_bytes(
        b"_line,id,taken_at,day,value,note,tags,batch\n"
        b'1,1,"2024-01-01T00:00:00+00:00",,1.5,"good",,\n'
        b'2,2,"2024-01-01T00:00:00+00:00",,1e400,"too large",,\n'
    )
    result = await loaded(made_up, tmp_path, 2)
    assert result.counts[READING.name] == DatasetCounts(staged=2, rejected=1, inserted=1)
    assert [row["reasons"] for row in await made_up.rejections()] == [["value: not a valid double precision"]]
