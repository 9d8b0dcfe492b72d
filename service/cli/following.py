"""Starts several runs from the command line and follows each until it ends, with a progress bar for each."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, Self

import asyncpg
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from temporalio.client import WorkflowFailureError
from temporalio.service import RPCError, RPCStatusCode

from config.settings import Settings
from library.access.audit import LOCAL, Audit
from library.contracts.errors import ConfigurationError, StoreUnavailable, WardflowError
from library.contracts.objects import ObjectRef
from library.contracts.runs import ABANDONED, Run, RunState
from library.objects.store import Progress as Sent
from library.warehouse.failures import DISCONNECTED, is_transient
from library.warehouse.runs import RunLog
from library.web.names import NAME_MAY_TAKE, does_not_resolve
from service.addresses import Server, postgres_server, store_server, temporal_server
from service.cli.exits import Exit, exit_of_error
from service.cli.output import err, say, shown
from service.cli.step_watcher import StepWatcher
from service.resources import object_store, warehouse
from service.starts import RunHandle, Starter, run_id
from service.temporal import AWAY, TemporalUnavailable, connect
from service.temporary import own_temporary_folder
from service.waiting import Waiting, not_resolved, resolved, waiting_for

_AT_ONCE = 8
"""Most runs that are started at the same time."""
_OUTAGE, _BETWEEN_TRIES = 120.0, 1.0
"""Seconds that a server may be away while runs are started and followed, and seconds between two tries."""
_RESTART = 15.0
"""Seconds to wait for Temporal's first answer, since it may just be starting."""
_IS_BACK_AFTER = 3.0
"""Seconds without a failure after which a server counts as back."""
_LOOK_EVERY = 0.5
"""Seconds between two checks of a run's progress."""


class Land(Protocol):
    """Lands a file, and reports the progress."""

    async def __call__(self, path: Path, *, progress: Sent) -> ObjectRef:
        """Land the file."""


@dataclass(frozen=True)
class Bar:
    """The progress bar of one run."""

    progress: Progress
    task: TaskID

    def show(self, state: str) -> None:
        """Show a state."""
        self.progress.update(self.task, state=state)

    def wait(self, error: Exception) -> None:
        """Show that a server is away."""
        self.show(f"waiting for a server ({type(error).__name__})")

    async def land(self, path: Path, land: Land) -> ObjectRef:
        """Land a file, and show the progress."""
        self.progress.update(self.task, state="landing", total=path.stat().st_size, completed=0)
        landed = await land(path, progress=lambda sent: self.progress.advance(self.task, sent))
        self.progress.update(self.task, completed=landed.size)
        return landed


@dataclass(frozen=True)
class RunToStart:
    """A run that is to be started.

    Attributes:
        name: the file or zip code, for people.
        start: starts the run.
        source: the external server that it fetches from, for people.
    """

    name: str
    start: Callable[[Starter, Bar], Awaitable[RunHandle]]
    source: Callable[[Settings], str] = lambda _: ""


@dataclass(frozen=True)
class RunEnd:
    """How a run ended.

    Attributes:
        run: the ended run; `None` if it was not started, or could not be followed.
        error: the reason, with its type; empty if the run completed.
        server_away: whether a server was away for too long.
    """

    name: str
    run: Run | None = None
    error_type: str = ""
    error: str = ""
    advice: str = ""
    server_away: bool = False

    @property
    def completed(self) -> bool:
        """Whether the run has completed."""
        return self.run is not None and self.run.state is RunState.COMPLETED

    @property
    def result(self) -> str:
        """The result of the run."""
        return (self.run.result if self.run else None) or ""


async def follow(settings: Settings, runs: Sequence[RunToStart], *, quiet: bool = False) -> list[RunEnd]:
    """Start runs at the same time and follow them. A run that fails does not stop the others."""
    with own_temporary_folder():  # files that are being sent can contain patient data
        return await _follow(settings, runs, quiet=quiet)


