"""Kinds of parameters, and bodies that routes read themselves."""

from datetime import UTC, date, datetime, time
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError

from service.api.problems import Unprocessable


def _with_a_zone(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError("a time without a zone; add Z or an offset")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("outside of what a calendar holds") from None


def _day_as(edge: time) -> BeforeValidator:
    def read(text: object) -> object:
        try:
            return datetime.combine(date.fromisoformat(text), edge, UTC) if isinstance(text, str) else text
        except ValueError:
            return text  # a time, or nothing that can be understood

    return BeforeValidator(read)


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


Beginning = Annotated[Moment, _day_as(time.min)]
"""A time with its zone, or a date: the first moment of that day (UTC)."""
Ending = Annotated[Moment, _day_as(time.max)]
"""A time with its zone, or a date: the last moment of that day (UTC)."""
