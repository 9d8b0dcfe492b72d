"""Manifests of exports: their files, pages, errors and deletions."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from library.sources.fhir.errors import NotABundle, PageUnreadable
from library.sources.fhir.manifest import ExportFile, ReadManifest, manifest_of_one, read_manifest

URLS = st.from_regex(r"https://[a-z]{1,8}\.example/[a-z0-9/]{1,20}(\?sig=[A-Za-z0-9%+=]{1,20})?", fullmatch=True)
COUNTS = st.none() | st.integers(0, 10**14)
FILES = st.fixed_dictionaries(
    {"type": st.sampled_from(["Patient", "Observation", "Encounter", "OperationOutcome"]), "url": URLS},
    optional={"count": COUNTS, "extension": st.just({"x": [1]})},
)
MESSAGES = st.lists(st.fixed_dictionaries({"type": st.just("OperationOutcome"), "url": URLS}), max_size=3)
PAGES = st.fixed_dictionaries(
    {"output": st.lists(FILES, max_size=5)},
    optional={
        "transactionTime": st.just("2030-01-01T00:00:00Z"),
        "error": MESSAGES | st.none(),
        "deleted": MESSAGES | st.none(),
        "link": st.none() | st.just([]) | st.just([{"relation": "self", "url": "https://x.example"}]),
    },
)


def read(body: object, url: str = "") -> ReadManifest:
    return read_manifest(json.dumps(body).encode(), url=url)


@given(PAGES)
def test_each_file_is_data_or_a_message_or_not_needed(page: dict[str, Any]) -> None:
    found = read(page)
    ours = [file for file in page["output"] if file["type"] in ("Patient", "Observation")]
    assert found.files == tuple(ExportFile(file["url"], file.get("count")) for file in ours)
    outcomes = [file["url"] for file in page["output"] if file["type"] == "OperationOutcome"]
    assert found.errors == (*outcomes, *(file["url"] for file in page.get("error") or ()))
    assert found.deletions == tuple(file["url"] for file in page.get("deleted") or ())
    assert found.next_link is None


@given(PAGES)
def test_a_manifest_that_is_stored_is_read_as_it_was(page: dict[str, Any]) -> None:
    found = read(page)
    assert read_manifest(found.encoded()) == found


@given(st.lists(PAGES, min_size=1, max_size=4))
def test_pages_make_one_manifest_with_each_file_once(pages: list[dict[str, Any]]) -> None:
    first, *others = map(read, pages)
    whole = first
    for page in others:
        whole = whole.followed_by(page)
    for name in ("errors", "deletions"):
        listed = [url for page in (first, *others) for url in getattr(page, name)]
        assert set(getattr(whole, name)) == set(listed)
    assert {file.url for file in whole.files} == {file.url for page in (first, *others) for file in page.files}
    later = whole.files[len(first.files) :]
    assert not {file.url for file in later} & {file.url for file in first.files}
    assert whole.at == (datetime(2030, 1, 1, tzinfo=UTC) if any("transactionTime" in page for page in pages) else None)


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("p.ndjson", "https://x.example/bulk/p.ndjson"),
        ("/p.ndjson", "https://x.example/p.ndjson"),
        ("?page=2", "https://x.example/bulk/m?page=2"),
        ("https://y.example/a/../b?", "https://y.example/a/../b?"),
    ],
)
def test_a_relative_address_is_one_at_the_manifest_and_an_absolute_one_stays_as_given(url: str, absolute: str) -> None:
    found = read({"output": [{"url": url}], "link": [{"relation": "next", "url": url}]}, "https://x.example/bulk/m")
    assert (found.files, found.next_link) == ((ExportFile(absolute),), absolute)


@pytest.mark.parametrize("count", ["2", -1, 2.5, [], {}, True, 10**20])
def test_what_is_no_count_is_none(count: object) -> None:
    assert read({"output": [{"url": "https://x.example", "count": count}]}).files[0].count is None


def test_the_manifest_of_one_file_has_this_file() -> None:
    assert read_manifest(manifest_of_one("https://x.example/p")).files == (ExportFile("https://x.example/p"),)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"<html>", PageUnreadable),
        (b'{"output": [', PageUnreadable),
        (b"{}", NotABundle),
        (b'{"output": {}}', NotABundle),
        (b'{"resourceType": "OperationOutcome"}', NotABundle),
    ],
)
def test_what_is_no_manifest_is_refused(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_manifest(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"output":[],"error":[{"url":"https://a/e"}],"error":[]}',
        b'{"output":[],"link":[{"relation":"next","url":"https://a/2"}],"link":[]}',
        b'{"output":[{"type":"Patient","url":"https://a/1","url":"https://a/2"}]}',
        b'{"output":[{"type":"Patient","url":"https://a/1"}],"out\\u0070ut":[]}',
    ],
)
def test_a_manifest_with_a_name_that_stands_twice_is_refused(body: bytes) -> None:
    with pytest.raises(NotABundle, match="twice"):
        read_manifest(body)
