"""Alembic's entry: runs the revisions on the connection that `library.warehouse.schema` hands it."""

from typing import cast

from alembic import context
from sqlalchemy import Connection

from library.warehouse.schema import METADATA, Schemas

context.configure(
    connection=cast(Connection, context.config.attributes["connection"]),
    target_metadata=METADATA,
    include_schemas=True,
    include_name=cast(Schemas, context.config.attributes["schemas"]).compares,
    version_table_schema="ingest",
)
with context.begin_transaction():
    context.run_migrations()
