"""Lists: pages of JSON with a `Link` to the next page, or CSV of all rows, as the caller accepts."""

import re
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from library.contracts.errors import WardflowError
from library.warehouse.pool import Pool
from library.warehouse.queries import pages
from library.warehouse.queries.question import BoundQuestion
from service.api.context import context_of
from service.api.problems import Unprocessable

Limit = Annotated[
    int,
    Query(
        ge=1,
        le=2**31,
        description=f"Items of a page at most, {pages.MOST:,} as JSON; as CSV, all rows come unless it is given.",
    ),
]
After = Annotated[
    str | None,
    Query(description="Where the page begins: taken from `Link`, as it is.", max_length=2_000, examples=["WyIxNyJd"]),
]


class TooManyDownloads(WardflowError):
    """Too many downloads run. Half of the connections are reserved for pages."""

    retryable = True
    default_advice = "Ask again in a moment; or page by page, as JSON."


CSV = "text/csv"
_REFUSED = re.compile(r"q=0(\.0{0,3})?")


async def listed(request: Request, pool: Pool, query: BoundQuestion, *, limit: int, after: str | None) -> Response:
    """The answer to a query: a page of JSON, or as CSV all rows or at most `limit` rows.

    Raises:
        TooManyDownloads: other downloads use all connections for downloads.
        Unprocessable: `limit` is larger than a page of JSON.
    """
    if wants_csv(request.headers.get("accept", "")):
        gate = context_of(request).downloads
        if gate.locked():
            raise TooManyDownloads("Others are downloading, as many as can at once.")
        most = limit if "limit" in request.query_params else None
        return StreamingResponse(pages.stream_csv(pool, query, limit=most, gate=gate), HTTPStatus.OK, media_type=CSV)
    if limit > pages.MOST:
        raise Unprocessable(f"limit: a page of JSON has {pages.MOST:,} items at most.", field="limit")
    page = await pages.fetch_page(pool, query, limit=limit, after=after)
    headers = link_to_next(request, page)
    return Response(b'{"items": ' + page.items + b"}", HTTPStatus.OK, headers, media_type="application/json")


async def one_item(pool: Pool, query: BoundQuestion) -> Response:
    """The first row of a query that has one, as JSON."""
    page = await pages.fetch_page(pool, query, limit=1)
    return Response(page.items[1:-1], media_type="application/json")


def link_to_next(request: Request, page: pages.Page) -> dict[str, str]:
    """The header with the address of the next page, if there is one."""
    if page.following is None:
        return {}
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "after"]
    return {"Link": f'<{request.url.path}?{urlencode([*kept, ("after", page.following)])}>; rel="next"'}


def wants_csv(accept: str) -> bool:
    """Whether CSV is the first accepted type that we have."""
    for entry in accept.split(","):
        kind, *options = (part.strip().lower() for part in entry.split(";"))
        if any(_REFUSED.fullmatch(option) for option in options):
            continue
        if kind in ("application/json", "*/*", "application/*"):
            return False
        if kind in (CSV, "text/*"):
            return True
    return False
