"""Runs the stack: locks its folder, starts its parts at the same time, and ends them in order.

`wardflow up` calls `run_stack`; tests call `embedded_stack`. Call both from the main thread (see `leash.py`).
"""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from config.settings import Settings
from library.contracts.errors import WardflowError
from service.sources import STACK_PARTS, modules
from service.stack import kafka, lock, own, postgres, s3, temporal
from service.stack.credentials import StackCredentials
from service.stack.files import make_private_folder
from service.stack.identity import OURSELVES, Identity, choose
from service.stack.part import MakePart, OnProgress, StackEvent
from service.stack.ports import Ports
from service.stack.preflight import Needs, check
from service.stack.processes import end_leftovers
from service.stack.state import StackFile, elsewhere, read_state, with_addresses, without_stale_addresses
from service.stack.supervisor import Supervisor

SERVERS = ("postgres", "s3", "temporal", "kafka")
"""They start at the same time, and end one after the other in reverse order."""
OWN = ("worker", "api")
"""Wardflow's own processes. They start after the bootstrap."""
HEALTHY_WITHIN = 90.0
"""Seconds until parts must be healthy. After a crash Postgres has to read its WAL."""


class PartNotHealthy(WardflowError):
    """A part runs, but is not healthy in time."""


def of_sources(settings: Settings) -> dict[str, own.MakeOwn]:
    """The parts of sources that the settings turn on, by name."""
    return {name: make for module in modules("stack") for name, make in module.parts(settings).items()}


def ignore_progress(_: StackEvent) -> None:
    """Ignore the progress."""


class Stack:
    """The parts that run in one folder.

    Attributes:
        settings: the settings, with the addresses of the parts that are healthy.
        failed: set when a part could not be kept running.
        on_progress: called with each event.
    """

    def __init__(
        self, settings: Settings, folder: Path, stack_file: StackFile, identity: Identity, on_progress: OnProgress
    ) -> None:
        self.settings = settings
        self.failed = asyncio.Event()
        self.on_progress = on_progress
        self._folder = folder
        self._stack_file = stack_file
        self._identity = identity
        self._credentials = StackCredentials.load_or_make(folder / "credentials.json")
        self._ports = Ports(folder / "ports.json", on_moved=self._report_moved)
        self._failure: Exception | None = None
        self._supervisors: list[Supervisor] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, *names: str) -> None:
        """Start parts at the same time, and return when all are healthy. External servers are not started.

        Raises:
            WardflowError: a part does not become healthy.
        """
        makers: dict[str, MakePart] = {
            "postgres": partial(
                postgres.make, self.settings, self._folder, self._credentials, self._ports, self._identity
            ),
            "s3": partial(s3.make, self.settings, self._folder, self._credentials, self._ports),
            "temporal": partial(temporal.make, self.settings, self._folder, self._ports),
            "kafka": partial(kafka.make, self.settings, self._folder, self._ports, self.on_progress),
            **{name: partial(own.make, name, self.settings, self._folder, self._ports) for name in OWN},
            **{
                name: partial(make, self.settings, self._folder, self._ports)
                for name, make in of_sources(self.settings).items()
            },
        }
        external = elsewhere(self.settings)
        if "kafka" in names and not self.settings.kafka.enabled:
            self.on_progress(StackEvent("kafka", "turned off", "by WARDFLOW_KAFKA__ENABLED"))
            names = tuple(name for name in names if name != "kafka")
        for name in names:
            if name in external:
                self.on_progress(StackEvent(name, "elsewhere", "named by its setting"))
        await self.supervise({name: makers[name] for name in names if name not in external})

    async def supervise(self, makers: dict[str, MakePart]) -> None:
        """Keep parts running from now on. Return when all are healthy for the first time."""
        started = [
            Supervisor(name, make, self._folder, self._stack_file, self.on_progress) for name, make in makers.items()
        ]
        self._supervisors += started
        self._keepers += [asyncio.create_task(self._keep(each)) for each in started]
        deadline = time.monotonic() + HEALTHY_WITHIN
        while late := [each.name for each in started if not each.healthy.is_set()]:
            self.raise_failure()
            if any(each.preparing for each in started):  # the time limit does not include downloads
                deadline = time.monotonic() + HEALTHY_WITHIN
            if time.monotonic() < deadline:
                await asyncio.sleep(0.02)
                continue
            raise _not_healthy([each for each in started if each.name in late])
        self.settings = with_addresses(self.settings, self._stack_file.state)

    def announce(self) -> None:
        """Report that the stack runs, also in `stack.json`."""
        self.on_progress(StackEvent("stack", "running", str(self._folder / "stack.json")))
        self._stack_file.become("running")  # last, since `up --detach` prints the log until it sees this

    def raise_failure(self) -> None:
        """Raise the error of the part that could not be kept running, if there is one."""
        if self._failure is not None:
            raise self._failure

    async def end(self) -> None:
        """End every part in reverse order."""
        self._stack_file.become("ending")
        self.on_progress(StackEvent("stack", "ending"))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for supervisor in reversed(self._supervisors):
            await supervisor.end()
        self.on_progress(StackEvent("stack", "ended"))

    def _report_moved(self, name: str, sentence: str) -> None:
        self.on_progress(StackEvent(name, "moved", sentence))

    async def _keep(self, supervisor: Supervisor) -> None:
        try:
            await supervisor.keep_alive()
        except Exception as error:  # noqa: BLE001 - `raise_failure` raises it in the task that can end the stack
            self._failure = self._failure or error
            self.failed.set()


