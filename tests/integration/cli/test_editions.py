"""What `wardflow ingest workbook` says of a workbook that is loaded and does not count."""

from pathlib import Path

import pytest

from config.settings import Settings
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.faults.harness import environment_of
from tests.support.commands import Commands
from tests.support.runs import workbooks
from tests.workflows.test_ingest_workbook import Q3_2019, Q3_2019_FIRST


@pytest.fixture
def commands(settings: Settings, tmp_path: Path) -> Commands:
    """Commands that start runs."""
    return Commands(environment_of(settings) | {"WARDFLOW_STACK__FOLDER": str(tmp_path / "no-stack")})


async def test_a_workbook_that_does_not_count_is_named_under_the_table_and_in_its_run(
    commands: Commands, settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    async with workbooks(settings, pool, store):
        newer = await commands.call("ingest", "workbook", str(Q3_2019))
        older = await commands.call("ingest", "workbook", str(Q3_2019_FIRST))
        (told,) = await commands.answer("ingest", "workbook", str(Q3_2019_FIRST))
    assert (newer.exit_code, older.exit_code) == (0, 0)
    assert "does not count" not in newer.stderr
    (line,) = [line for line in older.stderr.splitlines() if line.startswith(f"{Q3_2019_FIRST.name}: ")]
    assert f"{Q3_2019_FIRST.name}: {told['note']}" == line
    assert told["current_edition"] != told["edition"]
    assert told["result"] == "already_loaded"
    shown = await commands.done("runs", "show", told["run"])
    assert f"note      {told['note']}" in shown
    report = next(line for line in shown.splitlines() if line.startswith("report"))
    assert told["note"] not in report
