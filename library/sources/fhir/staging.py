"""From NDJSON to staged CSV files: each line a resource, read for itself."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import msgspec
from pydantic import JsonValue

from library.contracts.loads import LoadIdentity
from library.contracts.objects import ObjectRef
from library.datasets.declaration import Dataset
from library.sources.fhir.contracts import SOURCE
from library.sources.fhir.datasets import (
    DATASETS,
    OBSERVATION,
    OBSERVATION_COMPONENT,
    PATIENT,
    REFUSED_VERSION,
)
from library.sources.fhir.errors import NotResources
from library.sources.fhir.identity import ResourceOrigin
from library.sources.fhir.observations import ObservationRows, component_cells
from library.sources.fhir.patients import patient_cells
from library.sources.fhir.reading import DEFAULTS, ReaderSettings
from library.sources.fhir.refusals import refused_version
from library.sources.fhir.resources import AnyResource, Observation, Patient, Resource
from library.sources.fhir.rows import ComponentRow, ObservationRow, PatientRow, RefusedRow
from library.sources.fhir.strict import strict_decoder
from library.sources.fhir.unreadable import HALF_PAIR, Unreadable, misfit
from library.staging.files import Cell, Staging

READER_VERSION = 3
"""Raised whenever the rows that come out of the same bytes change."""

LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of a resource that are read at once; a longer one is refused unread."""

_FAMILIES = ((PATIENT.name,), (OBSERVATION.name, OBSERVATION_COMPONENT.name))
_DATASET_OF_TYPE = {"Patient": PATIENT, "Observation": OBSERVATION}
_CHUNK = 1024 * 1024
MOST_REFUSED = 100_000
"""Refused and blank lines up to which a file is read. A few KB can inflate to millions."""
_BEGINNING = 200
_STRANGE = (
    (re.compile(rb"<"), "It is a web page, or XML."),
    (re.compile(rb"\["), "It is a list in JSON."),
    (re.compile(rb'\{\s*"resourceType"\s*:\s*"Bundle"'), "It is a Bundle."),
    (re.compile(rb"\{"), "It is JSON over several lines, or of something else."),
    (re.compile(rb""), "No line of it is one."),
)
"""What a file without any resource seems to be, by the beginning of its first line."""
_LINES_AT_ONCE = 100
_BYTES_AT_ONCE = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_BEGINNING_OF_FILE = 64
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MOST_ZEROS = 0.4
"""The share of zero bytes above which a beginning is UTF-16 or UTF-32. In damaged UTF-8 they are fewer."""
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,40}")
_TYPES_LIMIT = 200
"""Maximum number of type names to count. R4 has 148 types, so more names are not types."""


class StagedResources(NamedTuple):
    """The files that the reader left in its folder.

    Attributes:
        rows: the number of rows of each dataset.
        report: the number of lines, and of unneeded resources by type (`skipped`). If resources have no time of their
            own, `as_of` is the time that orders them.
        strange: if no line is a resource, what the file seems to be; else empty.
    """

    rows: dict[str, int]
    report: dict[str, JsonValue]
    strange: str = ""

    @property
    def needed(self) -> dict[str, int]:
        """The rows of the datasets to load. Each one costs a COPY, so unused ones are left out."""
        if self.report["refused"]:
            return self.rows  # a rejection may be of any of them
        found = {name: self.rows[name] for family in _FAMILIES if self.rows[family[0]] for name in family}
        return found or self.rows


def fhir_identity(
    landed: ObjectRef, server: str, reading: ReaderSettings = DEFAULTS, *, reload: int = 0
) -> LoadIdentity:
    """The identity of the load of a page or a file: its bytes, its server, and the settings that change its rows."""
    return LoadIdentity(
        source=SOURCE,
        scope=server,
        sha256=landed.sha256,
        reader_version=READER_VERSION,
        reader_settings=reading.digest,
        reload=reload,
    )


