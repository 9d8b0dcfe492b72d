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
from library.sources.fhir.resources import (
    CodeableConcept,
    Meta,
    Observation,
    Patient,
    Period,
    Quantity,
    Range,
    Ratio,
    Reference,
    ReferenceRange,
    Timing,
)
from tests.benchmarks.fhir_pages import pages
from tests.benchmarks.measure import Report, best_of

pytestmark = pytest.mark.benchmark

ROUNDS = 60
PAGES = pages(2_000)
SOURCE = ResourceOrigin("bench", "landed/fhir/x", "2026-01-01T00:00:00+00:00")
NOTHING = Raw(b"")


# The elements that become columns, typed all through: what a reader would decode that keeps nothing by its bytes.
class BareMeasurement(Struct, gc=False):
    code: CodeableConcept | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: CodeableConcept | None = None
    valueString: str | None = None
    valueBoolean: bool | None = None
    valueInteger: int | None = None
    valueRange: Range | None = None
    valueRatio: Ratio | None = None
    valueSampledData: Raw = NOTHING
    valueTime: str | None = None
    valueDateTime: str | None = None
    valuePeriod: Period | None = None
    dataAbsentReason: CodeableConcept | None = None
    interpretation: list[CodeableConcept] | None = None
    referenceRange: list[ReferenceRange] | None = None


class BareObservation(BareMeasurement, gc=False):
    resourceType: str = ""
    id: str = ""
    meta: Meta | None = None
    status: str | None = None
    category: list[CodeableConcept] | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    effectiveInstant: str | None = None
    effectiveTiming: Timing | None = None
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
decode_resource = msgspec.json.Decoder(Patient | Observation).decode


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


async def test_pages_become_rows_at_half_the_speed_of_a_bare_decode(report: Report) -> None:
    best = await best_of(ROUNDS, ours, bare)
    figure = report.ratio("2,000 observations, pages to rows", *best, at_most=2, of="bare msgspec typed decode")
    assert figure.kept


async def test_pages_become_rows_many_times_as_fast_as_by_fhir_resources(report: Report) -> None:
    best = await best_of(3, ours, fhir_resources)
    figure = report.speedup("2,000 observations, pages to rows", *best, at_least=20, of="fhir.resources, no rows")
    assert figure.kept
