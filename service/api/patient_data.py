"""Reads of patient data. Each read is in the audit before the first byte of the answer."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from fastapi import Request

from library.access.patients import pseudonym
from library.access.scopes import Scope
from library.access.tokens import Principal
from service.api.context import Context
from service.api.pages import wants_csv
from service.api.problems import Forbidden
from service.sources import WITHOUT_PATIENTS
from service.sources.source import AuditedParameters, Source


async def audited[T](
    source: Source, api: Context, caller: Principal, request: Request, reading: Coroutine[Any, Any, T]
) -> T:
    """The result of a query of patient data. Query and audit run at the same time, and both must succeed."""
    route = getattr(request.scope.get("route"), "path", "")
    given = request.path_params | dict(request.query_params)
    detail = told(source.parameters, given)
    if wants_csv(request.headers.get("accept", "")):
        detail["as"] = "csv"
    recording = asyncio.ensure_future(api.audit.record(str(caller.token_id), "read_patients", route, **detail))
    try:
        found = await reading
    finally:
        await recording
    return found


def told(parameters: AuditedParameters, given: Mapping[str, str]) -> dict[str, Any]:
    """The parameters of a request, as the audit stores them."""
    detail: dict[str, Any] = {name: given[name] for name in parameters.kept if name in given}
    if filters := [name for name in parameters.named if name in given]:
        detail["filters"] = filters
    return detail | {name.removesuffix("_id"): pseudonym(given[name]) for name in parameters.hashed if name in given}


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
