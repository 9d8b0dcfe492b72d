"""What staging a landed object takes, whatever its source: a source adds its reader, and nothing else."""

import asyncio
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from activities.beating import alongside, beating
from library.contracts.loads import LoadIdentity, LoadRequest, Staged
from library.contracts.objects import ObjectRef
from library.objects.staged import StagedFolder, upload
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
class Stager:
    """From the store, through a reader, to where a load finds it.

    Attributes:
        threads: where the blocking parts run; as many as the queue has slots.
    """

    pool: Pool
    store: ObjectStore
    runs: RunLog
    threads: Executor

    async def stage(self, landed: ObjectRef, identity: LoadIdentity, run_id: str, read: Reader) -> Staged:
        """Stage the landed object that a run is about back into the store; the run says so meanwhile."""
        async with beating(), alongside(self.runs.enter_phase(run_id, "stage")):
            return await self._staged(landed, identity, run_id, read, None)

    async def stage_at_hand(
        self, landed: ObjectRef, identity: LoadIdentity, run_id: str, read: Reader, folder: Path
    ) -> Staged:
        """Stage one of many landed objects into a folder, for a load that follows in the same step."""
        return await self._staged(landed, identity, run_id, read, folder)

    async def _staged(
        self, landed: ObjectRef, identity: LoadIdentity, run_id: str, read: Reader, kept: Path | None
    ) -> Staged:
        """Stage a landed object, unless the ledger already holds its load."""
        if done := await ledger.find(self.pool, identity.load_id, run_id=run_id):
            return done

        def in_thread() -> tuple[LoadRequest, Reading]:
            with (
                nullcontext(kept) if kept else tempfile.TemporaryDirectory(prefix="wardflow-stage-") as name,
                observe_stage(identity.source, landed.size),
            ):
                folder = Path(name)
                self.store.download(landed, folder / "landed")
                reading = read(folder / "landed", folder)
                request = upload(
                    StagedFolder(folder) if kept else self.store,
                    folder,
                    reading.rows,
                    identity=identity,
                    landed=landed,
                    run_id=run_id,
                    report=reading.report,
                )
                return request, reading

        request, reading = await asyncio.get_running_loop().run_in_executor(self.threads, in_thread)
        if reading.warnings:
            await self.runs.warn(run_id, reading.warnings)
        return request
