"""The activity of the upkeep, which cleans up each minute."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.abandoned import AbandonedRuns
from library.access.idempotency import IdempotencyKeys
from library.contracts.upkeep import KeepUp, UpkeepDone
from library.objects.staged import STAGED
from library.objects.store import ObjectStore
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.sessions import end_stuck


@dataclass(frozen=True)
class UpkeepActivities:
    """Cleans up after crashes and terminated workflows.

    Attributes:
        leftovers: one function for each source. It removes what runs that ended before a moment left, and returns how
            many objects it removed.
    """

    pool: Pool
    store: ObjectStore
    abandoned: AbandonedRuns
    keys: IdempotencyKeys
    leftovers: Sequence[Callable[[datetime], Awaitable[int]]]

    @activity.defn(name="keep_up")
    async def keep_up(self, request: KeepUp) -> UpkeepDone:
        """Clean up sessions, runs, staged objects, idempotency keys and the ledger once."""
        now = datetime.now(UTC)
        # First, since other loads wait for the locks of stuck sessions.
        sessions_ended = await end_stuck(self.pool, older_than=request.stuck_after, still_for=request.stuck_for)
        unused_since = now - timedelta(seconds=request.staged_for)
        return UpkeepDone(
            runs_closed=await self.abandoned.close(now - timedelta(seconds=request.abandoned_after), forgotten=True),
            objects_removed=await asyncio.to_thread(
                lambda: self.store.remove(self.store.keys_older_than(STAGED, unused_since))
            )
            + sum([await forget(now - timedelta(seconds=request.abandoned_after)) for forget in self.leftovers]),
            keys_removed=await self.keys.remove_old(),
            drains_forgotten=await ledger.forget_drains(self.pool, now - timedelta(seconds=request.drains_for)),
            sessions_ended=sessions_ended,
        )