def stage_ndjson(
    source: Path,
    folder: Path,
    *,
    server: str,
    object_key: str,
    stamped: datetime,
    reading: ReaderSettings = DEFAULTS,
) -> StagedResources:
    """Read landed NDJSON and write its rows to a folder. Each unreadable line is a rejection.

    Args:
        source: the uncompressed file.
        folder: where the staged files go.
        server: the configured name of the server, or `file`.
        object_key: the key of the landed object.
        stamped: when the resources arrived, with a zone. It orders those without `meta.lastUpdated`.
        reading: the settings that change what is read.

    Raises:
        NotResources: the file is UTF-16, or more than `MOST_REFUSED` lines cannot be read or are blank.
    """
    if stamped.utcoffset() is None:
        raise ValueError("the time of landing needs its zone")
    came = ResourceOrigin(server, object_key, stamped.isoformat(), reading.bases, reading.harmless)
    with Staging(folder, DATASETS) as staging, source.open("rb", buffering=_CHUNK) as file:
        _check_encoding(file)
        reader = _Reader(staging, came)
        reader.read(file)
        report: dict[str, JsonValue] = {
            "lines": reader.lines,
            "refused": staging.refused,
            "skipped": cast(JsonValue, dict(sorted(reader.skipped.items()))),
        }
        if came.undated:
            report["as_of"] = came.stamped
        return StagedResources(staging.rows, report, reader.strange)


_decode_any = msgspec.json.Decoder(AnyResource).decode


def resource_decoder(harmless: frozenset[str]) -> Callable[[bytes], Resource]:
    """A decoder of lines, for one thread."""
    return strict_decoder(Patient | Observation, harmless, in_one_thread=True)


def _check_encoding(file: BinaryIO) -> None:
    """Refuse UTF-16. Each of its lines would be refused, with reasons that do not help."""
    beginning = file.read(_BEGINNING_OF_FILE)
    file.seek(0)
    zeros = beginning.count(0)
    if beginning.startswith(_UTF_16_MARKS) or zeros > _MOST_ZEROS * len(beginning):
        bits = 32 if b"\0\0" in beginning else 16
        raise NotResources(f"The file is UTF-{bits}.", advice="Save the file as UTF-8, and send it again.")


class _Refusal(NamedTuple):
    """A line that cannot be decoded. Without an earlier resource, other lines give its dataset."""

    dataset: Dataset | None
    reason: str


class _Reader:
    """Reads a file's lines. An unreadable line is refused for the dataset of the line before."""

    def __init__(self, staging: Staging, source: ResourceOrigin) -> None:
        self._staging = staging
        self._source = source
        self._observations = ObservationRows(source)
        self._decode = resource_decoder(source.harmless)
        self._latest: Dataset | None = None
        self._strangers = 0
        self._begins = b""
        self.lines = 0
        self.skipped: Counter[str] = Counter()

    def read(self, file: BinaryIO) -> None:
        """Stage or refuse each line."""
        for lines in _some_at_once(_numbered_lines(file)):
            # Decode a group, then make its rows. Doing both line by line takes longer (decision 64).
            decoded = [(number, line, self._decoded(line)) for number, line in lines]
            for number, line, found in decoded:
                if isinstance(found, _Refusal):
                    self._refuse(found.dataset or self._latest or OBSERVATION, number, line, found.reason)
                elif found is not None:
                    self._stage(number, line or b"", found)

    @property
    def strange(self) -> str:
        """What the file seems to be, if no line of it is a resource; else empty."""
        if not self.lines or self._strangers < self.lines:
            return ""
        return next(what for beginning, what in _STRANGE if beginning.match(self._begins))

    def _decoded(self, line: bytes | None) -> Resource | _Refusal | None:
        self.lines += 1
        if line is None:
            return _Refusal(self._latest, f"longer than {LINE_LIMIT:,} bytes")
        try:
            if not line.isascii():
                line.decode()  # no other code checks the bytes of skipped resources
            try:
                resource = self._decode(line)
            except msgspec.ValidationError:
                if self._is_of_another_type(line):
                    return None
                raise
            except Unreadable:
                self._latest = _DATASET_OF_TYPE.get(_decode_any(line).resourceType, self._latest)
                raise
        except Exception as error:  # noqa: BLE001 - see `_reason`
            if not _may_be_a_resource(line):
                self._is_stranger(line)
            return _Refusal(self._latest, _reason(error, line))
        self._latest = _dataset_of(resource)
        return resource

    def _is_stranger(self, line: bytes) -> None:
        """Count a line that is no resource, or one that only holds others."""
        self._begins = self._begins or line[:_BEGINNING]
        self._strangers += 1

    def _stage(self, number: int, line: bytes, resource: Resource) -> None:
        may_hold_nul = line.find(b"\\u0000") >= 0  # the only way in JSON; `in` takes 0.4 µs more
        try:
            if isinstance(resource, Patient):
                self._write(PATIENT, PatientRow, patient_cells(resource, self._source), number, checked=may_hold_nul)
                return
            observation = self._observations.cells(resource)
            components = component_cells(resource, self._source) if resource.component else []
            for component in components if may_hold_nul else ():
                _refuse_nul(OBSERVATION_COMPONENT, component)
            self._write(OBSERVATION, ObservationRow, observation, number, checked=may_hold_nul)
        except Exception as error:  # noqa: BLE001 - see `_reason`
            self._refuse(_dataset_of(resource), number, line, _reason(error, line))
            return
        for component in components:
            self._staging.add_cells(OBSERVATION_COMPONENT, ComponentRow, component, line=number, parent=number)

    def _refuse(self, dataset: Dataset, number: int, line: bytes | None, reason: str) -> None:
        if self._staging.refused == MOST_REFUSED:
            raise NotResources(f"More than {MOST_REFUSED:,} lines of the file cannot be read.")
        self._staging.refuse(dataset, [reason], line=number, raw=line)
        if line is not None and (version := refused_version(line, number, self._source)):
            self._staging.add_cells(REFUSED_VERSION, RefusedRow, version, line=number)

    def _write(
        self, dataset: Dataset, row: type[NamedTuple], cells: Sequence[Cell], number: int, *, checked: bool
    ) -> None:
        if checked:
            _refuse_nul(dataset, cells)
        self._staging.add_cells(dataset, row, cells, line=number)

    def _is_of_another_type(self, line: bytes) -> bool:
        """Whether a resource is neither a patient nor an observation. If so, it is counted."""
        kind = _decode_any(line).resourceType
        if not kind:
            raise Unreadable("resourceType", "missing")
        if kind in _DATASET_OF_TYPE:
            self._latest = _DATASET_OF_TYPE[kind]
            return False
        if kind == "Bundle":
            self._is_stranger(line)
        self._skip(kind)
        return True

    def _skip(self, kind: str) -> None:
        is_type = _TYPE.fullmatch(kind) and (kind in self.skipped or len(self.skipped) < _TYPES_LIMIT)
        self.skipped[kind if is_type else "of no type of FHIR"] += 1


