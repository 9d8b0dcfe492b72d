"""Comments of tables, views and columns, from the descriptions of the models. psql and other tools show them."""

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, text
from sqlmodel import SQLModel

from library.datasets.fields import table_of
from library.datasets.sql import quote, quote_literal
from library.datasets.views import View

_PRESENT = text("""
SELECT n.nspname, c.relname, a.attname, col_description(c.oid, a.attnum) AS comment
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = ANY (:schemas) AND c.relkind IN ('r', 'v')
UNION ALL
SELECT n.nspname, c.relname, NULL, obj_description(c.oid, 'pg_class')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY (:schemas) AND c.relkind IN ('r', 'v')
""")

type Place = tuple[str, str, str | None]
"""Schema, table, and column; without a column, the table itself."""


def enter_comments(connection: Connection, schemas: tuple[str, ...]) -> int:
    """Write the comments that are missing or differ, and return how many these were.

    Args:
        connection: in the transaction of a migration.
        schemas: the schemas whose models are imported.
    """
    present = {(row[0], row[1], row[2]): row[3] for row in connection.execute(_PRESENT, {"schemas": list(schemas)})}
    views = {(table.schema, table.name) for table in View.metadata.tables.values()}
    changed = [
        (place, comment) for place, comment in _declared(schemas).items() if present.get(place, comment) != comment
    ]
    for (schema, table, column), comment in changed:
        kind = "VIEW" if (schema, table) in views else "TABLE"
        name = f"{quote(schema)}.{quote(table)}"
        target = f"{kind} {name}" if column is None else f"COLUMN {name}.{quote(column)}"
        connection.exec_driver_sql(f"COMMENT ON {target} IS {quote_literal(comment)}")
    return len(changed)


def _declared(schemas: tuple[str, ...]) -> Mapping[Place, str]:
    """What the models say. A description that several lines have becomes one."""
    found: dict[Place, str] = {}
    for model in _models(SQLModel):
        table = table_of(model)
        if table.schema not in schemas:
            continue
        found[table.schema, table.name, None] = " ".join((model.__doc__ or "").split("\n\n")[0].split())
        for name, field in model.model_fields.items():
            if field.description:
                found[table.schema, table.name, name] = field.description
    return found


def _models(base: type[SQLModel]) -> Iterator[type[SQLModel]]:
    for model in base.__subclasses__():
        if hasattr(model, "__table__"):
            yield model
        yield from _models(model)
