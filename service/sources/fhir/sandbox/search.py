"""Reads search parameters, and runs searches with HAPI's rules."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from service.sources.fhir.sandbox.resources import ResourceStore, Stored

type Parameters = Sequence[tuple[str, str]]
type Condition = Callable[[Stored], bool]

DEFAULT_COUNT = 20
SEVERAL = "patient"
_ABOUT_THE_ANSWER = {"_format", "_pretty", "_total", "_summary"}
_MOMENT = re.compile(
    r"(?P<prefix>eq|ge|gt|le|lt)?(?P<date>\d{4}-\d\d-\d\d)"
    r"(T(?P<time>\d\d:\d\d(?P<second>:\d\d(?P<fraction>\.\d+)?)?)(?P<zone>Z|[+-]\d\d:\d\d)?)?"
)


class BadSearch(ValueError):
    """A search that the server refuses. The text has the reason."""


@dataclass(frozen=True)
class Search:
    """One search.

    Attributes:
        patients: the ids of the patients whose resources are searched; `None`: all patients.
        count: the requested number of entries of a page.
    """

    kind: str
    patients: tuple[str, ...] | None
    conditions: tuple[Condition, ...]
    count: int

    def run(self, resources: ResourceStore) -> tuple[Stored, ...]:
        """The resources that match now, in the server's order."""
        found = resources.all(self.kind) if self.patients is None else resources.about(self.kind, self.patients)
        return tuple(each for each in found if all(holds(each) for holds in self.conditions))


def read_search(kind: str, parameters: Parameters) -> Search:
    """Read the parameters of a search.

    Raises:
        BadSearch: a parameter is unknown, or its value is not valid.
    """
    patients: tuple[str, ...] | None = None
    conditions: list[Condition] = []
    count = DEFAULT_COUNT
    for name, value in parameters:
        match name:
            case "_count":
                count = _count(value)
            case "_id":
                conditions.append(_one_of_ids(value))
            case "_lastUpdated":
                conditions.append(_updated(value))
            case "address-postalcode" | "address-postalcode:exact" if kind == "Patient":
                conditions.append(_postal_code(value, exact=name.endswith(":exact")))
            case "patient" | "subject" | "subject:Patient" if kind != "Patient":
                named = tuple(each.removeprefix("Patient/") for each in value.split(",") if each)
                patients = named if patients is None else tuple(each for each in patients if each in named)
            case "code" if kind != "Patient":
                conditions.append(_coded(value))
            case _ if name not in _ABOUT_THE_ANSWER:
                raise BadSearch(f'Unknown search parameter "{name}" for resource type "{kind}".')
    return Search(kind, patients, tuple(conditions), count)


def _count(value: str) -> int:
    if not value.isdecimal() or len(value) > 9:
        raise BadSearch(f'Invalid _count value: "{value}".')
    return int(value)


def _one_of_ids(value: str) -> Condition:
    ids = set(value.split(","))
    return lambda each: each.id in ids


def _postal_code(value: str, *, exact: bool) -> Condition:
    values = tuple(each.casefold() for each in value.split(",") if each)
    if exact:
        return lambda each: any(code in values for code in each.postal_codes)
    return lambda each: any(code.startswith(values) for code in each.postal_codes)


def _coded(value: str) -> Condition:
    tokens = [each.rpartition("|") for each in value.split(",")]

    def holds(each: Stored) -> bool:
        return any(
            code == value and (not bar or system == of) for system, code in each.codes for of, bar, value in tokens
        )

    return holds


def _updated(value: str) -> Condition:
    prefix, low, high = _interval(value)
    match prefix:
        case "ge":
            return lambda each: each.updated >= low
        case "gt":
            return lambda each: each.updated >= high
        case "le":
            return lambda each: each.updated < high
        case "lt":
            return lambda each: each.updated < low
        case _:
            return lambda each: low <= each.updated < high


def _interval(value: str) -> tuple[str, datetime, datetime]:
    """The prefix, the first moment of a date or time, and the first moment after it."""
    found = _MOMENT.fullmatch(value)
    if found is None:
        raise BadSearch(f'Invalid date/time format: "{value}".')
    try:
        low = datetime.fromisoformat(value[len(found["prefix"] or "") :])
    except ValueError as error:
        raise BadSearch(f'Invalid date/time format: "{value}".') from error
    if low.tzinfo is None:
        low = low.replace(tzinfo=UTC)
    if found["fraction"]:
        width = timedelta(milliseconds=1)
    elif found["second"]:
        width = timedelta(seconds=1)
    else:
        width = timedelta(minutes=1) if found["time"] else timedelta(days=1)
    return found["prefix"] or "eq", low, low + width
