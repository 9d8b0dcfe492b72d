"""The errors of this program. Each is a type, with a sentence for people.

Exception
├── BatchStale
├── Refused
└── WardflowError
    ├── AccessUnknown (retryable)
    ├── AddressNotAllowed
    ├── AlreadyRunning
    ├── ApiError
    │   ├── Forbidden
    │   ├── NotFound
    │   ├── Unauthenticated
    │   ├── UnderWay
    │   ├── Unprocessable
    │   └── UnsupportedMediaType
    ├── CodeHasChanged
    ├── CommandFailed
    ├── ConfigurationError
    │   ├── KafkaTurnedOff
    │   └── PortBusy
    ├── CursorInvalid
    ├── DatasetUnknown
    ├── DownloadRefused
    ├── DownloadStalled
    ├── DownloadTooLarge
    ├── DownloadUnavailable (retryable)
    ├── FileRejected
    │   ├── ReaderDied
    │   └── ReaderTimedOut
    ├── HostNotResolved
    ├── JarsUnavailable
    ├── KafkaRefused
    │   └── RecordTooLarge
    ├── KafkaUnavailable (retryable)
    │   └── LeaderMissing
    ├── LakeOvertaken (retryable)
    ├── LakeUnavailable (retryable)
    ├── LoadInterrupted (retryable)
    ├── LoadRejected
    │   ├── BatchRefused
    │   ├── ExpectationFailed
    │   ├── StagedObjectMalformed
    │   └── StepFailed
    ├── MachineLacks
    ├── NoLandedObjects
    ├── NoSuchRejection
    ├── NoSuchRow
    ├── NoSuchRun
    ├── NoSuchToken
    ├── NoSuchUser
    ├── NotAKey
    ├── NotAName
    ├── NotAPassword
    ├── NotRecords
    ├── NotRepeatable
    ├── NothingToMerge
    ├── NothingToRepeat
    ├── ObjectDamaged
    ├── ObjectMissing
    ├── OffsetNotHeld
    ├── OffsetOutOfRange
    ├── OutcomeUnknown (retryable)
    ├── PartKeepsDying
    ├── PartNotHealthy
    ├── PostgresTooOld
    ├── QueryRefused
    ├── ReaderUnavailable (retryable)
    ├── RecordNotInLake
    ├── RecordsRefused
    ├── RunSuperseded
    ├── SeveralHeads
    ├── SignInsBusy (retryable)
    ├── SlowedDown
    ├── StackFailed
    ├── StackWontEnd
    ├── StoreUnavailable (retryable)
    ├── StreamUnknown
    ├── SystemRefused
    ├── TablesInUse (retryable)
    ├── TemporalRefused
    ├── TemporalUnavailable (retryable)
    ├── TooFast
    ├── TooManyDownloads (retryable)
    ├── TooManyUnderWay (retryable)
    ├── TopicMadeAnew
    ├── TopicMissing
    ├── UnexpectedContent
    ├── UnexpectedError
    ├── UnreadablePayload
    ├── UrlNotAllowed
    ├── UserExists
    └── WarehouseUnavailable (retryable)

A `WardflowError` crosses boundaries: its class name is the error's type in Temporal, `ingest.run` and for scripts. So a
class must not be renamed. A source's own errors are in its `contracts` or `errors`. Other exceptions are caught
in the room that raises them. A test compares this tree with the classes.
"""

from __future__ import annotations  # the checks before an installation run on older Pythons

from typing import ClassVar

MESSAGE_LIMIT = 8_000
"""Longest text of an error, in characters. The text is stored in histories, and their size is limited."""


class WardflowError(Exception):
    """What went wrong, where, and what to do about it. It never holds patient data or a cell's content.

    Attributes:
        message: one sentence for people.
        advice: what the reader of the message can do.
        retryable: whether the same call may succeed later, with no change of file or settings.
        retry_after: seconds to wait before the retry, if the server stated them.
    """

    retryable: ClassVar[bool] = False
    retry_after: float | None = None
    default_advice: ClassVar[str] = ""

    def __init__(self, message: str, *, advice: str = "") -> None:
        self.message = message[:MESSAGE_LIMIT]
        self.advice = advice or self.default_advice
        super().__init__(self.message)


class ConfigurationError(WardflowError):
    """A setting is missing, contradicts another one, or names something that does not exist."""


class HostNotResolved(WardflowError):
    """The name of a host has not resolved for 15 seconds."""

    default_advice = "Check the spelling of the host's name, and the DNS of this machine."


class ObjectMissing(WardflowError):
    """An object that a run refers to is not in the store."""

    default_advice = "Send the file again. It is then landed and staged again."


class ObjectDamaged(WardflowError):
    """An object's bytes do not have the size or the sha256 that its reference states."""

    default_advice = "Restore the object from a backup, or delete it and send the file again."


class LoadRejected(WardflowError):
    """The load was refused and rolled back. A retry would fail in the same way."""


class ExpectationFailed(LoadRejected):
    """A row failed an expectation whose action is `fail`."""

    default_advice = (
        "Correct the rows at their source, or change the expectation's action where the dataset is declared."
    )


class StagedObjectMalformed(LoadRejected):
    """A staged file does not fit its dataset (columns, rows), or a dataset is unknown, missing or given twice."""

    default_advice = (
        "The reader and the dataset's declaration do not match. Correct one of them and raise the reader's version."
    )


class LoadInterrupted(WardflowError):
    """The load ended before its commit and can be retried: a lock was not granted, or the connection broke."""

    retryable = True
    default_advice = "Nothing to do. The load is retried automatically."


class StoreUnavailable(WardflowError):
    """The object store does not answer, or refuses a request."""

    retryable = True
    default_advice = "A run retries until the store is back, a command for two minutes. See `wardflow doctor`."
