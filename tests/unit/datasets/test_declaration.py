"""A dataset that contradicts itself is refused when it is declared."""

import pytest

from library.datasets.declaration import Dataset
from tests.support.made_up import Ward


def test_provenance_is_written_and_never_compared() -> None:
    dataset = Dataset(Ward, order=("version",), provenance=("seen_first",))
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
        Dataset(Ward, order=order, written_once=written_once, provenance=provenance)
