"""Settings of the beds source."""

from pydantic import Field

from config.servers import MEBIBYTE, Section

PUBLISHERS = ("www.england.nhs.uk",)
"""Hosts that publish workbooks."""


class WorkbookSettings(Section):
    """Limits of reading workbooks. The limits of a sheet are fixed in the reader.

    Attributes:
        max_bytes: the largest file.
        max_memory: bytes that the child process may use beyond what it has at its start.
        max_seconds: time limit by the wall clock.
    """

    max_bytes: int = 50 * MEBIBYTE
    max_memory: int = 256 * MEBIBYTE
    max_seconds: float = Field(default=60.0, gt=0, le=120)
