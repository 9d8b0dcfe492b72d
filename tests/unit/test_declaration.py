"""A dataset that contradicts itself is refused when it is declared."""

import pytest

from library.datasets.declaration import Dataset
from library.datasets.strategies import ConcurrentUpsert, Family, Upsert
from tests.support.made_up import BED, Bed, Ward


def test_provenance_is_written_and_never_compared() -> None:
    dataset = Dataset(Ward, Upsert(order=("version",), provenance=("seen_first",)))
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
        Dataset(Ward, Upsert(order, written_once, provenance))


def test_what_orders_versions_is_never_null() -> None:
    with pytest.raises(ValueError, match="order columns are never null"):
        Dataset(Ward, Upsert(order=("name",)))


@pytest.mark.parametrize(
    ("family", "said"),
    [
        (Family(parent=BED, key=("ward_code", "number")), "a parent cannot have a parent itself"),
        (Family(parent=Dataset(Ward, ConcurrentUpsert()), key=("ward_code",)), "must have it alone"),
        (Family(parent=Dataset(Ward, Upsert()), key=("kind",)), "must contain a column for each"),
    ],
)
def test_a_family_that_cannot_be_loaded_is_refused(family: Family, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Dataset(Bed, family)
