"""The product's worker, `wardflow worker`, with short time-outs and, if asked, one place at which it stops.

A test forks one from a server that has imported everything (`start_worker`): a process of its own within milliseconds.
A stack starts one by `python -m tests.faults.worker`.
"""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.staging import Stager
from library.contracts.loads import LoadResult, Staged
from library.contracts.objects import ObjectRef
from library.objects.store import ObjectStore
from library.warehouse import loader
from library.warehouse.loader import Loader
from library.warehouse.stream_loader import StreamLoader
from service.worker import workers
from workflows import policies
from workflows.fhir import policies as of_fhir

type Point = Literal["staging", "copy", "checked", "merged", "committed"]
"""`copy`: a COPY has got its first rows and waits for more; `merged`: only the commit is missing; `committed`: only the
report to Temporal is missing; `staging`: the rows are read and stored, and nobody knows yet."""

type Deed = Literal["die", "freeze", "wait"]
"""What the process does there: SIGKILL to itself, SIGSTOP to itself, or go on once the file `go` appears (in `staging`,
`copy` and `committed`; the other places are passed without a pause)."""

HEARTBEAT = timedelta(seconds=4)
"""After which silence a load counts as lost; the product waits for 30 s."""

_COPIED_FIRST = 20_000
"""Bytes from which an object counts as one whose COPY is worth stopping in: an edition's row is smaller."""


@dataclass(frozen=True)
class Stop:
    """Where a worker stops, once, and what it does there.

    Attributes:
        point: `None`: nowhere.
        signs: a folder for files: `reached` appears when the place is reached, `go` lets a waiting process go on,
            and `loads` gets a line for each call of the loader that has ended.
    """

    point: Point | None
    deed: Deed
    signs: Path


@dataclass(frozen=True)
class Orders:
    """What a forked worker is told."""

    environment: dict[str, str]
    log: Path
    queues: Sequence[str] = policies.QUEUES
    stop: Stop | None = None


def start_worker(orders: Orders) -> ForkServerProcess:
    """Start a worker; its exit code is that of `wardflow worker`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "service.cli"])
    process = context.Process(target=_run, args=(orders,), daemon=True)
    process.start()
    return process


def _run(orders: Orders) -> None:
    os.environ.update(orders.environment)
    log = os.open(orders.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(log, stream)
    sys.stdout = sys.stderr = os.fdopen(log, "w", buffering=1)
    if orders.stop is not None:
        _Stopping(orders.stop).install()
    serve(orders.queues)


def serve(queues: Sequence[str]) -> None:
    """Run `wardflow worker` with short time-outs."""
    shorten_timeouts()
    sys.argv = ["wardflow", "worker", "--queues", ",".join(queues)]
    from service.cli import main

    main()


def shorten_timeouts() -> None:
    """Shorten time-outs, so that lost attempts are noticed within seconds. Retries stay as they are."""
    for name, changed in {
        "LOAD_STAGED": replace(policies.LOAD_STAGED, heartbeat=HEARTBEAT),
        "DRAIN": replace(policies.DRAIN, heartbeat=HEARTBEAT),
        "ARCHIVE": replace(policies.ARCHIVE, heartbeat=timedelta(seconds=10)),
        "STAGE": replace(policies.STAGE, heartbeat=timedelta(seconds=10)),
        "BOOKKEEPING": policies.BOOKKEEPING | {"start_to_close_timeout": timedelta(seconds=5)},
    }.items():
        patch.object(policies, name, changed).start()
    patch.object(of_fhir, "FETCH", replace(of_fhir.FETCH, heartbeat=HEARTBEAT)).start()
    # Workflows see the changed policies only if the sandbox does not import the modules anew.
    shortened = (policies.__name__, of_fhir.__name__)
    passed = SandboxRestrictions.default.with_passthrough_modules("library.contracts", *shortened)
    patch.object(workers, "workflow_runner", lambda: SandboxedWorkflowRunner(restrictions=passed)).start()
    quick = partial(Worker, sticky_queue_schedule_to_start_timeout=timedelta(seconds=1))
    patch.object(workers, "Worker", quick).start()


class _Stopping:
    """Stops the process at its place, the first time that it comes there."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def install(self) -> None:
        patch.object(Loader, "load", self._load(Loader.load)).start()
        patch.object(loader, "_FETCHED_AHEAD", 0).start()  # a COPY can be stopped in only where it is streamed
        patch.object(ObjectStore, "stream", self._stream(ObjectStore.stream)).start()
        patch.object(Stager, "stage", self._stage(Stager.stage)).start()
        patch.object(StreamLoader, "load", self._batch(StreamLoader.load)).start()

    def _is_here(self, point: str) -> bool:
        if point != self._stop.point or (self._stop.signs / "reached").exists():
            return False
        (self._stop.signs / "reached").touch()
        return True

    def _freeze_or_die(self, point: str) -> None:
        if self._stop.deed != "wait" and self._is_here(point):
            os.kill(os.getpid(), signal.SIGKILL if self._stop.deed == "die" else signal.SIGSTOP)

    async def _wait(self, point: str) -> None:
        if self._stop.deed == "wait" and self._is_here(point):
            while not (self._stop.signs / "go").exists():  # noqa: ASYNC110 - a file tells no event
                await asyncio.sleep(0.02)

    def _load(self, load: Callable[..., Any]) -> Callable[..., Any]:
        async def stopping(*args: Any, **options: Any) -> LoadResult:
            ended = "?"
            try:
                result: LoadResult = await load(*args, **options, on_step=self._freeze_or_die)
                ended = result.outcome
                await self._wait("committed")
            except BaseException as error:
                ended = type(error).__name__
                raise
            else:
                return result
            finally:
                with (self._stop.signs / "loads").open("a") as file:
                    file.write(f"{ended}\n")

        return stopping

    def _batch(self, load: Callable[..., Any]) -> Callable[..., Any]:
        async def stopping(*args: Any, **options: Any) -> None:
            await load(*args, **options, on_step=self._freeze_or_die)

        return stopping

    def _stream(self, stream: Callable[..., Any]) -> Callable[..., Any]:
        async def stopping(store: ObjectStore, ref: ObjectRef) -> AsyncIterator[bytes]:
            async for chunk in stream(store, ref):
                yield chunk
                if ref.size > _COPIED_FIRST:
                    self._freeze_or_die("copy")
                    await self._wait("copy")

        return stopping

    def _stage(self, stage: Callable[..., Any]) -> Callable[..., Any]:
        async def stopping(*args: Any) -> Staged:
            staged: Staged = await stage(*args)
            self._freeze_or_die("staging")
            await self._wait("staging")
            return staged

        return stopping


if __name__ == "__main__":
    serve(policies.QUEUES)
