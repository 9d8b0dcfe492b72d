"""Errors of the fhir source. None has patient data in its text.

WardflowError
├── SandboxSilent                         service.sources.fhir
└── FhirError
    ├── AnotherOrigin
    ├── FileDamaged
    ├── InvalidZipcode
    ├── NotABundle
    ├── NotResources
    ├── PageLoops
    ├── PageTooLarge
    ├── PageUnreadable (retryable)        HTML, or JSON that was cut off
    │   └── PageStaysUnreadable           after several tries
    ├── PlanRemoved                       a run was reset to a search long after it ended
    ├── SearchExpired                     a page link has expired; the search begins again
    ├── ServerBusy (retryable)            429, 5xx except 501, or no connection; may state when to retry
    ├── ServerRefused
    └── UnknownServer

ApiError
└── OnSeveralServers
"""

from library.contracts.errors import WardflowError


class FhirError(WardflowError):
    """A server, or one of its pages, cannot be read."""


class InvalidZipcode(FhirError):
    """The text is not a zip code, as the settings define it.

    Attributes:
        field: its field in the request.
    """

    default_advice = "Give a zip code of 5 digits, or 5 and 4; those of other countries are a setting (fhir.zipcode)."

    def __init__(self, message: str, *, field: str = "zipcode") -> None:
        super().__init__(message)
        self.field = field


class UnknownServer(FhirError):
    """No FHIR server of this name is in the settings.

    Attributes:
        field: its field in the request.
    """

    field = "server"
    default_advice = "Name a server of the settings (fhir.servers), or none for the default one."


class ServerBusy(FhirError):
    """The server does not answer now: too many requests, an error of the server, or no connection.

    Attributes:
        retry_after: seconds that the server asks to wait, up to a limit; `None` if it states none.
    """

    retryable = True
    default_advice = "Nothing to do if the server comes back: the call is repeated."

    def __init__(self, message: str, *, retry_after: float | None = None, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.retry_after = retry_after


class PageUnreadable(FhirError):
    """The answer is not JSON, or was cut off."""

    retryable = True
    default_advice = "Nothing to do if it was cut off: the call is repeated. Else look at what the server answers."


class PageStaysUnreadable(PageUnreadable):
    """The answer was not JSON in any of several tries."""

    retryable = False
    default_advice = "Look at what the server, or a proxy before it, answers to such a call; then start the run again."


class PageTooLarge(FhirError):
    """A page is too large, or nested too deeply."""

    default_advice = "Ask for fewer resources a page (fhir.page_size), or allow more bytes (fhir.max_page_bytes)."


class FileDamaged(FhirError):
    """A file's compression is damaged, or the file was cut off."""

    default_advice = "Send the file again, whole."


class NotResources(FhirError):
    """The file does not contain resources: too many of its lines cannot be read."""

    default_advice = "Send NDJSON: a resource as JSON on each line."


class NotABundle(FhirError):
    """The answer is JSON, but not a Bundle of search results."""

    default_advice = "Check that the server's base URL is the one of a FHIR R4 server."


class ServerRefused(FhirError):
    """The server answered with an OperationOutcome, or with a status that a retry does not change.

    Attributes:
        status: the HTTP status.
        redirect: the URL that the server redirects to, at another origin; empty if it does not.
    """

    default_advice = "The codes say what the server did not like: its address, the credentials, a parameter."

    def __init__(self, message: str, *, status: int | None = None, redirect: str = "", advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.status = status
        self.redirect = redirect


class AnotherOrigin(FhirError):
    """The link of the next page leads to another server."""

    default_advice = (
        "Where a server behind a proxy names itself otherwise, list that origin in the server's next_origins."
    )


class PageLoops(FhirError):
    """The pages of a search are repeated, or too many of them are empty."""

    default_advice = (
        "The server's paging is at fault: try another page size, and report it to the operator of the server."
    )


class PlanRemoved(FhirError):
    """The patients that a run has found are no longer stored, so its searches cannot be repeated."""

    default_advice = "Repeat the run from its first step, or import the zip code again."


class SearchExpired(FhirError):
    """The server no longer knows the link of a page."""

    default_advice = "The search is begun again a few times; a larger page size makes it shorter."
