"""When a busy server wants to be asked again."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 3_600.0
"""Seconds; a server that asks for more is asked again after these."""

_SECONDS = re.compile(r"[0-9]{1,12}\Z")


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
