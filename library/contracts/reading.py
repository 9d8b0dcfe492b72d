"""Errors of readers, and of the child processes in which readers run."""

from typing import ClassVar

from library.contracts.errors import WardflowError


class FileRejected(WardflowError):
    """A file cannot be loaded because of its content. Each source has its own subclasses.

    Attributes:
        details: names of further attributes (texts or numbers) that the child process sends with the error.
    """

    details: ClassVar[tuple[str, ...]] = ()
    default_advice = "Compare the file with the original, and send the correct one."


class ReaderDied(FileRejected):
    """The child process that read the file used too much memory, or crashed."""


class ReaderTimedOut(FileRejected):
    """The child process that read the file took too long."""


class ReaderUnavailable(WardflowError):
    """No child process could be started to read the file. The file is not the cause."""

    retryable = True
    default_advice = "A run retries automatically. See the worker's log, and the free memory of its machine."
