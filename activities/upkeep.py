"""The activity behind the upkeep of each minute."""

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
    """Mends what a crash or an operator's hard stop left behind.

    Attributes:
        leftovers: of the sources: each forgets what its ended runs left before a moment, and returns how many objects
            it removed.
    """

    pool: Pool
    store: ObjectStore
    abandoned: AbandonedRuns
    keys: IdempotencyKeys
    leftovers: Sequence[Callable[[datetime], Awaitable[int]]]

    @activity.defn(name="keep_up")
    async def keep_up(self, wanted: KeepUp) -> UpkeepDone:
        """Look once at sessions, runs, staged objects and idempotency keys."""
        now = datetime.now(UTC)
        # First, whatever becomes of the rest: others wait for what stuck sessions hold.
        sessions_ended = await end_stuck(self.pool, older_than=wanted.stuck_after, still_for=wanted.stuck_for)
        left_behind = now - timedelta(seconds=wanted.staged_for)
        return UpkeepDone(
            runs_closed=await self.abandoned.close(now - timedelta(seconds=wanted.abandoned_after), forgotten=True),
            objects_removed=await asyncio.to_thread(
                lambda: self.store.remove(self.store.keys_older_than(STAGED, left_behind))
            )
            + sum([await forget(now - timedelta(seconds=wanted.abandoned_after)) for forget in self.leftovers]),
            keys_removed=await self.keys.remove_old(),
            drains_forgotten=await ledger.forget_drains(self.pool, now - timedelta(seconds=wanted.drains_for)),
            sessions_ended=sessions_ended,
        )
