"""Failed runs are repeated by REST and by a command, and the audit says by whom."""

import pytest_asyncio

from config.settings import Settings
from library.contracts.runs import Run, RunState
from library.contracts.scopes import Scope
from library.warehouse.pool import Pool
from tests.faults.harness import environment_of, until_async
from tests.integration.api.conftest import TWO, Client
from tests.support.commands import Commands
from tests.support.runs import Workbooks, missing


@pytest_asyncio.fixture
async def failed(sent: Workbooks, pool: Pool) -> Run:
    """A run that failed since a table was missing, which is there again."""
    async with missing(pool, "beds.occupancy"):
        run = await sent.ingest(TWO[0])
    assert run.state is RunState.FAILED
    return run


async def is_completed(pool: Pool, run: Run) -> None:
    await until_async(
        lambda: pool.fetchval("SELECT true FROM ingest.run WHERE id = $1 AND state = 'completed'", run.id)
    )


async def test_a_failed_run_is_repeated_by_rest_and_a_completed_one_is_not(
    api: Client, operator: dict[str, str], failed: Run, pool: Pool
) -> None:
    answer = await api.http.post(f"/runs/{failed.id}/repeat", headers=operator)
    assert (answer.status_code, answer.json()["id"], answer.json()["error"]) == (202, failed.id, None)
    assert answer.json()["executions"][0] == failed.id
    assert answer.json()["history"].endswith(f"/{answer.json()['executions'][-1]}/history")
    await is_completed(pool, failed)
    refused = await api.http.post(f"/runs/{failed.id}/repeat", headers=operator)
    assert (refused.status_code, refused.json()["type"]) == (409, "NothingToRepeat")
    actions = await pool.fetch("SELECT action, subject FROM access.audit WHERE action = 'repeat_run'")
    assert {tuple(row) for row in actions} == {("repeat_run", failed.id)}


async def test_who_may_not_steer_runs_repeats_none(api: Client, failed: Run) -> None:
    answer = await api.http.post(f"/runs/{failed.id}/repeat", headers=await api.bearing("read:beds"))
    assert answer.status_code == 403
    unknown = await api.http.post("/runs/nobody/repeat", headers=await api.bearing(Scope.OPERATE))
    assert unknown.status_code == 404


async def test_a_failed_run_is_repeated_by_a_command_and_shown_with_both_of_its_executions(
    settings: Settings, failed: Run, pool: Pool
) -> None:
    commands = Commands(environment_of(settings))
    said = await commands.done("runs", "repeat", failed.id)
    assert f"wardflow runs watch {failed.id}" in " ".join(said.split())
    await is_completed(pool, failed)
    shown = await commands.answer("runs", "show", failed.id)
    steps = [step["step"] for step in shown["steps"]]
    assert (steps.count("load_staged ✗"), steps.count("load_staged →")) == (1, 1)
    refused = await commands.call("runs", "repeat", failed.id)
    assert (refused.exit_code, "nothing to repeat" in refused.stderr) == (1, True)
