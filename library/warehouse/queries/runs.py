"""The question about runs."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import BindParameter, ColumnElement, Text, and_, any_, cast, exists, func, or_, select, type_coerce
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col

from library.contracts.runs import ABANDONED, Run, RunState
from library.contracts.scopes import Scope
from library.datasets.fields import table_of
from library.datasets.ingest import Load, StoredRun
from library.warehouse.queries.columns import column, columns
from library.warehouse.queries.filters import VALUE, Filter, equal
from library.warehouse.queries.parameters import NO_NUL
from library.warehouse.queries.question import Question

_RUN = table_of(StoredRun).c

IS_ABANDONED: ColumnElement[bool] = _RUN.error["type"].astext == ABANDONED
"""Whether the upkeep closed the run, since its workflow had ended without closing it."""


def _begins_with(text: BindParameter[Any]) -> ColumnElement[bool]:
    return or_(*(func.starts_with(each, type_coerce(text, Text)) for each in (_RUN.id, _RUN.workflow_id)))


def _doubtful(before: BindParameter[Any]) -> ColumnElement[bool]:
    loaded_after_all = and_(IS_ABANDONED, _RUN.one_load, exists().where(col(Load.run_id) == _RUN.id))
    return or_(and_(_RUN.state == "running", _RUN.started_at < before), loaded_after_all)


RUNS = Question(
    name="runs",
    about="List runs, the newest first; those that concern patients only with `read:patients` too.",
    scope=Scope.OPERATE,
    rows=lambda filters: select(StoredRun).where(*filters.conditions()),
    columns=(
        *columns(StoredRun, *(name for name in Run.model_fields if name != "load_ids")),
        column(StoredRun, "load_ids").computed_by(lambda rows: cast(rows.c.load_ids, ARRAY(Text))),
    ),
    item=Run,
    order=("started_at", "id"),
    descending=True,
    parameters=(
        Filter(
            "state",
            list[RunState],
            VALUE,
            "Only these.",
            condition=lambda values: _RUN.state == any_(cast(values, ARRAY(Text))),
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
            "sources",
            list[str],
            VALUE,
            "Only of these sources: those whose runs the caller may see.",
            internal=True,
            condition=lambda values: _RUN.source == any_(cast(values, ARRAY(Text))),
            convert=list,
        ),
        Filter("id", str, VALUE, "Only this one.", internal=True, condition=lambda value: _RUN.id == value),
        Filter("begins_with", str, VALUE, "How its id or workflow id begins.", internal=True, condition=_begins_with),
        Filter(
            "doubtful_before",
            datetime,
            VALUE,
            "Open ones that began before, and abandoned ones whose one load was committed after all.",
            internal=True,
            condition=_doubtful,
        ),
    ),
)
