"""Questions about tokens and the audit."""

from datetime import datetime

from library.warehouse.queries.pages import Query

TOKEN_COLUMNS = ("id", "name", "scopes", "created_at", "expires_at", "revoked_at")
AUDIT_COLUMNS = ("id", "at", "actor", "action", "subject", "detail")


def tokens() -> Query:
    """Tokens, the newest first, without themselves."""
    return Query("SELECT * FROM access.token", TOKEN_COLUMNS, (), ("created_at", "id"), descending=True)


def audit(actor: str | None, action: str | None, since: datetime | None) -> Query:
    """The audit, the newest first."""
    return Query(
        "SELECT * FROM access.audit WHERE ($1::text IS NULL OR actor = $1) AND ($2::text IS NULL OR action = $2) "
        "AND ($3::timestamptz IS NULL OR at >= $3)",
        AUDIT_COLUMNS,
        (actor, action, since),
        ("id",),
        descending=True,
    )
