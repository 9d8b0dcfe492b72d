"""The ledger of loads (`ingest.load`): the only answer to "is it loaded?"."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import JsonValue

from library.contracts.drains import DrainIdentity
from library.contracts.loads import DatasetCounts, LoadIdentity, LoadOutcome, LoadRequest, LoadResult
from library.warehouse.checks import affected
from library.warehouse.pool import Connection, Pool


async def find(pool: Pool, load_id: UUID, *, run_id: str = "") -> LoadResult | None:
    """The committed load, or `None`.

    Args:
        pool: the warehouse.
        load_id: the load's id.
        run_id: the run that asks. A load that this run committed but could not report counts as its own.
    """
    row = await pool.fetchrow(
        "SELECT id, run_id, counts, report, committed_at FROM ingest.load WHERE id = $1",
        load_id,
    )
    return None if row is None else _result(row, run_id)


async def newest(pool: Pool, identity: LoadIdentity) -> LoadResult | None:
    """The newest load of the same bytes by the same reader with the same settings, for any `as_of`."""
    row = await pool.fetchrow(
        "SELECT id, run_id, counts, report, committed_at FROM ingest.load WHERE object_sha256 = $1 AND source = $2 "
        "AND scope = $3 AND reader_version = $4 AND reader_settings = $5 AND reload = $6 "
        "ORDER BY committed_at DESC, id LIMIT 1",
        identity.sha256,
        identity.source,
        identity.scope,
        identity.reader_version,
        identity.reader_settings,
        identity.reload,
    )
    return None if row is None else _result(row, "")


async def after_other_settings(pool: Pool, identity: LoadIdentity) -> LoadIdentity:
    """The identity of a load of the same bytes after loads with other settings of the reader.

    If the settings were changed and changed back, the rows are those of the other settings. So the bytes load again.
    """
    row = await pool.fetchrow(
        "SELECT max(reload) AS highest, bool_or(reader_settings = $5) AND bool_or(reader_settings <> $5) AS changed, "
        "(array_agg(reader_settings ORDER BY committed_at DESC, id))[1] AS settings, "
        "(array_agg(reload ORDER BY committed_at DESC, id))[1] AS reload FROM ingest.load "
        "WHERE object_sha256 = $1 AND source = $2 AND scope = $3 AND reader_version = $4",
        identity.sha256,
        identity.source,
        identity.scope,
        identity.reader_version,
        identity.reader_settings,
    )
    if not row["changed"]:
        return identity
    is_newest = row["settings"] == identity.reader_settings
    return identity.model_copy(update={"reload": row["reload"] if is_newest else row["highest"] + 1})


async def as_of(pool: Pool, identity: LoadIdentity) -> datetime | None:
    """The time that ordered the undated resources of the same bytes in earlier loads, by any reader."""
    time: datetime | None = await pool.fetchval(
        "SELECT max((report ->> 'as_of')::timestamptz) FROM ingest.load "
        "WHERE object_sha256 = $1 AND source = $2 AND scope = $3",
        identity.sha256,
        identity.source,
        identity.scope,
    )
    return time


async def next_reload(pool: Pool, identity: LoadIdentity) -> int:
    """The counter for the next reload of the same bytes: one above the highest committed counter."""
    highest = await pool.fetchval(
        "SELECT max(reload) FROM ingest.load WHERE source = $1 AND scope = $2 AND object_sha256 = $3",
        identity.source,
        identity.scope,
        identity.sha256,
    )
    return 0 if highest is None else int(highest) + 1


async def loads_behind(pool: Pool, run_id: str, load_ids: Sequence[UUID | str] = ()) -> list[UUID]:
    """Ids of the loads whose rows belong to a run: its own, the given ones, and those of the same bytes.

    An unchanged row has the id of the load that first wrote it.
    """
    rows = await pool.fetch(
        "SELECT DISTINCT load.id FROM ingest.load JOIN ingest.load its USING (object_sha256, source, scope) "
        "WHERE its.run_id = $1 OR its.id = ANY ($2::uuid[])",
        run_id,
        load_ids,
    )
    return [row["id"] for row in rows]


async def completing_loads(pool: Pool, run_id: str) -> list[str]:
    """Ids of the committed load of a run that is one load. Such a run is complete, however its workflow ended.

    For a run with many loads the list is empty, since more loads could have followed.
    """
    rows = await pool.fetch(
        "SELECT load.id FROM ingest.load JOIN ingest.run ON run.id = load.run_id AND run.one_load "
        "WHERE load.run_id = $1 ORDER BY load.committed_at",
        run_id,
    )
    return [str(row["id"]) for row in rows]


async def claim(connection: Connection, request: LoadRequest, *, started_at: datetime) -> bool:
    """Insert the load. Waits for a running load with the same id; returns `False` if that one committed."""
    identity = request.identity
    claimed = await connection.fetchval(
        """
        INSERT INTO ingest.load (id, identity, source, scope, object_key, object_sha256, object_size, reader_version,
                                 reload, run_id, counts, report, started_at, committed_at, reader_settings)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, '{}', $11, $12, now(), $13)
        ON CONFLICT DO NOTHING RETURNING true
        """,
        identity.load_id,
        identity.text,
        identity.source,
        identity.scope,
        request.landed.key,
        request.landed.sha256,
        request.landed.size,
        identity.reader_version,
        identity.reload,
        request.run_id,
        request.report,
        started_at,
        identity.reader_settings,
    )
    return bool(claimed)


async def replace_rejections(connection: Connection, request: LoadRequest) -> None:
    """Keep only this load's rejections for an object, unless a newer reader has already loaded the object."""
    # The key would be enough, but only the sha256 has an index.
    await connection.execute(
        """
        WITH loads AS (SELECT id, reader_version FROM ingest.load
                       WHERE object_sha256 = $6 AND object_key = $1 AND source = $2 AND scope = $3)
        DELETE FROM ingest.rejection r USING loads l
        WHERE r.load_id = l.id AND r.object_key = $1
          AND CASE WHEN EXISTS (SELECT FROM loads newer WHERE newer.reader_version > $5) THEN l.id = $4
                   ELSE l.id <> $4 END
        """,
        request.landed.key,
        request.identity.source,
        request.identity.scope,
        request.identity.load_id,
        request.identity.reader_version,
        request.landed.sha256,
    )


