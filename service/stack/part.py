"""A part of the stack: one server process, and all that the supervisor has to know about it."""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

type Entry = dict[str, Any]
"""What `stack.json` says about a part."""


@dataclass(frozen=True)
class Health:
    """The answer to "are you there": healthy when there is no problem.

    Attributes:
        problem: a sentence that says what is missing.
        version: as the server states it.
    """

    problem: str = ""
    version: str = ""


@dataclass(frozen=True)
class Part:
    """One server.

    Attributes:
        name: its name in `stack.json`, in messages and (with `.log`) of its log.
        command: never holds a secret: everybody on the machine can read it.
        environment: all of it; nothing is inherited, so that a PGPORT or a proxy of the caller's shell changes nothing.
        log: where standard output and error go.
        check: asks the server whether it is there.
        entries: what `stack.json` says of it, by name; process id and log are added to that of the part's own name.
        address: for people, without credentials.
        folder: the working folder of a server, which gets its data by a relative path: some servers cannot take
            every character or length in a path. `None`, our own processes: where the stack was started, so that
            relative paths in settings mean the same files for all.
        identity: to run with instead of our own, as `leash.py` takes it.
        end_signal: asks it to end cleanly.
        end_seconds: how long that may take before it is killed.
        orphan_signal: what it gets from the system when the supervisor dies without ending it.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    log: Path
    check: Callable[[], Awaitable[Health]]
    entries: Mapping[str, Entry] = field(repr=False)
    address: str = ""
    folder: Path | None = None
    identity: str = ""
    end_signal: signal.Signals = signal.SIGTERM
    end_seconds: float = 10.0
    orphan_signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True)
class Progress:
    """Something that happened while the stack starts, runs or ends.

    Attributes:
        subject: a part's name, or `bootstrap`, or `stack`.
        state: what it has come to.
        detail: an address, a reason.
    """

    subject: str
    state: Literal[
        "starting",
        "fetching",
        "moved",
        "healthy",
        "elsewhere",
        "turned off",
        "done",
        "died",
        "running",
        "ending",
        "ended",
    ]
    detail: str = ""


type OnProgress = Callable[[Progress], None]

type MakePart = Callable[[], Awaitable[Part]]
"""Makes a part ready to start: data, ports, command. Called again until it was healthy once, then its ports stay."""


def server_environment(**more: str) -> dict[str, str]:
    """The environment of a server that is not ours: what any program needs, and what it was given."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | more
