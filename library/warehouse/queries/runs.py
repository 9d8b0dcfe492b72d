"""Questions about runs."""

from typing import Annotated

from pydantic import Field
from sqlalchemy import Text, any_, cast, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col

from library.contracts.runs import Run, RunState
from library.contracts.scopes import Scope
from library.datasets.ingest import StoredRun
from library.warehouse.queries.columns import columns
from library.warehouse.queries.filters import VALUE, Filter, equal
from library.warehouse.queries.parameters import NO_NUL
from library.warehouse.queries.question import Question

VISIBLE = "sources"
"""The filter by the sources whose runs the caller may see. No caller sets it."""

RUNS = Question(
    name="runs",
    about="List runs, the newest first; those that concern patients only with `read:patients` too.",
    scope=Scope.OPERATE,
    rows=lambda filters: select(StoredRun).where(*filters.conditions()),
    columns=columns(StoredRun, *Run.model_fields),
    item=Run,
    order=("started_at", "id"),
    descending=True,
    parameters=(
        Filter(
            "state",
            list[RunState],
            VALUE,
            "Only these.",
            condition=lambda values: col(StoredRun.state) == any_(cast(values, ARRAY(Text))),
            convert=lambda states: [str(state) for state in states],
        ),
        equal(
            "source",
            Annotated[str, Field(max_length=100, pattern=NO_NUL)],
            VALUE,
            col(StoredRun.source),
            "Only of this source.",
        ),
        Filter(
            VISIBLE,
            list[str],
            VALUE,
            "Only of these sources.",
            condition=lambda values: col(StoredRun.source) == any_(cast(values, ARRAY(Text))),
            convert=list,
        ),
    ),
)
