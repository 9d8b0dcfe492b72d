"""Kinds of parameters."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator


def _with_a_zone(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError("a time without a zone; add Z or an offset")
    return moment


Moment = Annotated[datetime, AfterValidator(_with_a_zone)]
"""A time with its zone: what has none means another moment to each reader."""
