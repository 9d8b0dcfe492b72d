"""The identity of a resource: its id, its server and its version. Every row begins with these cells."""

from dataclasses import dataclass
from functools import lru_cache

from library.sources.fhir.datasets import KEY_LIMIT
from library.sources.fhir.resources import Meta
from library.sources.fhir.times import read_instant
from library.sources.fhir.unreadable import Unreadable, limited
from library.sources.fhir.values import placed

_LARGEST = 2**63 - 1
"""The largest bigint. Larger version numbers count as this one, and are then ordered by their text."""

type Identity = tuple[str, str, str, int, str]
"""Cells of the columns id, server, last_updated, version_number and version_id."""


@dataclass(slots=True)
class ResourceOrigin:
    """Where the resources of one file or page come from.

    Attributes:
        server: the configured name of the server, or `file`.
        object_key: the landed object.
        stamped: when they were received, with its zone. It orders resources without `meta.lastUpdated`.
        bases: the server's own base URLs, in canonical form. References to others lead to other servers.
        harmless: URLs of modifiers that do not change the meaning of what is read.
        undated: whether a resource without `meta.lastUpdated` was found.
    """

    server: str
    object_key: str
    stamped: str
    bases: tuple[str, ...] = ()
    harmless: frozenset[str] = frozenset()
    undated: bool = False


def identified(resource_id: str, meta: Meta | None, source: ResourceOrigin) -> Identity:
    """The identity cells of a resource.

    Raises:
        Unreadable: the id is missing or too long, or a time or version cannot be read.
    """
    if not 0 < len(resource_id) <= KEY_LIMIT:
        raise Unreadable("id", f"longer than {KEY_LIMIT} characters" if resource_id else "missing")
    if meta is None or (meta.lastUpdated is None and meta.versionId is None):
        source.undated = True
        return resource_id, source.server, source.stamped, -1, ""
    version = meta.versionId
    number = -1 if version is None else _numbered(version)
    if meta.lastUpdated is None:
        source.undated = True
        return resource_id, source.server, source.stamped, number, version or ""
    return resource_id, source.server, _changed(meta.lastUpdated), number, version or ""


@lru_cache(1_000)
def _numbered(version: str) -> int:
    limited(version, "meta.versionId")
    return min(int(version), _LARGEST) if version.isascii() and version.isdigit() else -1


_changed = placed("meta.lastUpdated", read_instant)
