"""The activity that loads staged objects, for every source."""

import asyncio
import hashlib
from contextlib import suppress
from dataclasses import dataclass

import structlog
from temporalio import activity

from activities.heartbeats import run_concurrently
from library.contracts.errors import StoreUnavailable
from library.contracts.loads import LoadOutcome, LoadRequest, LoadResult
from library.objects.staged import StagedObjects
from library.objects.store import ObjectStore
from library.telemetry.metrics import observe_load
from library.warehouse import ledger
from library.warehouse.loader import Loader
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog
from library.warehouse.sessions import Attempt

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LoadActivities:
    """Load staged objects into the warehouse."""

    pool: Pool
    store: ObjectStore
    loader: Loader
    runs: RunLog

    @activity.defn(name="load_staged")
    async def load_staged(self, request: LoadRequest) -> LoadResult:
        """Load staged objects in one transaction, and remove them after the commit."""
        async with run_concurrently(self.runs.enter_phase(request.run_id, "load")):
            result = await self.load(request)
        if result.outcome is LoadOutcome.LOADED:
            await self._remove_staged(request)
        return result

    async def load(self, request: LoadRequest, *, objects: StagedObjects | None = None) -> LoadResult:
        """Run one load. Activities that run several loads call this; `objects` may be a local folder."""
        with observe_load(request) as observed:
            try:
                result = await self.loader.load(
                    request, attempt=this_attempt(), objects=objects, beat=activity.heartbeat
                )
            except asyncio.CancelledError:
                # Postgres may have committed before the cancellation came. Then the load is done.
                done = await ledger.find(self.pool, request.identity.load_id, run_id=request.run_id)
                if done is None:
                    raise
                result = done
            observed(result)
            rows = {name: counts.inserted + counts.updated for name, counts in result.counts.items()}
            _log.info("load ended", outcome=result.outcome, load_id=str(result.load_id), written=rows)
        return result

    async def _remove_staged(self, request: LoadRequest) -> None:
        keys = [entry.object.key for entry in request.staged]
        keys += [request.rejections.key] if request.rejections else []
        with suppress(StoreUnavailable):  # the upkeep removes what is left
            await asyncio.to_thread(self.store.remove, keys)


def this_attempt() -> Attempt:
    """The identity of this attempt. It ends the database sessions of earlier attempts of the same activity."""
    info = activity.info()
    owner = f"{info.workflow_run_id} {info.activity_id}"
    return Attempt(owner=hashlib.sha256(owner.encode()).hexdigest()[:8], number=info.attempt)
