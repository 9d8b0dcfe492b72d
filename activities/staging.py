"""What staging a landed object takes, whatever its source: a source adds its reader, and nothing else."""

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from activities.beating import alongside, beating
from library.contracts.loads import LoadIdentity, LoadRequest, LoadResult, Staged
from library.contracts.objects import ObjectRef
from library.objects.staged import StagedFolder, StagedObjects, upload
from library.objects.store import ObjectStore
from library.telemetry.metrics import observe_stage
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog

type Reader = Callable[[Path, Path], "Reading"]
"""Reads the landed file at the first path and leaves `{dataset}.csv` files in the folder at the second."""


@dataclass(frozen=True)
class Reading:
    """What a reader left in its folder.

    Attributes:
        rows: by dataset: how many rows its file has.
        report: what it says of the object as a whole; no cell of it, since it goes into histories.
        warnings: sentences for people; they may quote cells, and are kept with the run.
    """

    rows: dict[str, int]
    report: dict[str, JsonValue] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Landed:
    """A landed object that is to be loaded.

    Attributes:
        run_id: the run that asks.
        read: its reader.
    """

    object: ObjectRef
    identity: LoadIdentity
    run_id: str
    read: Reader


@dataclass(frozen=True)
class Stager:
    """From the store, through a reader, to where a load finds it.

    Attributes:
        threads: where the blocking parts run; as many as the queue has slots.
    """

    pool: Pool
    store: ObjectStore
    runs: RunLog
    threads: Executor

    async def stage(self, landed: Landed) -> Staged:
        """Stage what a run is about back into the store, unless the ledger already holds its load."""

        def in_thread() -> tuple[LoadRequest, Reading]:
            with tempfile.TemporaryDirectory(prefix="wardflow-stage-") as name:
                return self._staged(landed, Path(name), self.store)

        async with alongside(self.runs.enter_phase(landed.run_id, "stage")):
            if done := await self._done(landed):
                return done
            async with beating():
                request, reading = await asyncio.get_running_loop().run_in_executor(self.threads, in_thread)
        if reading.warnings:
            await self.runs.warn(landed.run_id, reading.warnings)
        return request

    async def stage_at_hand(self, landed: Landed, folder: Path) -> Staged:
        """Stage one of many objects into a folder, for a load that follows in the same step."""
        if done := await self._done(landed):
            return done
        running = asyncio.get_running_loop().run_in_executor(
            self.threads, self._staged, landed, folder, StagedFolder(folder)
        )
        try:
            request, _ = await asyncio.shield(running)
        finally:
            await asyncio.gather(
                running, return_exceptions=True
            )  # nobody stops a thread, and the folder goes with its owner
        return request

    async def _done(self, landed: Landed) -> LoadResult | None:
        return await ledger.find(self.pool, landed.identity.load_id, run_id=landed.run_id)

    def _staged(self, landed: Landed, folder: Path, objects: StagedObjects) -> tuple[LoadRequest, Reading]:
        with observe_stage(landed.identity.source, landed.object.size):
            self.store.download(landed.object, folder / "landed")
            reading = landed.read(folder / "landed", folder)
            request = upload(
                objects,
                folder,
                reading.rows,
                identity=landed.identity,
                landed=landed.object,
                run_id=landed.run_id,
                report=reading.report,
            )
            return request, reading
