"""Exit codes of commands, for scripts. docs/operate.md explains them."""

from collections.abc import Collection
from enum import IntEnum
from typing import Protocol

from library.contracts.errors import HostNotResolved, WardflowError
from library.contracts.loads import LoadOutcome


class Exit(IntEnum):
    """Exit codes."""

    DONE = 0
    FAILED = 1
    WRONG_USAGE = 2
    PARTLY_LOADED = 3
    SERVER_AWAY = 4
    INTERRUPTED = 130


class Ended(Protocol):
    """The end of one file or import."""

    @property
    def completed(self) -> bool:
        """Whether its run has completed."""

    @property
    def result(self) -> str:
        """The result of its run."""

    @property
    def server_away(self) -> bool:
        """Whether a server was away for too long."""


def exit_of_error(error: WardflowError) -> Exit:
    """The exit code of a command that ends with an error."""
    return Exit.SERVER_AWAY if error.retryable or isinstance(error, HostNotResolved) else Exit.FAILED


def exit_of_all(ended: Collection[Ended]) -> Exit:
    """The exit code of a command that loads several files or imports."""
    if all(each.completed for each in ended):
        return Exit.PARTLY_LOADED if any(each.result == LoadOutcome.INCOMPLETE for each in ended) else Exit.DONE
    if any(each.completed for each in ended):
        return Exit.PARTLY_LOADED
    return Exit.SERVER_AWAY if all(each.server_away for each in ended) else Exit.FAILED
