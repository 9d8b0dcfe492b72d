"""Keeps one part alive: starts it, watches it, starts it again on the same port and data when it has died."""

import asyncio
import subprocess
import time
from collections import deque
from pathlib import Path

from library.contracts.errors import WardflowError
from service.stack.files import tail
from service.stack.part import MakePart, OnProgress, Part, Progress
from service.stack.processes import end, start
from service.stack.state import StackFile

DEATHS = 5
WITHIN_SECONDS = 60.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0

_CAUSES = {
    "no space left on device": "The disk is full. Make room, then start again: what is done stays done.",
    "permission denied": "It may not use a file that the lines above name. Check whose it is, and its mode.",
    "read-only file system": "The data lie on a read-only disk. Choose another folder by WARDFLOW_STACK__FOLDER.",
    "address already in use": "Another process took its port. Start again, or name a port by WARDFLOW_STACK__*_PORT.",
    "cannot allocate memory": "The machine has too little memory. End other programs, then start again.",
    "outofmemoryerror": "The machine has too little memory. End other programs, then start again.",
}
"""What servers write last before they end, and what to do about it."""


class PartKeepsDying(WardflowError):
    """A part died so often in so short a time that starting it again makes no sense."""


class Supervisor:
    """One part and its process.

    Attributes:
        healthy: set while the process answers.
        preparing: while the part is made ready to start.
    """

    def __init__(self, name: str, make: MakePart, folder: Path, stack_file: StackFile, on_progress: OnProgress) -> None:
        self.name = name
        self.healthy = asyncio.Event()
        self.preparing = False
        self._make = make
        self._folder = folder
        self._stack_file = stack_file
        self._on_progress = on_progress
        self._part: Part | None = None
        self._problem = ""
        self._process: subprocess.Popen[bytes] | None = None

    async def keep_alive(self) -> None:
        """Start the part, and again whenever it has died; for ever, to be cancelled before `end`.

        Raises:
            PartKeepsDying: five deaths within a minute.
        """
        deaths: deque[float] = deque(maxlen=DEATHS)
        settled = False
        self._on_progress(Progress(self.name, "starting"))
        while True:
            if self._part is None or not settled:
                # Not only the first time: a port can be taken by others between the choice and the server's bind.
                self.preparing = True
                self._part = await self._make()
                self.preparing = False
            settled = await self._live(self._part) or settled
            deaths.append(time.monotonic())
            reason = f"it ended with {_named(self._process)}"
            if len(deaths) == DEATHS and deaths[-1] - deaths[0] < WITHIN_SECONDS:
                raise _keeps_dying(self._part, reason)
            recent = sum(deaths[-1] - death < WITHIN_SECONDS for death in deaths)
            pause = min(FIRST_PAUSE * 2 ** (recent - 1), LONGEST_PAUSE)
            self._on_progress(Progress(self.name, "died", f"{reason}; it is started again in {pause:.1f} s"))
            await asyncio.sleep(pause)

    async def end(self) -> None:
        """End the process."""
        if self._part is not None and self._process is not None:
            await end(self._process, self._part)
            self._on_progress(Progress(self.name, "ended"))
        self.healthy.clear()

    def report(self) -> str:
        """What a part that is not healthy says of itself: its last answer, and the end of its log."""
        if self._part is None:
            return f"{self.name} is still being made ready to start."
        return f"{self.name}: {self._problem} The end of its log {self._part.log}:\n{tail(self._part.log)}"

    async def _live(self, part: Part) -> bool:
        """One life of the process; return whether it was ever healthy."""
        began = time.monotonic()
        self._process = start(part, self._folder)
        self._write(part, pid=self._process.pid)
        was_healthy = False
        # Polled, not awaited: so no event loop owns the process, and a test session may keep servers across its loops.
        while self._process.poll() is None:
            if not was_healthy:
                self._problem = (await part.check()).problem
            if not was_healthy and not self._problem and self._process.poll() is None:
                was_healthy = True
                self.healthy.set()
                took = time.monotonic() - began
                self._on_progress(Progress(self.name, "healthy", f"{part.address} ({took:.1f} s)"))
            await asyncio.sleep(0.1 if was_healthy else 0.03)
        self.healthy.clear()
        self._write(part, pid=None)
        return was_healthy

    def _write(self, part: Part, *, pid: int | None) -> None:
        about_process = {"log": str(part.log)} if pid is None else {"pid": pid, "log": str(part.log)}
        entries = {name: dict(entry) for name, entry in part.entries.items()}
        entries[part.name] = entries.get(part.name, {}) | about_process
        self._stack_file.put(entries)


def _keeps_dying(part: Part, reason: str) -> PartKeepsDying:
    return PartKeepsDying(
        f"{part.name} died {DEATHS} times within {WITHIN_SECONDS:.0f} seconds; the last time {reason}. "
        f"The end of its log {part.log}:\n{tail(part.log)}",
        advice=_advice(tail(part.log)),
    )


def _advice(end_of_log: str) -> str:
    for words, advice in _CAUSES.items():
        if words in end_of_log.lower():
            return advice
    return "The lines above are its own words. Mend what they name, then start again: what is done stays done."


def _named(process: subprocess.Popen[bytes] | None) -> str:
    code = process.returncode if process else None
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
