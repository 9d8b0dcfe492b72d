"""Encrypted workbooks: those with Excel's standard password are read, all others refused."""

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library.sources.beds import encryption
from library.sources.beds.contracts import (
    ArchiveTooLarge,
    NotAWorkbook,
    PasswordProtected,
    SheetTooLarge,
    WorkbookRejected,
)
from library.sources.beds.encryption import STANDARD_PASSWORD
from library.sources.beds.reader import read_workbook
from tests.support.encrypted_workbooks import encrypted_xls, encrypted_xlsx
from tests.support.workbook_builder import kh03, write, write_xls
from tests.unit.sources.beds.refusals import refused
from tests.unit.sources.beds.test_bad_files import archive
from tests.unit.sources.beds.test_published_workbooks import FOLDER

TYPES = b'<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
ENCRYPTED = FOLDER.parent / "cases" / "08-velvetsweatshop" / "velvet.xlsx"
XLS = FOLDER / "kh03" / "Beds-Open-Overnight-Web_File-Q1-2013-14-Nov-Revised-Revised-Final.xls"


def test_a_workbook_with_the_standard_password_is_read_like_the_plain_one() -> None:
    assert read_workbook(encrypted_xlsx(write(kh03()), STANDARD_PASSWORD)) == read_workbook(write(kh03()))
    assert read_workbook(encrypted_xls(write_xls(kh03()), STANDARD_PASSWORD)) == read_workbook(write_xls(kh03()))


def test_a_published_xls_with_the_standard_password_is_read_like_the_plain_one() -> None:
    data = XLS.read_bytes()

    assert read_workbook(encrypted_xls(data, STANDARD_PASSWORD)) == read_workbook(data)


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
def test_a_workbook_with_another_password_is_refused(kind: str) -> None:
    secret = encrypted_xls(write_xls(kh03()), "Secret") if kind == "xls" else encrypted_xlsx(write(kh03()), "Secret")

    assert "without a password" in refused(secret, PasswordProtected).advice


def test_what_was_encrypted_is_checked_against_the_limits_like_any_file() -> None:
    bomb = archive({"[Content_Types].xml": TYPES, "xl/workbook.xml": b" " * 9_000_000})
    refused(encrypted_xlsx(bomb, STANDARD_PASSWORD), ArchiveTooLarge)
    noise = random.Random(1).randbytes(9_000)  # noqa: S311 - not a secret
    document = archive({"[Content_Types].xml": TYPES, "word/document.xml": noise})
    refused(encrypted_xlsx(document, STANDARD_PASSWORD), NotAWorkbook)
    far_out = write({"A": {(0, 0): "x", (1_048_575, 16_383): "y"}})
    refused(encrypted_xlsx(far_out, STANDARD_PASSWORD), SheetTooLarge)
    refused(encrypted_xls(write_xls({"A": {(0, 0): "x", (60_000, 0): "y"}}), STANDARD_PASSWORD), SheetTooLarge)


def test_an_encrypted_file_that_is_too_large_is_not_decrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encrypted_xlsx(write(kh03()), STANDARD_PASSWORD)
    monkeypatch.setattr(encryption, "MAX_ENCRYPTED", len(data) - 1)

    assert "at most" in refused(data, PasswordProtected).message


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_damaged_or_cut_off_file_is_read_or_refused_with_a_sentence(data: st.DataObject) -> None:
    whole = bytearray(ENCRYPTED.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=20)):
        whole[place] ^= data.draw(st.integers(1, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    with contextlib.suppress(WorkbookRejected):
        read_workbook(damaged)


def test_a_file_that_ends_within_its_table_of_sectors_is_refused() -> None:
    whole = ENCRYPTED.read_bytes()
    begin = (int.from_bytes(whole[76:80], "little") + 1) * 512
    for cut in range(begin, begin + 512):
        with pytest.raises(WorkbookRejected):
            read_workbook(whole[:cut])
