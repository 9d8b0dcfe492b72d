"""`/records`: the posted records in the warehouse."""

from fastapi import APIRouter, Request, Response

from library.sources.records import questions
from service.api.context import ApiContext
from service.api.pages import one_item
from service.api.parts import ApiPart
from service.api.patient_data import audited
from service.api.questions import list_route
from service.api.security import Caller, needs

_STATISTICS = questions.STATISTICS

router = APIRouter(prefix="/records", tags=["records"])

list_route(router, "/patients", questions.PATIENTS)
list_route(router, "/admissions", questions.ADMISSIONS)
list_route(router, "/lab-results", questions.LAB_RESULTS)


@router.get("/statistics", **needs(_STATISTICS.scope, model=_STATISTICS.item_model))
async def statistics(request: Request, api: ApiContext, caller: Caller) -> Response:
    """Patients by gender and by language, the most frequent diagnosis, laboratory tests."""
    return await audited(_STATISTICS.parameters, api, caller, request, one_item(api.reader, _STATISTICS.ask()))


PART = ApiPart((router,))
