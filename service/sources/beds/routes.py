"""`/nhs-data`: workbooks in, beds out."""

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from library.access.scopes import Scope
from library.contracts.objects import ObjectRef
from library.sources.beds import catalogue, names
from library.sources.beds import queries as beds
from library.warehouse.queries.pages import fetch_page
from library.web.kinds import Kind, sniff
from service.api.bodies import UPLOAD, UPLOAD_OVERHEAD, uploaded_file
from service.api.context import ApiContext
from service.api.idempotent import Idempotent
from service.api.pages import After, Limit, listed
from service.api.parameters import NO_NUL, Day, Moment
from service.api.parts import ApiPart
from service.api.problems import NotFound
from service.api.runs import RunAnswer, Started, accepted, as_it_is
from service.api.security import Caller, needs
from service.sources.beds import READ_BEDS, items
from service.sources.beds.starts import EXCEL, ingest_workbook, ingest_workbook_from, land_workbook

router = APIRouter(prefix="/nhs-data", tags=["beds"], route_class=Idempotent)

_SUFFIXES: Mapping[Kind, str] = {"ole2": ".xls", "zip": ".xlsx"}
_BYTES = "application/octet-stream"

Year = Annotated[str | None, Query(pattern=r"^20\d\d-\d\d$", description="Financial year.", examples=["2019-20"])]
QuarterNumber = Annotated[int | None, Query(ge=1, le=4, description="1: April to June.")]
BasisFilter = Annotated[names.Basis | None, Query(description="Beds open overnight, or by day only.")]
SectorFilter = Annotated[names.Sector | None, Query()]
Code = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9]{1,10}$", examples=["RJ1"])]
AsOf = Annotated[Day | None, Query(description="Only what was published by this day.")]
KnownAt = Annotated[Moment | None, Query(description="Only what had been landed here by this moment (with a zone).")]


class Trigger(BaseModel):
    """Where a workbook is to be downloaded from."""

    url: str = Field(
        max_length=2_000,
        examples=["https://www.england.nhs.uk/statistics/wp-content/uploads/sites/2/2024/05/Beds-Open-Overnight.xlsx"],
    )


async def _editions(
    year: Year = None,
    quarter: QuarterNumber = None,
    basis: BasisFilter = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
) -> beds.Editions:
    return beds.Editions(year, quarter, basis, as_of, known_at)


Editions = Annotated[beds.Editions, Depends(_editions)]


@router.post("/upload", status_code=HTTPStatus.ACCEPTED, **needs(Scope.OPERATE, 400, 413, 415, body=UPLOAD))
async def upload(request: Request, response: Response, api: ApiContext, caller: Caller) -> Started:
    """Upload a KH03 workbook; the answer says where its run can be followed."""
    async with uploaded_file(request, "workbook") as file:
        landed = await land_workbook(api.starter, file.path)
    handle = await ingest_workbook(api.starter, landed, subject=file.name)
    return await accepted(api, caller, response, handle)


@router.post("/trigger-pipeline", status_code=HTTPStatus.ACCEPTED, **needs(Scope.OPERATE, 400, 413))
async def trigger(wanted: Trigger, response: Response, api: ApiContext, caller: Caller) -> Started:
    """Download a workbook from an allowed host and ingest it."""
    handle = await ingest_workbook_from(api.starter, wanted.url)
    return await accepted(api, caller, response, handle)


@router.get("/status/{run_id}", **needs(Scope.OPERATE, 404))
async def status(run_id: str, api: ApiContext, caller: Caller) -> RunAnswer:
    """The run of a workbook."""
    return await as_it_is(api, run_id, caller)


