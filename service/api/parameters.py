"""Refuses query parameters that a route does not have."""

from typing import get_args, get_origin

from fastapi import Request, params
from fastapi.dependencies.utils import get_flat_params

from service.api.problems import Unprocessable

_NAME = 50
"""Characters that are repeated of a parameter's name."""


async def refuse_unknown(request: Request) -> None:
    """Refuse unknown query parameters, and single ones that occur twice. Routes without parameters ignore all.

    A filter with a letter missing would otherwise be answered with all rows.

    Raises:
        Unprocessable: names the first of them, and those that the route has.
    """
    given = request.query_params
    if not given:
        return
    fields = get_flat_params(request.scope["route"].dependant)
    known = {field.alias: field.field_info.annotation for field in fields if isinstance(field.field_info, params.Query)}
    for name in given if known else ():
        if name not in known:
            has = ", ".join(sorted(known))
            raise Unprocessable(f"{name[:_NAME]}: none of the parameters here ({has}).", field=name[:_NAME])
        if len(given.getlist(name)) > 1 and not _takes_several(known[name]):
            raise Unprocessable(f"{name}: given more than once.", field=name)


def _takes_several(annotation: object) -> bool:
    return any(get_origin(each) is list for each in (annotation, *get_args(annotation)))
