"""Stores the resources of the sandbox as bytes, with time stamps and with indexes for searches."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

type Stamp = Literal["now", "given"]
"""`now`: the server sets `meta.versionId` and `meta.lastUpdated`; `given`: the bytes stay as they are."""


class NotAResource(ValueError):
    """The bytes are not a FHIR resource with a type and an id."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a resource.

    Attributes:
        place: its place in search results; later versions keep it.
        raw: one line of JSON, as it is served; empty if the resource is deleted.
        patient: the id of the patient that it is about.
    """

    kind: str
    id: str
    version: int
    updated: datetime
    place: int
    raw: bytes = b""
    postal_codes: tuple[str, ...] = ()
    patient: str = ""
    codes: tuple[tuple[str, str], ...] = ()
    deleted: bool = False


def present() -> datetime:
    """The current time in milliseconds, as in `lastUpdated`."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def instant(moment: datetime) -> str:
    """A time as a FHIR instant."""
    return moment.isoformat(timespec="milliseconds")


class ResourceStore:
    """All resources, by kind and id.

    Args:
        opaque_versions: whether version ids are texts without an order, instead of numbers.
    """

    def __init__(self, *, opaque_versions: bool = False, clock: Callable[[], datetime] = present) -> None:
        self._clock = clock
        self._opaque = opaque_versions
        self._kinds: dict[str, dict[str, Stored]] = {}
        self._about: dict[str, dict[tuple[str, str], Stored]] = {}
        self._places = 0
        self._codes: dict[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]] = {}

    def kinds(self) -> list[str]:
        """All kinds of stored resources."""
        return sorted(self._kinds)

    def get(self, kind: str, identity: str) -> Stored | None:
        """The newest version, which may be a deletion."""
        return self._kinds.get(kind, {}).get(identity)

    def all(self, kind: str) -> Iterable[Stored]:
        """The resources of a kind that are not deleted, in the order of their storage."""
        return (each for each in self._kinds.get(kind, {}).values() if not each.deleted)

    def about(self, kind: str, patients: Iterable[str]) -> list[Stored]:
        """The resources of a kind that are about one of the patients, in the order of their storage."""
        found = [
            each
            for patient in dict.fromkeys(patients)
            for each in self._about.get(patient, {}).values()
            if each.kind == kind
        ]
        found.sort(key=lambda each: each.place)
        return found

    def put(
        self,
        raw: bytes,
        *,
        stamp: Stamp = "now",
        at: datetime | None = None,
        must_be: tuple[str, str] | None = None,
    ) -> Stored:
        """Store a resource, or its next version.

        Args:
            raw: the resource as JSON.
            stamp: whether the server or the resource states version and time.
            at: the time stamp; `None`: now.
            must_be: the type and the id that it must have.

        Raises:
            NotAResource: the bytes are not a JSON object with a type and an id.
        """
        try:
            fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
            kind, identity = (msgspec.json.decode(fields[name], type=str) for name in ("resourceType", "id"))
        except KeyError as error:
            raise NotAResource(f"There is no {error}.") from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise NotAResource(f"It is not a JSON object: {error}.") from error
        if must_be and must_be != (kind, identity):
            raise NotAResource("Its type and id are not those of the URL.")
        before = self.get(kind, identity)
        version = before.version + 1 if before else 1
        updated = at or self._clock()
        if stamp == "now":
            fields["meta"] = self._stamped(fields.get("meta"), identity, version, updated)
            raw = msgspec.json.encode(fields)
        else:
            updated = _given(fields) or updated
        stored = Stored(
            kind=kind,
            id=identity,
            version=version,
            updated=updated,
            place=before.place if before else self._next_place(),
            raw=msgspec.json.format(raw, indent=-1),
            postal_codes=_postal_codes(fields) if kind == "Patient" else (),
            patient=_patient(fields),
            codes=self._shared(_codes(fields)),
        )
        self._keep(stored, before)
        return stored

    def delete(self, kind: str, identity: str) -> Stored | None:
        """Delete a resource; `None` if there is none. Later versions get the next version numbers."""
        before = self.get(kind, identity)
        if before is None or before.deleted:
            return before
        gone = Stored(kind, identity, before.version + 1, self._clock(), before.place, deleted=True)
        self._keep(gone, before)
        return gone

    def clear(self) -> None:
        """Remove all resources."""
        self._kinds.clear()
        self._about.clear()

    def _keep(self, stored: Stored, before: Stored | None) -> None:
        key = stored.kind, stored.id
        if before and before.patient and before.patient != stored.patient:
            del self._about[before.patient][key]
        if stored.patient:
            self._about.setdefault(stored.patient, {})[key] = stored
        self._kinds.setdefault(stored.kind, {})[stored.id] = stored

    def _next_place(self) -> int:
        self._places += 1
        return self._places

    def _stamped(self, meta: msgspec.Raw | None, identity: str, version: int, updated: datetime) -> msgspec.Raw:
        try:
            kept = msgspec.json.decode(meta, type=dict[str, msgspec.Raw]) if meta is not None else {}
        except msgspec.DecodeError:
            kept = {}
        number = f"{identity[:4]}-{version:x}-v" if self._opaque else str(version)
        kept["versionId"] = msgspec.Raw(msgspec.json.encode(number))
        kept["lastUpdated"] = msgspec.Raw(msgspec.json.encode(instant(updated)))
        return msgspec.Raw(msgspec.json.encode(kept))

    def _shared(self, codes: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """Share equal codes, since many observations have the same few."""
        return self._codes.setdefault(codes, codes)


def without_stamp(raw: bytes) -> bytes:
    """A resource without the server's version and time, as in most exports."""
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    meta = msgspec.json.decode(fields.pop("meta", msgspec.Raw(b"{}")), type=dict[str, msgspec.Raw])
    kept = {name: value for name, value in meta.items() if name not in ("versionId", "lastUpdated")}
    if kept:
        fields["meta"] = msgspec.Raw(msgspec.json.encode(kept))
    return msgspec.json.encode(fields)


def _value(fields: dict[str, msgspec.Raw], name: str) -> Any:  # noqa: ANN401 - any JSON, as nothing is validated
    return msgspec.json.decode(fields[name]) if name in fields else None


def _members(value: object) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _given(fields: dict[str, msgspec.Raw]) -> datetime | None:
    meta = _value(fields, "meta")
    try:
        given = datetime.fromisoformat(meta["lastUpdated"]) if isinstance(meta, dict) else None
    except (KeyError, TypeError, ValueError):
        return None
    return given if given and given.tzinfo else None


def _postal_codes(fields: dict[str, msgspec.Raw]) -> tuple[str, ...]:
    codes = (address.get("postalCode") for address in _members(_value(fields, "address")))
    return tuple(code.casefold() for code in codes if isinstance(code, str))


def _patient(fields: dict[str, msgspec.Raw]) -> str:
    subject = _value(fields, "subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    if not isinstance(reference, str):
        return ""
    before, found, identity = reference.partition("/_history/")[0].rpartition("Patient/")
    return identity if found and (not before or before.endswith("/")) else ""


def _codes(fields: dict[str, msgspec.Raw]) -> tuple[tuple[str, str], ...]:
    code = _value(fields, "code")
    codings = _members(code.get("coding")) if isinstance(code, dict) else []
    return tuple((str(coding.get("system", "")), str(coding.get("code", ""))) for coding in codings)
