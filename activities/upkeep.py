"""The activity behind the upkeep of each minute."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.abandoned import AbandonedRuns
from library.access.idempotency import IdempotencyKeys
from library.contracts.upkeep import KeepUp, UpkeepDone
from library.objects.staged import STAGED
from library.objects.store import ObjectStore
from library.sources.fhir.imports import FhirImports
from library.sources.fhir.links import LINKS, run_of
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.sessions import end_stuck


@dataclass(frozen=True)
class UpkeepActivities:
    """Mends what a crash or an operator's hard stop left behind."""

    pool: Pool
    store: ObjectStore
    abandoned: AbandonedRuns
    keys: IdempotencyKeys
    imports: FhirImports

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
            + await self._forget_imports(now - timedelta(seconds=wanted.abandoned_after)),
            keys_removed=await self.keys.remove_old(),
            drains_forgotten=await ledger.forget_drains(self.pool, now - timedelta(seconds=wanted.drains_for)),
            sessions_ended=sessions_ended,
        )

    async def _forget_imports(self, before: datetime) -> int:
        """What imports remembered that have ended on the way; returns how many objects went."""
        await self.imports.forget_closed()
        open_runs = await self.imports.open_runs()

        def remove() -> int:
            found = self.store.keys_older_than(LINKS, before)
            return self.store.remove(key for key in found if run_of(key) not in open_runs)

        return await asyncio.to_thread(remove)
