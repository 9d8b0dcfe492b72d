"""A workbook is staged whole or not at all."""

import csv
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from openpyxl import load_workbook

from config.beds import WorkbookSettings
from library.contracts.objects import ObjectRef
from library.sources.beds import datasets as beds
from library.sources.beds.contracts import CellUnreadable
from library.sources.beds.staging import edition_id, stage_in_child
from tests.support.runs import NHS

WORKBOOK = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q2-2024-25.xlsx"
LANDED = ObjectRef(
    key="landed/beds/x", size=1, sha256="ab" * 32, content_type="x", landed_at=datetime(2026, 1, 1, tzinfo=UTC)
)


def test_the_staged_files_hold_every_row_of_the_reading(tmp_path: Path) -> None:
    staged = stage_in_child(WORKBOOK, tmp_path, LANDED, WorkbookSettings())
    assert set(staged.rows) == {dataset.name for dataset in beds.DATASETS}
    for name, rows in staged.rows.items():
        with (tmp_path / f"{name}.csv").open(newline="") as file:
            assert sum(1 for _ in csv.reader(file)) == rows + 1
    assert staged.report["organisations"] == 187
    assert staged.report["edition"] == str(edition_id(LANDED.sha256))
    assert staged.rows["beds.occupancy"] == 5 * 187


@pytest.mark.parametrize(
    "case", ["08-velvetsweatshop/velvet", "02-backslash-zip/backslash", "10-formatted-bottom/bottom"]
)
def test_workbooks_of_other_programs_are_staged_within_the_limits_of_the_child(tmp_path: Path, case: str) -> None:
    staged = stage_in_child(NHS.parent / "cases" / f"{case}.xlsx", tmp_path, LANDED, WorkbookSettings())
    assert staged.report["rows"] == 36
    assert staged.warnings == ()


@pytest.mark.parametrize("marker", ["Title:", "RJ1"])
def test_a_cell_that_no_table_can_keep_refuses_the_workbook(tmp_path: Path, marker: str) -> None:
    book = load_workbook(WORKBOOK)
    changed = 0
    for sheet in book:
        for row in sheet.iter_rows():
            for left, right in pairwise(row):
                if left.value == marker and right.value:
                    right.value = f"{right.value}_x0000_"  # how a workbook spells NUL
                    changed += 1
    assert changed
    book.save(tmp_path / "nul.xlsx")
    with pytest.raises(CellUnreadable):
        stage_in_child(tmp_path / "nul.xlsx", tmp_path, LANDED, WorkbookSettings())
