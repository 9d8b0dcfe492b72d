"""`/zipcodes`, `/patients`, `/observations`: data from FHIR servers and files."""

from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from library.contracts.scopes import Scope
from library.sources.fhir import lookups, questions
from library.warehouse.queries.pages import fetch_rows
from service.api.context import ApiContext, Context
from service.api.pages import one_item
from service.api.patient_data import audited
from service.api.problems import ApiError, NotFound
from service.api.questions import QuestionRequest, in_path, in_query, question_request
from service.api.security import Caller, needs
from service.sources.fhir.items import LastImport, Zipcode, ZipcodeOnServer
from service.sources.fhir.starts import checked_zipcode

_no_zipcode = partial(
    NotFound,
    "Nothing is known of this zip code.",
    advice="`POST /zipcodes` imports it from a server.",
    field="zipcode",
)
_no_patient = partial(
    NotFound, "There is no patient with this id.", advice="`GET /patients` lists them.", field="patient_id"
)

router = APIRouter(tags=["patients"])

_ZIPCODES = questions.ZIPCODES


class OnSeveralServers(ApiError):
    """Patients of several servers have this id."""

    status = HTTPStatus.CONFLICT
    default_advice = "Say which server's, by the parameter `server`."


def _on_several(servers: tuple[str, ...]) -> OnSeveralServers:
    message = f"Patients of several servers have this id: {', '.join(servers)}."
    return OnSeveralServers(message, field="server", servers=servers)


PatientId = Annotated[questions.PatientId, in_path(questions.PATIENTS.by_name["patient_id"])]
AlsoOutdated = Annotated[bool, in_query(_ZIPCODES.by_name["outdated"])]
ServerOfPatient = Annotated[questions.Server | None, in_query(questions.PATIENTS.by_name["server"])]


@router.get("/zipcodes/{zipcode}", **needs(Scope.READ_PATIENTS, _no_zipcode()))
async def zipcode(
    request: Request,
    api: ApiContext,
    caller: Caller,
    zipcode: Annotated[questions.Zipcode, in_path(_ZIPCODES.by_name["zipcode"])],
    server: ServerOfPatient = None,
    outdated: AlsoOutdated = False,
) -> Zipcode:
    """What is there of a zip code: patients, their observations, the last import of each server."""
    checked = checked_zipcode(api.settings.fhir, zipcode)
    reading = fetch_rows(api.reader, _ZIPCODES.ask(zipcode=checked, server=server, outdated=outdated))
    rows = await audited(_ZIPCODES.parameters, api, caller, request, reading)
    if not rows:
        raise _no_zipcode()
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


@router.get("/patients", **needs(Scope.READ_PATIENTS, items=questions.PATIENTS.item_model))
async def patients(
    api: ApiContext,
    asked: Annotated[QuestionRequest, Depends(question_request(questions.PATIENTS, without=["patient_id"]))],
) -> Response:
    """Patients, by id."""
    if (zipcode := asked.values["zipcode"]) is not None:
        asked = asked.with_values(zipcode=checked_zipcode(api.settings.fhir, zipcode))
    return await asked.answer()


@router.get(
    "/patients/{patient_id}",
    **needs(Scope.READ_PATIENTS, _no_patient(), _on_several(("file", "hapi")), model=questions.PATIENTS.item_model),
)
async def patient(
    request: Request, api: ApiContext, caller: Caller, patient_id: PatientId, server: ServerOfPatient = None
) -> Response:
    """One patient; the id of patients of two servers needs the server too."""

    async def reading() -> Response:
        await _server_of_patient(api, patient_id, server)
        return await one_item(api.reader, questions.PATIENTS.ask(patient_id=patient_id, server=server, outdated=True))

    return await audited(questions.PATIENTS.parameters, api, caller, request, reading())


_OBSERVATIONS = questions.OBSERVATIONS


@router.get(
    "/patients/{patient_id}/observations",
    **needs(Scope.READ_PATIENTS, _no_patient(), _on_several(("file", "hapi")), items=_OBSERVATIONS.item_model),
)
async def observations_of_patient(
    api: ApiContext,
    patient_id: PatientId,
    asked: Annotated[
        QuestionRequest, Depends(question_request(_OBSERVATIONS, without=["patient_id", "min_value", "max_value"]))
    ],
) -> Response:
    """The observations of one patient, the newest first."""

    async def reading() -> Response:
        server = await _server_of_patient(api, patient_id, asked.values["server"])
        return await asked.with_values(patient_id=patient_id, server=server).listing()

    return await asked.audited(reading())


@router.get(
    "/observations",
    description=_OBSERVATIONS.about,
    **needs(Scope.READ_PATIENTS, _on_several(("file", "hapi")), items=_OBSERVATIONS.item_model),
)
async def observations(
    api: ApiContext, asked: Annotated[QuestionRequest, Depends(question_request(_OBSERVATIONS))]
) -> Response:
    """Observations, the newest first."""

    async def reading() -> Response:
        patient_id, server = asked.values["patient_id"], asked.values["server"]
        if patient_id is not None and server is None:
            server = _only(await lookups.servers_of_observations(api.reader, patient_id))
        return await asked.with_values(server=server).listing()

    return await asked.audited(reading())


async def _server_of_patient(api: Context, patient_id: str, server: str | None) -> str:
    """The only server that has the patient, or the requested one.

    Raises:
        NotFound: no server has the patient, or the requested one does not.
        OnSeveralServers: several servers have it, and the request names none.
    """
    servers = await lookups.servers_of_patient(api.reader, patient_id)
    candidates = servers if server is None else tuple(each for each in servers if each == server)
    found = _only(candidates)
    if found is None:
        raise _no_patient()
    return found


def _only(servers: tuple[str, ...]) -> str | None:
    if len(servers) > 1:
        raise _on_several(servers)
    return servers[0] if servers else None
