"""Users of the record APIs: their passwords, tokens and grants."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
        schema="access",
    )
    api = op.create_table(
        "api",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("path"),
        schema="access",
    )
    op.bulk_insert(
        api,
        [{"name": name, "path": f"/api_{name}"} for name in ("patient", "admissions", "lab_results")],
    )
    op.create_table(
        "api_grant",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("api", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["access.api_user.id"]),
        sa.ForeignKeyConstraint(["api"], ["access.api.name"]),
        sa.PrimaryKeyConstraint("user_id", "api"),
        schema="access",
    )
    op.add_column("token", sa.Column("user_id", sa.Uuid(), nullable=True), schema="access")
    op.create_foreign_key(
        None, "token", "api_user", ["user_id"], ["id"], source_schema="access", referent_schema="access"
    )
    op.create_check_constraint("users_have_grants", "token", "user_id IS NULL OR scopes = '{}'", schema="access")
    op.create_index("token_user_id", "token", ["user_id"], unique=False, schema="access")
