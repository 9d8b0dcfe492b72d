"""A part of the stack: one server process, and all that the supervisor needs to run it."""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

type Entry = dict[str, Any]
"""A part's entry in `stack.json`."""


@dataclass(frozen=True)
class Health:
    """The result of a health check: healthy if `problem` is empty.

    Attributes:
        problem: a sentence with the problem.
        version: the server's version.
    """

    problem: str = ""
    version: str = ""


@dataclass(frozen=True)
class StackPart:
    """One server.

    Attributes:
        name: its name in `stack.json` and in messages, and the name of its log.
        command: the command. It must not contain secrets, since other users can read it.
        environment: the full environment. Nothing is inherited, so a PGPORT or a proxy of the shell has no effect.
        log: the file of standard output and standard error.
        check: the health check.
        entries: its entries in `stack.json`, by name. Process id and log are added to the entry of the part's name.
        address: the address for people, without credentials.
        folder: the server's working folder. The server gets a relative path to its data, since some servers do not
            support all characters or lengths of paths. `None`, for Wardflow's own processes: the folder where the
            stack was started, so that relative paths in settings mean the same files.
        identity: the identity for `leash.py`; empty: the current user.
        end_signal: the signal for a clean end.
        end_seconds: the part is killed if it has not ended after this time.
        orphan_signal: the signal that the system sends if the supervisor dies.
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
class StackEvent:
    """An event while the stack starts, runs or ends.

    Attributes:
        subject: a part's name, or `bootstrap`, or `stack`.
        state: the new state.
        detail: an address or a reason.
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


type OnProgress = Callable[[StackEvent], None]

type MakePart = Callable[[], Awaitable[StackPart]]
"""Prepares a part: data, ports, command. It is called before each start until the part was healthy once."""


def server_environment(**more: str) -> dict[str, str]:
    """The environment of a third-party server: what any program needs, and `more`."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ} | more
