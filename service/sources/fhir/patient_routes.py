"""`/zipcodes`, `/patients`, `/observations`: data from FHIR servers and files."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as InPath

from library.access.scopes import Scope
from library.sources.fhir import queries
from library.sources.fhir.datasets import search_name
from library.warehouse.queries.pages import fetch_page
from service.api.context import ApiContext, Context
from service.api.pages import After, Limit, listed
from service.api.parameters import NO_NUL, Beginning, Day, Ending
from service.api.patient_data import audited
from service.api.problems import ApiError, NotFound, Unprocessable
from service.api.security import Caller, needs
from service.sources.fhir import SOURCE
from service.sources.fhir.items import LastImport, ObservationItem, PatientItem, Zipcode, ZipcodeOnServer
from service.sources.fhir.starts import checked_zipcode

router = APIRouter(tags=["patients"])


class OnSeveralServers(ApiError):
    """Patients of several servers have this id."""

    status = HTTPStatus.CONFLICT
    default_advice = "Say which server's, by the parameter `server`."


Server = Annotated[
    str | None,
    Query(max_length=40, pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Only of this server.", examples=["hapi"]),
]
PatientId = Annotated[str, InPath(max_length=255, pattern=NO_NUL)]
Name = Annotated[str | None, Query(max_length=100, pattern=NO_NUL, description="What one of the names begins with.")]
Code = Annotated[str | None, Query(max_length=255, pattern=NO_NUL, examples=["8302-2"])]
Value = Annotated[float | None, Query(allow_inf_nan=False, description="Of the observation's number.")]
From = Annotated[
    Beginning | None,
    Query(
        alias="from",
        description="Began, or was issued, not before: a time with its zone, or a date, a month or a year (UTC).",
    ),
]
To = Annotated[Ending | None, Query(description="Not after; a date, a month or a year means its end (UTC).")]


async def _zipcode(
    api: ApiContext, zipcode: Annotated[str | None, Query(max_length=40, examples=["02139"])] = None
) -> str | None:
    return None if zipcode is None else checked_zipcode(api.settings.fhir, zipcode)


def _named(field: str, name: str | None) -> str | None:
    if name is not None and search_name(field, name) == search_name(field, ""):
        raise Unprocessable(f"{field}: without a letter or a digit.", field=field)
    return name


@router.get("/zipcodes/{zipcode}", **needs(Scope.READ_PATIENTS, 404))
async def zipcode(
    request: Request,
    api: ApiContext,
    caller: Caller,
    zipcode: Annotated[str, InPath(max_length=40)],
    server: Server = None,
) -> Zipcode:
    """What is there of a zip code: patients, their observations, the last import of each server."""
    checked = checked_zipcode(api.settings.fhir, zipcode)
    rows = await audited(SOURCE, api, caller, request, queries.zipcode(api.reader, checked, server))
    if not rows:
        raise NotFound(
            "Nothing is known of this zip code.", advice="`POST /zipcodes` imports it from a server.", field="zipcode"
        )
    return Zipcode(
        zipcode=checked,
        patients=sum(row["patients"] for row in rows),
        observations=sum(row["observations"] for row in rows),
        servers=[
            ZipcodeOnServer(
                server=row["server"],
                patients=row["patients"],
                observations=row["observations"],
                last_import=row["imported_at"]
                and LastImport(run_id=row["last_run_id"], imported_at=row["imported_at"], counts=row["counts"]),
            )
            for row in rows
        ],
    )


@router.get("/patients", **needs(Scope.READ_PATIENTS, items=PatientItem))
async def patients(
    request: Request,
    api: ApiContext,
    caller: Caller,
    zipcode: Annotated[str | None, Depends(_zipcode)],
    family: Name = None,
    given: Name = None,
    gender: Annotated[Literal["male", "female", "other", "unknown"] | None, Query()] = None,
    birth_date_from: Annotated[
        Day | None, Query(description="Born on this day or later, as far as the birth date says.")
    ] = None,
    birth_date_to: Annotated[Day | None, Query(description="Born on this day or earlier, likewise.")] = None,
    server: Server = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Patients, by id."""
    filters = queries.PatientFilters(
        server=server,
        zipcode=zipcode,
        family=_named("family", family),
        given=_named("given", given),
        gender=gender,
        born_from=birth_date_from,
        born_to=birth_date_to,
    )
    found = listed(request, api.reader, queries.patients(filters), limit=limit, after=after)
    return await audited(SOURCE, api, caller, request, found)


@router.get("/patients/{patient_id}", **needs(Scope.READ_PATIENTS, 404, 409, model=PatientItem))
async def patient(
    request: Request, api: ApiContext, caller: Caller, patient_id: PatientId, server: Server = None
) -> Response:
    """One patient; the id of patients of two servers needs the server too."""

    async def reading() -> Response:
        await _server_of_patient(api, patient_id, server)
        page = await fetch_page(api.reader, queries.patient(patient_id, server), limit=1)
        return Response(page.items[1:-1], media_type="application/json")

    return await audited(SOURCE, api, caller, request, reading())


@router.get("/patients/{patient_id}/observations", **needs(Scope.READ_PATIENTS, 404, 409, items=ObservationItem))
async def observations_of_patient(
    request: Request,
    api: ApiContext,
    caller: Caller,
    patient_id: PatientId,
    code: Code = None,
    category: Code = None,
    begin: From = None,
    to: To = None,
    server: Server = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """The observations of one patient, the newest first."""

    async def reading() -> Response:
        filters = queries.ObservationFilters(
            server=await _server_of_patient(api, patient_id, server),
            patient_id=patient_id,
            code=code,
            category=category,
            begin=begin,
            end=to,
        )
        return await listed(request, api.reader, queries.observations(filters), limit=limit, after=after)

    return await audited(SOURCE, api, caller, request, reading())


@router.get("/observations", **needs(Scope.READ_PATIENTS, 409, items=ObservationItem))
async def observations(
    request: Request,
    api: ApiContext,
    caller: Caller,
    patient_id: Annotated[str | None, Query(max_length=255, pattern=NO_NUL)] = None,
    code: Code = None,
    category: Code = None,
    begin: From = None,
    to: To = None,
    min_value: Value = None,
    max_value: Value = None,
    server: Server = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Observations, the newest first; those of patients who are not known too."""

    async def reading() -> Response:
        of = server
        if patient_id is not None and server is None:
            of = _only(await queries.servers_of_observations(api.reader, patient_id))
        filters = queries.ObservationFilters(of, patient_id, code, category, begin, to, min_value, max_value)
        return await listed(request, api.reader, queries.observations(filters), limit=limit, after=after)

    return await audited(SOURCE, api, caller, request, reading())


async def _server_of_patient(api: Context, patient_id: str, server: str | None) -> str:
    """The only server that has the patient, or the requested one.

    Raises:
        NotFound: no server has the patient, or the requested one does not.
        OnSeveralServers: several servers have it, and the request names none.
    """
    servers = await queries.servers_of_patient(api.reader, patient_id)
    candidates = servers if server is None else tuple(each for each in servers if each == server)
    found = _only(candidates)
    if found is None:
        raise NotFound("There is no patient with this id.", advice="`GET /patients` lists them.", field="patient_id")
    return found


def _only(servers: tuple[str, ...]) -> str | None:
    if len(servers) > 1:
        raise OnSeveralServers(
            f"Patients of several servers have this id: {', '.join(servers)}.", field="server", servers=servers
        )
    return servers[0] if servers else None
