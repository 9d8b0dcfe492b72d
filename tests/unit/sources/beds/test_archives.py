"""Archives as other programs write them: names of parts with backslashes, or with a slash at their start."""

import io
import zipfile
from collections.abc import Callable

import pytest

from library.sources.beds.contracts import NotAWorkbook, WorkbookDamaged
from library.sources.beds.reader import read_workbook
from tests.support.workbook_builder import kh03, with_parts, with_shared_strings, write
from tests.unit.sources.beds.refusals import refused
from tests.unit.sources.beds.test_bad_files import archive


def renamed(workbook: bytes, rename: Callable[[str], str]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(workbook)) as parts:
        return archive({rename(name): parts.read(name) for name in parts.namelist()})


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("/", "\\"),
        lambda name: name.replace("/", "\\", 1),
        lambda name: "/" + name,
        lambda name: "\\" + name.replace("/", "\\"),
        lambda name: name.replace("/", "\\") if "sheet" in name else name,
    ],
    ids=["backslashes", "one backslash", "slash at the start", "backslash at the start", "backslashes in some"],
)
def test_names_of_parts_are_read_in_any_form_that_excel_opens(rename: Callable[[str], str]) -> None:
    for workbook in (write(kh03()), with_shared_strings(write(kh03()))):
        assert read_workbook(renamed(workbook, rename)) == read_workbook(write(kh03()))


def test_entries_of_folders_are_ignored() -> None:
    data = write(kh03())
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        entries = {name.replace("/", "\\"): parts.read(name) for name in parts.namelist()}

    assert read_workbook(archive({"xl\\": b"", "xl\\worksheets\\": b""} | entries)) == read_workbook(data)


def test_targets_of_relations_are_read_with_backslashes() -> None:
    def backslashes(part: bytes) -> bytes:
        return part.replace(b'Target="/xl/worksheets/', b'Target="worksheets\\')

    data = with_parts(write(kh03()), {"xl/_rels/workbook.xml.rels": backslashes})

    assert data != write(kh03())
    assert read_workbook(data) == read_workbook(write(kh03()))


def test_one_name_in_two_forms_is_refused() -> None:
    data = write(kh03())
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        entries = {name: parts.read(name) for name in parts.namelist()}

    refused(archive(entries | {"xl\\workbook.xml": entries["xl/workbook.xml"]}), WorkbookDamaged)


def test_another_document_with_backslashes_is_told_what_it_is() -> None:
    assert "Word" in refused(archive({"word\\document.xml": b"<w/>"}), NotAWorkbook).message
