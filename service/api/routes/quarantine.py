"""`/quarantine`: refused rows with their reasons."""

import json
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from library.access.tokens import Principal
from library.contracts.scopes import Scope
from library.warehouse.queries.pages import fetch_page
from library.warehouse.queries.parameters import BIGINT
from library.warehouse.queries.quarantine import RAW, REJECTIONS, readable
from service.api.context import ApiContext, Context
from service.api.pages import link_to_next, wants_csv
from service.api.problems import Forbidden, NotFound, Unprocessable
from service.api.questions import QuestionRequest, in_path, in_query, question_request
from service.api.security import Caller, needs
from service.sources import SOURCES

_no_rejection = partial(
    NotFound, "There is no rejection with this id.", advice="`GET /quarantine` lists them.", field="rejection_id"
)

router = APIRouter(prefix="/quarantine", tags=["quarantine"])

_MOST_RAW = 100
"""Maximum number of items of a page with raw forms, which have up to 64 KB each."""

_QUESTION = REJECTIONS.with_examples(
    source=SOURCES[0].name, dataset=SOURCES[0].datasets[0].name, object_key=f"landed/{SOURCES[0].name}/8a3f…"
)


Raw = Annotated[bool, in_query(_QUESTION.by_name[RAW])]


@router.get("", description=_QUESTION.about, **needs(_QUESTION.scope, items=_QUESTION.item_model))
async def rejections(
    request: Request,
    api: ApiContext,
    caller: Caller,
    asked: Annotated[QuestionRequest, Depends(question_request(_QUESTION, without=["id"]))],
) -> Response:
    """List refused rows, with their raw forms if the caller question_request for them."""
    if not asked.values[RAW]:
        return await asked.answer()
    _refuse_unless_seen(caller)
    if asked.limit > _MOST_RAW or wants_csv(request.headers.get("accept", "")):
        raise Unprocessable(f"raw: raw forms come as JSON, at most {_MOST_RAW} a page.", field="raw")
    page = await asked.page()
    items = await _shown(api, caller, json.loads(page.items))
    headers = link_to_next(request, page)
    return Response(json.dumps({"items": items}), HTTPStatus.OK, headers, media_type="application/json")


@router.get("/{rejection_id}", **needs(Scope.OPERATE, _no_rejection(), model=_QUESTION.item_model))
async def rejection(
    api: ApiContext,
    caller: Caller,
    rejection_id: Annotated[int, Field(ge=1, le=BIGINT), in_path(_QUESTION.by_name["id"])],
    raw: Raw = False,
) -> Response:
    """One of them."""
    if raw:
        _refuse_unless_seen(caller)
    page = await fetch_page(api.reader, _QUESTION.ask(id=rejection_id, raw=raw), limit=1)
    items = json.loads(page.items)
    if not items:
        raise _no_rejection()
    shown = await _shown(api, caller, items) if raw else items
    return Response(json.dumps(shown[0]), media_type="application/json")


def _refuse_unless_seen(caller: Principal) -> None:
    if not caller.may(Scope.READ_PATIENTS):
        raise Forbidden(
            f"Raw forms may hold patient data, and your token does not have the scope '{Scope.READ_PATIENTS}'.",
            advice="Ask without `raw`, or for a token that has it.",
        )


async def _shown(api: Context, caller: Principal, items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rejections with readable raw forms. They are written to the audit first."""
    ids = [item["id"] for item in items]
    await api.audit.record(str(caller.token_id), "read_raw_rejections", "/quarantine", rejections=ids)
    return [readable(item) for item in items]
