"""A terminal for a test: one bash with its variables, folder and background jobs."""

import os
import re
import secrets
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Printed:
    """What a command printed, on both of its outputs, and its exit code."""

    text: str
    code: int


class ShellStopped(Exception):
    """The shell ended, or a command took too long."""


class Shell:
    """Runs commands one after the other, as a person would type them."""

    def __init__(self, process: subprocess.Popen[bytes], scratch: Path) -> None:
        self._process = process
        self._scratch = scratch
        self._runs = 0
        self._code = 0

    @classmethod
    @contextmanager
    def opened(cls, folder: Path, environment: Mapping[str, str], scratch: Path) -> Iterator["Shell"]:
        """A shell in a folder. What it left running ends with it.

        Args:
            folder: where its commands run.
            environment: their environment.
            scratch: an empty folder for its own files.
        """
        with subprocess.Popen(
            ["bash", "--noprofile", "--norc", "-o", "pipefail"],  # noqa: S607
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process:
            try:
                yield cls(process, scratch)
            finally:
                # Its process group has the id of the shell: no other process can be in it.
                os.killpg(process.pid, signal.SIGKILL)

    def run(self, command: str, *, within: float) -> Printed:
        """Run a command to its end.

        Raises:
            ShellStopped: it took longer than `within` seconds, or ended the shell.
        """
        self._runs += 1
        file = self._scratch / f"command-{self._runs}"
        file.write_text(command + "\n")
        mark = secrets.token_hex(16)
        # `$?` is that of the command before, since a page may print it.
        self._type(f"(exit {self._code}); source {file} </dev/null; printf '\\n%s %d\\n' {mark} $?\n")
        text, self._code = self._until(mark, within)
        return Printed(text, self._code)

    def _type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode())
        self._process.stdin.flush()

    def _until(self, mark: str, within: float) -> tuple[str, int]:
        assert self._process.stdout is not None
        printed, until = b"", time.monotonic() + within
        while (end := re.search(rb"\n" + mark.encode() + rb" (\d+)\n", printed)) is None:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0.0, until - time.monotonic()))
            more = os.read(self._process.stdout.fileno(), 65_536) if ready else b""
            if not more:
                what = "ended the shell" if ready else f"took longer than {within:.0f} s"
                raise ShellStopped(f"The command {what}. It printed:\n{printed.decode(errors='replace')}")
            printed += more
        return printed[: end.start()].decode(errors="replace"), int(end[1])
