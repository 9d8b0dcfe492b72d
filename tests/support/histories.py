"""Looking into histories: how large they are, and whether a cell of a workbook stands in one."""

import base64
import json
import re
from pathlib import Path
from typing import Any

from python_calamine import CalamineWorkbook
from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from service.worker.wiring import ALL_WORKFLOWS
from service.worker.workers import workflow_runner

HISTORIES = Path(__file__).parents[1] / "replay" / "histories"
LONG_ENOUGH = 6
"""Characters of a text, or digits of a number, that do not turn up somewhere by chance."""


def size_of(history: WorkflowHistory) -> int:
    """Bytes of all events."""
    return sum(event.ByteSize() for event in history.events)


def readable(history: WorkflowHistory) -> str:
    """The whole history as JSON, with each payload's own JSON in its place."""
    return json.dumps(_decoded(json.loads(history.to_json())), ensure_ascii=False)


async def recorded(handle: WorkflowHandle[Any, Any], name: str) -> str:
    """The history as JSON, replayed, and kept for tests of later versions where there is none yet."""
    history = await handle.fetch_history()
    converter = pydantic_data_converter
    await Replayer(
        workflows=ALL_WORKFLOWS, data_converter=converter, workflow_runner=workflow_runner()
    ).replay_workflow(history)
    if not (file := HISTORIES / f"{name}.json").exists():
        file.write_text(re.sub(r'("stackTrace": )"(?:[^"\\]|\\.)*"', r'\1""', history.to_json()) + "\n")
    return readable(history)


def _decoded(node: Any) -> Any:
    if isinstance(node, list):
        return [_decoded(item) for item in node]
    if not isinstance(node, dict):
        return node
    if set(node) >= {"metadata", "data"}:
        encoding = base64.b64decode(node["metadata"]["encoding"]).decode()
        assert encoding.startswith("json/"), f"a payload of {encoding} cannot be looked into"
        return json.loads(base64.b64decode(node["data"]))
    return {name: _decoded(value) for name, value in node.items()}


def telling_cells(path: Path) -> set[str]:
    """The workbook's longer texts and numbers, as they would stand in JSON."""
    found = set()
    workbook = CalamineWorkbook.from_path(path)
    for name in workbook.sheet_names:
        for row in workbook.get_sheet_by_name(name).to_python():
            for cell in row:
                if isinstance(cell, str) and len(cell.strip()) >= LONG_ENOUGH:
                    found.add(json.dumps(cell.strip(), ensure_ascii=False)[1:-1])
                elif isinstance(cell, float) and _digits(cell) >= LONG_ENOUGH:
                    found.add(repr(cell).removesuffix(".0"))
    return found


def _digits(number: float) -> int:
    return len(repr(number).removesuffix(".0").replace(".", "").replace("-", "").strip("0"))
