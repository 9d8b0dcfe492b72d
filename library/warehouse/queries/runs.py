"""Questions about runs."""

from collections.abc import Sequence

from library.contracts.runs import Run, RunState
from library.warehouse.queries.pages import Query


def runs(states: Sequence[RunState] | None, source: str | None) -> Query:
    """Runs, the newest first."""
    return Query(
        select="SELECT * FROM ingest.run WHERE ($1::text[] IS NULL OR state = ANY ($1)) "
        "AND ($2::text IS NULL OR source = $2)",
        columns=tuple(Run.model_fields),
        arguments=([str(state) for state in states] if states else None, source),
        order=("started_at", "id"),
        descending=True,
    )
