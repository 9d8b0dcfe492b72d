"""Errors of downloads by URL. Their texts never hold a URL's query, its fragment or credentials."""

from library.contracts.errors import WardflowError

_BY_HAND = "Open the URL in a browser. If the file is there, save it and upload it."


class UrlNotAllowed(WardflowError):
    """The URL, or one that it redirects to, must not be downloaded. Checked without any network (HTTP 422)."""

    default_advice = "Give the https URL of the file at one of the allowed hosts, or upload the file."


class AddressNotAllowed(WardflowError):
    """The URL's host resolves to an address that is not public."""

    default_advice = "Check the host's DNS records. A server of your own must be listed in the settings."


class DownloadTooLarge(WardflowError):
    """The file is larger than the limit. The download was stopped."""

    default_advice = "Check that the URL is correct. The limit is a setting."


class UnexpectedContent(WardflowError):
    """The server's answer is not a file of the expected kind."""

    default_advice = _BY_HAND


class DownloadRefused(WardflowError):
    """The server refuses the file for good: 4xx, too many redirects, or a wrong certificate.

    Attributes:
        status: the HTTP status, where that is the reason.
    """

    default_advice = _BY_HAND

    def __init__(self, message: str, *, status: int | None = None, advice: str = "") -> None:
        super().__init__(message, advice=advice)
        self.status = status


class DownloadUnavailable(WardflowError):
    """The download failed for now: the network, a time-out, or an answer 5xx, 408, 425 or 429.

    Attributes:
        status: the HTTP status, where that is the reason.
        retry_after: seconds that the server asks to wait, up to a limit; `None` if it states none.
    """

    retryable = True
    default_advice = (
        "The download is retried for some minutes. If its run has failed, start it again, or upload the file."
    )

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None, advice: str = ""
    ) -> None:
        super().__init__(message, advice=advice)
        self.status = status
        self.retry_after = retry_after
