"""Pages of FHIR to rows, against a bare typed decode of the same pages, and against `fhir.resources`.

All of them only compute, in one thread, so processor time is measured: other processes disturb it less.
"""

# ruff: noqa: N815 - the fields are called as FHIR calls them

from time import process_time

import msgspec
import pytest
from fhir.resources.R4B.bundle import Bundle
from msgspec import Raw, Struct

from library.sources.fhir.identity import ResourceOrigin
from library.sources.fhir.observations import ObservationRows, component_cells
from library.sources.fhir.page import read_page
from library.sources.fhir.resources import Observation
from library.sources.fhir.staging import resource_decoder
from tests.benchmarks.fhir_pages import pages
from tests.benchmarks.measure import Report, best_of

pytestmark = pytest.mark.benchmark

ROUNDS = 60
PAGES = pages(2_000)
SOURCE = ResourceOrigin("bench", "landed/fhir/x", "2026-01-01T00:00:00+00:00")
NOTHING = Raw(b"")


# The elements that become columns, typed all through: what a reader would decode that keeps nothing by its bytes.
class BareMeta(Struct, gc=False):
    versionId: str | None = None
    lastUpdated: str | None = None


class BareCoding(Struct, gc=False):
    system: str | None = None
    code: str | None = None
    display: str | None = None


class BareConcept(Struct, gc=False):
    coding: list[BareCoding] | None = None
    text: str | None = None


class BareQuantity(Struct, gc=False):
    value: float | None = None
    comparator: str | None = None
    unit: str | None = None
    code: str | None = None


class BareRange(Struct, gc=False):
    low: BareQuantity | None = None
    high: BareQuantity | None = None


class BareRatio(Struct, gc=False):
    numerator: BareQuantity | None = None
    denominator: BareQuantity | None = None


class BarePeriod(Struct, gc=False):
    start: str | None = None
    end: str | None = None


class BareRepeat(Struct, gc=False):
    boundsPeriod: BarePeriod | None = None


class BareTiming(Struct, gc=False):
    event: list[str] | None = None
    repeat: BareRepeat | None = None


class BareReference(Struct, gc=False):
    reference: str | None = None


class BareReferenceRange(Struct, gc=False):
    low: BareQuantity | None = None
    high: BareQuantity | None = None
    type: BareConcept | None = None


class BareMeasurement(Struct, gc=False):
    code: BareConcept | None = None
    valueQuantity: BareQuantity | None = None
    valueCodeableConcept: BareConcept | None = None
    valueString: str | None = None
    valueBoolean: bool | None = None
    valueInteger: int | None = None
    valueRange: BareRange | None = None
    valueRatio: BareRatio | None = None
    valueSampledData: Raw = NOTHING
    valueTime: str | None = None
    valueDateTime: str | None = None
    valuePeriod: BarePeriod | None = None
    dataAbsentReason: BareConcept | None = None
    interpretation: list[BareConcept] | None = None
    referenceRange: list[BareReferenceRange] | None = None


class BareObservation(BareMeasurement, gc=False):
    resourceType: str = ""
    id: str = ""
    meta: BareMeta | None = None
    status: str | None = None
    category: list[BareConcept] | None = None
    subject: BareReference | None = None
    encounter: BareReference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: BarePeriod | None = None
    effectiveInstant: str | None = None
    effectiveTiming: BareTiming | None = None
    issued: str | None = None
    component: list[BareMeasurement] | None = None


class BareSearch(Struct, gc=False):
    mode: str | None = None


class BareEntry(Struct, gc=False):
    resource: BareObservation | None = None
    search: BareSearch | None = None


class BareLink(Struct, gc=False):
    relation: str | None = None
    url: str | None = None


class BareBundle(Struct, gc=False):
    resourceType: str = ""
    total: int | None = None
    link: list[BareLink] | None = None
    entry: list[BareEntry] | None = None


decode_bare = msgspec.json.Decoder(BareBundle).decode
decode_resource = resource_decoder(frozenset())


async def ours() -> float:
    began = process_time()
    rows = ObservationRows(SOURCE)
    for page in PAGES:
        # As the product does: some lines are decoded, then they become rows.
        for resource in [decode_resource(line) for line in read_page(page).resources]:
            assert isinstance(resource, Observation)
            rows.cells(resource)
            if resource.component:
                component_cells(resource, SOURCE)
    return process_time() - began


async def bare() -> float:
    began = process_time()
    for page in PAGES:
        decode_bare(page)
    return process_time() - began


async def fhir_resources() -> float:
    began = process_time()
    for page in PAGES:
        Bundle.model_validate_json(page)
    return process_time() - began


async def test_pages_become_rows_at_a_good_third_of_the_speed_of_a_bare_decode(report: Report) -> None:
    best = await best_of(ROUNDS, ours, bare)
    figure = report.ratio("2,000 observations, pages to rows", *best, at_most=2.7, of="bare msgspec typed decode")
    assert figure.kept


async def test_pages_become_rows_many_times_as_fast_as_by_fhir_resources(report: Report) -> None:
    best = await best_of(3, ours, fhir_resources)
    figure = report.speedup("2,000 observations, pages to rows", *best, at_least=20, of="fhir.resources, no rows")
    assert figure.kept
