"""Chooses a server's port: the port of its setting, else the port of last time, else any free port."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from library.contracts.errors import ConfigurationError
from service.stack.files import read_json, write_json
from service.stack.preflight import port_is_free

CANDIDATES = range(12_000, 22_000)
"""With companions 10,000 higher, they stay below the ports of outgoing connections (from 32,768 on in Linux). Such a
port could be taken between this check and the server's bind."""


type OnMoved = Callable[[str, str], object]
"""Called with a server's name, and a sentence with its old and its new address."""


class PortBusy(ConfigurationError):
    """Another process uses a port that a setting names."""


def _ignore(_name: str, _sentence: str) -> None:
    """Do nothing."""


class Ports:
    """The ports of one stack. They are stored in `ports.json`, so that addresses stay the same after a restart."""

    def __init__(self, file: Path, on_moved: OnMoved = _ignore) -> None:
        self._file = file
        self._on_moved = on_moved
        self._chosen: dict[str, int] = {
            name: port for name, port in read_json(file).items() if isinstance(port, int) and 0 < port < 65_536
        }

    @staticmethod
    def check(requested: Mapping[str, int]) -> None:
        """Raise `PortBusy` if another process uses one of the requested ports."""
        for name, port in requested.items():
            if not port_is_free(port):
                raise _busy(name, port)

    def choose(self, name: str, requested: int | None = None, *, companion: int = 0) -> int:
        """Return a free port.

        Args:
            name: the server's name; its port is stored under it.
            requested: the port that a setting names.
            companion: the difference to a second port of the server, which must be free too.

        Raises:
            PortBusy: another process uses the requested port.
        """
        if requested is not None:
            self.check({name: requested})
            port = requested
        else:
            others = {port for other, port in self._chosen.items() if other != name}
            remembered = port = self._chosen.get(name, 0)
            if not _are_free(port, companion, others):
                port = _any_free(companion, others)
                if remembered:
                    self._on_moved(name, _moved(remembered, port, companion))
        if self._chosen.get(name) != port:
            self._chosen[name] = port
            write_json(self._file, self._chosen)
        return port


def _are_free(port: int, companion: int, taken: set[int]) -> bool:
    ports = {port, port + companion}
    return port > 0 and not ports & taken and all(port_is_free(each) for each in ports)


def _any_free(companion: int, taken: set[int]) -> int:
    for _ in range(1_000):
        # A random one, since two stacks that start at the same moment would both take the first free port.
        port = secrets.choice(CANDIDATES)
        if _are_free(port, companion, taken):
            return port
    raise ConfigurationError(
        f"No free port was found between {CANDIDATES.start} and {CANDIDATES.stop} in 1,000 attempts.",
        advice="End programs that use many ports, or choose ports with the settings WARDFLOW_STACK__*_PORT.",
    )


def _moved(old: int, new: int, companion: int) -> str:
    taken = next((port for port in (old, old + companion) if not port_is_free(port)), None)
    reason = (
        f"{_holder(taken)} listens on port {taken} now" if taken else "another part of this stack uses that port now"
    )
    return f"127.0.0.1:{old} → 127.0.0.1:{new}, since {reason}"


def _busy(name: str, port: int) -> PortBusy:
    setting = f"WARDFLOW_STACK__{name.upper()}_PORT"
    return PortBusy(
        f"Port {port} for {name} is busy: {_holder(port)} listens there.",
        advice=f"End that process, or choose another port with {setting} (without the setting any free port is used).",
    )


def _holder(port: int) -> str:
    with suppress(psutil.Error):  # some systems show this to root only
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another process"