def _may_be_a_resource(line: bytes) -> bool:
    """Whether an unreadable line seems to be a resource, perhaps cut off."""
    try:
        return _decode_any(line).resourceType != ""
    except msgspec.ValidationError:
        return False
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return line.startswith(b"{") and b'"resourceType"' in line


def _dataset_of(resource: Resource) -> Dataset:
    return PATIENT if isinstance(resource, Patient) else OBSERVATION


def _reason(error: Exception, line: bytes) -> str:
    """The reason why a line cannot be a row. An unexpected error never stops other lines.

    Raises:
        OSError, MemoryError: the error itself, since the line is not its cause.
    """
    match error:
        case Unreadable():
            return str(error)
        case RecursionError():
            return "nested too deeply"
        case UnicodeDecodeError():
            return "not UTF-8"
        case msgspec.ValidationError():
            return str(misfit(error))
        case msgspec.DecodeError():
            return "holds half a surrogate pair" if HALF_PAIR.search(line) else "not JSON, or cut off"
        case OSError() | MemoryError():
            raise error
        case _:
            return f"the reader failed on it ({type(error).__name__})"


def _refuse_nul(dataset: Dataset, cells: Sequence[Cell]) -> None:
    for column, cell in zip(dataset.columns, cells, strict=True):
        if isinstance(cell, str) and "\0" in cell:
            raise Unreadable(column.name, "holds a NUL character")


def _some_at_once(lines: Iterator[tuple[int, bytes | None]]) -> Iterator[list[tuple[int, bytes | None]]]:
    """Lines in their order, in groups of a hundred lines or 256 KB."""
    some: list[tuple[int, bytes | None]] = []
    size = 0
    for number, line in lines:
        some.append((number, line))
        size += len(line or b"")
        if size >= _BYTES_AT_ONCE or len(some) == _LINES_AT_ONCE:
            yield some
            some, size = [], 0
    yield some


def _numbered_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not blank, counted from 1; `None` for a line that is too long."""
    number = blank = 0
    while line := file.readline(LINE_LIMIT + 1):
        number += 1
        if len(line) > LINE_LIMIT and not line.endswith(b"\n"):
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                pass
            yield number, None
            continue
        line = (line.removeprefix(_BOM) if number == 1 else line).strip()
        if line:
            yield number, line
        elif (blank := blank + 1) > MOST_REFUSED:
            raise NotResources(f"More than {MOST_REFUSED:,} lines of the file are blank.")
