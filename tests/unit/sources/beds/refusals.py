"""How tests ask for a refusal."""

from collections.abc import Callable
from typing import Any

import pytest

from library.sources.beds.contracts import WorkbookRejected
from library.sources.beds.reader import read_workbook
from tests.support.workbook_builder import SECTOR_SHEET, Cells, kh03, write


def refused(data: bytes, kind: type[WorkbookRejected]) -> WorkbookRejected:
    """Read a file that must be refused with exactly this type of error, and return the error."""
    with pytest.raises(WorkbookRejected) as caught:
        read_workbook(data)
    assert type(caught.value) is kind, caught.value
    return caught.value


def changed(change: Callable[[Cells], Any], sheet: str = SECTOR_SHEET) -> bytes:
    """The usual workbook with one of its sheets changed."""
    sheets = kh03()
    change(sheets[sheet])
    return write(sheets)
