"""Kinds of parameters, and bodies that routes read themselves."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ValidationError

from service.api.problems import Unprocessable


def _with_a_zone(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError("a time without a zone; add Z or an offset")
    return moment


Moment = Annotated[datetime, AfterValidator(_with_a_zone)]
"""A time with its zone: what has none means another moment to each reader."""


def validated[Model: BaseModel](model: type[Model], body: bytes) -> Model:
    """A body of JSON, for a route that reads it only once the caller is known.

    Raises:
        Unprocessable: it is not of the model.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        raise Unprocessable(f"{field}: {first['msg']}.", field=field) from None
