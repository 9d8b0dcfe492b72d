"""Pages of a search: a Bundle's resources as lines, and where the next page is."""

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

import msgspec
from msgspec import Raw, Struct

from library.sources.fhir.contracts import NotABundle, PageTooLarge, PageUnreadable, ServerRefused
from library.sources.fhir.resources import NOTHING, Address, AnyResource, Meta, bytes_of
from library.sources.fhir.times import TimeUnreadable, read_instant

OBJECTS_LIMIT = 1_000_000
"""JSON objects of a page: empty ones would take fifty times their own size to decode."""

_NAME = re.compile(r"[A-Z][A-Za-z]{1,40}")
_CODE = re.compile(r"[a-z][a-z-]{0,39}")
_NO_MATCHES = ("include", "outcome")
_WANTED = (b'{"resourceType":"Observation"', b'{"resourceType":"Patient"')
"""How most resources begin: these need not be searched for what they are."""
_ISSUES_LIMIT = 20
_SMALLEST_OBJECT = len(b"{},")
_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
"""What tells how deep a place in JSON is: texts, which are passed over, and brackets.

A text without an end is one too: else the rest of the page would be searched again from each quote in it.
"""
_OF_A_RESOURCE, _DEEPEST = 4, 200
"""How deep the resource of an entry begins (Bundle, entries, entry, resource), and how deep none goes."""
_OUTCOME = re.compile(rb'\{\s*"resourceType"\s*:\s*"OperationOutcome"')
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


@dataclass(frozen=True)
class Page:
    """A page of a search.

    Attributes:
        resources: each match as JSON on one line, in order; what the server included or remarked is not among them.
        next_link: the address of the next page as the server gives it; without one the search has ended.
        server_time: when the server made the page, by its own clock.
    """

    resources: tuple[bytes, ...]
    next_link: str | None = None
    server_time: datetime | None = None


class _Link(Struct, gc=False):
    relation: str | None = None
    url: str | None = None


class _Search(Struct, gc=False):
    mode: str | None = None


class _Entry(Struct, gc=False):
    resource: Raw = NOTHING
    search: _Search | None = None


class _Issue(Struct):
    severity: str | None = None
    code: str | None = None


class _Outcome(Struct):
    issue: list[_Issue] | None = None


class _Bundle(_Outcome, rename={"kind": "resourceType"}):
    kind: str = ""
    meta: Meta | None = None
    link: list[_Link] | None = None
    entry: list[_Entry] | None = None


class _Located(Struct, rename={"kind": "resourceType"}):
    kind: str
    id: str = ""
    address: list[Address] | None = None


_decode_bundle = msgspec.json.Decoder(_Bundle).decode
_decode_outcome = msgspec.json.Decoder(_Outcome).decode
_decode_any = msgspec.json.Decoder(AnyResource).decode
_decode_located = msgspec.json.Decoder(_Located).decode


def read_page(body: bytes) -> Page:
    """Read a page as a server sent it.

    Raises:
        PageUnreadable: it is no JSON, or ends too early; asking again may help.
        PageTooLarge: it has more objects, or outside of its resources is more deeply nested, than one can be.
        NotABundle: it is JSON, and something else.
        ServerRefused: it is an OperationOutcome.
    """
    if len(body) > _SMALLEST_OBJECT * OBJECTS_LIMIT and body.count(b"{") > OBJECTS_LIMIT:
        raise PageTooLarge(f"The page has more than {OBJECTS_LIMIT:,} JSON objects.")
    bundle, deep = _decoded(body.removeprefix(b"\xef\xbb\xbf"))
    if bundle.kind == "OperationOutcome":
        raise ServerRefused(f"The server answered with an OperationOutcome: {', '.join(_codes(bundle)) or 'no code'}.")
    if bundle.kind != "Bundle":
        what = f"a resource of the type {bundle.kind}" if _NAME.fullmatch(bundle.kind) else "something else"
        raise NotABundle(f"The server did not answer with a Bundle, but with {what}.")
    resources = [
        resource
        for each in bundle.entry or ()
        if (resource := bytes_of(each.resource))
        and (each.search is None or each.search.mode not in _NO_MATCHES)
        and (resource.startswith(_WANTED) or not (resource == b"null" or _is_outcome(resource)))
    ]
    if b"\n" in body or b"\r" in body:
        resources = [msgspec.json.format(resource, indent=-1) for resource in resources]
    if deep:
        resources = [whole for each in resources if not _is_outcome(whole := deep.get(each, each))]
    return Page(
        resources=tuple(resources),
        next_link=_next_link(bundle),
        server_time=_server_time(bundle.meta),
    )


