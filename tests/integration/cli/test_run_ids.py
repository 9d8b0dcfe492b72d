"""A run is named by its id, or by a beginning that no other run has."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from library.contracts.runs import RunStarted
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from service.cli import app
from tests.support.commands import Commands

FIRST, SECOND = "01a22de3-3fb0-781d-ae20-1af970139057", "01a22de3-3fbf-7c72-8407-7642ea067183"
"""Of the same minute, as their first eight characters say."""

BY_RUN = (("runs", "show"), ("runs", "watch"), ("runs", "cancel"), ("quarantine", "list", "--run"))


@pytest.fixture
async def runs(pool: Pool) -> None:
    log = RunLog(pool)
    for run_id, subject, workflow in ((FIRST, "first\n.xlsx", "census-1"), (SECOND, "second.xlsx", "census-12")):
        await log.begin(
            RunStarted(
                run_id=run_id,
                workflow_id=workflow,
                workflow="ingest-workbook",
                source="beds",
                subject=subject,
                started_at=datetime(2026, 11, 30, 12, tzinfo=UTC),
            )
        )
    # Ended without a word from Temporal: no command has to ask it about them.
    await pool.execute("UPDATE ingest.run SET state = 'completed', result = 'loaded', finished_at = now()")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("words", BY_RUN)
async def test_a_beginning_of_several_runs_lists_them_with_what_they_are_about(
    commands: Commands, words: tuple[str, ...]
) -> None:
    result = await commands.call(*words, "01a22de3")
    started = datetime(2026, 11, 30, 12, tzinfo=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Several runs have an id that begins with '01a22de3'.",
        "Copy more of the id. The newest of these runs are:",
        f"  {SECOND}  {started}  beds  second.xlsx",
        f"  {FIRST}  {started}  beds  first .xlsx",
    ]


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("named", "subject"),
    [(SECOND, "second.xlsx"), (SECOND[:13], "second.xlsx"), ("census-12", "second.xlsx"), ("census-1", "first\n.xlsx")],
)
async def test_a_run_is_found_by_a_beginning_of_its_own_or_by_its_whole_workflow_id(
    commands: Commands, named: str, subject: str
) -> None:
    assert (await commands.answer("runs", "show", named))["subject"] == subject


@pytest.mark.usefixtures("runs")
async def test_refused_rows_of_a_run_are_listed_by_a_beginning_of_its_id(commands: Commands, pool: Pool) -> None:
    load_id = uuid4()
    await pool.execute("UPDATE ingest.run SET load_ids = ARRAY[$1::uuid] WHERE id = $2", load_id, SECOND)
    await pool.execute(
        "INSERT INTO ingest.rejection (load_id, source, dataset, object_key, line, reasons) "
        "VALUES ($1, 'fhir', 'fhir.patient', 'landed/fhir/x', 3, ARRAY['id: missing'])",
        load_id,
    )
    (found,) = await commands.answer("quarantine", "list", "--run", SECOND[:13])
    assert found["line"] == 3
    assert await commands.answer("quarantine", "list", "--run", FIRST) == []


@pytest.mark.parametrize("words", BY_RUN)
async def test_a_beginning_of_no_run_is_a_mistake(commands: Commands, words: tuple[str, ...]) -> None:
    result = await commands.call(*words, "01a22de3")
    assert result.exit_code == 1
    assert "No run has an id that begins with '01a22de3'." in result.stderr


@pytest.mark.parametrize("words", [("runs", "list"), ("quarantine", "list")])
async def test_a_source_that_is_none_is_wrong_usage_and_no_empty_list(words: tuple[str, ...]) -> None:
    refused = CliRunner().invoke(app, [*words, "--source", "bed"])
    assert refused.exit_code == 2
    assert "'bed' is not one of beds, fhir, records." in " ".join(refused.output.replace("│", " ").split())
