"""The manifest of a Bulk Data export."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from library.sources.fhir.errors import NotABundle, PageUnreadable
from library.sources.fhir.times import TimeUnreadable, read_instant

_OURS = ("Patient", "Observation", "")


@dataclass(frozen=True)
class ReadManifest:
    """The parts of a manifest that are used.

    Attributes:
        files: URLs of the files with patients or observations.
        at: the export's transaction time.
    """

    files: tuple[str, ...]
    at: datetime | None


class _File(msgspec.Struct):
    url: str
    type: str = ""


class _ManifestBody(msgspec.Struct, rename="camel"):
    output: list[_File]
    transaction_time: str = ""


def read_manifest(body: bytes) -> ReadManifest:
    """Read a manifest.

    Raises:
        PageUnreadable: the body is not JSON.
        NotABundle: the body is JSON, but not a manifest.
    """
    try:
        manifest = msgspec.json.decode(body, type=_ManifestBody)
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
    return ReadManifest(tuple(file.url for file in manifest.output if file.type in _OURS), at)


def manifest_of_one(url: str) -> bytes:
    """Make the manifest of an export with one file."""
    return msgspec.json.encode(_ManifestBody(output=[_File(url)]))
