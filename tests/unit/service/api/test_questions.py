"""The route of a question has its parameters in the OpenAPI document, and its audit keeps what each declares."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, FastAPI
from sqlmodel import col

from library.access.patients import pseudonym
from library.warehouse.queries.building import table_statement
from library.warehouse.queries.filters import Audited, Parameter, equal
from library.warehouse.queries.question import Question
from service.api.patient_data import audit_detail
from service.api.questions import list_route
from tests.unit.warehouse.test_questions import WARDS, Ward


def document_of(question: Question) -> dict[str, Any]:
    router = APIRouter(prefix="/made-up")
    list_route(router, "/wards", question, page=7)
    app = FastAPI()
    app.include_router(router)
    return app.openapi()


def parameters_of(question: Question) -> dict[str, Any]:
    return {each["name"]: each for each in document_of(question)["paths"]["/made-up/wards"]["get"]["parameters"]}


def test_a_question_becomes_a_route_with_its_parameters_and_its_item() -> None:
    document = document_of(WARDS)
    route = document["paths"]["/made-up/wards"]["get"]
    parameters = parameters_of(WARDS)
    assert parameters.keys() == {"floor", "from", "tagged", "sort", "descending", "limit", "after"}
    assert (parameters["floor"]["description"], parameters["floor"]["schema"]["examples"]) == (
        "Only of this floor.",
        [2],
    )
    assert parameters["from"]["schema"]["anyOf"][0] == {"type": "string", "format": "date"}
    assert parameters["limit"]["schema"]["default"] == 7
    assert (route["x-scope"], route["description"], route["summary"]) == ("read:wards", "Wards.", "Wards")
    assert "WardItem" in document["components"]["schemas"]


def test_a_new_filter_is_one_line_from_the_statement_to_the_document_and_the_audit() -> None:
    by_tag = equal("code", str, Audited.PSEUDONYM, col(Ward.code), "Only of this code.")
    wards = replace(WARDS, parameters=(*WARDS.parameters, by_tag))
    assert "made_up.ward.code = $1::TEXT" in table_statement(wards.ask(code="W1"), None).sql
    assert parameters_of(wards)["code"]["description"] == "Only of this code."
    assert audit_detail(wards.parameters, {"code": "W1", "floor": "2"}) == {"floor": "2", "code": pseudonym("W1")}


def test_an_internal_parameter_is_in_no_route() -> None:
    by_code = replace(equal("code", str, Audited.VALUE, col(Ward.code), "Only of this code."), internal=True)
    wards = replace(WARDS, parameters=(*WARDS.parameters, by_code))
    assert "made_up.ward.code = $1::TEXT" in table_statement(wards.ask(code="W1"), None).sql
    assert "code" not in parameters_of(wards)


def test_the_audit_keeps_values_names_and_pseudonyms_as_the_parameters_say() -> None:
    parameters = (
        Parameter("zipcode", str, Audited.VALUE, "One."),
        Parameter("gender", str, Audited.NAME, "One."),
        Parameter("family", str, Audited.NAME, "One."),
        Parameter("patient_id", str, Audited.PSEUDONYM, "One."),
    )
    given = {"zipcode": "02139", "gender": "female", "family": "Sentinel", "patient_id": "p1", "limit": "3"}
    assert audit_detail(parameters, given) == {
        "zipcode": "02139",
        "filters": ["family", "gender"],
        "patient": pseudonym("p1"),
    }
    assert audit_detail(parameters, {}) == {}
    assert audit_detail((), given | {"patient_id": "p1"}) == {"filters": ["family", "gender", "patient_id", "zipcode"]}
