"""Which port a server gets: the one asked for, else the one it had last time, else any free one."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from library.contracts.errors import ConfigurationError
from service.stack.files import read_json, write_json
from service.stack.preflight import port_is_free

CANDIDATES = range(12_000, 22_000)
"""With companions 10,000 higher they stay below the ports that systems give to outgoing connections (32,768 and up
on Linux): such a one can become busy between our look and the server's bind."""


type OnMoved = Callable[[str, str], object]
"""Called with the name of a server, and a sentence about its old and its new address."""


class PortBusy(ConfigurationError):
    """A port that was asked for is held by another process."""


def _ignore(_name: str, _sentence: str) -> None:
    """Do nothing."""


class Ports:
    """The ports of one stack; remembered in `ports.json`, so that addresses survive a restart."""

    def __init__(self, file: Path, on_moved: OnMoved = _ignore) -> None:
        self._file = file
        self._on_moved = on_moved
        self._chosen: dict[str, int] = {
            name: port for name, port in read_json(file).items() if isinstance(port, int) and 0 < port < 65_536
        }

    @staticmethod
    def check(asked: Mapping[str, int]) -> None:
        """Raise `PortBusy` for the first port that was asked for and is held by another process."""
        for name, port in asked.items():
            if not port_is_free(port):
                raise _busy(name, port)

    def choose(self, name: str, asked: int | None = None, *, companion: int = 0) -> int:
        """Return a free port.

        Args:
            name: of the server; its port is remembered by it.
            asked: by a setting.
            companion: how much higher the server takes a second port, which has to be free too.

        Raises:
            PortBusy: a port that was asked for is held by somebody.
        """
        if asked is not None:
            self.check({name: asked})
            port = asked
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
        # At random: two stacks that start at the same moment would both take the first free one.
        port = secrets.choice(CANDIDATES)
        if _are_free(port, companion, taken):
            return port
    raise ConfigurationError(
        f"No free port was found between {CANDIDATES.start} and {CANDIDATES.stop} in 1,000 attempts.",
        advice="End what holds so many ports, or name ports by the settings WARDFLOW_STACK__*_PORT.",
    )


def _moved(old: int, new: int, companion: int) -> str:
    taken = next((port for port in (old, old + companion) if not port_is_free(port)), None)
    reason = (
        f"{_holder(taken)} listens on port {taken} now" if taken else "another part of this stack has that port now"
    )
    return f"127.0.0.1:{old} → 127.0.0.1:{new}, since {reason}"


def _busy(name: str, port: int) -> PortBusy:
    setting = f"WARDFLOW_STACK__{name.upper()}_PORT"
    return PortBusy(
        f"Port {port} for {name} is busy: {_holder(port)} listens there.",
        advice=f"End that process, or choose another port by {setting} (without that setting any free port is taken).",
    )


def _holder(port: int) -> str:
    with suppress(psutil.Error):  # not every system tells a normal user who listens
        for connection in psutil.net_connections(kind="tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return "another process"
