"""Reads the files of an export that are not data: its errors, and the resources that were deleted.

Only codes, types and counts are read. Texts of issues may quote a patient.
"""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from library.sources.fhir.delivery import OTHERS, Delivery, summed

_LINE_LIMIT = 16 * 1024 * 1024
_CHUNK = 1024 * 1024
_CODE = re.compile(r"[a-z][a-z-]{0,39}")
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,40}")
_FAILURES = ("error", "fatal")
_SEVERITIES = (*_FAILURES, "warning", "information", "success")


class _Issue(Struct):
    severity: str | None = None
    code: str | None = None


class _OperationOutcome(Struct, tag_field="resourceType", tag="OperationOutcome"):
    issue: list[_Issue] | None = None


class _Request(Struct):
    method: str | None = None
    url: str | None = None


class _Entry(Struct):
    request: _Request | None = None


class _Bundle(Struct, tag_field="resourceType", tag="Bundle"):
    entry: list[_Entry] | None = None


_decode_outcome = msgspec.json.Decoder(_OperationOutcome).decode
_decode_bundle = msgspec.json.Decoder(_Bundle).decode


def read_errors(path: Path) -> Delivery:
    """Count the issues of a file of OperationOutcomes, by severity and code.

    A line that is no OperationOutcome, or has no issue of a known severity, counts as unread: it may be an error.
    """
    issues: Counter[str] = Counter()
    failures = unread = 0
    for line in _lines(path):
        found = [issue for issue in _issues(line) if issue.severity in _SEVERITIES]
        unread += not found
        failures += sum(issue.severity in _FAILURES for issue in found)
        issues.update(f"{issue.severity}/{_code(issue)}" for issue in found)
    return Delivery(issues=summed({}, issues), failures=failures, unread_errors=unread)


def read_deletions(path: Path) -> Delivery:
    """Count the deletions of a file of Bundles, by the type of the deleted resource."""
    deleted: Counter[str] = Counter()
    unread = 0
    for line in _lines(path):
        requests = _requests(line)
        if requests is None:
            unread += 1
            continue
        deletions = [request for request in requests if request is not None and request.method == "DELETE"]
        unread += len(requests) - len(deletions)
        deleted.update(_type(request.url or "") for request in deletions)
    return Delivery(deleted=summed({}, deleted), unread_deletions=unread)


def _issues(line: bytes | None) -> list[_Issue]:
    try:
        return _decode_outcome(line or b"").issue or []
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []


def _code(issue: _Issue) -> str:
    return issue.code if issue.code and _CODE.fullmatch(issue.code) else OTHERS


def _requests(line: bytes | None) -> list[_Request | None] | None:
    """The requests of a Bundle; `None` if the line is no Bundle."""
    try:
        return [entry.request for entry in _decode_bundle(line or b"").entry or ()]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _type(url: str) -> str:
    """The type in `Patient/1`, `https://…/Patient/1` or `Patient?identifier=…`."""
    parts = url.partition("?")[0].rstrip("/").split("/")
    at = -1 if "?" in url else -2
    found = parts[at] if len(parts) >= -at else ""
    return found if _TYPE.fullmatch(found) else OTHERS


def _lines(path: Path) -> Iterator[bytes | None]:
    """The lines that are not blank; `None` for a line that is too long. JSON over several lines counts as one line."""
    if path.stat().st_size <= _LINE_LIMIT:
        whole = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        try:
            msgspec.json.decode(whole, type=msgspec.Raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass  # lines, or no JSON
        else:
            yield whole
            return
    with path.open("rb", buffering=_CHUNK) as file:
        first = True
        while line := file.readline(_LINE_LIMIT + 1):
            if len(line) > _LINE_LIMIT and not line.endswith(b"\n"):
                while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                    pass
                yield None
            elif text := (line.removeprefix(b"\xef\xbb\xbf") if first else line).strip():
                yield text
            first = False
