"""Keeps one part running: starts it, and starts it again with the same port and data when it has died."""

import asyncio
import subprocess
import time
from collections import deque
from pathlib import Path

from library.contracts.errors import WardflowError
from service.stack.files import tail
from service.stack.part import MakePart, OnProgress, StackEvent, StackPart
from service.stack.processes import end, start
from service.stack.state import StackFile

DEATHS = 5
WITHIN_SECONDS = 60.0
FIRST_PAUSE = 0.2
LONGEST_PAUSE = 5.0

_CAUSES = {
    "no space left on device": "The disk is full. Make room, then start again: finished work is kept.",
    "permission denied": "It has no permission for a file that the lines above name. Check its owner and its mode.",
    "read-only file system": "The data are on a read-only disk. Choose another folder with WARDFLOW_STACK__FOLDER.",
    "address already in use": "Another process took its port. Start again, or set a port with WARDFLOW_STACK__*_PORT.",
    "cannot allocate memory": "The machine has too little memory. End other programs, then start again.",
    "outofmemoryerror": "The machine has too little memory. End other programs, then start again.",
}
"""The last words of servers in their logs, and what to do."""


class PartKeepsDying(WardflowError):
    """A part died so often in a short time that it is not started again."""


class Supervisor:
    """One part and its process.

    Attributes:
        healthy: set while the process is healthy.
        preparing: `True` while the part is prepared.
    """

    def __init__(self, name: str, make: MakePart, folder: Path, stack_file: StackFile, on_progress: OnProgress) -> None:
        self.name = name
        self.healthy = asyncio.Event()
        self.preparing = False
        self._make = make
        self._folder = folder
        self._stack_file = stack_file
        self._on_progress = on_progress
        self._part: StackPart | None = None
        self._problem = ""
        self._process: subprocess.Popen[bytes] | None = None

    async def keep_alive(self) -> None:
        """Start the part, and start it again when it has died. Runs until it is cancelled, before `end`.

        Raises:
            PartKeepsDying: five deaths within a minute.
        """
        deaths: deque[float] = deque(maxlen=DEATHS)
        settled = False
        self._on_progress(StackEvent(self.name, "starting"))
        while True:
            if self._part is None or not settled:
                # Repeated until the part was healthy, since another process may take the port before the server does.
                self.preparing = True
                self._part = await self._make()
                self.preparing = False
            settled = await self._run_once(self._part) or settled
            deaths.append(time.monotonic())
            reason = f"it ended with {_named(self._process)}"
            if len(deaths) == DEATHS and deaths[-1] - deaths[0] < WITHIN_SECONDS:
                raise _keeps_dying(self._part, reason)
            recent = sum(deaths[-1] - death < WITHIN_SECONDS for death in deaths)
            pause = min(FIRST_PAUSE * 2 ** (recent - 1), LONGEST_PAUSE)
            self._on_progress(StackEvent(self.name, "died", f"{reason}; it will be started again in {pause:.1f} s"))
            await asyncio.sleep(pause)

    async def end(self) -> None:
        """End the process."""
        if self._part is not None and self._process is not None:
            await end(self._process, self._part)
            self._on_progress(StackEvent(self.name, "ended"))
        self.healthy.clear()

    def report(self) -> str:
        """The state of a part that is not healthy: its last problem, and the end of its log."""
        if self._part is None:
            return f"{self.name} is still being prepared."
        return f"{self.name}: {self._problem} The end of its log {self._part.log}:\n{tail(self._part.log)}"

    async def _run_once(self, part: StackPart) -> bool:
        """Start the process and wait for its end. Return whether it was ever healthy."""
        began = time.monotonic()
        self._process = start(part, self._folder)
        self._write(part, pid=self._process.pid)
        was_healthy = False
        # Polled, so that no event loop owns the process, and tests can keep servers across event loops.
        while self._process.poll() is None:
            if not was_healthy:
                self._problem = (await part.check()).problem
            if not was_healthy and not self._problem and self._process.poll() is None:
                was_healthy = True
                self.healthy.set()
                took = time.monotonic() - began
                self._on_progress(StackEvent(self.name, "healthy", f"{part.address} ({took:.1f} s)"))
            await asyncio.sleep(0.1 if was_healthy else 0.03)
        self.healthy.clear()
        self._write(part, pid=None)
        return was_healthy

    def _write(self, part: StackPart, *, pid: int | None) -> None:
        about_process = {"log": str(part.log)} if pid is None else {"pid": pid, "log": str(part.log)}
        entries = {name: dict(entry) for name, entry in part.entries.items()}
        entries[part.name] = entries.get(part.name, {}) | about_process
        self._stack_file.put(entries)


def _keeps_dying(part: StackPart, reason: str) -> PartKeepsDying:
    return PartKeepsDying(
        f"{part.name} died {DEATHS} times within {WITHIN_SECONDS:.0f} seconds; the last time {reason}. "
        f"The end of its log {part.log}:\n{tail(part.log)}",
        advice=_advice(tail(part.log)),
    )


def _advice(end_of_log: str) -> str:
    for words, advice in _CAUSES.items():
        if words in end_of_log.lower():
            return advice
    return "The lines above are from its log. Fix what they name, then start again: finished work is kept."


def _named(process: subprocess.Popen[bytes] | None) -> str:
    code = process.returncode if process else None
    return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
