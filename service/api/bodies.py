"""Bodies that routes read themselves, once the caller is known."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from config.servers import MEBIBYTE
from service.api.problems import Unprocessable, misfit

UPLOAD_OVERHEAD = 64 * 1024
"""Bytes that a multipart body may have beside its file."""

_NAME = 200
"""Characters that are kept of a file's name."""


@dataclass(frozen=True)
class Uploaded:
    """The part `file` of a form.

    Attributes:
        path: where it lies for as long as it is used.
        name: as whoever sent it says.
    """

    path: Path
    name: str


def validated[Model: BaseModel](model: type[Model], body: bytes) -> Model:
    """A body of JSON.

    Raises:
        Unprocessable: it is not of the model.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field, said = misfit(first["type"], first["msg"], first["loc"])
        raise Unprocessable(f"{field}: {said}.", field=field) from None


@asynccontextmanager
async def uploaded(form: FormData, what: str) -> AsyncIterator[Uploaded]:
    """The file of a form, as one that can be read by its path.

    Raises:
        Unprocessable: there is none.
    """
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Unprocessable("file: missing.", advice=f"Send the {what} as the part `file`.", field="file")

    def spool(path: Path) -> None:
        with path.open("wb") as target:
            shutil.copyfileobj(file.file, target, MEBIBYTE)

    with tempfile.TemporaryDirectory(prefix="wardflow-upload-") as folder:
        path = Path(folder) / "upload"
        await asyncio.to_thread(spool, path)
        yield Uploaded(path, (file.filename or "upload")[:_NAME].replace("\0", ""))
