"""What a token may allow."""

from enum import StrEnum

POST = "post:"


class Scope(StrEnum):
    """What the bearer of a token may do, whatever the source; a source may have scopes of its own."""

    READ_PATIENTS = "read:patients"
    OPERATE = "operate"
    ADMIN = "admin"


def post_to(api: str) -> str:
    """The scope of a posting API's route: no token stores it, it is the grant of a user."""
    return f"{POST}{api}"
