"""Decides from an answer's status and `Retry-After` whether and when to retry."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 3_600.0
"""Longest wait in seconds, even if a server asks for more."""

_BUSY = frozenset({408, 425, 429})
_SERVER_ERROR, _NOT_IMPLEMENTED = 500, 501

_SECONDS = re.compile(r"[0-9]{1,12}\Z")


def is_busy(status: int) -> bool:
    """Whether a retry may get another status. 501 is not busy: the server does not support the request."""
    return status in _BUSY or (status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, from 0 to `MAX_RETRY_AFTER`; `None` if the header is missing or cannot be read.

    Args:
        value: the header's value: seconds, or an HTTP date.
        now: the current time, with its zone.
    """
    text = (value or "").strip()
    if _SECONDS.match(text):
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
