"""Reads references: to a resource of the same server, or to one of another server, which is never joined."""

import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

from library.sources.fhir.unreadable import Unreadable, limited

_LONGEST = 2_000
_KEPT = 10_000
_DEFAULT_PORTS = {"https": 443, "http": 80}
_LITERAL = re.compile(
    r"(?:(?P<base>[^?#]*)/)?(?P<type>[A-Z][A-Za-z]*)/(?P<id>[^/?#]+)(?:/_history/[^/?#]+)?/?(?:[?#].*)?", re.DOTALL
)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_HERE = ("", ".")
"""Some servers write `/Patient/1` or `./Patient/1` for `Patient/1`."""
_OF_ONE_SOURCE = ("urn:uuid:", "urn:oid:")


class ReadReference(NamedTuple):
    """A reference.

    Attributes:
        id: the id of the resource on its own server; `None`: there is none of the type, or it is on another server.
        elsewhere: the reference as it came, if it leads to another server.
    """

    id: str | None
    elsewhere: str | None


NO_REFERENCE = ReadReference(None, None)


class ReferenceCache(dict[str, ReadReference]):
    """Reads references to resources of one type, by their text. Errors name the place in the resource."""

    def __init__(self, kind: str, place: str, bases: Sequence[str]) -> None:
        self._kind = kind
        self._place = place
        self._bases = frozenset(bases)
        self._base = next(iter(bases), "")

    def __missing__(self, reference: str) -> ReadReference:
        if len(reference) > _LONGEST:
            raise Unreadable(self._place, f"longer than {_LONGEST} characters")
        found = self._read(reference)
        limited(found.id, self._place)
        if len(self) >= _KEPT:
            self.clear()
        self[reference] = found
        return found

    def _read(self, reference: str) -> ReadReference:
        if reference.startswith("#"):
            return NO_REFERENCE  # what is contained has no id outside of its resource
        if reference.lower().startswith(_OF_ONE_SOURCE):
            return ReadReference(reference.rpartition(":")[2] or None, None)
        found = _LITERAL.fullmatch(reference)
        absolute = _ABSOLUTE.match(reference) is not None
        if found is None:
            return ReadReference(None, reference) if absolute else NO_REFERENCE
        if found["type"] != self._kind:
            return NO_REFERENCE
        if found["base"] is None or self._is_own(found["base"], absolute=absolute):
            return ReadReference(found["id"], None)
        return ReadReference(None, reference)

    def _is_own(self, base: str, *, absolute: bool) -> bool:
        if not absolute and base in _HERE:
            return True
        if not base.isprintable() or " " in base:
            return False  # the parsers of URLs would remove some of these characters
        try:
            return canonical_base(urljoin(f"{self._base}/", base)) in self._bases
        except ValueError:
            return False


class References(NamedTuple):
    """The references of observations."""

    patient: ReferenceCache
    encounter: ReferenceCache


@cache
def references(bases: tuple[str, ...]) -> References:
    """Readers of the references of a server with these base URLs in canonical form, its `base_url` first."""
    return References(
        ReferenceCache("Patient", "subject.reference", bases),
        ReferenceCache("Encounter", "encounter.reference", bases),
    )


def canonical_base(url: str) -> str:
    """A base URL in one form: host in small letters, no default port, no slash at the end.

    Raises:
        ValueError: it is no base URL.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    host, port = (parts.hostname or "").removesuffix("."), parts.port
    if scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("not a base URL")
    place = host if port in (None, _DEFAULT_PORTS[scheme]) else f"{host}:{port}"
    return f"{scheme}://{place}{parts.path.rstrip('/')}"
