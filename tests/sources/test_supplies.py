"""Each source takes part in the suite."""

from pathlib import Path

from service.sources import SOURCES
from tests.sources.supply import supply_of

NAMES = {source.name for source in SOURCES}


def test_each_source_supplies_its_part_of_the_suite() -> None:
    missing = [f"tests/sources/supplies/{name}.py" for name in sorted(NAMES) if supply_of(name) is None]
    assert missing == [], "docs/add-a-source.md says what they hold"


def test_each_supply_is_of_a_source() -> None:
    files = {path.stem for path in (Path(__file__).parent / "supplies").glob("*.py")} - {"__init__"}
    assert files <= NAMES


def test_the_rows_that_a_source_expects_are_of_its_own_tables_and_no_supply_is_empty() -> None:
    for source in SOURCES:
        supply = supply_of(source.name)
        assert supply is not None
        assert supply.rows.keys() <= {dataset.name for dataset in source.datasets}
        assert all(supply.rows.values())
        assert all(len(each) >= 6 for each in supply.sentinels), "shorter texts turn up by chance"
        assert len({supply.good, supply.bad, supply.another_kind}) == 3
        assert supply.sentinels
