"""Models of views. Revisions make the views, so Alembic does not compare these models with the database."""

from typing import Any, ClassVar

from sqlalchemy import MetaData
from sqlmodel import SQLModel

VIEW_METADATA = MetaData()


class View(SQLModel):
    """The base of models of views. Their primary key is what makes a row unique."""

    metadata: ClassVar[Any] = VIEW_METADATA