async def complete(connection: Connection, load_id: UUID, counts: dict[str, DatasetCounts]) -> LoadResult:
    """Write the result of the load. It counts only after the commit that follows."""
    row = await connection.fetchrow(
        "UPDATE ingest.load SET counts = $2, committed_at = clock_timestamp() WHERE id = $1 "
        "RETURNING id, run_id, counts, report, committed_at",
        load_id,
        {name: entry.model_dump() for name, entry in counts.items()},
    )
    return _result(row, row["run_id"])


def _result(row: Any, run_id: str) -> LoadResult:  # noqa: ANN401 - asyncpg has no types
    mine = run_id != "" and row["run_id"] == run_id
    return LoadResult(
        load_id=row["id"],
        outcome=LoadOutcome.LOADED if mine else LoadOutcome.ALREADY_LOADED,
        run_id=row["run_id"],
        counts={name: DatasetCounts.model_validate(entry) for name, entry in row["counts"].items()},
        report=row["report"],
        committed_at=row["committed_at"],
    )


async def add_to(
    connection: Connection,
    identity: DrainIdentity,
    *,
    run_id: str,
    reader_version: int,
    started_at: datetime,
    counts: dict[str, DatasetCounts],
    report: dict[str, JsonValue],
) -> None:
    """Write the loads of a drain's activity, with this batch. It counts only after the commit that follows."""
    await connection.execute(
        """
        INSERT INTO ingest.load (id, identity, source, scope, reader_version, reload, run_id, counts, report,
                                 started_at, committed_at)
        VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, clock_timestamp())
        ON CONFLICT (id) DO UPDATE
        SET counts = excluded.counts, report = excluded.report, committed_at = excluded.committed_at
        """,
        identity.load_id,
        identity.text,
        identity.source,
        identity.scope,
        reader_version,
        run_id,
        {name: entry.model_dump() for name, entry in counts.items()},
        report,
        started_at,
    )


async def forget_drains(pool: Pool, before: datetime) -> int:
    """Remove rows of drains that ended before a time. A topic makes more than a thousand a day."""
    return affected(
        await pool.execute("DELETE FROM ingest.load WHERE object_key IS NULL AND committed_at < $1", before)
    )
