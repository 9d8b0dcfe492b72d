"""Whether a busy server is to be asked again, and when."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 3_600.0
"""Seconds; a server that asks for more is asked again after these."""

_BUSY = frozenset({408, 425, 429})
_SERVER_ERROR, _NOT_IMPLEMENTED = 500, 501

_SECONDS = re.compile(r"[0-9]{1,12}\Z")


def is_busy(status: int) -> bool:
    """Whether an answer with this status may be another one later: 501 is none, it refuses what was asked for."""
    return status in _BUSY or (status >= _SERVER_ERROR and status != _NOT_IMPLEMENTED)


def retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds until then, from 0 to `MAX_RETRY_AFTER`; `None` where the header is missing or says nothing readable.

    Args:
        value: of the header: seconds, or an HTTP date.
        now: what a date is measured from, with its zone.
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