async def _follow(settings: Settings, runs: Sequence[RunToStart], *, quiet: bool) -> list[RunEnd]:
    servers = Servers.of(settings)
    client = await retry_while_away(partial(connect, settings), ignore_try, outage=_RESTART, servers=servers)
    store = object_store(settings)
    await resolved(servers.store)
    columns = (
        TextColumn("{task.fields[name]}", markup=False),
        BarColumn(24),
        TextColumn("{task.fields[state]}", markup=False),
        TimeElapsedColumn(),
    )
    async with warehouse(settings, size=4) as pool:
        with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as progress:
            follower = _Follower(
                Starter(settings, client, store, pool),
                RunLog(pool),
                progress,
                asyncio.Semaphore(_AT_ONCE),
                Audit(pool),
                servers,
                StepWatcher(client, servers.temporal, say),
            )
            ended = await asyncio.gather(*(follower.follow(each) for each in runs))
    store.close()
    return ended


@dataclass(frozen=True)
class Servers:
    """The servers that are needed to follow runs, to report which one is away."""

    postgres: Server
    temporal: Server
    store: Server

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The servers of the settings."""
        return cls(postgres_server(settings), temporal_server(settings), store_server(settings))

    def of_error(self, error: Exception) -> Server:
        """The server that an error belongs to. Other errors come from Postgres's driver."""
        if isinstance(error, RPCError | TemporalUnavailable):
            return self.temporal
        return self.store if isinstance(error, StoreUnavailable) else self.postgres


@dataclass(frozen=True)
class _Follower:
    starter: Starter
    runs: RunLog
    progress: Progress
    gate: asyncio.Semaphore
    audit: Audit
    servers: Servers
    steps: StepWatcher

    async def follow(self, to_start: RunToStart) -> RunEnd:
        bar = Bar(self.progress, self.progress.add_task("", name=shown(to_start.name), state="waiting", total=None))
        try:
            end = await self._until_end(to_start, bar)
        except WardflowError as error:
            is_away = exit_of_error(error) is Exit.SERVER_AWAY
            end = RunEnd(to_start.name, None, type(error).__name__, error.message, error.advice, is_away)
        except (RPCError, asyncpg.PostgresError, *DISCONNECTED) as error:
            end = RunEnd(
                to_start.name,
                error_type=type(error).__name__,
                error="The file cannot be read, or a server went away while the run was followed.",
                advice="If the run was started, it continues in the background: `wardflow runs list` shows it. "
                "If not, send the file again.",
                server_away=_away(error),
            )
        bar.show(end.result or end.error_type)
        return end

    async def _until_end(self, to_start: RunToStart, bar: Bar) -> RunEnd:
        handle = await self._start(to_start, bar)
        if not await self._wait_for_end(handle, to_start, bar):
            handle = await self._start(to_start, bar)
            if not await self._wait_for_end(handle, to_start, bar):
                raise TemporalUnavailable("Temporal has lost the run twice.")
        finished = await self._retry(partial(self.runs.get, run_id(handle)), bar)
        if finished is None:
            raise ConfigurationError(
                "The run ended without a row in ingest.run.",
                advice="Its worker uses another warehouse. Compare the settings.",
            )
        error = finished.error
        if finished.state is RunState.RUNNING:
            what, advice = "Its workflow was terminated before it could close the run.", "Start it again."
            return RunEnd(to_start.name, finished, ABANDONED, what, advice)
        if error is None:
            return RunEnd(to_start.name, finished)
        return RunEnd(to_start.name, finished, error.type, error.message, error.advice)

    async def _start(self, to_start: RunToStart, bar: Bar) -> RunHandle:
        """Start a run, or join the run of an earlier try. With `--reload`, the earlier try may have loaded it."""
        async with self.gate:
            return await self._retry(partial(to_start.start, self.starter, bar), bar)

    async def _wait_for_end(self, handle: RunHandle, to_start: RunToStart, bar: Bar) -> bool:
        """Wait for a run's end. Return whether Temporal knows the run: a Temporal that was killed may have lost it."""
        await self._retry(partial(self.audit.record, LOCAL, "start_run", handle.id), bar)
        watching = (
            asyncio.create_task(self._show_progress(run_id(handle), bar)),
            asyncio.create_task(self.steps.watch(handle.id, to_start.name, to_start.source(self.starter.settings))),
        )

        async def ended() -> None:
            bar.show("running")
            following = handle
            while True:
                try:
                    await following.result()
                except WorkflowFailureError:
                    newest = await self._newest(handle)
                    if newest is None or newest.run_id == following.run_id:
                        raise
                    following = newest
                else:
                    return

        try:
            await self._retry(ended, bar, long=True)
        except WorkflowFailureError:
            return True
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        finally:
            for task in watching:
                task.cancel()
        return True

    async def _newest(self, handle: RunHandle) -> RunHandle | None:
        """The newest execution of a run, which may have been reset meanwhile; `None`: another run has its workflow."""
        client = self.starter.client
        described = await client.get_workflow_handle(handle.id).describe()
        is_own = described.raw_description.workflow_execution_info.first_run_id == run_id(handle)
        return client.get_workflow_handle(handle.id, run_id=described.run_id) if is_own else None

    async def _retry[T](self, step: Callable[[], Awaitable[T]], bar: Bar, *, long: bool = False) -> T:
        return await retry_while_away(step, bar.wait, long=long, servers=self.servers)

    async def _show_progress(self, run: str, bar: Bar) -> None:
        """Show the progress of a run with many loads. A run with one load ends too soon for this."""
        while not self.progress.disable:
            found = await self._retry(partial(self.runs.get, run), bar)
            if found is not None and not found.one_load:
                counts = (f"{value:,} {name}" for name, value in found.report.items() if isinstance(value, int))
                bar.show(", ".join((found.phase, *counts)))
            await asyncio.sleep(_LOOK_EVERY)


