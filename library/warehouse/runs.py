"""Runs (`ingest.run`). They can be read without a worker, and after Temporal has removed their histories."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from pydantic import JsonValue
from sqlalchemy import (
    ColumnElement,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import aliased
from sqlmodel import col

from library.contracts.loads import DatasetCounts
from library.contracts.runs import FIGURES_OF, Run, RunFinished, RunStarted
from library.datasets.fields import table_of
from library.datasets.ingest import Load, StoredRun
from library.warehouse.pool import Pool
from library.warehouse.queries.pages import fetch_rows
from library.warehouse.queries.question import BoundQuestion
from library.warehouse.queries.runs import IS_ABANDONED, RUNS
from library.warehouse.queries.statement import Statement

_RUN = table_of(StoredRun).c
_SUMS = """
    SELECT coalesce(jsonb_object_agg(dataset, kinds), '{}') FROM (
        SELECT dataset, jsonb_object_agg(kind, rows) AS kinds FROM (
            SELECT dataset.key AS dataset, kind.key AS kind, to_jsonb(sum(kind.value::bigint)::bigint) AS rows
            FROM ingest.load, jsonb_each(load.counts) dataset, jsonb_each_text(dataset.value - 'warned') kind
            WHERE load.run_id = :run_id GROUP BY 1, 2
            UNION ALL
            SELECT dataset, 'warned', jsonb_object_agg(rule, rows) FROM (
                SELECT dataset.key AS dataset, rule.key AS rule, sum(rule.value::bigint)::bigint AS rows
                FROM ingest.load, jsonb_each(load.counts) dataset, jsonb_each_text(dataset.value -> 'warned') rule
                WHERE load.run_id = :run_id GROUP BY 1, 2
            ) AS by_rule GROUP BY 1
        ) AS by_kind GROUP BY 1
    ) AS by_dataset
"""
"""Sums over the committed loads of a run, in the form of one load's counts. SQLAlchemy would need twice the lines."""

_TOTALS = Statement(select(text(f"({_SUMS})").bindparams(bindparam("run_id", type_=Text))))

_ENTER_EXECUTION = (
    "UPDATE ingest.run SET executions = executions || $2::text, state = 'running', result = NULL, error = NULL, "
    "finished_at = NULL, phase = CASE WHEN state = 'running' THEN phase ELSE 'started' END "
    "WHERE NOT $2 = ANY (executions) AND id = $1"
)


def _finish() -> Statement:
    """Closes a run, unless it is closed already."""
    loads = cast(bindparam("loads"), ARRAY(Uuid))
    state, result = bindparam("new_state", type_=Text), bindparam("new_result", type_=Text)
    execution = bindparam("execution", type_=Text)
    first_run = aliased(StoredRun, name="first_run")
    loaded = (
        select(col(Load.counts), col(Load.report), col(first_run.warnings))
        .select_from(Load)
        .outerjoin(first_run, col(first_run.id) == col(Load.run_id))
        .where(col(Load.id) == any_(loads))
        .order_by(col(Load.committed_at).desc())
        .limit(1)
        .cte("loaded")
    )
    nothing: ColumnElement[Any] = literal_column("'{}'::jsonb")
    no_texts: ColumnElement[Any] = literal_column("'{}'::text[]")
    of_one_load = func.coalesce(select(loaded.c.counts).scalar_subquery(), nothing)
    sums = text(f"({_SUMS})").bindparams(bindparam("run_id", type_=Text))
    return Statement(
        update(table_of(StoredRun))
        .values(
            state=state,
            result=result,
            error=bindparam("new_error", type_=JSONB),
            load_ids=loads,
            finished_at=func.now(),
            phase=case((state == "completed", "done"), else_=_RUN.phase),
            counts=case((_RUN.one_load, of_one_load), (result == "already_loaded", _RUN.counts), else_=sums),
            # What was added to the run's report is newer than the report of its load.
            report=func.coalesce(select(loaded.c.report).where(_RUN.one_load).scalar_subquery(), nothing).op("||")(
                _RUN.report
            ),
            warnings=case(
                (_RUN.warnings != no_texts, _RUN.warnings),
                else_=func.coalesce(select(loaded.c.warnings).scalar_subquery(), no_texts),
            ),
        )
        .where(
            _RUN.id == bindparam("run_id"),
            or_(_RUN.state == "running", IS_ABANDONED),
            or_(execution.is_(None), _RUN.executions[func.cardinality(_RUN.executions)] == execution),
        )
    )


_FINISH = _finish()


