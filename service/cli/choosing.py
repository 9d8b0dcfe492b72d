"""Finds a run by the beginning of its id, and a source by its name."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from library.contracts.errors import WardflowError
from library.contracts.runs import Run
from library.warehouse.runs import RunLog
from service.cli.output import local
from service.sources import SOURCES


class NoSuchRun(WardflowError):
    """No run, or more than one, has an id that begins like this."""

    default_advice = "`wardflow runs list` shows the runs and their ids."


def _known_source(name: str | None) -> str | None:
    if name is not None:
        _check(name, [source.name for source in SOURCES])  # an empty list would hide the mistake
    return name


def all_among(names: Sequence[str]) -> Callable[[list[str]], list[str]]:
    """The check of a parameter that takes several of these names."""

    def check(given: list[str]) -> list[str]:
        for name in given:
            _check(name, names)
        return given

    return check


def _check(name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise typer.BadParameter(f"'{name}' is not one of {', '.join(names)}.")


SourceName = Annotated[
    str | None, typer.Option("--source", callback=_known_source, help="Only of this source.", show_default=False)
]


async def chosen_run(log: RunLog, beginning: str) -> Run:
    """The only run whose id or workflow id begins like this.

    Raises:
        NoSuchRun: there is no such run, or there are several. The error lists them.
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
