"""Runs (`ingest.run`). They can be read without a worker, and after Temporal has removed their histories."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import JsonValue

from library.contracts.loads import DatasetCounts
from library.contracts.runs import FIGURES_OF, Run, RunFinished, RunStarted
from library.warehouse.pool import Pool

_COLUMNS = (
    "id, workflow_id, workflow, source, subject, state, result, phase, object_key, counts, report, warnings, error, "
    "load_ids::text[] AS load_ids, started_at, finished_at, one_load"
)

_SUMS = """
    SELECT coalesce(jsonb_object_agg(dataset, kinds), '{}') FROM (
        SELECT dataset, jsonb_object_agg(kind, rows) AS kinds FROM (
            SELECT dataset.key AS dataset, kind.key AS kind, to_jsonb(sum(kind.value::bigint)::bigint) AS rows
            FROM ingest.load, jsonb_each(load.counts) dataset, jsonb_each_text(dataset.value - 'warned') kind
            WHERE load.run_id = $1 GROUP BY 1, 2
            UNION ALL
            SELECT dataset, 'warned', jsonb_object_agg(rule, rows) FROM (
                SELECT dataset.key AS dataset, rule.key AS rule, sum(rule.value::bigint)::bigint AS rows
                FROM ingest.load, jsonb_each(load.counts) dataset, jsonb_each_text(dataset.value -> 'warned') rule
                WHERE load.run_id = $1 GROUP BY 1, 2
            ) AS by_rule GROUP BY 1
        ) AS by_kind GROUP BY 1
    ) AS by_dataset
"""
"""Sums over the committed loads of a run, in the form of one load's counts."""


ABANDONED = "Abandoned"
"""The error type of a run that the upkeep closed, since its workflow had ended without closing it."""


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

    async def report(self, run_id: str, more: Mapping[str, JsonValue]) -> None:
        """Add facts about an open run as a whole to its report; no patient data."""
        await self._pool.execute(
            "UPDATE ingest.run SET report = report || $2 WHERE id = $1 AND state = 'running'", run_id, dict(more)
        )

    async def totals(self, run_id: str) -> dict[str, DatasetCounts]:
        """The counts of a run's committed loads so far, by dataset."""
        counts = await self._pool.fetchval(_SUMS, run_id)
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
            UPDATE ingest.run SET counts = $2, report = report
                || jsonb_build_object('pages', coalesce((report ->> 'pages')::bigint, 0) + $4::bigint) || $3
            WHERE id = $1 AND state = 'running'
            """,
            run_id,
            # In the same form as the sums over loads: without an empty `warned`.
            {name: entry.model_dump(exclude=None if entry.warned else {"warned"}) for name, entry in counts.items()},
            dict(report),
            pages,
        )

    async def finish(self, end: RunFinished) -> None:
        """Close an open run with the counts of its newest load, or the sums of its many loads. A closed run stays.

        A run of many loads that found nothing new keeps the figures that it entered: those of an earlier run.

        "Abandoned" is a guess of the upkeep, so the run itself may still replace it.

        If an earlier run committed the load, the warnings are those of that run.
        """
        await self._pool.execute(
            f"""
            WITH loaded AS (
                SELECT load.counts, load.report, first_run.warnings
                FROM ingest.load LEFT JOIN ingest.run first_run ON first_run.id = load.run_id
                WHERE load.id = ANY ($5::uuid[]) ORDER BY load.committed_at DESC LIMIT 1
            )
            UPDATE ingest.run SET state = $2, result = $3, error = $4, load_ids = $5::uuid[], finished_at = now(),
                phase = CASE WHEN $2 = 'completed' THEN 'done' ELSE phase END,
                counts = CASE WHEN one_load THEN coalesce((SELECT counts FROM loaded), '{{}}')
                              WHEN $3 = 'already_loaded' THEN counts ELSE ({_SUMS}) END,
                report = report || coalesce((SELECT report FROM loaded WHERE one_load), '{{}}'),
                warnings = CASE WHEN warnings <> '{{}}' THEN warnings
                                ELSE coalesce((SELECT warnings FROM loaded), '{{}}') END
            WHERE run.id = $1 AND (run.state = 'running' OR run.error ->> 'type' = $6)
            """,  # noqa: S608 - a constant
            end.run_id,
            end.state,
            end.result,
            end.error.model_dump() if end.error else None,
            list(end.load_ids),
            ABANDONED,
        )

    async def get(self, run_id: str) -> Run | None:
        """The run with this id, or `None`."""
        row = await self._pool.fetchrow(f"SELECT {_COLUMNS} FROM ingest.run WHERE id = $1", run_id)  # noqa: S608 - constants
        return None if row is None else Run.model_validate(dict(row))

    async def find(self, id_prefix: str) -> list[Run]:
        """Runs whose id or workflow id begins like this; ten at most, newest first."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM ingest.run WHERE starts_with(id, $1) OR starts_with(workflow_id, $1) "  # noqa: S608 - constants
            "ORDER BY started_at DESC, id LIMIT 10",
            id_prefix,
        )
        return [Run.model_validate(dict(row)) for row in rows]

    async def doubtful(self, before: datetime, *, limit: int) -> list[Run]:
        """Open runs that began before a time, and abandoned runs whose one load was committed after all."""
        rows = await self._pool.fetch(
            f"SELECT {_COLUMNS} FROM ingest.run WHERE (state = 'running' AND started_at < $1) "  # noqa: S608 - constants
            "OR (error ->> 'type' = $3 AND one_load AND EXISTS (SELECT FROM ingest.load WHERE load.run_id = run.id)) "
            "ORDER BY started_at, id LIMIT $2",
            before,
            limit,
            ABANDONED,
        )
        return [Run.model_validate(dict(row)) for row in rows]
