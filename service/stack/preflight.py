"""Checks what this machine must have, before anything is installed or started.

`python -m service.stack.preflight [development]` is the first step of an installation. So it imports only the standard
library and `library.contracts.errors`, and runs on Python 3.8.
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
from service.stack.identity import check_before_install

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_GIB = 1024**3
DISK_FOR_PROGRAMS = int(1.6 * _GIB)
"""Disk space of the environment with all packages of the tests."""
DISK_FOR_DATA = int(0.4 * _GIB)
"""Disk space of the servers without data: Postgres's first WAL, and Kafka's jars."""
MEMORY = int(1.2 * _GIB)
"""Memory of the servers, a worker and the API when they are idle."""

CHECKOUT = Path(__file__).resolve().parents[2]
_SETTING = "WARDFLOW_STACK__"
_SETTINGS_OF_OTHER_SERVERS = {
    "postgres": "WARDFLOW_POSTGRES__DSN",
    "temporal": "WARDFLOW_TEMPORAL__ADDRESS",
    "s3": "WARDFLOW_S3__URL",
    "kafka": "WARDFLOW_KAFKA__BOOTSTRAP_SERVERS",
}
"""Settings that name an external server. That part then needs nothing on this machine."""
_MEMORY_OF_CONTAINER = Path("/sys/fs/cgroup")


class MachineLacks(WardflowError):
    """This machine does not have what the stack needs. Nothing was installed or started."""


@dataclass(frozen=True)
class Needs:
    """What will be installed or started.

    Attributes:
        folder: the stack's folder; it may be missing.
        first_start: whether the servers will create their data, which needs disk space and memory.
        ports: the ports of settings, by the names of their parts.
        install_into: the checkout where packages will be installed; `None`: they are installed.
        postgres: whether Postgres will run on this machine.
        user: the user of Postgres that a setting names.
    """

    folder: Path
    first_start: bool = False
    ports: Mapping[str, int] = field(default_factory=dict)
    install_into: Path | None = None
    postgres: bool = False
    user: str | None = None


def check(needs: Needs) -> None:
    """Check everything that can be checked without starting a server.

    Raises:
        MachineLacks: one line for each thing that is missing, with advice.
    """
    lacks = list(_lacks(needs))
    if lacks:
        raise MachineLacks("\n".join(lacks), advice="Nothing was installed or started. Fix this, then try again.")


def nearest_existing(folder: Path) -> Path:
    """The folder itself, or the nearest existing folder above it."""
    return next(each for each in (folder, *folder.parents) if os.path.exists(each))  # noqa: PTH110 - pathlib raises where it may not look


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the port now, on loopback."""
    with socket.socket() as probe:
        # As servers do, so that old connections in TIME_WAIT do not count.
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
            check_before_install(nearest_existing(needs.folder), needs.install_into, needs.user)
        except ConfigurationError as error:
            yield f"{error.message} {error.advice}"
    yield from no_place
    available = _available_memory() if needs.first_start else None
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
    folders = {needs.folder: ("the data", "choose another folder by WARDFLOW_STACK__FOLDER")}
    sizes = {needs.folder: DISK_FOR_DATA if needs.first_start else 0}
    if needs.install_into is not None:
        folders[needs.install_into] = ("the packages", "move the checkout")
        is_there = (needs.install_into / ".venv").exists()
        sizes[needs.install_into] = 0 if is_there else DISK_FOR_PROGRAMS
    needed: dict[int, int] = {}
    for folder, (what, way_out) in folders.items():
        place = nearest_existing(folder)
        if not _can_write(place):
            yield f"Folder: {place}, for {what}, cannot be written to. Give this user the right to, or {way_out}."
            continue
        disk = place.stat().st_dev
        needed[disk] = needed.get(disk, 0) + sizes[folder]  # both can lie on the same disk
        free = shutil.disk_usage(place).free
        if free < needed[disk]:
            yield (
                f"Disk: {_size(free)} are free in {place}, {_size(needed[disk])} are needed for {what}. "
                f"Make room, or {way_out}."
            )


def _can_write(folder: Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _available_memory() -> int | None:
    """Memory that is available, in bytes, as Linux states it; `None` on other systems."""
    found = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        found += _left_in_container()
    except (OSError, ValueError, KeyError):
        pass  # not Linux, or no cgroup of version 2: use what was found before
    return min(found, default=None)


def _left_in_container() -> list[int]:
    """Memory that is left below a container's limit. File caches count as available."""
    limit = (_MEMORY_OF_CONTAINER / "memory.max").read_text(encoding="ascii").strip()
    if limit == "max":
        return []
    lines = (_MEMORY_OF_CONTAINER / "memory.stat").read_text(encoding="ascii").splitlines()
    parts = {name: int(value) for name, value in map(str.split, lines)}
    caches = sum(parts[name] for name in ("inactive_file", "active_file", "slab_reclaimable"))
    used = int((_MEMORY_OF_CONTAINER / "memory.current").read_text(encoding="ascii"))
    return [int(limit) - used + caches]


def _size(count: int) -> str:
    return f"{count / _GIB:.1f} GiB"


def _needs_by_environment(*, for_tests: bool) -> Needs:
    """Read the stack's settings from the environment, since pydantic is not installed yet."""
    folder = Path(os.environ.get(_SETTING + "FOLDER") or CHECKOUT / ".wardflow").expanduser().absolute()
    elsewhere = {part for part, setting in _SETTINGS_OF_OTHER_SERVERS.items() if os.environ.get(setting)}
    ports = {
        name[len(_SETTING) : -len("_PORT")].lower(): int(value)
        for name, value in os.environ.items()
        if name.startswith(_SETTING) and name.endswith("_PORT") and value.isdigit()
    }
    runs = os.path.exists(folder / "stack.json")  # noqa: PTH110 - then it has its ports and its memory already
    return Needs(
        folder,
        first_start=not (for_tests or runs or os.path.exists(folder / "postgres")),  # noqa: PTH110 - as above
        ports={} if runs or for_tests else {name: port for name, port in ports.items() if name not in elsewhere},
        install_into=CHECKOUT,
        postgres="postgres" not in elsewhere,
        user=os.environ.get(_SETTING + "USER"),
    )


def main() -> None:
    """Check before an installation; exit with 1 and one sentence for each lack."""
    try:
        check(_needs_by_environment(for_tests="development" in sys.argv))
    except MachineLacks as error:
        sys.exit(f"{error.message}\n{error.advice}")


if __name__ == "__main__":
    main()
