"""Reads of patient data: each is in the audit before a byte of it is answered."""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request

from library.access.patients import pseudonym
from library.access.tokens import Principal, Scope
from service.api.context import Context
from service.api.pages import wants_csv
from service.api.problems import ApiError, Forbidden
from service.sources import WITHOUT_PATIENTS

_FILTERS = (
    "admission_id",
    "birth_date_from",
    "birth_date_to",
    "category",
    "code",
    "diagnosis",
    "family",
    "from",
    "gender",
    "given",
    "lab_name",
    "language",
    "marital_status",
    "max_value",
    "min_value",
    "race",
    "to",
)
"""Parameters of which the audit holds that they were given, and not what they said."""
_KEPT = ("server", "zipcode")
"""Parameters that the audit holds: they name no patient."""


class OnSeveralServers(ApiError):
    """An id that is not one patient's alone."""

    status = HTTPStatus.CONFLICT
    default_advice = "Say which server's, by the parameter `server`."


async def audited[T](api: Context, caller: Principal, request: Request, reading: Coroutine[Any, Any, T]) -> T:
    """What a query found, once it is in the audit who asked for it, and how: the two are done side by side."""
    route = getattr(request.scope.get("route"), "path", "")
    given = request.path_params | dict(request.query_params)
    detail: dict[str, Any] = {name: given[name] for name in _KEPT if name in given}
    if filters := [name for name in _FILTERS if name in given]:
        detail["filters"] = filters
    if "patient_id" in given:
        detail["patient"] = pseudonym(given["patient_id"])
    if wants_csv(request.headers.get("accept", "")):
        detail["as"] = "csv"
    recording = asyncio.ensure_future(api.audit.record(str(caller.token_id), "read_patients", route, **detail))
    try:
        found = await reading
    finally:
        await recording
    return found


def refuse_unless_seen(caller: Principal, source: str) -> None:
    """Refuse a run of a source that concerns patients to whom may not read of them.

    Raises:
        Forbidden: it does, and the caller may not.
    """
    if source not in WITHOUT_PATIENTS and not caller.may(Scope.READ_PATIENTS):
        raise Forbidden(
            f"This run concerns patients, and your token does not have the scope '{Scope.READ_PATIENTS}'.",
            advice="Ask for a token that has it.",
        )


def seen_sources(caller: Principal) -> tuple[str, ...] | None:
    """The sources whose runs a caller may see; `None`: all."""
    return None if caller.may(Scope.READ_PATIENTS) else WITHOUT_PATIENTS
