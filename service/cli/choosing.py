"""The run that a person means by an id, or by the beginning of one."""

from collections.abc import Sequence

from library.contracts.errors import WardflowError
from library.contracts.runs import Run
from library.warehouse.runs import RunLog
from service.cli.output import local


class NoSuchRun(WardflowError):
    """No run, or more than one, has an id that begins like this."""

    default_advice = "`wardflow runs list` shows the runs and their ids."


async def chosen_run(log: RunLog, beginning: str) -> Run:
    """The one run whose id, or workflow id, is this or begins like this.

    Raises:
        NoSuchRun: there is none, or there are several; then the error lists them.
    """
    found = await log.find(beginning)
    # A whole workflow id can be the beginning of another one: `census-1` and `census-12`.
    found = [each for each in found if beginning in (each.id, each.workflow_id)] or found
    if not found:
        raise NoSuchRun(f"No run has an id that begins with '{beginning}'.")
    if len(found) > 1:
        raise NoSuchRun(f"Several runs have an id that begins with '{beginning}'.", advice=_candidates(found))
    return found[0]


def _candidates(found: Sequence[Run]) -> str:
    lines = (
        f"  {each.id}  {local(each.started_at)}  {each.source}  {' '.join(each.subject.split())}" for each in found
    )
    return "\n".join(("Copy more of the id. The newest of these runs are:", *lines))
