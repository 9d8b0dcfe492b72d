"""A run's result can be `incomplete`."""

from alembic import op

revision = "20261201T055100"
down_revision = "20261201T055000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint("run_result", "run", schema="ingest", type_="check")
    op.create_check_constraint(
        "run_result", "run", "result IN ('loaded', 'already_loaded', 'incomplete')", schema="ingest"
    )


def downgrade() -> None:
    op.execute("UPDATE ingest.run SET result = 'loaded' WHERE result = 'incomplete'")
    op.drop_constraint("run_result", "run", schema="ingest", type_="check")
    op.create_check_constraint("run_result", "run", "result IN ('loaded', 'already_loaded')", schema="ingest")