def matching_patients(page: Page, zipcode: str) -> tuple[tuple[str, bytes], ...]:
    """Id and resource of each patient with an address of just this postal code: servers search for those that begin so.

    Those that cannot be read are not among them; see `unreadable_patients`.
    """
    return tuple(
        (patient.id, resource)
        for resource in page.resources
        if (patient := _located(resource)) is not None
        and patient.kind == "Patient"
        and any(address.postalCode == zipcode for address in patient.address or ())
    )


def unreadable_patients(page: Page) -> tuple[bytes, ...]:
    """Resources of which nobody can tell whether they match; staged, they become rejections."""
    return tuple(resource for resource in page.resources if _located(resource) is None)


def issue_codes(body: bytes) -> tuple[str, ...]:
    """Severities and codes of an OperationOutcome, `error/not-found`; its texts may quote a patient and stay out."""
    try:
        return _codes(_decode_outcome(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ()


def _codes(outcome: _Outcome) -> tuple[str, ...]:
    issues = [(issue.severity or "", issue.code or "") for issue in (outcome.issue or ())[:_ISSUES_LIMIT]]
    return tuple(dict.fromkeys("/".join(issue) for issue in issues if all(map(_CODE.fullmatch, issue))))


def _located(resource: bytes) -> _Located | None:
    try:
        return _decode_located(resource)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def on_one_line(resource: bytes) -> bytes:
    """A resource as a line of NDJSON has it.

    Raises:
        msgspec.DecodeError: it is no JSON.
    """
    try:
        return msgspec.json.format(resource, indent=-1)
    except RecursionError:
        return resource.translate(_LINE_ENDS)  # texts in JSON hold none


def _decoded(body: bytes) -> tuple[_Bundle, dict[bytes, bytes]]:
    """The page, and the resources that nobody can decode, by what stands in their place."""
    try:
        return _bundle(body), {}
    except RecursionError:
        shallow, deep = _deep_apart(body)
    bundle = _bundle(shallow)
    found = sum(bytes_of(each.resource) in deep for each in bundle.entry or ())
    if found < len(deep) and bundle.kind == "Bundle":
        raise PageTooLarge(
            "The page itself is nested more deeply than a Bundle can be.",
            advice="Such a page is no server's of FHIR: look at what answers there.",
        )
    return bundle, deep


def _deep_apart(body: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """A page with small objects in place of the resources that are nested too deeply, and those by these objects.

    So is whatever else begins as deep as a resource: after decoding, no resource has its object.
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
                if depth == _OF_A_RESOURCE and deepest > _DEEPEST:
                    instead = f'{{"{uuid4()}":0}}'.encode()
                    # Nothing has told whether it is JSON, so nothing may decode it here.
                    deep[instead] = body[begin : token.end()].translate(_LINE_ENDS)
                    kept += [body[end:begin], instead]
                    end = token.end()
                depth -= 1
    if depth > 0:
        raise PageUnreadable("The page is no JSON, or was cut off: not all that it opens is closed.")
    return b"".join([*kept, body[end:]]), deep


def _bundle(body: bytes) -> _Bundle:
    try:
        return _decode_bundle(body)
    except msgspec.ValidationError as error:
        raise NotABundle(f"The server's answer does not have a Bundle's form: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if body.lstrip()[:1] == b"<":
            raise PageUnreadable("The server answered with a web page (HTML or XML) instead of JSON.") from None
        raise PageUnreadable(f"The page is no JSON, or was cut off: {_place(error)}.") from None


def _place(error: Exception) -> str:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


def _next_link(bundle: _Bundle) -> str | None:
    following = next((link for link in bundle.link or () if link.relation == "next"), None)
    if following is not None and not following.url:
        raise NotABundle("The Bundle says that there is a next page, and not where.")
    return following.url if following else None


def _is_outcome(resource: bytes) -> bool:
    if b'"OperationOutcome"' not in resource:
        return False
    try:
        return _decode_any(resource).resourceType == "OperationOutcome"
    except msgspec.ValidationError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _OUTCOME.match(resource) is not None  # one of `_deep_apart`


def _server_time(meta: Meta | None) -> datetime | None:
    try:
        return datetime.fromisoformat(read_instant(meta.lastUpdated)) if meta and meta.lastUpdated else None
    except TimeUnreadable:
        return None
