"""What this machine must have, looked at before anything is installed or started: one sentence for each lack.

`python -m service.stack.preflight` is the first step of an installation: it imports nothing but the standard library
and our errors, and runs on Python 3.8.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from library.contracts.errors import ConfigurationError, WardflowError
from service.stack.identity import foresee

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_GIB = 1024**3
DISK_FOR_PROGRAMS = int(1.6 * _GIB)
"""What the environment takes with all packages of the tests."""
DISK_FOR_DATA = int(0.4 * _GIB)
"""What the servers take before any data: Postgres writes its first WAL, Kafka its jars."""
MEMORY = int(1.2 * _GIB)
"""What the servers, a worker and the API take at rest."""

CHECKOUT = Path(__file__).resolve().parents[2]
_SETTING = "WARDFLOW_STACK__"
_NAMED_ELSEWHERE = {
    "postgres": "WARDFLOW_POSTGRES__DSN",
    "temporal": "WARDFLOW_TEMPORAL__ADDRESS",
    "s3": "WARDFLOW_S3__URL",
    "kafka": "WARDFLOW_KAFKA__BOOTSTRAP_SERVERS",
}
"""Settings that say that somebody else runs a part: then it needs nothing here."""


class MachineLacks(WardflowError):
    """This machine does not have what the stack needs; nothing was installed or started."""


@dataclass(frozen=True)
class Needs:
    """What is going to happen here.

    Attributes:
        folder: the stack's folder; it may be missing.
        ports: that were asked for, by the names of their parts.
        install_into: the checkout where packages will be installed; `None`: they are installed.
        postgres: whether a Postgres will be installed that runs here.
        user: who shall run it, as a setting names.
    """

    folder: Path
    ports: Mapping[str, int] = field(default_factory=dict)
    install_into: Path | None = None
    postgres: bool = False
    user: str | None = None


def check(needs: Needs) -> None:
    """Check all that can be checked without starting anything.

    Raises:
        MachineLacks: one line for each lack, with how to mend it.
    """
    lacks = list(_lacks(needs))
    if lacks:
        raise MachineLacks("\n".join(lacks), advice="Nothing was installed or started. Mend this, and try again.")


def existing(folder: Path) -> Path:
    """The folder itself, or the nearest folder above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port now, on loopback."""
    with socket.socket() as probe:
        # As servers do: connections of a former server that linger in TIME_WAIT keep nobody from listening.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _lacks(needs: Needs) -> Iterator[str]:
    no_place = list(_lacks_of_place(needs))
    if needs.install_into is not None and needs.postgres and not no_place:
        try:
            foresee(existing(needs.folder), needs.install_into, needs.user)
        except ConfigurationError as error:
            yield f"{error.message} {error.advice}"
    yield from no_place
    available = _available_memory()
    if available is not None and available < MEMORY:
        yield (
            f"Memory: {_size(available)} are available, {_size(MEMORY)} are needed. "
            "End other programs, or give this machine more memory."
        )
    for name, port in needs.ports.items():
        setting = f"{_SETTING}{name.upper()}_PORT"
        if not 0 < port < 65_536:
            yield f"Port: {setting} is {port}. Give a number from 1 to 65535."
        elif not port_is_free(port):
            yield f"Port: {port}, which {setting} names, is busy. End what listens there, or name another port."


def _lacks_of_place(needs: Needs) -> Iterator[str]:
    wanted = {needs.folder: ("the data", "choose another folder by WARDFLOW_STACK__FOLDER", DISK_FOR_DATA)}
    if needs.install_into is not None:
        wanted[needs.install_into] = ("the packages", "move the checkout", DISK_FOR_PROGRAMS)
    for folder, (what, way_out, needed) in wanted.items():
        place = existing(folder)
        if not _can_write(place):
            yield f"Folder: {place}, for {what}, cannot be written to. Give this user the right to, or {way_out}."
            continue
        free = shutil.disk_usage(place).free
        if free < needed:
            yield (
                f"Disk: {_size(free)} are free in {place}, {_size(needed)} are needed for {what}. "
                f"Make room, or {way_out}."
            )


def _can_write(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _available_memory() -> int | None:
    """Bytes that programs can still take, as Linux tells; a container can have less than its machine."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit != "max":
            found.append(int(limit) - int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii")))
    except (OSError, ValueError):
        pass  # no Linux, or no cgroup of version 2: what was found until here counts
    return min(found, default=None)


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB"


def _asked_by_environment() -> Needs:
    """The same settings as `config.servers.StackSettings`, which cannot be imported before pydantic is installed."""
    folder = Path(os.environ.get(_SETTING + "FOLDER") or CHECKOUT / ".wardflow")
    elsewhere = {part for part, setting in _NAMED_ELSEWHERE.items() if os.environ.get(setting)}
    ports = {
        name[len(_SETTING) : -len("_PORT")].lower(): int(value)
        for name, value in os.environ.items()
        if name.startswith(_SETTING) and name.endswith("_PORT") and value.isdigit()
    }
    runs = (folder / "stack.json").exists()  # then it has these ports already
    return Needs(
        folder.absolute(),
        {} if runs else {name: port for name, port in ports.items() if name not in elsewhere},
        install_into=CHECKOUT,
        postgres="postgres" not in elsewhere,
        user=os.environ.get(_SETTING + "USER"),
    )


def main() -> None:
    """Check before an installation; exit with 1 and sentences on standard error where something is missing."""
    try:
        check(_asked_by_environment())
    except MachineLacks as error:
        sys.exit(f"{error.message}\n{error.advice}")


if __name__ == "__main__":
    main()