def ignore_try(_: Exception) -> None:
    """Show nothing for a failed try. The wait itself is still reported."""


async def retry_while_away[T](
    step: Callable[[], Awaitable[T]],
    on_failed_try: Callable[[Exception], object],
    *,
    outage: float = _OUTAGE,
    long: bool = False,
    servers: Servers | None = None,
) -> T:
    """Run a step, and retry it while a server is away. Report which server is away.

    Args:
        step: the step; it must be safe to retry.
        on_failed_try: called for each failed try that is followed by another one.
        outage: seconds that the server may be away, from the first failed try on.
        long: whether a try waits for a run. A try that fails after a long time then begins a new outage.
        servers: the servers, to report which one is away; `None`: nothing is reported.

    Raises:
        HostNotResolved: the name of a server has not resolved for 15 seconds.
    """
    began: float | None = None
    name_failed_since: float | None = None
    away: Server | None = None
    reported: Waiting | None = None
    with ExitStack() as waiting:
        while True:
            tried_at = time.monotonic()
            # If a long try does not fail at once, the server is back and the try waits for its run.
            end_wait = reported.end if long and reported else None
            is_back = asyncio.get_running_loop().call_later(_IS_BACK_AFTER, end_wait) if end_wait else None
            try:
                return await step()
            except (WardflowError, RPCError, asyncpg.PostgresError, *DISCONNECTED) as error:
                now = time.monotonic()
                if began is None or (long and now - tried_at > outage):
                    began = now
                server = servers.of_error(error) if servers else None
                unresolved = _is_about_a_name(error)
                name_failed_since = (name_failed_since or now) if unresolved else None
                left = began + outage - now
                if name_failed_since is not None:
                    left = min(left, name_failed_since + NAME_MAY_TAKE - now)
                if not _away(error) or left < 0:
                    if unresolved and server:
                        raise not_resolved(server) from error
                    raise
                on_failed_try(error)
                if server is not None and (server != away or reported is None or reported.over):
                    waiting.close()
                    reason = "its name does not resolve" if unresolved else "it does not answer"
                    reported = waiting.enter_context(waiting_for(server, reason, seconds=left))
                    away = server
            finally:
                if is_back is not None:
                    is_back.cancel()
            await asyncio.sleep(_BETWEEN_TRIES)


def _is_about_a_name(error: Exception) -> bool:
    of_temporal = isinstance(error, RPCError) and "dns error" in error.message
    return of_temporal or does_not_resolve(error)


def _away(error: Exception) -> bool:
    """Whether the error means that a server does not answer, and not that it refused the request."""
    if isinstance(error, WardflowError):
        return error.retryable
    if isinstance(error, RPCError):
        return error.status in AWAY
    of_a_file = isinstance(error, OSError) and error.filename is not None
    return is_transient(error) and not of_a_file
