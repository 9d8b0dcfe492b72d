"""Reads of patient data. Each read is in the audit before the first byte of the answer."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from fastapi import Request

from library.access.patients import pseudonym
from library.access.tokens import Principal
from library.contracts.scopes import Scope
from library.warehouse.queries.filters import Audited, Parameter
from service.api.context import Context
from service.api.pages import wants_csv
from service.api.problems import Forbidden
from service.sources import WITHOUT_PATIENTS

_PAGING = ("limit", "after", "sort", "descending")
"""Parameters that select no rows."""


async def audited[T](
    parameters: Iterable[Parameter],
    api: Context,
    caller: Principal,
    request: Request,
    reading: Coroutine[Any, Any, T],
) -> T:
    """What a query finds, after the audit has who asked for it, and how. The two run at the same time."""
    route = getattr(request.scope.get("route"), "path", "")
    given = request.path_params | dict(request.query_params)
    detail = audit_detail(parameters, given)
    if wants_csv(request.headers.get("accept", "")):
        detail["as"] = "csv"
    recording = asyncio.ensure_future(api.audit.record(str(caller.token_id), "read_patients", route, **detail))
    try:
        found = await reading
    finally:
        await recording
    return found


def audit_detail(parameters: Iterable[Parameter], given: Mapping[str, str]) -> dict[str, Any]:
    """What the audit keeps of the parameters of a request."""
    declared = {each.name: each.audited for each in parameters}
    # The name of a parameter that nobody declared is kept, so that no filter goes unnoticed.
    kept = {name: declared.get(name, Audited.NAME) for name in given if name not in _PAGING}
    detail: dict[str, Any] = {name: given[name] for name, level in kept.items() if level is Audited.VALUE}
    if filters := sorted(name for name, level in kept.items() if level is Audited.NAME):
        detail["filters"] = filters
    hashed = [name for name, level in kept.items() if level is Audited.PSEUDONYM]
    return detail | {name.removesuffix("_id"): pseudonym(given[name]) for name in hashed}


def refuse_unless_seen(caller: Principal, source: str) -> None:
    """Check that the caller may see runs of a source.

    Raises:
        Forbidden: the source concerns patients, and the caller has no scope to read patient data.
    """
    if source not in WITHOUT_PATIENTS and not caller.may(Scope.READ_PATIENTS):
        raise Forbidden(
            f"This run concerns patients, and your token does not have the scope '{Scope.READ_PATIENTS}'.",
            advice="Ask for a token that has it.",
        )


def seen_sources(caller: Principal) -> tuple[str, ...] | None:
    """The sources whose runs a caller may see; `None`: all."""
    return None if caller.may(Scope.READ_PATIENTS) else WITHOUT_PATIENTS
