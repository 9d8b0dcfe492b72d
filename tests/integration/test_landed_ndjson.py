"""Files that come compressed are landed like those that do not."""

import gzip
from pathlib import Path

import pytest

from library.objects.store import ObjectStore
from library.sources.fhir.errors import FileDamaged, PageTooLarge
from library.sources.fhir.ndjson import land_ndjson

LINES = b'{"resourceType": "Patient"}\n' * 100


@pytest.fixture
def given(tmp_path: Path) -> Path:
    return tmp_path / "given.ndjson"


@pytest.mark.parametrize("parts", [1, 3])
def test_the_same_lines_are_one_object_plain_or_compressed_and_in_however_many_parts(
    store: ObjectStore, given: Path, parts: int
) -> None:
    given.write_bytes(LINES * parts)
    plain = land_ndjson(store, "test", given, parts * len(LINES))
    given.write_bytes(gzip.compress(LINES) * parts)
    packed = land_ndjson(store, "test", given, parts * len(LINES))
    assert packed == plain
    store.download(packed, given)
    assert given.read_bytes() == LINES * parts


@pytest.mark.parametrize(
    "content", [gzip.compress(LINES)[:-9], b"\x1f\x8b damaged", gzip.compress(LINES) + b"no gzip", b"\x1f\x8b"]
)
def test_compression_that_is_damaged_or_cut_off_is_said_to_be(store: ObjectStore, given: Path, content: bytes) -> None:
    given.write_bytes(content)
    with pytest.raises(FileDamaged):
        land_ndjson(store, "test", given, 10**6)


def test_a_file_that_is_too_large_is_refused_before_it_fills_the_disk(store: ObjectStore, given: Path) -> None:
    given.write_bytes(LINES)
    with pytest.raises(PageTooLarge):
        land_ndjson(store, "test", given, len(LINES) - 1)
    given.write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(PageTooLarge):
        land_ndjson(store, "test", given, 1_000_000)
