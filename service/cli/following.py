"""Starting several runs from the command line and following each to its end, with a bar for each."""

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
from library.contracts.runs import Run, RunState
from library.objects.store import Progress as Sent
from library.warehouse.failures import DISCONNECTED, passes
from library.warehouse.runs import ABANDONED, RunLog
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
"""Runs that are started side by side."""
_OUTAGE, _BETWEEN_TRIES = 120.0, 1.0
"""Seconds that a server may be away while runs are started and followed, and between two tries to reach it."""
_RESTART = 15.0
"""Seconds in which Temporal has to answer for the first time: it may just be starting again."""
_IS_BACK_AFTER = 3.0
"""Seconds without a failure after which a server counts as back."""
_LOOK_EVERY = 0.5
"""Seconds between two looks at how far a run has come."""


class Land(Protocol):
    """Stores a file and tells how far it has come."""

    async def __call__(self, path: Path, *, progress: Sent) -> ObjectRef:
        """Land the file."""


@dataclass(frozen=True)
class Bar:
    """The line of one run."""

    progress: Progress
    task: TaskID

    def show(self, state: str) -> None:
        """Say what happens now."""
        self.progress.update(self.task, state=state)

    def wait(self, error: Exception) -> None:
        """Say that a server is away."""
        self.show(f"waiting for a server ({type(error).__name__})")

    async def land(self, path: Path, land: Land) -> ObjectRef:
        """Land a file, and show how far it has come."""
        self.progress.update(self.task, state="landing", total=path.stat().st_size, completed=0)
        landed = await land(path, progress=lambda sent: self.progress.advance(self.task, sent))
        self.progress.update(self.task, completed=landed.size)
        return landed


@dataclass(frozen=True)
class Wanted:
    """A run that is to be started.

    Attributes:
        name: what it is about, for people.
        start: starts it.
        source: the server elsewhere that it fetches from, for people.
    """

    name: str
    start: Callable[[Starter, Bar], Awaitable[RunHandle]]
    source: Callable[[Settings], str] = lambda _: ""


@dataclass(frozen=True)
class Followed:
    """What became of it.

    Attributes:
        run: as it has ended; `None` where none was started, or it could not be followed.
        error: why not, with its type; empty where all went well.
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
        """Whether the run has ended well."""
        return self.run is not None and self.run.state is RunState.COMPLETED

    @property
    def result(self) -> str:
        """The result of the run."""
        return (self.run.result if self.run else None) or ""


async def follow(settings: Settings, wanted: Sequence[Wanted], *, quiet: bool = False) -> list[Followed]:
    """Start runs side by side and follow them; one that fails stops no other."""
    with own_temporary_folder():  # what lies there while it is sent can hold patients
        return await _follow(settings, wanted, quiet=quiet)


async def _follow(settings: Settings, wanted: Sequence[Wanted], *, quiet: bool) -> list[Followed]:
    servers = Servers.of(settings)
    client = await patiently(partial(connect, settings), nothing, outage=_RESTART, servers=servers)
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
            following = _Following(
                Starter(settings, client, store, pool),
                RunLog(pool),
                progress,
                asyncio.Semaphore(_AT_ONCE),
                Audit(pool),
                servers,
                StepWatcher(client, servers.temporal, say),
            )
            followed = await asyncio.gather(*(following.one(each) for each in wanted))
    store.close()
    return followed


@dataclass(frozen=True)
class Servers:
    """The servers that following needs, to say which of them is away."""

    postgres: Server
    temporal: Server
    store: Server

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of the settings."""
        return cls(postgres_server(settings), temporal_server(settings), store_server(settings))

    def behind(self, error: Exception) -> Server:
        """The server that a failure is about. Errors that name none come from Postgres's driver."""
        if isinstance(error, RPCError | TemporalUnavailable):
            return self.temporal
        return self.store if isinstance(error, StoreUnavailable) else self.postgres


