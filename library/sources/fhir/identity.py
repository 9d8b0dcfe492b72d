"""Which resource, which version of it, and where it is from: what every row begins with."""

from dataclasses import dataclass
from functools import lru_cache

from library.sources.fhir.concepts import Unreadable, limited
from library.sources.fhir.resources import Meta
from library.sources.fhir.times import TimeUnreadable, read_instant

_DIGITS_LIMIT = 18
"""Digits that a bigint holds whatever they are."""
_UNVERSIONED = (-1, "")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a resource came from.

    Attributes:
        server: the configured name of the server, or `file`.
        object_key: the landed object.
        stamped: when it came, with its zone; orders resources that do not say when they were changed.
    """

    server: str
    object_key: str
    stamped: str


def identified(resource_id: str, meta: Meta | None, source: Source) -> tuple[str, str, str, int, str]:
    """The columns id, server, last_updated, version_number and version_id."""
    if not resource_id:
        raise Unreadable("id", "missing")
    limited(resource_id, "id")
    if meta is None:
        return (resource_id, source.server, source.stamped, *_UNVERSIONED)
    changed = source.stamped if meta.lastUpdated is None else _changed(meta.lastUpdated)
    number, version = _UNVERSIONED if meta.versionId is None else _version(meta.versionId)
    return resource_id, source.server, changed, number, version


def _changed(text: str) -> str:
    try:
        return read_instant(text)
    except TimeUnreadable as error:
        raise Unreadable("meta.lastUpdated", str(error)) from None


def _version(text: str) -> tuple[int, str]:
    limited(text, "meta.versionId")
    return _numbered(text)


@lru_cache(1_000)
def _numbered(text: str) -> tuple[int, str]:
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS_LIMIT
    return (int(text) if is_number else -1), text
