"""Reads a page of a search: the Bundle's resources as lines, and the link to the next page."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct

from library.sources.fhir.errors import NotABundle, PageTooLarge, PageUnreadable, ServerRefused
from library.sources.fhir.resources import NOTHING, Address, AnyResource, Meta, bytes_of
from library.sources.fhir.times import TimeUnreadable, read_instant
from library.sources.fhir.unreadable import HALF_PAIR
from library.sources.fhir.zipcodes import comparable

OBJECTS_LIMIT = 1_000_000
"""Most JSON objects of a page. Decoded, an empty object takes fifty times its own size."""

_NAME = re.compile(r"[A-Z][A-Za-z]{1,40}")
_CODE = re.compile(r"[a-z][a-z-]{0,39}")
_NO_MATCHES = ("include", "outcome")
_WANTED = (b'{"resourceType":"Observation"', b'{"resourceType":"Patient"')
"""How most resources begin. Resources that begin so need no closer look at their type."""
_ISSUES_LIMIT = 20
_FAILED = ("error", "fatal")
_SMALLEST_OBJECT = len(b"{},")
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
"""Strings and brackets of JSON, to count how deeply a place is nested.

A string without an end matches too. Otherwise the search would begin again at each quote in it.
"""
_OF_A_RESOURCE, _DEEPEST = 4, 200
"""The depth of an entry's resource (Bundle, entries, entry, resource), and the deepest nesting of a resource."""
_OUTCOME = re.compile(rb'\{\s*"resourceType"\s*:\s*"OperationOutcome"')
_TOTAL = re.compile(rb"[0-9]{1,15}")
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


@dataclass(frozen=True)
class BundlePage:
    """A page of a search.

    Attributes:
        resources: each match as JSON on one line, in order, without `include` and `outcome` entries.
        next_link: the next page's URL as the server states it; `None`: this is the last page.
        server_time: when the server made the page, by the server's clock.
        total: the number of matches on all pages, if the server states it.
        failures: issues of the severity error or fatal in its `OperationOutcome` entries: its matches are not all.
    """

    resources: tuple[bytes, ...]
    next_link: str | None = None
    server_time: datetime | None = None
    total: int | None = None
    failures: int = 0


class _Link(Struct, gc=False):
    relation: str | None = None
    url: str | None = None


class _EntrySearch(Struct, gc=False):
    mode: str | None = None


class _BundleEntry(Struct, gc=False):
    resource: Raw = NOTHING
    search: _EntrySearch | None = None


class _Issue(Struct):
    severity: str | None = None
    code: str | None = None


class _OperationOutcome(Struct):
    issue: list[_Issue] | None = None


class _Bundle(_OperationOutcome, rename={"kind": "resourceType"}):
    kind: str = ""
    meta: Meta | None = None
    link: list[_Link] | None = None
    entry: list[_BundleEntry] | None = None
    total: Raw = NOTHING


class _Located(Struct, rename={"kind": "resourceType"}):
    kind: str
    id: str = ""
    address: list[Address] | None = None


_decode_bundle = msgspec.json.Decoder(_Bundle).decode
_decode_outcome = msgspec.json.Decoder(_OperationOutcome).decode
_decode_any = msgspec.json.Decoder(AnyResource).decode
_decode_located = msgspec.json.Decoder(_Located).decode


def read_page(body: bytes) -> BundlePage:
    """Read the body of a server's answer.

    Raises:
        PageUnreadable: the body is not JSON, or was cut off. A retry may help.
        PageTooLarge: the page has too many objects, or is nested too deeply outside of its resources.
        NotABundle: the body is JSON, but not a Bundle.
        ServerRefused: the body is an OperationOutcome.
    """
    if len(body) > _SMALLEST_OBJECT * OBJECTS_LIMIT and body.count(b"{") > OBJECTS_LIMIT:
        raise PageTooLarge(f"The page has more than {OBJECTS_LIMIT:,} JSON objects.")
    bundle, deep = _decoded(body.removeprefix(b"\xef\xbb\xbf"))
    if bundle.kind == "OperationOutcome":
        raise ServerRefused(f"The server answered with an OperationOutcome: {', '.join(_codes(bundle)) or 'no code'}.")
    if bundle.kind != "Bundle":
        what = f"a resource of the type {bundle.kind}" if _NAME.fullmatch(bundle.kind) else "something else"
        raise NotABundle(f"The server answered with {what} instead of a Bundle.")
    resources, failures = [], 0
    for each in bundle.entry or ():
        resource = bytes_of(each.resource)
        if not resource.startswith(_WANTED) and (resource in (b"", b"null") or _is_outcome(resource)):
            failures += _failures(resource)
        elif each.search is None or each.search.mode not in _NO_MATCHES:
            resources.append(resource)
    if b"\n" in body or b"\r" in body:
        resources = [msgspec.json.format(resource, indent=-1) for resource in resources]
    if deep:
        resources = [whole for each in resources if not _is_outcome(whole := deep.get(each, each))]
    return BundlePage(
        resources=tuple(resources),
        next_link=_next_link(bundle),
        server_time=_server_time(bundle.meta),
        total=_total(bundle),
        failures=failures,
    )


