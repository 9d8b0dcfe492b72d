"""Loads resources from files: NDJSON, one resource as JSON, or a Bundle, as Synthea and HL7 publish them."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from config.servers import CHECKOUT
from library.contracts.errors import ConfigurationError
from service.sources.fhir.sandbox.resources import NotAResource, ResourceStore

SAMPLE = CHECKOUT / "tests" / "data" / "fhir"
"""The files that are served if none are named."""

_LINES = ".ndjson"
_TEMPORARY = re.compile(rb'"(urn:uuid:[^"]+)"')


class _FileEntry(msgspec.Struct, rename="camel"):
    resource: msgspec.Raw = msgspec.Raw(b"")
    full_url: str = ""


class _BundleFile(msgspec.Struct):
    entry: list[_FileEntry] = []


class _TypeAndId(msgspec.Struct, rename="camel"):
    resource_type: str = ""
    id: str = ""


def load(resources: ResourceStore, paths: list[Path]) -> int:
    """Store the resources of files and folders, and return their number.

    Their time stamp is the time of the file's last change, so a restart changes nothing.

    Raises:
        ConfigurationError: a path is missing, or a file contains something else.
    """
    count = 0
    for file in _files(paths):
        changed = datetime.fromtimestamp(int(file.stat().st_mtime), UTC)
        for where, raw in _lines(file) if file.suffix == _LINES else _documents(file):
            try:
                resources.put(raw, at=changed)
            except NotAResource as error:
                raise ConfigurationError(
                    f"{where} is not a FHIR resource. {error}", advice="Remove it, or name other files."
                ) from error
            count += 1
    return count


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(each for each in path.iterdir() if each.suffix in (_LINES, ".json"))
        elif path.is_file():
            yield path
        else:
            raise ConfigurationError(f"There is no file or folder {path}.", advice="Name NDJSON files or Bundles.")


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield f"Line {number} of {file}", line


def _documents(file: Path) -> Iterator[tuple[str, bytes]]:
    raw = file.read_bytes()
    try:
        if msgspec.json.decode(raw, type=_TypeAndId).resource_type != "Bundle":
            yield str(file), raw
            return
        entries = [each for each in msgspec.json.decode(raw, type=_BundleFile).entry if bytes(each.resource)]
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"{file} is neither a FHIR resource nor a Bundle: {error}.", advice="Remove it, or name other files."
        ) from error
    names: dict[bytes, bytes] = {}
    for entry in entries:
        fields = msgspec.json.decode(entry.resource, type=dict[str, msgspec.Raw])
        fields.setdefault("id", msgspec.Raw(msgspec.json.encode(entry.full_url.rpartition(":")[2])))
        entry.resource = msgspec.Raw(msgspec.json.encode(fields))
        identity = msgspec.json.decode(entry.resource, type=_TypeAndId)
        names[entry.full_url.encode()] = f"{identity.resource_type}/{identity.id}".encode()

    def final_reference(match: re.Match[bytes]) -> bytes:
        return b'"' + names.get(match[1], match[1]) + b'"'

    for number, entry in enumerate(entries, 1):
        yield f"Entry {number} of {file}", _TEMPORARY.sub(final_reference, bytes(entry.resource))
