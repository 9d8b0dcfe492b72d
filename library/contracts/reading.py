"""Why a file is not loaded: errors of readers and of the processes that read."""

from typing import ClassVar

from library.contracts.errors import WardflowError


class FileRejected(WardflowError):
    """A file is not loaded because of what is in it. Each source has its own subclasses.

    Attributes:
        details: names of further attributes, texts or numbers, that the reading process hands over with the error.
    """

    details: ClassVar[tuple[str, ...]] = ()
    default_advice = "Compare the file with the one at its source, and send the right one."


class ReaderDied(FileRejected):
    """The process that read the file passed its limit of memory, or crashed."""


class ReaderTimedOut(FileRejected):
    """The process that read the file passed its limit of time."""


class ReaderUnavailable(WardflowError):
    """No process could be started to read a file: no fault of the file."""

    retryable = True
    default_advice = "A run tries again by itself; see the worker's log, and what its machine has left."
