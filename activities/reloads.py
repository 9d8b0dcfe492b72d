"""Activities that read landed objects again after a reader was corrected, for every source."""

import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue
from temporalio import activity

from activities.heartbeats import regular_heartbeats
from activities.loads import LoadActivities
from activities.staging import Landed, Stager
from library.contracts.errors import LoadRejected, WardflowError
from library.contracts.loads import LoadOutcome, LoadRequest
from library.contracts.objects import ObjectRef
from library.contracts.reloads import FinishReload, ObjectsReloaded, ReloadObjects
from library.contracts.runs import RunTotals
from library.objects.staged import StagedFolder
from library.warehouse import ledger
from library.warehouse.older import OlderLoad, older_loads

_OBJECTS = 50
_SECONDS = 60.0
"""One activity reads so many objects at most, and begins none after so many seconds."""
_MOST_WARNINGS = 100


async def _nothing_more() -> Mapping[str, JsonValue]:
    return {}


@dataclass(frozen=True)
class SourceReload:
    """How the landed objects of a source are read again.

    Attributes:
        reader_version: of the present reader.
        landed: describes a landed object for staging; gets its reference, the scope of its loads and the run's id.
        reader_settings: by scope, the digest of the reader's settings, if it has one.
        report: what the source adds to the report of the run, such as what has to be imported again.
    """

    reader_version: int
    landed: Callable[[ObjectRef, str, str], Awaitable[Landed]]
    reader_settings: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[], Awaitable[Mapping[str, JsonValue]]] = _nothing_more


@dataclass(frozen=True)
class ReloadActivities:
    """Read landed objects again, and load them."""

    stager: Stager
    loads: LoadActivities
    sources: Mapping[str, SourceReload]

    @activity.defn(name="reload_objects")
    async def reload_objects(self, request: ReloadObjects) -> ObjectsReloaded:
        """Read and load the next objects. If the reader refuses one now, a warning names it, and its old rows stay."""
        source = self.sources[request.source]
        runs, begun = self.loads.runs, time.monotonic()
        await runs.enter_phase(request.run_id, "reload")
        older = await older_loads(
            self.loads.pool,
            request.source,
            source.reader_version,
            source.reader_settings,
            after=request.after,
            most=_OBJECTS,
        )
        done, refused = ObjectsReloaded(), list[str]()
        for load in older:
            if time.monotonic() > begun + _SECONDS:
                break
            try:
                await self._reload(source, load, request.run_id)
            except WardflowError as error:
                if error.retryable or isinstance(error, LoadRejected):
                    raise
                refused.append(f"{load.object_key}: {error.message}")
            activity.heartbeat()
            done = ObjectsReloaded(last=load.place, objects=done.objects + 1, refused=len(refused))
        await self._warn(request.run_id, refused)
        await runs.enter_progress(request.run_id, await runs.totals(request.run_id), {})
        return done

    @activity.defn(name="finish_reload")
    async def finish_reload(self, request: FinishReload) -> RunTotals:
        """Sum up the run, with what the source adds."""
        runs = self.loads.runs
        counts = await runs.totals(request.run_id)
        # A step that was repeated after a crash, and a run that was reset, do not find what they loaded before.
        loaded = await ledger.count_of_run(self.loads.pool, request.run_id)
        objects = max(request.objects, loaded + request.refused)
        report: dict[str, JsonValue] = {"objects": objects, "refused": request.refused}
        report |= await self.sources[request.source].report()
        outcome = LoadOutcome.LOADED if objects else LoadOutcome.ALREADY_LOADED
        if request.refused:
            outcome = LoadOutcome.INCOMPLETE
        await runs.enter_progress(request.run_id, counts, report)
        return RunTotals(outcome=outcome, counts=counts, report=report)

    async def _reload(self, source: SourceReload, load: OlderLoad, run_id: str) -> None:
        async with regular_heartbeats():
            reference = await self.loads.store.landed(load.object_key, size=load.object_size, sha256=load.object_sha256)
            landed = await source.landed(reference, load.scope, run_id)
            with tempfile.TemporaryDirectory(prefix="wardflow-reload-") as name:
                staged = await self.stager.stage_in_folder(landed, Path(name))
                if isinstance(staged, LoadRequest):
                    await self.loads.load(staged, objects=StagedFolder(Path(name)))

    async def _warn(self, run_id: str, refused: list[str]) -> None:
        run = await self.loads.runs.get(run_id) if refused else None
        if run is not None:
            warnings = dict.fromkeys([*run.warnings, *refused])
            await self.loads.runs.warn(run_id, list(warnings)[:_MOST_WARNINGS])
