"""The manifest of a Bulk Data export. It may have several pages, each with a link to the next one."""

import json
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urljoin, urlsplit

import msgspec
from msgspec import Raw

from library.sources.fhir.errors import NotABundle, PageUnreadable
from library.sources.fhir.resources import bytes_of
from library.sources.fhir.times import TimeUnreadable, read_instant

_OURS = ("Patient", "Observation", "")
_ISSUES = "OperationOutcome"
_LONGEST_COUNT = 15


@dataclass(frozen=True)
class ExportFile:
    """A file with patients or observations.

    Attributes:
        count: the number of its resources, if the manifest states it.
    """

    url: str
    count: int | None = None


@dataclass(frozen=True)
class ReadManifest:
    """The parts of a manifest that are used.

    Attributes:
        files: the files with patients or observations.
        at: the export's transaction time.
        errors: URLs of the files with errors of the export.
        deletions: URLs of the files with deletions.
        next_link: the URL of the next page; `None`: this is the last page.
    """

    files: tuple[ExportFile, ...]
    at: datetime | None = None
    errors: tuple[str, ...] = ()
    deletions: tuple[str, ...] = ()
    next_link: str | None = None

    def followed_by(self, page: "ReadManifest") -> "ReadManifest":
        """This manifest with the files of its next page. A file that both list counts once."""
        known = {file.url for file in self.files}
        return ReadManifest(
            files=(*self.files, *(file for file in page.files if file.url not in known)),
            at=self.at or page.at,
            errors=tuple(dict.fromkeys((*self.errors, *page.errors))),
            deletions=tuple(dict.fromkeys((*self.deletions, *page.deletions))),
            next_link=page.next_link,
        )

    def encoded(self) -> bytes:
        """The manifest as a server would send it, on one page."""
        return msgspec.json.encode(
            _ManifestBody(
                output=[_File(file.url, count=Raw(str(file.count).encode()) if file.count is not None else NULL)
                        for file in self.files],
                transaction_time=self.at.isoformat() if self.at else "",
                error=[_File(url, _ISSUES) for url in self.errors],
                deleted=[_File(url, "Bundle") for url in self.deletions],
            )
        )  # fmt: skip


NULL = Raw(b"null")


class _File(msgspec.Struct):
    url: str
    type: str | None = None
    count: Raw = NULL


class _Link(msgspec.Struct):
    relation: str | None = None
    url: str | None = None


class _ManifestBody(msgspec.Struct, rename="camel"):
    output: list[_File]
    transaction_time: str | None = None
    error: list[_File] | None = None
    deleted: list[_File] | None = None
    link: list[_Link] | None = None


def read_manifest(body: bytes, *, url: str = "") -> ReadManifest:
    """Read a manifest, or one page of it.

    Args:
        body: JSON.
        url: the URL of the page; relative URLs in it are resolved against it.

    Raises:
        PageUnreadable: the body is not JSON.
        NotABundle: the body is JSON, but not a manifest, or a name stands twice in an object.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        manifest = msgspec.json.decode(body, type=_ManifestBody)
        json.loads(body.decode(errors="replace"), object_pairs_hook=_check_names, parse_int=str, parse_float=str)
    except msgspec.ValidationError:
        raise NotABundle(
            "The answer is not the manifest of an export.", advice="Give the URL of an export, or of its manifest."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PageUnreadable("The manifest is not JSON, or was cut off.") from None
    try:
        at = datetime.fromisoformat(read_instant(manifest.transaction_time)) if manifest.transaction_time else None
    except TimeUnreadable:
        at = None
    following = next((link.url for link in manifest.link or () if link.relation == "next" and link.url), None)
    # Messages belong into `error`, but some servers list them among the output.
    messages = [*(file for file in manifest.output if file.type == _ISSUES), *(manifest.error or ())]
    return ReadManifest(
        files=tuple(
            ExportFile(_absolute(file.url, url), _count(file)) for file in manifest.output if (file.type or "") in _OURS
        ),
        at=at,
        errors=tuple(_absolute(file.url, url) for file in messages),
        deletions=tuple(_absolute(file.url, url) for file in manifest.deleted or ()),
        next_link=_absolute(following, url) if following else None,
    )


def manifest_of_one(url: str) -> bytes:
    """Make the manifest of an export with one file."""
    return ReadManifest((ExportFile(url),)).encoded()


def _check_names(pairs: list[tuple[str, object]]) -> None:
    """Refuse an object with a name that stands twice: the first files or errors would be lost."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise NotABundle("A name stands twice in an object of the manifest.")


def _count(file: _File) -> int | None:
    stated = bytes_of(file.count)
    return int(stated) if stated.isdigit() and len(stated) <= _LONGEST_COUNT else None


def _absolute(url: str, page: str) -> str:
    """A URL of a page; an absolute one stays as given, since it may be signed."""
    try:
        return url if urlsplit(url).scheme else urljoin(page, url)
    except ValueError:
        return url  # the download refuses it
