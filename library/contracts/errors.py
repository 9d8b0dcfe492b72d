"""Errors that cross a boundary: each is a type, and a sentence for a person.

WardflowError
├── WorkbookRejected … (library.sources.beds.contracts)
├── ObjectMissing, ObjectDamaged, StoreUnavailable (retryable)
├── LoadRejected
│   ├── ExpectationFailed
│   └── StagedObjectMalformed
├── LoadInterrupted (retryable)
├── HostNotResolved         tried for 15 seconds before
└── ConfigurationError

The class's name is the error's type in Temporal, in `ingest.run` and for scripts: to rename a class is to change the
public face.
"""

from __future__ import annotations  # the checks before an installation run on older Pythons

from typing import ClassVar

MESSAGE_LIMIT = 8_000
"""Characters that an error's text may have: it is stored in histories, whose size is limited."""


class WardflowError(Exception):
    """What went wrong, where, and (as `advice`) what to do about it. Never holds patient data or a cell's content.

    Attributes:
        message: one sentence for a person.
        advice: what the reader of the message can do.
        retryable: whether the same call may succeed later without anybody changing anything.
        retry_after: seconds to wait before, where somebody said so.
    """

    retryable: ClassVar[bool] = False
    retry_after: float | None = None
    default_advice: ClassVar[str] = ""

    def __init__(self, message: str, *, advice: str = "") -> None:
        self.message = message[:MESSAGE_LIMIT]
        self.advice = advice or self.default_advice
        super().__init__(self.message)


class ConfigurationError(WardflowError):
    """A setting is missing, contradicts another or points at nothing."""


class HostNotResolved(WardflowError):
    """The name of a host has not resolved for 15 seconds."""

    default_advice = "Check how the host's name is written, and the DNS of this machine."


class ObjectMissing(WardflowError):
    """An object that a run refers to is not in the store."""

    default_advice = "Send the file again: that lands and stages it anew."


class ObjectDamaged(WardflowError):
    """An object's bytes do not have the size or the sha256 that its reference states."""

    default_advice = "Restore the object from a backup, or delete it and send the file again."


class LoadRejected(WardflowError):
    """A load that cannot succeed by being repeated; nothing of it was loaded."""


class ExpectationFailed(LoadRejected):
    """A row failed an expectation whose action is `fail`."""

    default_advice = (
        "Correct the rows at their source, or change the expectation's action where the dataset is declared."
    )


class StagedObjectMalformed(LoadRejected):
    """What was staged does not fit its datasets: columns, rows, a dataset that is unknown, missing or there twice."""

    default_advice = (
        "The reader and the dataset's declaration disagree: raise the reader's version once they agree again."
    )


class LoadInterrupted(WardflowError):
    """A load that did not come to its commit and may succeed when repeated: a lock not granted, a lost connection."""

    retryable = True
    default_advice = "Nothing to do: the load is repeated by itself."


class StoreUnavailable(WardflowError):
    """The object store cannot be reached or refuses to work."""

    retryable = True
    default_advice = "A run repeats its step until the store is back, a command for two minutes. See `wardflow doctor`."