def matching_patients(page: BundlePage, zipcode: str) -> tuple[tuple[str, bytes], ...]:
    """Id and resource of each patient with an address of this zip code. Servers also return others.

    Patients that cannot be read are in `unreadable_patients`.
    """
    wanted = comparable(zipcode)
    return tuple(
        (patient.id, resource)
        for resource in page.resources
        if (patient := _located(resource)) is not None
        and patient.kind == "Patient"
        and any(
            comparable(address.postalCode, address.country) == wanted
            for address in patient.address or ()
            if address.postalCode
        )
    )


def unreadable_patients(page: BundlePage) -> tuple[bytes, ...]:
    """Resources that cannot be read, so they cannot be matched. They are rejected when they are staged."""
    return tuple(resource for resource in page.resources if _located(resource) is None)


def issue_codes(body: bytes) -> tuple[str, ...]:
    """Severities and codes of an OperationOutcome, such as `error/not-found`. Its texts may quote a patient."""
    try:
        return _codes(_decode_outcome(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()


def _codes(outcome: _OperationOutcome) -> tuple[str, ...]:
    issues = [(issue.severity or "", issue.code or "") for issue in (outcome.issue or ())[:_ISSUES_LIMIT]]
    return tuple(dict.fromkeys("/".join(issue) for issue in issues if all(map(_CODE.fullmatch, issue))))


def _located(resource: bytes) -> _Located | None:
    try:
        return _decode_located(resource)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def on_one_line(resource: bytes) -> bytes:
    """Format a resource as one line of NDJSON.

    Raises:
        msgspec.DecodeError: the resource is not JSON.
    """
    try:
        return msgspec.json.format(resource, indent=-1)
    except RecursionError:
        return resource.translate(_LINE_ENDS)  # safe, since strings in JSON cannot contain line ends


def _decoded(body: bytes) -> tuple[_Bundle, dict[bytes, bytes]]:
    """Decode a page. The second result maps placeholders to resources that would keep it from being decoded."""
    try:
        return _bundle(body), {}
    except RecursionError:
        shallow, deep = _replace_deep_resources(body)
    except PageUnreadable:
        if not HALF_PAIR.search(body):
            raise
        shallow, deep = _replace_deep_resources(body)
    bundle = _bundle(shallow)
    found = sum(bytes_of(each.resource) in deep for each in bundle.entry or ())
    if found < len(deep) and bundle.kind == "Bundle":
        raise PageTooLarge(
            "The page is nested more deeply than a Bundle can be.",
            advice="A FHIR server does not send such a page. Check which server answers at this address.",
        )
    return bundle, deep


def _replace_deep_resources(body: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Replace resources that are nested too deeply by small objects; also return them by these placeholders.

    Resources that hold half a surrogate pair are replaced too, since no decoder takes a page with one. Other values at
    the depth of a resource are replaced as well. The caller finds that no entry has their placeholder.
    """
    deep: dict[bytes, bytes] = {}
    kept: list[bytes] = []
    depth = deepest = begin = end = 0
    for token in _TOKENS.finditer(body):
        match body[token.start()]:
            case 0x7B | 0x5B:  # { [
                depth += 1
                if depth == _OF_A_RESOURCE:
                    begin, deepest = token.start(), depth
                deepest = max(deepest, depth)
            case 0x7D | 0x5D:  # } ]
                if depth == _OF_A_RESOURCE and (
                    deepest > _DEEPEST or HALF_PAIR.search(body, begin, token.end()) is not None
                ):
                    placeholder = f'{{"{uuid4()}":0}}'.encode()
                    # These bytes may not be JSON, so they are not decoded here.
                    deep[placeholder] = body[begin : token.end()].translate(_LINE_ENDS)
                    kept += [body[end:begin], placeholder]
                    end = token.end()
                depth -= 1
    if depth > 0:
        raise PageUnreadable("The page is not JSON, or was cut off: a bracket is not closed.")
    return b"".join([*kept, body[end:]]), deep


def _bundle(body: bytes) -> _Bundle:
    try:
        return _decode_bundle(body)
    except msgspec.ValidationError as error:
        raise NotABundle(f"The server's answer does not have a Bundle's form: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if body.lstrip()[:1] == b"<":
            raise PageUnreadable("The server answered with a web page (HTML or XML) instead of JSON.") from None
        raise PageUnreadable(f"The page is not JSON, or was cut off: {_place(error, body)}.") from None


def _place(error: Exception, body: bytes) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _next_link(bundle: _Bundle) -> str | None:
    following = next((link for link in bundle.link or () if link.relation == "next"), None)
    if following is not None and not following.url:
        raise NotABundle("The Bundle has a next link without a URL.")
    return following.url if following else None


def _total(bundle: _Bundle) -> int | None:
    stated = bytes_of(bundle.total)
    return int(stated) if _TOTAL.fullmatch(stated) else None


def _failures(resource: bytes) -> int:
    """The number of issues of an OperationOutcome that say that a search failed in part; 0 if there is no resource."""
    if resource in (b"", b"null"):
        return 0
    try:
        return sum(issue.severity in _FAILED for issue in _decode_outcome(resource).issue or ())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return 1


def _is_outcome(resource: bytes) -> bool:
    if b'"OperationOutcome"' not in resource:
        return False
    try:
        return _decode_any(resource).resourceType == "OperationOutcome"
    except msgspec.ValidationError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _OUTCOME.match(resource) is not None  # too deep to decode


def _server_time(meta: Meta | None) -> datetime | None:
    try:
        return datetime.fromisoformat(read_instant(meta.lastUpdated)) if meta and meta.lastUpdated else None
    except TimeUnreadable:
        return None
