"""Settings of the beds source."""

from pydantic import Field

from config.servers import MEBIBYTE, Section


class WorkbookSettings(Section):
    """Limits for reading workbooks; the requirement's bounds on a sheet (5,000 rows, 300 columns) are the reader's own.

    Attributes:
        max_bytes: of the file as it arrives.
        max_memory: bytes that the reading process may take over what it has when it starts.
        max_seconds: wall clock.
    """

    max_bytes: int = 50 * MEBIBYTE
    max_memory: int = 256 * MEBIBYTE
    max_seconds: float = Field(default=60.0, gt=0, le=120)
