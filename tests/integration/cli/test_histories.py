"""`wardflow runs show` where a run's history cannot be decoded."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest_asyncio

from config.settings import Settings
from library.contracts.runs import RunStarted
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.temporal import connect
from tests.support.commands import Commands


@pytest_asyncio.fixture
async def encrypted(settings: Settings, pool: Pool) -> AsyncIterator[str]:
    """The id of a run whose history begins with an encrypted input."""
    assert settings.encryption.enabled
    prefix = settings.worker.queue_prefix
    handle = await (await connect(settings)).start_workflow(
        "import-fhir", {"server": "file"}, id=f"{prefix}fhir-x", task_queue=f"{prefix}nobody"
    )
    run_id = handle.first_execution_run_id or ""
    await RunLog(pool).begin(
        RunStarted(
            run_id=run_id,
            workflow_id=handle.id,
            workflow="import-fhir",
            source="fhir",
            subject="x.ndjson",
            started_at=datetime.now(UTC),
        )
    )
    yield run_id
    await handle.terminate()


async def test_a_run_whose_payloads_cannot_be_decrypted_here_is_shown_without_its_steps_and_with_what_to_set(
    commands_with: Callable[..., Commands], settings: Settings, encrypted: str
) -> None:
    told = {"TEMPORAL__ADDRESS": settings.temporal.address or "", "ENCRYPTION__ENABLED": "false"}
    shown = await commands_with(**told).call("runs", "show", encrypted)
    assert shown.exit_code == 0
    assert "subject   x.ndjson\n" in shown.stdout
    said, advice = shown.stderr.splitlines()
    assert said == "Its history cannot be read: Its payloads are encrypted, but encryption is turned off here."
    assert "WARDFLOW_ENCRYPTION__ENABLED" in advice
    assert "WARDFLOW_ENCRYPTION__KEY_RING" in advice


async def test_with_the_key_ring_of_whoever_started_it_its_input_is_shown(
    commands_with: Callable[..., Commands], settings: Settings, encrypted: str
) -> None:
    told = {
        "TEMPORAL__ADDRESS": settings.temporal.address or "",
        "ENCRYPTION__KEY_RING": str(settings.key_ring_file),
    }
    shown = await commands_with(**told).answer("runs", "show", encrypted)
    assert shown["steps"] == [{"step": "input", "payload": {"server": "file"}}]
