"""`/nhs-data`: workbooks in, beds out."""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from library.contracts.objects import ObjectRef
from library.contracts.scopes import Scope
from library.sources.beds import catalogue, questions
from library.sources.beds.names import READ_BEDS
from library.warehouse.queries.pages import fetch_page
from library.web.kinds import Kind, sniff
from service.api.bodies import UPLOAD, UPLOAD_OVERHEAD, begun, uploaded_file
from service.api.context import ApiContext
from service.api.idempotent import Idempotent
from service.api.parts import ApiPart
from service.api.problems import NotFound
from service.api.questions import QuestionRequest, in_path, list_route, question_request
from service.api.runs import RunAnswer, RunId, Started, accepted, as_it_is, no_such_run
from service.api.security import Caller, needs
from service.sources.beds.starts import EXCEL, ingest_workbook, ingest_workbook_from, land_workbook

router = APIRouter(prefix="/nhs-data", tags=["beds"], route_class=Idempotent)

_SUFFIXES: Mapping[Kind, str] = {"ole2": ".xls", "zip": ".xlsx"}
_BYTES = "application/octet-stream"

EditionId = Annotated[UUID, in_path(catalogue.EDITIONS.by_name["id"])]
_no_code = partial(NotFound, "No organisation has this code.", field="code")
_no_name = partial(NotFound, "No organisation has a name like this.", field="text")
_no_edition = partial(
    NotFound, "There is no edition with this id.", advice="`GET /nhs-data/editions` lists them.", field="edition_id"
)
_EVERY_PARAMETER = questions.OCCUPANCY.by_name.keys()


class Trigger(BaseModel):
    """Where a workbook is to be downloaded from."""

    url: str = Field(
        max_length=2_000,
        examples=["https://www.england.nhs.uk/statistics/wp-content/uploads/sites/2/2024/05/Beds-Open-Overnight.xlsx"],
    )


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


@router.get("/status/{run_id}", **needs(Scope.OPERATE, no_such_run()))
async def status(run_id: RunId, api: ApiContext, caller: Caller) -> RunAnswer:
    """The run of a workbook."""
    return await as_it_is(api, run_id, caller)


list_route(router, "/occupancy", questions.OCCUPANCY)
list_route(router, "/occupancy-by-specialty", questions.SPECIALTY_OCCUPANCY, name="occupancy_by_specialty")
list_route(router, "/available-periods", catalogue.PERIODS, name="available_periods", page=1_000)
list_route(router, "/summary", catalogue.SUMMARY, page=1_000)
list_route(router, "/editions", catalogue.EDITIONS, without=["id"])


@router.get("/organization/{code}", **needs(READ_BEDS, _no_code(), items=questions.OCCUPANCY.item_model))
async def organisation_history(
    code: Annotated[questions.Code, in_path(questions.OCCUPANCY.by_name["organisation"])],
    asked: Annotated[
        QuestionRequest,
        Depends(question_request(questions.OCCUPANCY, without=_EVERY_PARAMETER, page=1_000, sorting=False)),
    ],
) -> Response:
    """The history of one organisation, all sectors."""
    history = asked.with_values(organisation=code.upper())
    if not await history.has_rows():
        raise _no_code()
    return await history.answer()


@router.get("/organization-name/{text}", **needs(READ_BEDS, _no_name(), items=catalogue.ORGANISATIONS.item_model))
async def organisations_called(
    text: Annotated[catalogue.OrganisationText, in_path(catalogue.ORGANISATIONS.by_name["text"])],
    asked: Annotated[QuestionRequest, Depends(question_request(catalogue.ORGANISATIONS, without=["text"]))],
) -> Response:
    """Organisations whose name holds a text, or resembles it."""
    called = asked.with_values(text=text)
    if not await called.has_rows():
        raise _no_name()
    return await called.answer()


@router.get("/editions/{edition_id}", **needs(READ_BEDS, _no_edition(), model=catalogue.EDITIONS.item_model))
async def edition(edition_id: EditionId, api: ApiContext) -> Response:
    """One edition."""
    page = await fetch_page(api.reader, catalogue.EDITIONS.ask(id=edition_id), limit=1)
    if page.items == b"[]":
        raise _no_edition()
    return Response(page.items[1:-1], media_type="application/json")


@router.get(
    "/editions/{edition_id}/workbook",
    response_class=StreamingResponse,
    **needs(READ_BEDS, _no_edition(), media_types=[*EXCEL.values(), _BYTES]),
)
async def workbook(edition_id: EditionId, api: ApiContext) -> StreamingResponse:
    """The original file, as it was landed."""
    found = await catalogue.workbook_of(api.reader, edition_id)
    if found is None:
        raise _no_edition()
    ref = ObjectRef(
        key=found["object_key"],
        sha256=found["object_sha256"],
        size=found["object_size"],
        content_type=_BYTES,
    )
    first, chunks = await begun(api.starter.store.stream(ref))
    suffix = _SUFFIXES.get(sniff(first), "")
    headers = {"Content-Disposition": f'attachment; filename="{edition_id}{suffix}"', "Content-Length": str(ref.size)}
    return StreamingResponse(chunks, headers=headers, media_type=EXCEL.get(suffix, _BYTES))


PART = ApiPart((router,), lambda settings: {f"{router.prefix}/upload": settings.workbook.max_bytes + UPLOAD_OVERHEAD})
