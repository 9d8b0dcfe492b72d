"""Histories of runs that really ran replay on today's workflows: a change that would wedge open runs is seen here.

They were recorded by `test_runs_of_today_replay`, which writes what is missing to `histories/`. To record one anew
(no run of the old kind is open anywhere any more) delete its file and run this test.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from config.sections import EncryptionSettings
from config.settings import Settings
from library.contracts.runs import RunState
from library.objects.store import ObjectStore
from library.warehouse.pool import Pool
from service.sources.fhir.starts import import_fhir, import_fhir_from, land_fhir
from service.worker.wiring import ALL_WORKFLOWS
from service.worker.workers import workflow_runner
from tests.support.imports import imports
from tests.support.played_fhir import BASE, bundle, observation, patient, played
from tests.support.runs import NHS, workbooks
from tests.support.sandbox import SAMPLE

HISTORIES = Path(__file__).parent / "histories"

REAL = {
    "loaded": NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q2-2024-25.xlsx",
    "already-loaded": NHS / "kh03" / "Beds-Open-Overnight-Web_File-Q2-2024-25.xlsx",
    "refused": NHS / "not-kh03" / "AE-weekly-week-ending-2010-11-07.xls",
}


def replayer() -> Replayer:
    return Replayer(workflows=ALL_WORKFLOWS, data_converter=pydantic_data_converter, workflow_runner=workflow_runner())


def test_there_are_histories_of_success_and_of_failure() -> None:
    assert {path.stem for path in HISTORIES.glob("*.json")} >= {f"ingest-workbook-{name}" for name in REAL}


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_recorded_run_replays(path: Path) -> None:
    recorded = path.read_text()
    began = json.loads(recorded)["events"][0]["workflowExecutionStartedEventAttributes"]
    await replayer().replay_workflow(WorkflowHistory.from_json(began["workflowId"], recorded))  # children's ids hold it


async def test_runs_of_today_replay(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    readable = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    async with workbooks(readable, pool, store) as sent:
        for name, workbook in REAL.items():
            run = await sent.ingest(workbook)
            handle = sent.client.get_workflow_handle(run.workflow_id, run_id=run.id)
            history = await handle.fetch_history()
            await replayer().replay_workflow(history)
            keep(f"ingest-workbook-{name}", history)


async def test_imports_of_today_replay(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    readable = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    tiny: dict[str, Any] = {"page_size": 60, "batch": 1, "history": 30, "large_zipcode": 2, "part": 2, "window": 2}
    faults = {"several_patients_refused": 0.5, "expired_page": 0.2, "times": 3}
    for kind, sizes, broken in (
        ("loaded", {"page_size": 60, "batch": 3}, {}),
        ("large", tiny, {}),
        ("refused", {}, {"looping_next": 1.0}),
        ("difficult", {"batch": 2, "window": 2}, faults),
    ):
        async with imports(readable, pool, store, faults=broken, **sizes) as importing:
            if kind == "large":
                patients = importing.sandbox.resources("Patient")
                importing.sandbox.put(*(each | {"address": [{"postalCode": "02139"}]} for each in patients))
            run = await importing.zipcode("02139" if kind == "large" else "02302")
            assert run.state is (RunState.FAILED if kind == "refused" else RunState.COMPLETED), run.error
            histories = await importing.histories(run)
        for history in histories:
            await replayer().replay_workflow(history)
        parts = [each for each in histories if "-02139-" in each.workflow_id]
        for history in parts[:1]:
            keep(f"import-observations-{kind}", history)
        keep(f"import-zipcode-{kind}", next(each for each in histories if each not in parts))
        await pool.execute("TRUNCATE fhir.patient, fhir.observation, fhir.observation_component, fhir.patient_import")
        await pool.execute("TRUNCATE ingest.load")


async def test_imports_of_exports_of_today_replay(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    readable = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    async with imports(readable, pool, store) as importing:
        run = await importing.closed(await import_fhir_from(importing.starter, f"{importing.sandbox.url}/$export"))
        (history,) = await importing.histories(run)
    await replayer().replay_workflow(history)
    keep("import-fhir-export", history)


async def test_imports_of_what_is_not_delivered_whole_replay(
    settings: Settings, pool: Pool, store: ObjectStore
) -> None:
    readable = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    async with played(readable, pool, store, batch=3) as server:
        server.answers(f"{BASE}/Patient", bundle(*map(patient, "abc"), patient("d", "20002"), total=5))
        server.answers(f"{BASE}/Observation", b"", status=403)
        server.answers(f"{BASE}/Observation?patient=a&_count=20", bundle(observation("o", of="a"), total=2))
        server.answers("/errors", b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"x"}]}')
        server.answers("/p", json.dumps(patient("e")).encode())
        error = [{"type": "OperationOutcome", "url": server.web.url("/errors")}]
        file = {"type": "Patient", "url": server.web.url("/p"), "count": 2}
        server.answers("/manifest", {"output": [file], "error": error})
        for kind, run in (
            ("import-zipcode-incomplete", await server.zipcode("10001")),
            ("import-fhir-export-incomplete", await server.export("/manifest")),
        ):
            assert run.result == "incomplete", run.error
            history = await server.client.get_workflow_handle(run.workflow_id, run_id=run.id).fetch_history()
            await replayer().replay_workflow(history)
            keep(kind, history)


async def test_imports_of_files_of_today_replay(settings: Settings, pool: Pool, store: ObjectStore) -> None:
    readable = settings.model_copy(update={"encryption": EncryptionSettings(enabled=False)})
    async with imports(readable, pool, store) as importing:
        landed = await land_fhir(importing.starter, SAMPLE / "Observation.ndjson")
        for name in ("import-fhir-file", "import-fhir-file-already-loaded"):
            run = await importing.closed(await import_fhir(importing.starter, landed, subject="Observation.ndjson"))
            history = next(each for each in await importing.histories(run) if each.run_id == run.id)
            await replayer().replay_workflow(history)
            keep(name, history)


def keep(name: str, history: WorkflowHistory) -> None:
    """Record a history, unless one of its kind is there."""
    file = HISTORIES / f"{name}.json"
    if not file.exists():
        # Traces name the folders of the machine that recorded them; a replay does not read them.
        file.write_text(re.sub(r'("stackTrace": )"(?:[^"\\]|\\.)*"', r'\1""', history.to_json()) + "\n")


async def test_a_changed_order_of_steps_would_be_seen() -> None:
    path = HISTORIES / "ingest-workbook-loaded.json"
    changed = path.read_text().replace('"stage_workbook"', '"another_step"')
    result = await replayer().replay_workflow(
        WorkflowHistory.from_json(path.stem, changed), raise_on_replay_failure=False
    )
    assert result.replay_failure is not None
