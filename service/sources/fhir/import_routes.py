"""`POST /zipcodes`, `POST /fhir/bulk`: patients and observations in."""

import asyncio
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import FormData

from library.contracts.runs import RunState
from library.contracts.scopes import Scope
from library.sources.fhir.contracts import FILE
from library.sources.fhir.errors import PageTooLarge, UnknownServer
from service.api.bodies import uploaded, validated
from service.api.context import ApiContext, Context
from service.api.idempotent import Idempotent
from service.api.problems import UnsupportedMediaType
from service.api.runs import Started, accepted, started_by
from service.api.security import Caller, needs
from service.sources.fhir.starts import checked_zipcode, import_fhir, import_fhir_from, import_zipcode, land_fhir
from service.starts import RunHandle, run_id

router = APIRouter(tags=["patients"], route_class=Idempotent)

BULK = "/fhir/bulk"

_MOST_ZIPCODES = 100
_STARTS_AT_ONCE = 8
_JSON_LIMIT = 64 * 1024

ServerName = Annotated[
    str | None,
    Field(default=None, max_length=40, description="A server of the settings; the default one unless named."),
]


class Zipcodes(BaseModel):
    """What is to be imported."""

    model_config = ConfigDict(extra="forbid")

    zipcodes: list[Annotated[str, Field(max_length=40)]] = Field(
        min_length=1, max_length=_MOST_ZIPCODES, examples=[["02139", "02114"]]
    )
    server: ServerName = None


class ZipcodeStarted(Started):
    """The run of a zip code."""

    zipcode: str


class ZipcodesStarted(BaseModel):
    """A run for each zip code."""

    items: list[ZipcodeStarted]


class BulkForm(BaseModel):
    """The body of an upload."""

    file: bytes = Field(description="NDJSON, plain or gzip.", json_schema_extra={"format": "binary"})
    server: str | None = Field(default=None, description="Whose patients these are; `file` unless named.")


class BulkTrigger(BaseModel):
    """Where an export is."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(
        max_length=2_000,
        description="`$export` at a server of the settings, the manifest of an export, or an NDJSON file.",
        examples=["https://fhir.example.org/r4/$export?_type=Patient,Observation"],
    )
    server: ServerName = None


@router.post("/zipcodes", status_code=HTTPStatus.ACCEPTED, **needs(Scope.OPERATE, 400, 413, also=Scope.READ_PATIENTS))
async def import_zipcodes(body: Zipcodes, response: Response, api: ApiContext, caller: Caller) -> ZipcodesStarted:
    """Import the patients of zip codes and all their observations: a run for each zip code."""
    checked = [
        checked_zipcode(api.settings.fhir, zipcode, field=f"zipcodes.{number}")
        for number, zipcode in enumerate(body.zipcodes, start=1)
    ]
    gate = asyncio.Semaphore(_STARTS_AT_ONCE)

    async def start(zipcode: str) -> RunHandle:
        async with gate:
            handle = await import_zipcode(api.starter, zipcode, server=body.server)
            await started_by(api, caller, handle)
            return handle

    zipcodes = list(dict.fromkeys(checked))
    started = await asyncio.gather(*(start(zipcode) for zipcode in zipcodes), return_exceptions=True)
    if failed := [each for each in started if isinstance(each, BaseException)]:
        raise failed[0]  # only now: all starts have ended before the answer
    handles = [each for each in started if not isinstance(each, BaseException)]
    if len(handles) == 1:
        response.headers["Location"] = f"/runs/{run_id(handles[0])}"
    return ZipcodesStarted(
        items=[
            ZipcodeStarted(zipcode=zipcode, run_id=run_id(handle), state=RunState.RUNNING)
            for zipcode, handle in zip(zipcodes, handles, strict=True)
        ]
    )


@router.post(
    BULK,
    status_code=HTTPStatus.ACCEPTED,
    **needs(
        Scope.OPERATE,
        400,
        413,
        415,
        also=Scope.READ_PATIENTS,
        body={
            "content": {
                "multipart/form-data": {"schema": BulkForm.model_json_schema()},
                "application/json": {"schema": BulkTrigger.model_json_schema()},
            },
            "required": True,
        },
    ),
)
async def import_bulk(request: Request, response: Response, api: ApiContext, caller: Caller) -> Started:
    """Load NDJSON of patients and observations: a file that is uploaded, or an export that is downloaded."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        # The body is read only after the caller was authenticated, up to the route's limit.
        async with request.form(max_files=1, max_fields=10) as form:
            handle = await _upload(api, form)
    elif kind == "application/json":
        trigger = await _trigger(request)
        handle = await import_fhir_from(api.starter, trigger.url, server=trigger.server)
    else:
        raise UnsupportedMediaType(
            "The body is neither multipart/form-data nor JSON.",
            advice='Send NDJSON as the part `file`, or {"url": …} as application/json.',
        )
    return await accepted(api, caller, response, handle)


async def _upload(api: Context, form: FormData) -> RunHandle:
    server = form.get("server")
    if server is not None and (not isinstance(server, str) or server not in (FILE, *api.settings.fhir.by_name)):
        raise UnknownServer("server: no FHIR server has this name.")
    async with uploaded(form, "NDJSON") as file:
        landed = await land_fhir(api.starter, file.path)
    return await import_fhir(api.starter, landed, subject=file.name, server=server)


async def _trigger(request: Request) -> BulkTrigger:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _JSON_LIMIT:
            raise PageTooLarge(f"A body of JSON has {_JSON_LIMIT:,} bytes at most.", advice="Send a file as multipart.")
    return validated(BulkTrigger, body)
