"""`/records`: the posted records in the warehouse."""

import json

from fastapi import APIRouter, Request

from library.contracts.scopes import Scope
from library.sources.records import questions
from service.api.context import ApiContext
from service.api.parts import ApiPart
from service.api.patient_data import audited
from service.api.questions import list_route
from service.api.security import Caller, needs
from service.sources.records.items import Statistics

router = APIRouter(prefix="/records", tags=["records"])

list_route(router, "/patients", questions.PATIENTS)
list_route(router, "/admissions", questions.ADMISSIONS)
list_route(router, "/lab-results", questions.LAB_RESULTS)


@router.get("/statistics", **needs(Scope.READ_PATIENTS))
async def statistics(request: Request, api: ApiContext, caller: Caller) -> Statistics:
    """Patients by gender and by language, the most frequent diagnosis, laboratory tests."""
    row = await audited((), api, caller, request, questions.statistics(api.reader))
    return Statistics.model_validate(
        {name: json.loads(value) if isinstance(value, str) else value for name, value in row.items()}
    )


PART = ApiPart((router,))
