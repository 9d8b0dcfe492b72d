"""Questions about tokens, users, grants and the audit."""

from sqlalchemy import select
from sqlmodel import col

from library.access.tokens import GRANTED
from library.contracts.scopes import Scope
from library.datasets.access import ApiGrant, ApiUser, AuditEntry, GrantableApi, Token
from library.warehouse.queries.columns import Column, column, columns
from library.warehouse.queries.filters import VALUE, at_least, equal
from library.warehouse.queries.parameters import Moment, Text
from library.warehouse.queries.question import Question

TOKENS = Question(
    name="access.tokens",
    about="List tokens, the newest first, without themselves.",
    scope=Scope.ADMIN,
    for_the_reader=False,
    rows=lambda _: select(Token),
    columns=columns(Token, "id", "name", "user_id", "scopes", "created_at", "expires_at", "revoked_at"),
    item="TokenItem",
    each="A token, without itself.",
    order=("created_at", "id"),
    descending=True,
)

USERS = Question(
    name="access.users",
    about="List users, by name.",
    scope=Scope.ADMIN,
    for_the_reader=False,
    rows=lambda _: select(
        ApiUser,
        GRANTED,
        col(ApiUser.password).is_not(None).label("has_password"),
    ),
    columns=(
        *columns(ApiUser, "id", "name"),
        Column("grants", list[str], "The APIs that the user may post to.", ["patient"]),
        Column("has_password", bool, "Whether HTTP Basic lets the user in.", False),
        *columns(ApiUser, "created_at", "disabled_at"),
    ),
    item="UserItem",
    each="A user who posts records, without password and tokens.",
    order=("name",),
)

GRANTS = Question(
    name="access.grants",
    about="List who may post what.",
    scope=Scope.ADMIN,
    for_the_reader=False,
    rows=lambda _: (
        select(
            col(ApiUser.name).label("user_name"), col(ApiGrant.api), col(GrantableApi.path), col(ApiGrant.granted_at)
        )
        .select_from(ApiGrant)
        .join(ApiUser, col(ApiUser.id) == col(ApiGrant.user_id))
        .join(GrantableApi, col(GrantableApi.name) == col(ApiGrant.api))
    ),
    columns=(
        column(ApiUser, "name", "user_name"),
        column(ApiGrant, "api"),
        column(GrantableApi, "path"),
        column(ApiGrant, "granted_at"),
    ),
    item="GrantItem",
    each="A user may post to an API.",
    order=("user_name", "api"),
)

AUDIT = Question(
    name="access.audit",
    about="Who did what to what, the newest first.",
    scope=Scope.ADMIN,
    for_the_reader=False,
    rows=lambda filters: select(AuditEntry).where(*filters.conditions()),
    columns=columns(AuditEntry, "id", "at", "actor", "action", "subject", "detail"),
    item="AuditItem",
    each="Something that somebody did.",
    order=("id",),
    descending=True,
    parameters=(
        equal("actor", Text, VALUE, col(AuditEntry.actor), "Only of this actor."),
        equal("action", Text, VALUE, col(AuditEntry.action), "Only this action."),
        at_least("since", Moment, VALUE, col(AuditEntry.at), "Only from this moment on (with a zone)."),
    ),
)

QUESTIONS = (TOKENS, USERS, GRANTS, AUDIT)
