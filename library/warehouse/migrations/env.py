"""Alembic's entry: runs revisions on the connection of `library.warehouse.schema`.

`alembic downgrade` and `alembic current`, called by a developer, get a connection to the warehouse of the settings.
"""

import asyncio
from typing import cast

from alembic import context
from sqlalchemy import Connection

from config.settings import Settings
from library.warehouse.schema import COMPARED, METADATA, Schemas, connected


def run(connection: Connection) -> None:
    """Run the revisions that the command asks for; without schemas there is nothing to compare models with."""
    schemas = cast(Schemas | None, context.config.attributes.get("schemas"))
    context.configure(
        connection=connection,
        target_metadata=METADATA if schemas else None,
        include_schemas=True,
        include_name=schemas.compares if schemas else None,
        version_table_schema="ingest",
        autogenerate_plugins=COMPARED,
    )
    with context.begin_transaction():
        context.run_migrations()


connection = cast(Connection | None, context.config.attributes.get("connection"))
dsn = Settings().postgres.dsn if connection is None else None
if connection is not None:
    run(connection)
elif dsn is not None:
    asyncio.run(connected(dsn.get_secret_value(), run))
else:
    raise SystemExit("No Postgres is known here: start the stack, or set WARDFLOW_POSTGRES__DSN.")