@router.get("/occupancy", **needs(READ_BEDS, items=items.OccupancyItem))
async def occupancy(
    request: Request,
    api: ApiContext,
    editions: Editions,
    sector: SectorFilter = None,
    organisation: Code = None,
    region: Code = None,
    min_rate: Annotated[float | None, Query(ge=0, le=1_000, allow_inf_nan=False)] = None,
    sort: Annotated[
        beds.OccupancySort, Query(description="Ascending unless `descending`.")
    ] = beds.OccupancySort.PERIOD_END,
    descending: bool = False,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Beds available and occupied, a day, by organisation and sector."""
    query = beds.occupancy(
        editions,
        sector=sector,
        organisation=organisation,
        region=region,
        min_rate=min_rate,
        sort=sort,
        descending=descending,
    )
    return await listed(request, api.reader, query, limit=limit, after=after)


@router.get("/occupancy-by-specialty", **needs(READ_BEDS, items=items.SpecialtyItem))
async def occupancy_by_specialty(
    request: Request,
    api: ApiContext,
    editions: Editions,
    specialty: Code = None,
    organisation: Code = None,
    region: Code = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Occupied beds, a day, by organisation and consultant main specialty."""
    query = beds.specialty_occupancy(editions, specialty=specialty, organisation=organisation, region=region)
    return await listed(request, api.reader, query, limit=limit, after=after)


@router.get("/available-periods", **needs(READ_BEDS, items=items.PeriodItem))
async def available_periods(request: Request, api: ApiContext, limit: Limit = 1_000, after: After = None) -> Response:
    """Quarters, each with its editions."""
    return await listed(request, api.reader, catalogue.periods(), limit=limit, after=after)


@router.get("/summary", **needs(READ_BEDS, items=items.SummaryItem))
async def summary(request: Request, api: ApiContext, limit: Limit = 1_000, after: After = None) -> Response:
    """England by quarter: organisations, beds, rate."""
    return await listed(request, api.reader, catalogue.summary(), limit=limit, after=after)


@router.get("/organization/{code}", **needs(READ_BEDS, 404, items=items.OccupancyItem))
async def organisation_history(
    request: Request,
    api: ApiContext,
    code: Annotated[str, InPath(pattern=r"^[A-Za-z0-9]{1,10}$")],
    limit: Limit = 1_000,
    after: After = None,
) -> Response:
    """The history of one organisation, all sectors."""
    query = beds.occupancy(beds.Editions(), organisation=code.upper())
    if after is None and (await fetch_page(api.reader, query, limit=1)).items == b"[]":
        raise NotFound("No organisation has this code.", field="code")
    return await listed(request, api.reader, query, limit=limit, after=after)


@router.get("/organization-name/{text}", **needs(READ_BEDS, 404, items=items.OrganisationItem))
async def organisations_called(
    request: Request,
    api: ApiContext,
    text: Annotated[str, InPath(min_length=2, max_length=100, pattern=NO_NUL)],
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Organisations whose name holds a text, or resembles it."""
    query = catalogue.organisations_called(text)
    if after is None and (await fetch_page(api.reader, query, limit=1)).items == b"[]":
        raise NotFound("No organisation has a name like this.", field="text")
    return await listed(request, api.reader, query, limit=limit, after=after)


@router.get("/editions", **needs(READ_BEDS, items=items.EditionItem))
async def editions(request: Request, api: ApiContext, limit: Limit = 100, after: After = None) -> Response:
    """Every edition, with its provenance and warnings."""
    return await listed(request, api.reader, catalogue.editions(), limit=limit, after=after)


@router.get("/editions/{edition_id}", **needs(READ_BEDS, 404, model=items.EditionItem))
async def edition(edition_id: UUID, api: ApiContext) -> Response:
    """One edition."""
    page = await fetch_page(api.reader, catalogue.edition(edition_id), limit=1)
    if page.items == b"[]":
        raise NotFound(
            "There is no edition with this id.", advice="`GET /nhs-data/editions` lists them.", field="edition_id"
        )
    return Response(page.items[1:-1], media_type="application/json")


@router.get(
    "/editions/{edition_id}/workbook",
    response_class=StreamingResponse,
    **needs(READ_BEDS, 404, media_types=[*EXCEL.values(), _BYTES]),
)
async def workbook(edition_id: UUID, api: ApiContext) -> StreamingResponse:
    """The original file, as it was landed."""
    found = await catalogue.workbook_of(api.reader, edition_id)
    if found is None:
        raise NotFound(
            "There is no edition with this id.", advice="`GET /nhs-data/editions` lists them.", field="edition_id"
        )
    ref = ObjectRef(
        key=found["object_key"],
        sha256=found["object_sha256"],
        size=found["object_size"],
        content_type=_BYTES,
    )
    chunks = api.starter.store.stream(ref)
    # Read before the answer begins. Later, a missing store or object could only cut the answer off.
    first = await anext(chunks, b"")
    suffix = _SUFFIXES.get(sniff(first), "")
    headers = {"Content-Disposition": f'attachment; filename="{edition_id}{suffix}"', "Content-Length": str(ref.size)}
    return StreamingResponse(_all(first, chunks), headers=headers, media_type=EXCEL.get(suffix, _BYTES))


async def _all(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in others:
        yield chunk


PART = ApiPart((router,), lambda settings: {f"{router.prefix}/upload": settings.workbook.max_bytes + UPLOAD_OVERHEAD})