@asynccontextmanager
async def claimed(settings: Settings, on_progress: OnProgress = ignore_progress) -> AsyncIterator[Stack]:
    """Lock the folder, and clean up after a killed stack. End all parts when the context ends.

    Raises:
        AlreadyRunning: another process runs the folder's stack.
        MachineLacks, ConfigurationError: this machine cannot run the stack. Nothing was started.
    """
    folder = make_private_folder(settings.stack.folder)
    with lock.hold(folder):
        end_leftovers(folder)
        stale = read_state(folder)
        stack_file = StackFile(folder / "stack.json")
        stack_file.remove()
        settings = without_stale_addresses(settings, stale)
        identity = await asyncio.to_thread(_check_machine, settings, folder)
        stack = Stack(settings, folder, stack_file, identity, on_progress)
        stack_file.put(elsewhere(settings))
        try:
            yield stack
        finally:
            await stack.end()
            stack_file.remove()


@asynccontextmanager
async def embedded_stack(
    settings: Settings, parts: Sequence[str] = SERVERS, on_progress: OnProgress = ignore_progress
) -> AsyncIterator[Settings]:
    """Run servers during the context, and yield the settings with their addresses.

    It has no bootstrap, no worker and no signal handlers. It writes `stack.json`, so commands find the servers.
    """
    async with claimed(settings, on_progress) as stack:
        await stack.start(*parts)
        stack.announce()
        yield stack.settings


async def run_stack(
    settings: Settings,
    *,
    on_progress: OnProgress = ignore_progress,
    bootstrap: Callable[[Settings], Awaitable[object]],
    with_worker: bool = True,
) -> None:
    """Run servers, bootstrap and worker until SIGTERM, SIGINT or SIGHUP, then end them.

    Raises:
        AlreadyRunning: another process runs the folder's stack.
        WardflowError: a part did not become healthy, or died repeatedly. Everything was ended.
    """
    stop = asyncio.Event()
    with _signals_set(stop):
        async with claimed(settings, on_progress) as stack:
            bringing_up = asyncio.create_task(_bring_up(stack, bootstrap, with_worker=with_worker))
            waits = [asyncio.create_task(event.wait()) for event in (stop, stack.failed)]
            try:
                await asyncio.wait({bringing_up, *waits}, return_when=asyncio.FIRST_COMPLETED)
                if bringing_up.done():
                    bringing_up.result()  # raises its error
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                stack.raise_failure()
            finally:
                for task in (bringing_up, *waits):
                    task.cancel()
                await asyncio.gather(bringing_up, *waits, return_exceptions=True)


async def _bring_up(stack: Stack, bootstrap: Callable[[Settings], Awaitable[object]], *, with_worker: bool) -> None:
    # No other part needs the parts of sources, so they start at the same time as the servers.
    source_parts = asyncio.create_task(stack.start(*of_sources(stack.settings)))
    try:
        await stack.start(*SERVERS)
        stack.on_progress(StackEvent("bootstrap", "starting"))
        await bootstrap(stack.settings)
        stack.on_progress(StackEvent("bootstrap", "done"))
        if with_worker:
            await stack.start(*OWN)
        await source_parts
    finally:
        source_parts.cancel()
        await asyncio.gather(source_parts, return_exceptions=True)
    stack.announce()


def _check_machine(settings: Settings, folder: Path) -> Identity:
    """Check that this machine can run the parts, and return the identity of Postgres."""
    external = elsewhere(settings)
    check(Needs(folder, first_start="postgres" not in external and not (folder / "postgres").exists()))
    unused = {"temporal_ui"} if "temporal" in external else set()
    unused |= set() if settings.kafka.enabled else {"kafka"}
    unused |= set(STACK_PARTS) - set(of_sources(settings))
    Ports.check({name: port for name, port in settings.stack.ports.items() if name not in (*external, *unused)})
    if "postgres" in external:
        return OURSELVES
    return choose(folder, postgres.programs(), settings.stack.user)


def _not_healthy(late: Sequence[Supervisor]) -> PartNotHealthy:
    reports = "\n".join(each.report() for each in late)
    return PartNotHealthy(
        f"Not healthy after {HEALTHY_WITHIN:.0f} seconds: {', '.join(each.name for each in late)}.\n{reports}",
        advice="If the machine was only busy, start again. Otherwise fix what the lines above name first.",
    )


@contextmanager
def _signals_set(event: asyncio.Event) -> Iterator[None]:
    """During the context, the signals that end a program set the event instead."""
    loop = asyncio.get_running_loop()
    handled = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # with `nohup`, SIGHUP is ignored
        handled.append(signal.SIGHUP)
    for number in handled:
        loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