class RunLog:
    """Writes and reads runs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def begin(self, run: RunStarted) -> None:
        """Insert a run.

        The starter and the workflow's first activity both call this, in any order. The second call changes only a
        subject that is the workflow's id.
        """
        await self._pool.execute(
            "INSERT INTO ingest.run (id, workflow_id, workflow, source, subject, state, phase, object_key, started_at, "
            "one_load) VALUES ($1, $2, $3, $4, $5, 'running', 'started', $6, $7, $8) "
            "ON CONFLICT (id) DO UPDATE SET subject = excluded.subject "
            "WHERE run.subject = run.workflow_id AND excluded.subject <> excluded.workflow_id",
            run.run_id,
            run.workflow_id,
            run.workflow,
            run.source,
            run.subject,
            run.object_key,
            run.started_at,
            run.one_load,
        )

    async def enter_execution(self, run_id: str, execution: str) -> None:
        """Store a new execution of a run. A closed run is running again: its workflow was reset or repeated."""
        await self._pool.execute(_ENTER_EXECUTION, run_id, execution)

    @asynccontextmanager
    async def changing(self, run_id: str) -> AsyncIterator[Run | None]:
        """The run, while no other process changes it in this way."""
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"run {run_id}")
            yield await self.get(run_id)

    async def is_another_execution(self, workflow_id: str, execution: str) -> bool:
        """Whether a workflow has runs, and none of them has this execution."""
        found: bool = await self._pool.fetchval(
            "SELECT coalesce(bool_and(NOT $2 = ANY (executions)), false) FROM ingest.run WHERE workflow_id = $1",
            workflow_id,
            execution,
        )
        return found

    async def enter_phase(self, run_id: str, phase: str) -> None:
        """Store what an open run does now."""
        await self._pool.execute(
            "UPDATE ingest.run SET phase = $2 WHERE id = $1 AND state = 'running' AND phase <> $2", run_id, phase
        )

    async def enter_object(self, run_id: str, object_key: str) -> None:
        """Store which landed object an open run reads."""
        await self._pool.execute(
            "UPDATE ingest.run SET object_key = $2 WHERE id = $1 AND state = 'running'", run_id, object_key
        )

    async def warn(self, run_id: str, warnings: Sequence[str]) -> None:
        """Store the reader's warnings. Their texts may quote the object, so they must not be in a history."""
        await self._pool.execute("UPDATE ingest.run SET warnings = $2 WHERE id = $1", run_id, list(warnings))

    async def warn_also(self, run_id: str, warnings: Sequence[str]) -> None:
        """Add warnings that the run does not have yet."""
        await self._pool.execute(
            "UPDATE ingest.run SET warnings = warnings || ARRAY(SELECT more FROM unnest($2::text[]) "
            "WITH ORDINALITY AS each (more, place) WHERE more <> ALL (warnings) ORDER BY place) WHERE id = $1",
            run_id,
            list(warnings),
        )

    async def report(self, run_id: str, more: Mapping[str, JsonValue]) -> None:
        """Add facts about an open run as a whole to its report; no patient data."""
        await self._pool.execute(
            "UPDATE ingest.run SET report = report || $2 WHERE id = $1 AND state = 'running'", run_id, dict(more)
        )

    async def totals(self, run_id: str) -> dict[str, DatasetCounts]:
        """The counts of a run's committed loads so far, by dataset."""
        ((counts,),) = await _TOTALS.fetch(self._pool, run_id=run_id)
        return {name: DatasetCounts.model_validate(entry) for name, entry in counts.items()}

    async def figures_before(self, run_id: str) -> tuple[str, dict[str, DatasetCounts]] | None:
        """Find the newest earlier run of the same work that loaded something: id and counts.

        The same work has the same workflow id: a zip code of a server, an export's URL.
        """
        row = await self._pool.fetchrow(
            "SELECT before.id, before.counts, before.report ->> $2 AS origin "
            "FROM ingest.run its JOIN ingest.run before "
            "ON before.workflow_id = its.workflow_id AND before.id <> its.id AND before.started_at <= its.started_at "
            "WHERE its.id = $1 AND before.counts <> '{}' ORDER BY before.started_at DESC, before.id LIMIT 1",
            run_id,
            FIGURES_OF,
        )
        if row is None:
            return None
        counts = {name: DatasetCounts.model_validate(entry) for name, entry in row["counts"].items()}
        return row["origin"] or row["id"], counts

    async def enter_progress(
        self, run_id: str, counts: Mapping[str, DatasetCounts], report: Mapping[str, JsonValue], *, pages: int = 0
    ) -> None:
        """Store the progress of an open run with many loads.

        Args:
            run_id: the run.
            counts: the counts of its loads.
            report: entries that replace those with the same names.
            pages: number of pages to add.
        """
        await self._pool.execute(
            """
            UPDATE ingest.run SET counts = $2, report = report || CASE WHEN $4::bigint > 0 OR report ? 'pages' THEN
                jsonb_build_object('pages', coalesce((report ->> 'pages')::bigint, 0) + $4::bigint)
                ELSE '{}' END || $3
            WHERE id = $1 AND state = 'running'
            """,
            run_id,
            # In the same form as the sums over loads: without an empty `warned`.
            {name: entry.model_dump(exclude=None if entry.warned else {"warned"}) for name, entry in counts.items()},
            dict(report),
            pages,
        )

    async def finish(self, end: RunFinished, execution: str | None = None) -> None:
        """Close an open run with the counts of its newest load, or the sums of its many loads. A closed run stays.

        A run of many loads that found nothing new keeps the figures that it entered: those of an earlier run.

        "Abandoned" is a guess of the upkeep, so the run itself may still replace it.

        If an earlier run committed the load, the warnings are those of that run.

        Args:
            end: how it ended.
            execution: the execution that says so. If a newer one has repeated the run since, nothing is changed.
        """
        values = {
            "run_id": end.run_id,
            "new_state": end.state,
            "new_result": end.result,
            "new_error": end.error.model_dump() if end.error else None,
            "loads": list(end.load_ids),
            "execution": execution,
        }
        await self._pool.execute(_FINISH.compiled.sql, *_FINISH.compiled.arguments(values))

    async def get(self, run_id: str) -> Run | None:
        """The run with this id, or `None`."""
        return next(iter(await self._runs(RUNS.ask(id=run_id))), None)

    async def find(self, id_prefix: str) -> list[Run]:
        """Runs whose id or workflow id begins like this; ten at most, newest first."""
        return await self._runs(RUNS.ask(begins_with=id_prefix), limit=10)

    async def doubtful(self, before: datetime, *, limit: int) -> list[Run]:
        """Open runs that began before a time, and abandoned runs whose one load was committed after all."""
        return await self._runs(RUNS.ask(doubtful_before=before, descending=False), limit=limit)

    async def _runs(self, query: BoundQuestion, limit: int | None = None) -> list[Run]:
        return [Run.model_validate(dict(row)) for row in await fetch_rows(self._pool, query, limit)]
