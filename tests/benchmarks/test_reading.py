"""Reading the published workbooks through the product's child process, against the bare libraries in this process."""

import tempfile
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import openpyxl
import pytest
from python_calamine import CalamineWorkbook

from config.beds import WorkbookSettings
from library.contracts.objects import ObjectRef
from library.reading.child import run_in_child
from library.sources.beds.staging import stage_in_child
from tests.benchmarks import reading_child
from tests.benchmarks.measure import Contestant, Report, Stopwatch, best_of, seconds
from tests.support.runs import NHS

pytestmark = pytest.mark.benchmark

ROUNDS = 12
LIMITS = WorkbookSettings()
WORKBOOKS = sorted((NHS / "kh03").iterdir())
XLSX = [path for path in WORKBOOKS if path.suffix == ".xlsx"]


def through_the_child(paths: Sequence[Path]) -> Contestant:
    """As the activity does: one after the other, each read and checked in a child of its own, with its limits."""

    async def read() -> float:
        took = Stopwatch()
        for path in paths:
            run_in_child(reading_child.read, str(path), max_memory=LIMITS.max_memory, max_seconds=LIMITS.max_seconds)
        return took()

    return read


def read_and_staged(paths: Sequence[Path]) -> Contestant:
    """The same, with the rows written as staged CSV."""
    landed = [
        ObjectRef(
            key=path.name,
            size=path.stat().st_size,
            sha256=sha256(path.read_bytes()).hexdigest(),
            content_type="application/octet-stream",
            landed_at=datetime.now(UTC),
        )
        for path in paths
    ]

    async def read() -> float:
        with tempfile.TemporaryDirectory() as name:
            took = Stopwatch()
            for path, workbook in zip(paths, landed, strict=True):
                stage_in_child(path, Path(name), workbook, LIMITS)
            return took()

    return read


def by_calamine(paths: Sequence[Path]) -> Contestant:
    async def read() -> float:
        took = Stopwatch()
        for path in paths:
            workbook = CalamineWorkbook.from_path(path)
            for name in workbook.sheet_names:
                workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
        return took()

    return read


def by_openpyxl(paths: Sequence[Path]) -> Contestant:
    async def read() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it says of extensions that it does not know
            took = Stopwatch()
            for path in paths:
                workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
                for sheet in workbook.worksheets:
                    list(sheet.iter_rows(values_only=True))
                workbook.close()
            return took()

    return read


async def test_reading_all_workbooks_costs_little_more_than_decoding_them(report: Report) -> None:
    assert len(WORKBOOKS) == 25
    child, staged, calamine = through_the_child(WORKBOOKS), read_and_staged(WORKBOOKS), by_calamine(WORKBOOKS)
    await staged()  # a worker starts its nursery once, with its first workbook
    ours, with_staging, bare = await best_of(ROUNDS, child, staged, calamine)
    figure = report.ratio("read 25 workbooks in children", ours, bare, at_most=3, of="bare calamine, one process")
    told = f"{seconds(with_staging)} : {seconds(bare)}"
    report.enter("… and write their rows as staged CSV", f"{with_staging / bare:.2f} x", parts=told)
    assert figure.kept


async def test_reading_xlsx_is_faster_than_openpyxl(report: Report) -> None:
    child, slow = through_the_child(XLSX), by_openpyxl(XLSX)
    await child()
    best = await best_of(6, child, slow)
    named = f"read the {len(XLSX)} .xlsx among them, faster by"
    assert report.speedup(named, *best, at_least=4, of="openpyxl, read-only").kept