@dataclass(frozen=True)
class _Following:
    starter: Starter
    runs: RunLog
    progress: Progress
    gate: asyncio.Semaphore
    audit: Audit
    servers: Servers
    steps: StepWatcher

    async def one(self, wanted: Wanted) -> Followed:
        bar = Bar(self.progress, self.progress.add_task("", name=shown(wanted.name), state="waiting", total=None))
        try:
            followed = await self._to_its_end(wanted, bar)
        except WardflowError as error:
            is_away = exit_of_error(error) is Exit.SERVER_AWAY
            followed = Followed(wanted.name, None, type(error).__name__, error.message, error.advice, is_away)
        except (RPCError, asyncpg.PostgresError, *DISCONNECTED) as error:
            followed = Followed(
                wanted.name,
                error_type=type(error).__name__,
                error="The file cannot be read, or a server went away while it was followed.",
                advice="If the run was started, it continues: `wardflow runs list` shows it. If not, send it again.",
                server_away=_away(error),
            )
        bar.show(followed.result or followed.error_type)
        return followed

    async def _to_its_end(self, wanted: Wanted, bar: Bar) -> Followed:
        handle = await self._started(wanted, bar)
        if not await self._is_known_to_its_end(handle, wanted, bar):
            handle = await self._started(wanted, bar)
            if not await self._is_known_to_its_end(handle, wanted, bar):
                raise TemporalUnavailable("Temporal has lost the run, twice.")
        finished = await self._patiently(partial(self.runs.get, run_id(handle)), bar)
        if finished is None:
            raise ConfigurationError(
                "The run ended without a row in ingest.run.",
                advice="Its worker uses another warehouse: compare settings.",
            )
        error = finished.error
        if finished.state is RunState.RUNNING:
            what, advice = "Its workflow was ended from outside, before it could say so.", "Start it again."
            return Followed(wanted.name, finished, ABANDONED, what, advice)
        if error is None:
            return Followed(wanted.name, finished)
        return Followed(wanted.name, finished, error.type, error.message, error.advice)

    async def _started(self, wanted: Wanted, bar: Bar) -> RunHandle:
        """Start, or join what an earlier try has started (with `--reload` such a try may have loaded once already)."""
        async with self.gate:
            return await self._patiently(partial(wanted.start, self.starter, bar), bar)

    async def _is_known_to_its_end(self, handle: RunHandle, wanted: Wanted, bar: Bar) -> bool:
        """Wait for a run's end, which it says itself; whether Temporal knew it: one that was killed may forget."""
        await self._patiently(partial(self.audit.record, LOCAL, "start_run", handle.id), bar)
        watching = (
            asyncio.create_task(self._show_progress(run_id(handle), bar)),
            asyncio.create_task(self.steps.watch(handle.id, wanted.name, wanted.source(self.starter.settings))),
        )

        async def ended() -> None:
            bar.show("running")
            await handle.result()

        try:
            await self._patiently(ended, bar, long=True)
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

    async def _patiently[T](self, step: Callable[[], Awaitable[T]], bar: Bar, *, long: bool = False) -> T:
        return await patiently(step, bar.wait, long=long, servers=self.servers)

    async def _show_progress(self, run: str, bar: Bar) -> None:
        """Show how far a run of many loads has come; one of one load is over before that would help."""
        while not self.progress.disable:
            found = await self._patiently(partial(self.runs.get, run), bar)
            if found is not None and not found.one_load:
                told = (f"{value:,} {name}" for name, value in found.report.items() if isinstance(value, int))
                bar.show(", ".join((found.phase, *told)))
            await asyncio.sleep(_LOOK_EVERY)


def nothing(_: Exception) -> None:
    """Show nothing of a try that failed; what is waited for is said all the same."""


async def patiently[T](
    step: Callable[[], Awaitable[T]],
    told: Callable[[Exception], object],
    *,
    outage: float = _OUTAGE,
    long: bool = False,
    servers: Servers | None = None,
) -> T:
    """Carry out a step; repeat it while a server is away, and say which one.

    Args:
        step: can be repeated.
        told: of each try that failed, and is made again.
        outage: seconds that the server may be away, from the first try that failed on.
        long: whether a try waits for something else: then one that fails after a longer time begins another outage.
        servers: to say which one is away; nothing is said without.

    Raises:
        HostNotResolved: the name of a server has not resolved for 15 seconds.
    """
    began: float | None = None
    name_failed_since: float | None = None
    away: Server | None = None
    said: Waiting | None = None
    with ExitStack() as waiting:
        while True:
            tried_at = time.monotonic()
            # A long try that does not fail at once waits for its run, and the server is there again.
            is_back = asyncio.get_running_loop().call_later(_IS_BACK_AFTER, said.end) if long and said else None
            try:
                return await step()
            except (WardflowError, RPCError, asyncpg.PostgresError, *DISCONNECTED) as error:
                now = time.monotonic()
                if began is None or (long and now - tried_at > outage):
                    began = now
                server = servers.behind(error) if servers else None
                unresolved = _is_about_a_name(error)
                name_failed_since = (name_failed_since or now) if unresolved else None
                left = began + outage - now
                if name_failed_since is not None:
                    left = min(left, name_failed_since + NAME_MAY_TAKE - now)
                if not _away(error) or left < 0:
                    if unresolved and server:
                        raise not_resolved(server) from error
                    raise
                told(error)
                if server is not None and (server != away or said is None or said.over):
                    waiting.close()
                    reason = "its name does not resolve" if unresolved else "it does not answer"
                    said = waiting.enter_context(waiting_for(server, reason, seconds=left))
                    away = server
            finally:
                if is_back is not None:
                    is_back.cancel()
            await asyncio.sleep(_BETWEEN_TRIES)


def _is_about_a_name(error: Exception) -> bool:
    of_temporal = isinstance(error, RPCError) and "dns error" in error.message
    return of_temporal or does_not_resolve(error)


def _away(error: Exception) -> bool:
    """Whether it says that a server does not answer now, and nothing of what was asked."""
    if isinstance(error, WardflowError):
        return error.retryable
    if isinstance(error, RPCError):
        return error.status in AWAY
    of_a_file = isinstance(error, OSError) and error.filename is not None
    return passes(error) and not of_a_file
