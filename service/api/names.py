"""Names that the list of sources gives, as types of parameters: scopes, and posting APIs."""

from collections.abc import Sequence

from pydantic import AfterValidator, WithJsonSchema


def one_of(names: Sequence[str]) -> tuple[AfterValidator, WithJsonSchema]:
    """What makes a text one of these names: its check, and its schema for the OpenAPI document."""

    def check(given: str) -> str:
        if given not in names:
            raise ValueError(f"not one of {', '.join(names)}")
        return given

    return AfterValidator(check), WithJsonSchema({"type": "string", "enum": list(names)})
