"""Files that come compressed are read like those that do not."""

import gzip
from pathlib import Path

import pytest

from library.contracts.fhir import FileDamaged, PageTooLarge
from library.sources.fhir.packed import unpacked

LINES = b'{"resourceType": "Patient"}\n' * 100


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "room").mkdir()
    return tmp_path / "given.ndjson"


def test_a_plain_file_stays_where_it_is(given: Path) -> None:
    given.write_bytes(LINES)
    assert unpacked(given, given.parent / "room", len(LINES)) == given


@pytest.mark.parametrize("parts", [1, 3])
def test_a_compressed_file_is_inflated_whatever_its_name_says_and_however_many_parts_it_has(
    given: Path, parts: int
) -> None:
    given.write_bytes(gzip.compress(LINES) * parts)
    assert unpacked(given, given.parent / "room", parts * len(LINES)).read_bytes() == LINES * parts


@pytest.mark.parametrize(
    "content", [gzip.compress(LINES)[:-9], b"\x1f\x8b damaged", gzip.compress(LINES) + b"no gzip", b"\x1f\x8b"]
)
def test_compression_that_is_damaged_or_cut_off_is_said_to_be(given: Path, content: bytes) -> None:
    given.write_bytes(content)
    with pytest.raises(FileDamaged):
        unpacked(given, given.parent / "room", 10**6)


def test_a_file_that_is_too_large_is_refused_before_it_fills_the_disk(given: Path) -> None:
    given.write_bytes(LINES)
    with pytest.raises(PageTooLarge):
        unpacked(given, given.parent / "room", len(LINES) - 1)
    given.write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(PageTooLarge):
        unpacked(given, given.parent / "room", 1_000_000)
    assert (given.parent / "room" / "unpacked").stat().st_size < 3_000_000
