"""The settings that change what the reader makes of the same bytes."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from config.fhir import FhirServerSettings, FhirSettings
from library.sources.fhir.contracts import FILE
from library.sources.fhir.references import canonical_base

_DIGITS = 16


@dataclass(frozen=True)
class ReaderSettings:
    """The settings of the reader for one server.

    Attributes:
        bases: the server's own base URLs in canonical form, its `base_url` first. Empty: only relative references are
            its own.
        harmless: URLs of modifiers that do not change the meaning of what is read.
        digest: differs if settings differ that were made for this; empty if none was. `base_url` is not part of it,
            since the sandbox has another port after each start.
    """

    bases: tuple[str, ...] = ()
    harmless: frozenset[str] = frozenset()
    digest: str = ""


DEFAULTS = ReaderSettings()


def reader_settings(settings: FhirSettings, server: str) -> ReaderSettings:
    """The settings for a server by its name. A server without settings, such as `file`, has no base URLs."""
    harmless = frozenset(settings.harmless_modifiers)
    known = settings.by_name.get(server)
    base, *more = _bases(known) if known is not None else [""]
    digest = _digest([sorted(more), sorted(harmless)]) if more or harmless else ""
    return ReaderSettings(tuple(dict.fromkeys(each for each in (base, *more) if each)), harmless, digest)


def digests(settings: FhirSettings) -> dict[str, str]:
    """The digest for each server that has one; also for `file`."""
    found = {name: reader_settings(settings, name).digest for name in (*settings.by_name, FILE)}
    return {name: digest for name, digest in found.items() if digest}


def _bases(server: FhirServerSettings) -> Iterable[str]:
    path = urlsplit(server.base_url).path
    at_next = (f"{origin.rstrip('/')}{path}" for origin in server.next_origins)
    return [canonical_base(each) for each in (server.base_url, *at_next, *server.own_bases)]


def _digest(parts: list[list[str]]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_DIGITS]
