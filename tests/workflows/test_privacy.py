"""What Temporal keeps of a run: nothing readable, and nothing of the workbook even where it is readable."""

import base64
import json
from pathlib import Path

from openpyxl import load_workbook

from config.sections import EncryptionSettings
from config.settings import Settings
from library.contracts.runs import Run
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from tests.support.runs import NHS, Workbooks, workbooks

WORKBOOK = NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q2-2024-25.xlsx"
HISTORY_LIMIT = 20_000
"""Bytes: the requirement's bound for one run."""


async def history_of(sent: Workbooks, run: Run) -> str:
    return (await sent.client.get_workflow_handle(run.workflow_id, run_id=run.id).fetch_history()).to_json()


def distinctive_cells(path: Path) -> set[str]:
    """Texts and numbers that can stand in a history only if they came from the workbook."""
    book = load_workbook(path, read_only=True, data_only=True)
    cells = {str(cell).strip() for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row if cell}
    book.close()
    return {cell for cell in cells if len(cell) >= 6}


async def test_a_readable_history_is_small_and_holds_no_cell_of_the_workbook(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    readable = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    async with workbooks(readable, pool, store) as sent:
        run = await sent.ingest(WORKBOOK)
        history = await history_of(sent, run)
        described = await sent.client.get_workflow_handle(run.workflow_id, run_id=run.id).describe()
    payloads: list[str] = []

    def collect(node: object) -> None:
        if isinstance(node, dict):
            payloads.extend(base64.b64decode(node["data"]).decode() for _ in [0] if isinstance(node.get("data"), str))
            for value in node.values():
                collect(value)
        elif isinstance(node, list):
            for value in node:
                collect(value)

    collect(json.loads(history))
    told = history + "".join(payloads)
    assert "beds.occupancy" in told  # the payloads were found and decoded
    cells = distinctive_cells(WORKBOOK)
    assert len(cells) > 1_000
    assert {cell for cell in cells if cell in told} == set()
    assert 0 < described.raw_description.workflow_execution_info.history_size_bytes < HISTORY_LIMIT
    assert WORKBOOK.name not in told


async def test_with_the_codec_on_no_payload_can_be_read(sent: Workbooks) -> None:
    run = await sent.ingest(WORKBOOK)
    refused = await sent.ingest(NHS / "not-kh03" / "AE-weekly-week-ending-2010-11-07.xls")
    for each in (run, refused):
        history = await history_of(sent, each)
        assert "landed/beds" not in history
        assert "json/plain" not in history
    assert refused.error is not None
    assert refused.error.message not in await history_of(sent, refused)
