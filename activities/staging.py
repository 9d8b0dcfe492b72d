"""Staging a landed object, for every source. A source supplies only its reader."""

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from activities.heartbeats import regular_heartbeats, run_concurrently
from library.contracts.loads import LoadIdentity, LoadRequest, LoadResult, Staged
from library.contracts.objects import ObjectRef
from library.objects.staged import StagedFolder, StagedObjects, upload
from library.objects.store import ObjectStore
from library.telemetry.metrics import observe_stage
from library.warehouse import ledger
from library.warehouse.pool import Pool
from library.warehouse.runs import RunLog

type FileReader = Callable[[Path, Path], "Reading"]
"""Reads the landed file at the first path, and writes `{dataset}.csv` files into the folder at the second."""


@dataclass(frozen=True)
class Reading:
    """The result of a reader.

    Attributes:
        rows: the number of rows of each dataset's file.
        report: facts about the whole object. It goes into histories, so it must not quote cells.
        warnings: sentences for people. They may quote cells, and are stored in the run only.
    """

    rows: dict[str, int]
    report: dict[str, JsonValue] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Landed:
    """A landed object that is to be staged.

    Attributes:
        run_id: the run that needs it.
        read: the source's reader.
    """

    object: ObjectRef
    identity: LoadIdentity
    run_id: str
    read: FileReader


@dataclass(frozen=True)
class Stager:
    """Reads landed objects and stores the staged files for their load.

    Attributes:
        threads: for the blocking parts; as many threads as the queue has slots.
    """

    pool: Pool
    store: ObjectStore
    runs: RunLog
    threads: Executor

    async def stage(self, landed: Landed) -> Staged:
        """Stage an object into the store, unless the ledger already has its load."""

        def in_thread() -> tuple[LoadRequest, Reading]:
            with tempfile.TemporaryDirectory(prefix="wardflow-stage-") as name:
                return self._staged(landed, Path(name), self.store)

        async with run_concurrently(self.runs.enter_phase(landed.run_id, "stage")):
            if done := await self._done(landed):
                return done
            async with regular_heartbeats():
                request, reading = await asyncio.get_running_loop().run_in_executor(self.threads, in_thread)
        if reading.warnings:
            await self.runs.warn(landed.run_id, reading.warnings)
        return request

    async def stage_in_folder(self, landed: Landed, folder: Path) -> Staged:
        """Stage an object into a local folder, for a load in the same activity."""
        if done := await self._done(landed):
            return done
        running = asyncio.get_running_loop().run_in_executor(
            self.threads, self._staged, landed, folder, StagedFolder(folder)
        )
        try:
            request, _ = await asyncio.shield(running)
        finally:
            # A thread cannot be cancelled, and the caller removes the folder: wait for the thread.
            await asyncio.gather(running, return_exceptions=True)
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
