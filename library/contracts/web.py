"""Errors of downloads by URL. No text of theirs holds a URL's query, its fragment or credentials.

WardflowError
├── UrlNotAllowed          the URL itself shows it, without any network (HTTP 422)
├── AddressNotAllowed      what its name leads to
├── DownloadTooLarge
├── UnexpectedContent      an answer, and not the file
├── DownloadRefused        4xx, endless redirects, a certificate of somebody else
└── DownloadUnavailable    (retryable) the network, 5xx, 408, 425, 429
"""

from library.contracts.errors import WardflowError

_BY_HAND = "Open the URL in a browser; if the file is there, save it and upload it."


class UrlNotAllowed(WardflowError):
    """A URL, given or redirected to, that is not downloaded from whatever it would answer."""

    default_advice = "Give the https URL of the file at one of the allowed hosts, or upload the file."


class AddressNotAllowed(WardflowError):
    """The URL's host leads to an address that is not a public one."""

    default_advice = "Check the host's DNS records. A server of your own has to be listed in the settings."


class DownloadTooLarge(WardflowError):
    """The file is larger than the limit; it was not read to its end."""

    default_advice = "Check that the URL is the one of the right file; the limit is a setting."


class UnexpectedContent(WardflowError):
    """The server answered with something else than the kind of file that was asked for."""

    default_advice = _BY_HAND


class DownloadRefused(WardflowError):
    """The server does not give the file out, and would not at a second try.

    Attributes:
        status: the HTTP status, where that is the reason.
    """

    default_advice = _BY_HAND

    def __init__(self, message: str, *, status: int | None = None, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.status = status


class DownloadUnavailable(WardflowError):
    """The file could not be had now: no connection, a broken one, a busy server, no time left.

    Attributes:
        status: the HTTP status, where that is the reason.
        retry_after: seconds that the server asks to wait, bounded; `None` where it says nothing.
    """

    retryable = True
    default_advice = (
        "The download is repeated for some minutes; where its run has failed, start it again, or upload the file."
    )

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None, advice: str = ""
    ) -> None:
        super().__init__(message, advice=advice)
        self.status = status
        self.retry_after = retry_after
