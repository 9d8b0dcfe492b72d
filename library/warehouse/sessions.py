"""Sessions of loads: finds them, watches them, and ends them when their process sends no more data.

No time-out of Postgres ends a session that waits for its client in COPY. Only `pg_terminate_backend` does.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from library.warehouse.failures import DISCONNECTED
from library.warehouse.pool import Connection, Pool

type Beat = Callable[[], None]

_MARK = "load"
_WATCH_EVERY = 2.0
"""Seconds between two checks of a backend that executes a long statement."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a piece of work. Only the newest attempt of an owner counts.

    Attributes:
        owner: eight characters that stay the same over the attempts of one piece of work.
        number: from 1.
    """

    owner: str
    number: int = 1

    def session_name(self, load_id: UUID) -> str:
        """The session's name in `pg_stat_activity.application_name`; at most 63 bytes."""
        return f"{_MARK} {load_id.hex} {self.owner:.8} {self.number}"


async def end_earlier_attempts(pool: Pool, load_id: UUID, attempt: Attempt) -> int:
    """End the sessions of earlier attempts; returns their number."""
    if attempt.number == 1:
        return 0
    earlier = [Attempt(attempt.owner, number).session_name(load_id) for number in range(1, attempt.number)]
    ended: int = await pool.fetchval(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE usename = current_user AND datname = current_database() AND application_name = ANY ($1)",
        earlier,
    )
    return ended


async def end_stuck(pool: Pool, *, older_than: float, still_for: float) -> int:
    """End loads whose COPY has received nothing between two checks; returns their number.

    Args:
        pool: the warehouse.
        older_than: minimum age of the transaction in seconds, since a young one may just be slow to start.
        still_for: seconds between the two checks of the COPY's progress.
    """
    before = await _copies_waiting(pool, older_than)
    if not before:
        return 0
    await asyncio.sleep(still_for)
    after = await _copies_waiting(pool, older_than)
    stuck = [progress[:2] for pid, progress in before.items() if after.get(pid) == progress]
    ended: int = await pool.fetchval(
        "SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a "
        "JOIN unnest($1::int[], $2::timestamptz[]) stuck (pid, backend_start) USING (pid, backend_start)",
        [pid for pid, _ in stuck],
        [start for _, start in stuck],
    )
    return ended


async def _copies_waiting(pool: Pool, older_than: float) -> dict[int, tuple[object, ...]]:
    rows = await pool.fetch(
        "SELECT a.pid, a.backend_start, a.query_start, c.bytes_processed FROM pg_stat_activity a "
        "JOIN pg_stat_progress_copy c USING (pid) WHERE a.usename = current_user AND a.datname = current_database() "
        "AND split_part(a.application_name, ' ', 1) = $1 AND a.wait_event = 'ClientRead' "
        "AND a.xact_start < now() - make_interval(secs => $2)",
        _MARK,
        older_than,
    )
    return {row["pid"]: tuple(row.values()) for row in rows}


@contextlib.asynccontextmanager
async def watched(pool: Pool, connection: Connection, beat: Beat) -> AsyncIterator[None]:
    """Call `beat` while a second connection sees this one's backend active: a beat means progress, not time."""
    watcher = asyncio.create_task(_watch(pool, connection.get_server_pid(), beat))
    try:
        yield
    finally:
        watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher


async def _watch(pool: Pool, pid: int, beat: Beat) -> None:
    while True:
        await asyncio.sleep(_WATCH_EVERY)
        # A failed check says nothing about the load: send no heartbeat, and check again.
        with contextlib.suppress(asyncpg.PostgresError, *DISCONNECTED):
            if await pool.fetchval("SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1", pid):
                beat()
