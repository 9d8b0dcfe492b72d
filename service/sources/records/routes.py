"""`/records`: posted records, as they are in the warehouse."""

import json
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from library.access.scopes import Scope
from library.sources.records import queries
from library.warehouse.queries.conditions import INTEGER
from service.api.context import ApiContext
from service.api.pages import After, Limit, listed
from service.api.parameters import Beginning, Ending, Text
from service.api.parts import ApiPart
from service.api.patient_data import audited
from service.api.security import Caller, needs
from service.sources.records import SOURCE
from service.sources.records.items import AdmissionRecord, LabResultRecord, PatientRecord, Statistics

router = APIRouter(prefix="/records", tags=["records"])

PatientId = Annotated[UUID | None, Query(description="Only of this patient.")]
From = Annotated[
    Beginning | None,
    Query(alias="from", description="Not before: a time with its zone, or a date, a month or a year (UTC)."),
]
To = Annotated[Ending | None, Query(description="Not after; a date, a month or a year means its end (UTC).")]
Value = Annotated[float | None, Query(allow_inf_nan=False)]
Ordinal = Annotated[int | None, Query(ge=1, le=INTEGER)]


@router.get("/patients", **needs(Scope.READ_PATIENTS, items=PatientRecord))
async def patients(
    request: Request,
    api: ApiContext,
    caller: Caller,
    patient_id: PatientId = None,
    gender: Text = None,
    language: Text = None,
    race: Text = None,
    marital_status: Text = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Patients, by id."""
    query = queries.patients(patient_id, gender, language, race, marital_status)
    return await audited(SOURCE, api, caller, request, listed(request, api.reader, query, limit=limit, after=after))


@router.get("/admissions", **needs(Scope.READ_PATIENTS, items=AdmissionRecord))
async def admissions(
    request: Request,
    api: ApiContext,
    caller: Caller,
    patient_id: PatientId = None,
    diagnosis: Annotated[Text, Query(description="Of the primary diagnosis: its ICD-10-CM code.")] = None,
    begin: From = None,
    to: To = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Admissions, by patient; `from` and `to` bound their start."""
    query = queries.admissions(queries.Stays(patient_id, diagnosis, begin, to))
    return await audited(SOURCE, api, caller, request, listed(request, api.reader, query, limit=limit, after=after))


@router.get("/lab-results", **needs(Scope.READ_PATIENTS, items=LabResultRecord))
async def lab_results(
    request: Request,
    api: ApiContext,
    caller: Caller,
    patient_id: PatientId = None,
    admission_id: Ordinal = None,
    lab_name: Text = None,
    begin: From = None,
    to: To = None,
    min_value: Value = None,
    max_value: Value = None,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Laboratory results, by patient."""
    filters = queries.Results(patient_id, admission_id, lab_name, begin, to, min_value, max_value)
    found = listed(request, api.reader, queries.lab_results(filters), limit=limit, after=after)
    return await audited(SOURCE, api, caller, request, found)


@router.get("/statistics", **needs(Scope.READ_PATIENTS))
async def statistics(request: Request, api: ApiContext, caller: Caller) -> Statistics:
    """Patients by gender and by language, the most frequent diagnosis, laboratory tests."""
    row = await audited(SOURCE, api, caller, request, queries.statistics(api.reader))
    return Statistics.model_validate(
        {name: json.loads(value) if isinstance(value, str) else value for name, value in row.items()}
    )


PART = ApiPart((router,))
