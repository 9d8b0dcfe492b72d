"""A dataset that contradicts itself is refused when it is declared."""

from collections import namedtuple
from pathlib import Path
from typing import Any, cast

import pytest

from library.datasets.declaration import Dataset
from library.datasets.strategies import ConcurrentUpsert, Family, Upsert
from library.sources.records.datasets import LAB_RESULT, LabResult, LabResultRow, PatientRow
from library.staging.files import Staging
from tests.support.made_up import BED, Bed, BedRow, Ward, WardRow


def test_provenance_is_written_and_never_compared() -> None:
    dataset = Dataset(Ward, WardRow, Upsert(order=("version",), provenance=("seen_first",)))
    assert dataset.values == ("name",)
    assert "seen_first" in [column.name for column in dataset.columns]


@pytest.mark.parametrize(
    ("order", "written_once", "provenance", "said"),
    [
        ((), (), ("nothing",), "no such columns"),
        (("version",), (), ("version",), "what orders versions changes with them"),
        ((), ("seen_first",), ("seen_first",), "not both"),
    ],
)
def test_provenance_must_be_a_column_that_is_nothing_else(
    order: tuple[str, ...], written_once: tuple[str, ...], provenance: tuple[str, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Dataset(Ward, WardRow, Upsert(order, written_once, provenance))


def test_what_orders_versions_is_never_null() -> None:
    with pytest.raises(ValueError, match="order columns are never null"):
        Dataset(Ward, WardRow, Upsert(order=("name",)))


@pytest.mark.parametrize(
    ("family", "said"),
    [
        (Family(parent=BED, parent_key=("ward_code", "number")), "a parent cannot have a parent itself"),
        (Family(parent=Dataset(Ward, WardRow, ConcurrentUpsert()), parent_key=("ward_code",)), "must have it alone"),
        (Family(parent=Dataset(Ward, WardRow, Upsert()), parent_key=("kind",)), "must contain a column for each"),
    ],
)
def test_a_family_that_cannot_be_loaded_is_refused(family: Family, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Dataset(Bed, BedRow, family)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (("ward_code", "number"), "made_up.bed: Row differs from the table: kind is missing"),
        (("ward_code", "number", "kind", "colour"), "colour is no column"),
        (("ward_code", "nummer", "kind"), "number is missing, nummer is no column"),
        (("number", "ward_code", "kind"), "field 1 is number, and column 1 is ward_code"),
    ],
)
def test_a_row_whose_names_are_not_the_columns_is_refused(fields: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Dataset(Bed, cast(Any, namedtuple("Row", fields)), BED.strategy)


def test_the_row_of_a_stream_names_the_columns_of_the_record_alone() -> None:
    assert tuple(column.name for column in LAB_RESULT.columns)[5:] == LabResultRow._fields
    with pytest.raises(ValueError, match="lab_name is missing"):
        Dataset(LabResult, PatientRow, LAB_RESULT.strategy)


def test_a_row_of_another_dataset_is_refused(tmp_path: Path) -> None:
    with Staging(tmp_path, [BED]) as staging, pytest.raises(TypeError, match="must be a BedRow, not a WardRow"):
        staging.add(BED, WardRow("W1", None, 1), line=1)


def test_cells_in_the_order_of_another_row_or_too_few_of_them_are_refused(tmp_path: Path) -> None:
    with Staging(tmp_path, [BED]) as staging:
        with pytest.raises(TypeError, match="must be a BedRow, not a WardRow"):
            staging.add_cells(BED, WardRow, ["W1", 1, None], line=1)
        with pytest.raises(ValueError, match="has 3 staged columns, not 2"):
            staging.add_cells(BED, BedRow, ["W1", 1], line=1)
        assert staging.rows[BED.name] == 0
