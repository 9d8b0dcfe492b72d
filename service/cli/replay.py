"""`python -m service.cli.replay RUN`: run a workflow's code with the history of a run, for a debugger.

No activity runs: each answers what the history says. Payloads are decrypted with the key ring of the settings.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from temporalio.client import WorkflowHistory
from temporalio.converter import DefaultFailureConverter
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from config.settings import Settings
from library.contracts.errors import WardflowError
from library.warehouse.runs import RunLog
from service.cli.choosing import chosen_run
from service.cli.output import DONE, out, run
from service.cli.pools import open_warehouse
from service.temporal import connect, data_converter
from service.worker.wiring import ALL_WORKFLOWS


class CodeHasChanged(WardflowError):
    """The workflow's code takes other steps than the history has."""

    default_advice = "A run that is open would stop here. Keep its old steps behind `workflow.patched`."


def replay(
    run_id: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, its beginning, or a workflow's id.")],
    save: Annotated[
        Path | None, typer.Option(help="Write the history to this file too, as JSON; payloads stay encrypted.")
    ] = None,
) -> None:
    """Replay a run on the code of this checkout; `breakpoint()` works in workflows."""

    async def main(settings: Settings) -> list[WorkflowHistory]:
        client = await connect(settings)
        async with open_warehouse(settings, size=1) as pool:
            found = await chosen_run(RunLog(pool), run_id)
        histories: list[WorkflowHistory] = []
        link = found.id
        while link:
            histories.append(await client.get_workflow_handle(found.workflow_id, run_id=link).fetch_history())
            last = histories[-1].events[-1]
            link = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        if save is not None:
            save.write_text(histories[-1].to_json())
        # The sandbox and the limit of two seconds for a step would end a debugger.
        replayer = Replayer(
            workflows=ALL_WORKFLOWS,
            # Errors of the code under test are shown, so their texts are not encrypted.
            data_converter=replace(data_converter(settings), failure_converter_class=DefaultFailureConverter),
            workflow_runner=UnsandboxedWorkflowRunner(),
            debug_mode=True,
        )
        for history in histories:
            result = await replayer.replay_workflow(history, raise_on_replay_failure=False)
            if result.replay_failure is not None:
                raise CodeHasChanged(f"The replay of {history.workflow_id} failed: {result.replay_failure}")
        return histories

    for history in run(main):
        out.print(DONE, f"{history.workflow_id}: {len(history.events)} events replayed")


if __name__ == "__main__":
    typer.run(replay)
