"""Of a real workbook no cell is in a history. `tests/sources/test_privacy.py` looks for less, and everywhere."""

from pathlib import Path

import pytest

from config.sections import EncryptionSettings
from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.histories import readable, size_of, telling_cells
from tests.support.runs import NHS, workbooks
from workflows.runs import SEARCH_ATTRIBUTES

OLD = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q1-2011-12-November-2012-Refresh-v3-Final.xls"
NEW = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q3-2025-26.xlsx"


@pytest.mark.parametrize("path", [OLD, NEW], ids=["xls", "xlsx"])
async def test_a_history_is_small_and_holds_no_cell_of_the_workbook(
    settings: Settings, pool: Pool, store: ObjectStore, path: Path
) -> None:
    in_clear = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    async with workbooks(in_clear, pool, store) as sent:
        run = await sent.ingest(path)
        history = await sent.client.get_workflow_handle(run.workflow_id, run_id=run.id).fetch_history()

    assert run.state is RunState.COMPLETED
    told, cells = readable(history), telling_cells(path)
    assert run.object_key is not None
    assert run.object_key in told, "what was looked into is not in clear"
    assert len(cells) > 100
    ours = {key.name for key in SEARCH_ATTRIBUTES}  # "Period" is a label in workbooks too
    assert {cell for cell in cells - ours if cell in told} == set()
    assert path.stem not in told
    assert size_of(history) < 20_000
