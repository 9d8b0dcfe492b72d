"""Runs the stack: claims its folder, starts its parts side by side, ends them in order.

`run_stack` is what `wardflow up` does until a signal comes; `embedded_stack` gives the servers to a test session.
Both are to be called from the main thread (`leash.py` says why).
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
from service.stack.credentials import Credentials
from service.stack.files import make_private_folder
from service.stack.identity import OURSELVES, Identity, choose
from service.stack.part import MakePart, OnProgress, Progress
from service.stack.ports import Ports
from service.stack.preflight import Needs, check
from service.stack.processes import end_leftovers
from service.stack.state import StackFile, elsewhere, read_state, with_addresses, without_stale_addresses
from service.stack.supervisor import Supervisor

SERVERS = ("postgres", "s3", "temporal", "kafka")
"""They start side by side, and end one after the other, the last one first."""
OWN = ("worker", "api")
"""Our own processes: they start after the bootstrap."""
HEALTHY_WITHIN = 90.0
"""Seconds that parts get to become healthy; Postgres may have to read its WAL after a crash."""


class PartNotHealthy(WardflowError):
    """A part runs, and does not answer."""


def of_sources(settings: Settings) -> dict[str, own.MakeOwn]:
    """The parts that sources bring and the settings want, by name."""
    return {name: make for module in modules("stack") for name, make in module.parts(settings).items()}


def nobody_listens(_: Progress) -> None:
    """Progress that is of interest to nobody."""


class Stack:
    """The parts that run in one folder.

    Attributes:
        settings: with the addresses of those parts that have come up.
        failed: set when a part could not be kept alive.
        on_progress: told whatever happens.
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
        self._credentials = Credentials.load_or_make(folder / "credentials.json")
        self._ports = Ports(folder / "ports.json", on_moved=self._say_moved)
        self._failure: Exception | None = None
        self._supervisors: list[Supervisor] = []
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, *names: str) -> None:
        """Start parts side by side; return when all are healthy. What the settings name elsewhere is left to others.

        Raises:
            WardflowError: one of them does not come up.
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
            self.on_progress(Progress("kafka", "turned off", "by WARDFLOW_KAFKA__ENABLED"))
            names = tuple(name for name in names if name != "kafka")
        for name in names:
            if name in external:
                self.on_progress(Progress(name, "elsewhere", "named by its setting"))
        await self.supervise({name: makers[name] for name in names if name not in external})

    async def supervise(self, makers: dict[str, MakePart]) -> None:
        """Keep parts alive from now on; return when all are healthy for the first time."""
        started = [
            Supervisor(name, make, self._folder, self._stack_file, self.on_progress) for name, make in makers.items()
        ]
        self._supervisors += started
        self._keepers += [asyncio.create_task(self._keep(each)) for each in started]
        deadline = time.monotonic() + HEALTHY_WITHIN
        while late := [each.name for each in started if not each.healthy.is_set()]:
            self.raise_failure()
            if any(each.preparing for each in started):  # a download takes as long as it takes
                deadline = time.monotonic() + HEALTHY_WITHIN
            if time.monotonic() < deadline:
                await asyncio.sleep(0.02)
                continue
            raise _not_healthy([each for each in started if each.name in late])
        self.settings = with_addresses(self.settings, self._stack_file.state)

    def announce(self) -> None:
        """All is there: say so in `stack.json`, for whoever waits."""
        self.on_progress(Progress("stack", "running", str(self._folder / "stack.json")))
        self._stack_file.become("running")  # last: `up --detach` returns when it sees this, and shows all that was said

    def raise_failure(self) -> None:
        """Raise why a part could not be kept alive, if one could not."""
        if self._failure is not None:
            raise self._failure

    async def end(self) -> None:
        """End every part, the one that was started last first."""
        self._stack_file.become("ending")
        self.on_progress(Progress("stack", "ending"))
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for supervisor in reversed(self._supervisors):
            await supervisor.end()
        self.on_progress(Progress("stack", "ended"))

    def _say_moved(self, name: str, sentence: str) -> None:
        self.on_progress(Progress(name, "moved", sentence))

    async def _keep(self, supervisor: Supervisor) -> None:
        try:
            await supervisor.keep_alive()
        except Exception as error:  # noqa: BLE001 - raised again by `raise_failure`, in the task that can end the stack
            self._failure = self._failure or error
            self.failed.set()


@asynccontextmanager
async def claimed(settings: Settings, on_progress: OnProgress = nobody_listens) -> AsyncIterator[Stack]:
    """Claim the settings' folder, clean what a killed stack left there; end the parts when the context ends.

    Raises:
        AlreadyRunning: another process runs the folder's stack.
        MachineLacks, ConfigurationError: this machine cannot run it; nothing has been started.
    """
    folder = make_private_folder(settings.stack.folder)
    with lock.hold(folder):
        end_leftovers(folder)
        stale = read_state(folder)
        stack_file = StackFile(folder / "stack.json")
        stack_file.remove()
        settings = without_stale_addresses(settings, stale)
        identity = await asyncio.to_thread(_look_first, settings, folder)
        stack = Stack(settings, folder, stack_file, identity, on_progress)
        stack_file.put(elsewhere(settings))
        try:
            yield stack
        finally:
            await stack.end()
            stack_file.remove()


@asynccontextmanager
async def embedded_stack(
    settings: Settings, parts: Sequence[str] = SERVERS, on_progress: OnProgress = nobody_listens
) -> AsyncIterator[Settings]:
    """Run servers while the context lasts; yields the settings with their addresses.

    No bootstrap, no worker, no signal handlers. `stack.json` is there meanwhile, so that commands find the servers too.
    """
    async with claimed(settings, on_progress) as stack:
        await stack.start(*parts)
        stack.announce()
        yield stack.settings


async def run_stack(
    settings: Settings,
    *,
    on_progress: OnProgress = nobody_listens,
    bootstrap: Callable[[Settings], Awaitable[object]],
    with_worker: bool = True,
) -> None:
    """Run servers, bootstrap and worker until SIGTERM, SIGINT or SIGHUP, then end them.

    Raises:
        AlreadyRunning: another process runs the folder's stack.
        WardflowError: a part did not come up, or kept dying; everything has been ended then.
    """
    stop = asyncio.Event()
    with _signals_set(stop):
        async with claimed(settings, on_progress) as stack:
            bringing_up = asyncio.create_task(_bring_up(stack, bootstrap, with_worker=with_worker))
            waits = [asyncio.create_task(event.wait()) for event in (stop, stack.failed)]
            try:
                await asyncio.wait({bringing_up, *waits}, return_when=asyncio.FIRST_COMPLETED)
                if bringing_up.done():
                    bringing_up.result()  # raises what went wrong
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                stack.raise_failure()
            finally:
                for task in (bringing_up, *waits):
                    task.cancel()
                await asyncio.gather(bringing_up, *waits, return_exceptions=True)


async def _bring_up(stack: Stack, bootstrap: Callable[[Settings], Awaitable[object]], *, with_worker: bool) -> None:
    # Nothing of the stack needs the parts of sources, so nothing waits for them but the word that all is there.
    beside = asyncio.create_task(stack.start(*of_sources(stack.settings)))
    try:
        await stack.start(*SERVERS)
        stack.on_progress(Progress("bootstrap", "starting"))
        await bootstrap(stack.settings)
        stack.on_progress(Progress("bootstrap", "done"))
        if with_worker:
            await stack.start(*OWN)
        await beside
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
    stack.announce()


def _look_first(settings: Settings, folder: Path) -> Identity:
    """Check before any start that this machine can run the parts; return what Postgres runs as."""
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
        advice="If the machine was only busy, start again. Else mend what the lines above name, then start again.",
    )


@contextmanager
def _signals_set(event: asyncio.Event) -> Iterator[None]:
    """While the context lasts, the signals that end a program set the event instead."""
    loop = asyncio.get_running_loop()
    handled = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup wardflow up` outlives its terminal
        handled.append(signal.SIGHUP)
    for number in handled:
        loop.add_signal_handler(number, event.set)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
