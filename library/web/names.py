"""Counts how long a host name has not resolved. After 15 seconds of tries the error is final."""

import socket
import time
from dataclasses import dataclass, field

from library.contracts.errors import HostNotResolved

NAME_MAY_TAKE = 15.0
"""Seconds, over all tries, until a name must resolve. So a command ends within half a minute."""
LOOK_AGAIN_AFTER = 5.0
"""Seconds between two tries of a run's step. Temporal's own pauses would grow each time."""
_NEW_COUNT_AFTER = 30.0
"""After this many seconds without a try, the count begins again, as another run may have begun."""


@dataclass
class FailingNames:
    """The names that do not resolve in this process, with the times of the first and the last failure."""

    _failing: dict[str, tuple[float, float]] = field(default_factory=dict)

    def resolved(self, host: str) -> None:
        """Note that the name was resolved, or that the host was connected to."""
        self._failing.pop(host, None)

    def failed(self, host: str) -> None:
        """Note that the name did not resolve now.

        Raises:
            HostNotResolved: the name has not resolved for `NAME_MAY_TAKE` seconds.
        """
        now = time.monotonic()
        self._failing = {name: each for name, each in self._failing.items() if now - each[1] < _NEW_COUNT_AFTER}
        first = self._failing.get(host, (now, now))[0]
        self._failing[host] = (first, now)
        if now - first >= NAME_MAY_TAKE:
            raise HostNotResolved(
                f"The name of the host {host} does not resolve; it was tried for {NAME_MAY_TAKE:.0f} seconds.",
                advice="Check the host's name in the URL or the setting, and the DNS of the worker's machine. "
                "Then start the run again.",
            )


NAMES = FailingNames()
"""The names of this process. All calls share them."""


def does_not_resolve(error: BaseException | None) -> bool:
    """Whether a connection failed because the host's name does not resolve."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # urllib3 has the cause in `reason`, and has its own error class for a failed look-up.
        if isinstance(error, socket.gaierror) or type(error).__name__ == "NameResolutionError":
            return True
        reason = getattr(error, "reason", None)
        error = error.__cause__ or error.__context__ or (reason if isinstance(reason, BaseException) else None)
    return False
