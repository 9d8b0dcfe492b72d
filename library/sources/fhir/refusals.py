"""Finds the version of a refused resource, so that older versions can be marked as outdated."""

import json
from dataclasses import replace

import msgspec

from library.sources.fhir.identity import ResourceOrigin, identified
from library.sources.fhir.resources import Identified
from library.sources.fhir.rows import RefusedRow
from library.sources.fhir.unreadable import Unreadable

_KINDS = ("Patient", "Observation")
_WHO = ("resourceType", "id")
_decode = msgspec.json.Decoder(Identified).decode


def refused_version(line: bytes, number: int, source: ResourceOrigin) -> RefusedRow | None:
    """The row of a refused resource; `None` if its type, id or version cannot be read."""
    try:
        found = _decode(line)
        names = [name for name, _ in json.loads(line, object_pairs_hook=list)]
        if found.resourceType not in _KINDS or any(names.count(name) > 1 for name in _WHO):
            return None
        identity = identified(found.id, found.meta, replace(source))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, Unreadable):
        return None
    if any(isinstance(cell, str) and "\0" in cell for cell in identity):
        return None
    return RefusedRow(found.resourceType, *identity, number, source.object_key)
