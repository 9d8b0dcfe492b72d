"""Makes pages of searches as Bundles: joins the stored bytes, and writes links as HAPI does."""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

import msgspec

from service.sources.fhir.sandbox.faults import DrawnFaults, Faults
from service.sources.fhir.sandbox.resources import Stored, instant
from service.sources.fhir.sandbox.search import BadSearch, Parameters
from service.sources.fhir.sandbox.snapshots import Snapshot

PAGES = "_getpages"
_OUTCOME = (
    b'{"resource":{"resourceType":"OperationOutcome","id":"sandbox-outcome","issue":[{"severity":"warning",'
    b'"code":"informational","diagnostics":"A part of the search was ignored."}]},"search":{"mode":"outcome"}}'
)
INCLUDED = "sandbox-included"
"""The id of the entry with `search.mode=include`."""


@dataclass(frozen=True)
class Position:
    """The position of a page. A page link contains all of it.

    Attributes:
        offset: the position of the first entry in the search's result.
        count: the number of entries that were asked for.
        empty: the number of empty pages before this one.
        again: whether the page before had these entries, too.
    """

    offset: int
    count: int
    empty: int = 0
    again: bool = False

    def parameters(self, snapshot: Snapshot) -> list[tuple[str, str]]:
        """The parameters of the page link."""
        made = [
            (PAGES, snapshot.id),
            ("_getpagesoffset", str(self.offset)),
            ("_count", str(self.count)),
            ("_bundletype", "searchset"),
        ]
        if self.empty:
            made.append(("_empty", str(self.empty)))
        return [*made, ("_again", "1")] if self.again else made

    @staticmethod
    def read(parameters: Parameters) -> "Position":
        """Read the position from a page link.

        Raises:
            BadSearch: this server did not make the link.
        """
        values = dict(parameters)
        try:
            offset, count, empty = (int(values.get(n, "0")) for n in ("_getpagesoffset", "_count", "_empty"))
        except ValueError as error:
            raise BadSearch("This is not a page link of this server.") from error
        if min(offset, empty) < 0 or count < 1:
            raise BadSearch("This is not a page link of this server.")
        return Position(offset, count, empty, values.get("_again") == "1")


@dataclass(frozen=True)
class ServerUrls:
    """The server's URLs, with the host name that the caller used.

    Attributes:
        base: the base URL, without a slash at its end.
        path: the path of the base URL.
        elsewhere: the base URL with another port.
    """

    base: str
    path: str
    elsewhere: str


def page(
    snapshot: Snapshot, position: Position, where: ServerUrls, self_link: str, drawn: DrawnFaults, faults: Faults
) -> bytes:
    """One page of a search's result."""
    entries, following = _entries(snapshot, position, drawn, faults)
    links = [{"relation": "self", "url": self_link}]
    if following is not None:
        links.append({"relation": "next", "url": _next_link(snapshot, following, where, drawn)})
    head = f'{{"resourceType":"Bundle","id":"{snapshot.id}","meta":{{"lastUpdated":"{instant(snapshot.at)}"}},'
    head += '"type":"searchset",'
    if not drawn.play("missing_total"):
        head += f'"total":{len(snapshot.found)},'
    parts = [head.encode(), b'"link":', msgspec.json.encode(links)]
    full = f'{{"fullUrl":"{where.base}/'.encode()
    made = [
        b"".join((full, f'{each.kind}/{each.id}","resource":'.encode(), each.raw, b',"search":{"mode":"match"}}'))
        for each in entries
    ]
    if drawn.play("outcome_among_matches"):
        made.insert(len(made) // 2, _OUTCOME)
    if drawn.play("include_among_matches"):
        made.insert(len(made) // 2, _included(snapshot.kind, full))
    if made:  # HAPI leaves out an empty `entry`
        parts += [b',"entry":[', b",".join(made), b"]"]
    parts.append(b"}")
    return b"".join(parts)


def _entries(
    snapshot: Snapshot, position: Position, drawn: DrawnFaults, faults: Faults
) -> tuple[tuple[Stored, ...], Position | None]:
    """The entries of a page, and the position of the next page."""
    if position.empty:
        return (), Position(position.offset, position.count, position.empty - 1)
    size = max(position.count // 2, 1) if drawn.play("short_page") else position.count
    end = position.offset + size
    entries = snapshot.found[position.offset : end]
    if not size or end >= len(snapshot.found):
        return entries, None
    if not position.again and drawn.play("repeated_page"):
        return entries, Position(position.offset, size, again=True)
    if drawn.play("looping_next"):
        return entries, Position(0, position.count)
    if drawn.play("empty_page"):
        return entries, Position(end, position.count, empty=faults.empty_pages)
    return entries, Position(end, position.count)


def _next_link(snapshot: Snapshot, following: Position, where: ServerUrls, drawn: DrawnFaults) -> str:
    parameters = following.parameters(snapshot)
    if drawn.order and drawn.play("other_parameter_order"):
        drawn.order.shuffle(parameters)
    base = where.base
    if drawn.play("relative_next"):
        base = where.path
    elif drawn.play("next_on_another_port"):
        base = where.elsewhere
    return f"{base or '/'}?{urlencode(parameters)}"


def _included(kind: str, full: bytes) -> bytes:
    resource = f'{INCLUDED}","resource":{{"resourceType":"{kind}","id":"{INCLUDED}"}},"search":{{"mode":"include"}}}}'
    return full + f"{kind}/{resource}".encode()


def query_parameters(query: str) -> list[tuple[str, str]]:
    """The parameters of a query or a form, in order."""
    return parse_qsl(query, keep_blank_values=True)
