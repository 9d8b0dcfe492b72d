"""Queries for tokens, users, grants and the audit."""

from datetime import datetime

from library.warehouse.queries.pages import Query

TOKEN_COLUMNS = ("id", "name", "user_id", "scopes", "created_at", "expires_at", "revoked_at")
USER_COLUMNS = ("id", "name", "grants", "has_password", "created_at", "disabled_at")
GRANT_COLUMNS = ("user_name", "api", "path", "granted_at")
AUDIT_COLUMNS = ("id", "at", "actor", "action", "subject", "detail")


def tokens() -> Query:
    """Tokens, newest first; without the secret."""
    return Query("SELECT * FROM access.token", TOKEN_COLUMNS, (), ("created_at", "id"), descending=True)


def audit(actor: str | None, action: str | None, since: datetime | None) -> Query:
    """The audit, newest first."""
    return Query(
        "SELECT * FROM access.audit WHERE ($1::text IS NULL OR actor = $1) AND ($2::text IS NULL OR action = $2) "
        "AND ($3::timestamptz IS NULL OR at >= $3)",
        AUDIT_COLUMNS,
        (actor, action, since),
        ("id",),
        descending=True,
    )


def users() -> Query:
    """Users by name, with their grants; without passwords."""
    return Query(
        "SELECT u.*, array(SELECT g.api FROM access.api_grant g WHERE g.user_id = u.id ORDER BY g.api) AS grants, "
        "u.password IS NOT NULL AS has_password FROM access.api_user u",
        USER_COLUMNS,
        (),
        ("name",),
    )


def grants() -> Query:
    """Grants, by user name."""
    return Query(
        "SELECT u.name AS user_name, g.api, a.path, g.granted_at FROM access.api_grant g "
        "JOIN access.api_user u ON u.id = g.user_id JOIN access.api a ON a.name = g.api",
        GRANT_COLUMNS,
        (),
        ("user_name", "api"),
    )
