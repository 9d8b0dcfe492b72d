"""Patients as staged cells, in the order of the dataset's columns."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache

from msgspec import Raw

from library.sources.fhir.concepts import ReadCache, short_name
from library.sources.fhir.identity import ResourceOrigin, identified
from library.sources.fhir.names import search_names
from library.sources.fhir.resources import Address, Communication, Extension, HumanName, Patient, Period, bytes_of
from library.sources.fhir.rows import PatientRow
from library.sources.fhir.strict import strict_decoder
from library.sources.fhir.times import Day, TimeUnreadable, read_date, read_date_time
from library.sources.fhir.unreadable import Unreadable, limited
from library.sources.fhir.values import placed
from library.sources.fhir.zipcodes import comparable
from library.staging.files import text_array

_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_US_CORE_BYTES = b"us-core-"
"""The part of these URLs without a slash, since JSON may have slashes escaped."""
_NO_DAY: tuple[None, None, None] = (None, None, None)
_BEST_NAMES = ("official", "usual", None)
_FORMER = ("old", "maiden")


def patient_cells(given: Patient, source: ResourceOrigin) -> PatientRow:
    """The row of a patient.

    Raises:
        Unreadable: the patient cannot become a row; the error has the place and the reason.
    """
    name, address = _best_name(given.name or (), source.stamped), _best_address(given.address or (), source.stamped)
    born: Day | tuple[None, None, None] = _NO_DAY
    groups = _us_core(given.extension or (), source.harmless)
    if given.birthDate is not None:
        born = _born(given.birthDate)
    return PatientRow._make(
        (
            *identified(given.id, given.meta, source),
            name.family,
            _array(name.given or ()),
            name.text,
            _array(search_names(given.name or ())),
            given.gender,
            *born,
            *_deceased(given),
            _array(address.line or ()),
            address.city,
            address.state,
            address.postalCode,
            _array(limited(each.postalCode, "address.postalCode") for each in given.address or ()),
            _array(_compared(given.address or ())),
            address.country,
            short_name(given.maritalStatus) if given.maritalStatus else None,
            groups.get("race"),
            groups.get("ethnicity"),
            _language(given.communication or ()),
            "f",
            source.object_key,
        )
    )


def _best_name(names: Sequence[HumanName], now: str) -> HumanName:
    """Of the current names the official one, else the usual one, else one without a use, else the first."""
    current = _current(names, now) or names
    for use in _BEST_NAMES:
        if found := next((name for name in current if name.use == use), None):
            return found
    return current[0] if current else HumanName()


def _best_address(addresses: Sequence[Address], now: str) -> Address:
    """The first current address, else the first."""
    return next(iter(_current(addresses, now) or addresses), None) or Address()


def _current[T: (HumanName, Address)](parts: Sequence[T], now: str) -> list[T]:
    """Those that are not old, and whose period has not ended when the patient came."""
    return [part for part in parts if part.use not in _FORMER and not _has_ended(part.period, now)]


def _has_ended(period: Period | None, now: str) -> bool:
    """Whether a period has ended. One whose end cannot be read has not."""
    if period is None or period.end is None:
        return False
    try:
        end = read_date_time(period.end)
    except TimeUnreadable:
        return False
    return datetime.fromisoformat(end.end or end.start) < datetime.fromisoformat(now)


def _compared(addresses: Sequence[Address]) -> Iterable[str]:
    """The addresses' postal codes as searches compare them, each once."""
    return dict.fromkeys(comparable(each.postalCode, each.country) for each in addresses if each.postalCode)


def _deceased(given: Patient) -> tuple[str | None, str | None, str | None]:
    if given.deceasedBoolean is not None and given.deceasedDateTime is not None:
        raise Unreadable("deceased[x]", "both a boolean and a time")
    if given.deceasedDateTime is not None:
        return "t", _died(given.deceasedDateTime).start, given.deceasedDateTime
    return (None if given.deceasedBoolean is None else "t" if given.deceasedBoolean else "f"), None, None


def _us_core(extensions: Sequence[Raw], harmless: frozenset[str]) -> dict[str, str | None]:
    """Race and ethnicity, by the end of the URLs of their extensions. Of several with one URL, the first counts."""
    found: dict[str, str | None] = {}
    for each in map(bytes_of, extensions):
        if _US_CORE_BYTES in each:
            name, text = _groups(harmless)[each]
            found.setdefault(name, text)
    return found


def _group(given: Extension) -> tuple[str, str | None]:
    """The end of an extension's URL, and its text, else the names of its categories."""
    parts = given.extension or ()
    text = next((part.valueString for part in parts if part.url == "text" and part.valueString), None)
    codings = [part.valueCoding for part in parts if part.valueCoding]
    end = (given.url or "").removeprefix(_US_CORE)
    return end, text or ", ".join(name for coding in codings if (name := coding.display or coding.code)) or None


@cache
def _groups(harmless: frozenset[str]) -> ReadCache[tuple[str, str | None]]:
    decode: Callable[[bytes], Extension] = strict_decoder(Extension, harmless, "extension")
    return ReadCache(lambda given: _group(decode(given)), "extension")


def _language(spoken: Sequence[Communication]) -> str | None:
    wanted = next((each for each in spoken if each.preferred), None) or next(iter(spoken), None)
    return short_name(wanted.language) if wanted and wanted.language else None


def _array(texts: Iterable[str | None]) -> str:
    return text_array(text for text in texts if text)


_born = placed("birthDate", read_date)
_died = placed("deceasedDateTime", read_date_time)
