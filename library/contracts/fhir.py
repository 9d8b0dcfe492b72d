"""What the FHIR source sends across boundaries: reasons to refuse a page.

FhirError
├── PageUnreadable (retryable)
├── PageTooLarge
├── NotABundle
└── ServerRefused
"""

from typing import ClassVar

from library.contracts.errors import WardflowError


class FhirError(WardflowError):
    """A server, or a page of it, that cannot be read."""


class PageUnreadable(FhirError):
    """What came is no JSON: it was cut off on its way, or it is a web page."""

    retryable: ClassVar[bool] = True
    default_advice: ClassVar[str] = "Look whether the address is that of a FHIR server, and not of its web pages."


class PageTooLarge(FhirError):
    """A page that is larger than one can be, or nested more deeply."""

    default_advice: ClassVar[str] = "Ask the server for fewer resources a page."


class NotABundle(FhirError):
    """What came is JSON, but no Bundle of FHIR."""

    default_advice: ClassVar[str] = "Look whether the address is the base of a FHIR R4 server."


class ServerRefused(FhirError):
    """The server answered with an OperationOutcome, or with a status that a repeat does not change."""

    default_advice: ClassVar[str] = "The server says what it does not like; look whether it supports this search."
