"""`/quarantine`: refused rows with their reasons."""

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath

from config.servers import TOPIC
from library.access.scopes import Scope
from library.access.tokens import Principal
from library.warehouse.queries import pages
from library.warehouse.queries import quarantine as queries
from library.warehouse.queries.conditions import BIGINT, INTEGER
from service.api.context import ApiContext, Context
from service.api.items import RejectionItem
from service.api.pages import After, Limit, link_to_next, listed, wants_csv
from service.api.parameters import Text
from service.api.problems import Forbidden, NotFound, Unprocessable
from service.api.security import Caller, needs

router = APIRouter(prefix="/quarantine", tags=["quarantine"])

_MOST_RAW = 100
"""Maximum number of items of a page with raw forms, which have up to 64 KB each."""

Raw = Annotated[
    bool, Query(description="With the raw forms: needs `read:patients`, and is audited. At most 100 a page, no CSV.")
]


@router.get("", **needs(Scope.OPERATE, items=RejectionItem))
async def rejections(
    request: Request,
    api: ApiContext,
    caller: Caller,
    source: Text = None,
    run: Annotated[Text, Query(description="A run's id.")] = None,
    reason: Annotated[Text, Query(description="What a reason begins with.", examples=["birthDate"])] = None,
    topic: Annotated[
        str | None, Query(pattern=TOPIC, description="Only records of this topic.", examples=["patient"])
    ] = None,
    partition: Annotated[int | None, Query(ge=0, le=INTEGER, description="Only records of this partition.")] = None,
    offset: Annotated[int | None, Query(ge=0, le=BIGINT, description="Only the record at this offset.")] = None,
    raw: Raw = False,
    limit: Limit = 100,
    after: After = None,
) -> Response:
    """Rows that were refused, the newest first."""
    if raw:
        _refuse_unless_seen(caller)
    query = queries.rejections(
        source=source, run_id=run, reason=reason, topic=topic, partition=partition, offset=offset, raw=raw
    )
    if not raw:
        return await listed(request, api.reader, query, limit=limit, after=after)
    if limit > _MOST_RAW or wants_csv(request.headers.get("accept", "")):
        raise Unprocessable(f"raw: raw forms come as JSON, at most {_MOST_RAW} a page.", field="raw")
    page = await pages.fetch_page(api.reader, query, limit=limit, after=after)
    items = await _shown(api, caller, json.loads(page.items))
    headers = link_to_next(request, page)
    return Response(json.dumps({"items": items}), HTTPStatus.OK, headers, media_type="application/json")


@router.get("/{rejection_id}", **needs(Scope.OPERATE, 404, model=RejectionItem))
async def rejection(
    api: ApiContext, caller: Caller, rejection_id: Annotated[int, InPath(ge=1, le=BIGINT)], raw: Raw = False
) -> Response:
    """One of them."""
    if raw:
        _refuse_unless_seen(caller)
    page = await pages.fetch_page(api.reader, queries.rejection(rejection_id, raw=raw), limit=1)
    items = json.loads(page.items)
    if not items:
        raise NotFound(
            "There is no rejection with this id.", advice="`GET /quarantine` lists them.", field="rejection_id"
        )
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
    return [queries.readable(item) for item in items]
