"""Queries for runs."""

from collections.abc import Sequence

from library.contracts.runs import Run, RunState
from library.warehouse.queries.conditions import Conditions
from library.warehouse.queries.pages import Query


def runs(states: Sequence[RunState] | None, source: str | None, sources: Sequence[str] | None = None) -> Query:
    """Runs, newest first.

    Args:
        states: only these.
        source: only of this source.
        sources: only of these sources, in addition to the other filters; `None`: of all.
    """
    conditions = Conditions()
    conditions.add("state = ANY ({}::text[])", [str(state) for state in states] if states else None)
    conditions.add("source = {}", source)
    conditions.add("source = ANY ({}::text[])", None if sources is None else list(sources))
    return Query(
        select=f"SELECT * FROM ingest.run {conditions.where}",  # noqa: S608 - constants of the program
        columns=tuple(Run.model_fields),
        arguments=tuple(conditions.arguments),
        order=("started_at", "id"),
        descending=True,
    )
