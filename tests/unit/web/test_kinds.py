"""What a file is by its first bytes, and when a busy server wants to be asked again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.web.kinds import Kind, sniff
from library.web.retry_after import MAX_RETRY_AFTER, retry_after
from tests.unit.sources.beds.test_published_workbooks import FOLDER

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_published_workbooks_are_ole2_or_zip_as_their_names_say() -> None:
    for file in (FOLDER / "kh03").iterdir():
        with file.open("rb") as opened:
            assert sniff(opened.read(1024)) == ("ole2" if file.suffix == ".xls" else "zip"), file.name


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>\n<html lang='en'>", "html"),
        (b"\xef\xbb\xbf\r\n <HTML>", "html"),
        (b"<!-- saved -->\n<html>", "html"),
        (b"<?xml version='1.0'?><!DOCTYPE x><html xmlns='y'>", "html"),
        (b"\xff\xfe" + "<html>".encode("utf-16-le"), "html"),
        (b"<p>No such page", "html"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "xml"),
        (b'{"error": "not found"}', "text"),
        (b"Year,Org Code\n", "text"),
        (b"caf\xe9", "text"),
        (b"%PDF-1.7", "pdf"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x05\x06" + bytes(18), "zip"),
        (b"PK", "text"),
        (bytes(100), "binary"),
    ],
)
def test_a_kind_is_told_by_the_first_bytes(head: bytes, kind: Kind) -> None:
    assert sniff(head) == kind


@given(st.binary(max_size=200))
def test_any_bytes_have_a_kind(head: bytes) -> None:
    assert sniff(head) in ("binary", "text", "html", "xml", "gzip", "empty", "zip", "ole2", "pdf")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("999999", MAX_RETRY_AFTER),
        ("9" * 5_000, None),
        ("Thu, 01 Jan 2026 12:01:00 GMT", 60.0),
        ("Thu, 01 Jan 2026 12:01:00 -0000", 60.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 12:00:00 GMT", MAX_RETRY_AFTER),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_bounded(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=40))
def test_retry_after_never_fails(value: str) -> None:
    assert retry_after(value, NOW) is None or 0 <= retry_after(value, NOW) <= MAX_RETRY_AFTER  # type: ignore[operator]
