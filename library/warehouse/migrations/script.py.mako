"""${message}."""
<% steps = f"{upgrades or ''}{downgrades or ''}" %>
% if "sa." in steps:
import sqlalchemy as sa
% endif
% if "sqlmodel." in steps:
import sqlmodel
% endif
% if "op." in steps:
from alembic import op
% endif
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
