"""Bodies that routes read themselves, after the caller was authenticated; and answers that are streamed."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from config.servers import MEBIBYTE
from service.api.problems import Unprocessable, UnsupportedMediaType, misfit

UPLOAD_OVERHEAD = 64 * 1024
"""Bytes that a multipart body may have in addition to its file."""

_NAME = 200
"""Maximum length of a stored file name; the rest is cut off."""


class UploadForm(BaseModel):
    """The body of an upload."""

    file: bytes = Field(description="The file.", json_schema_extra={"format": "binary"})


UPLOAD: Mapping[str, Any] = {
    "content": {"multipart/form-data": {"schema": UploadForm.model_json_schema()}},
    "required": True,
}
"""The body of an upload, for the OpenAPI document."""


@dataclass(frozen=True)
class Uploaded:
    """The part `file` of a form.

    Attributes:
        path: a temporary file, removed after the request.
        name: the file's name, as the caller gave it.
    """

    path: Path
    name: str


def validated[Model: BaseModel](model: type[Model], body: bytes) -> Model:
    """Read a JSON body as a model.

    Raises:
        Unprocessable: the body does not match the model.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        field, said = misfit(first["type"], first["msg"], first["loc"])
        raise Unprocessable(f"{field}: {said}.", field=field) from None


@asynccontextmanager
async def uploaded_file(request: Request, what: str) -> AsyncIterator[Uploaded]:
    """The file of an upload. Call it after the caller was authenticated, since it reads the body.

    Args:
        request: its body is read as it arrives, up to the route's limit.
        what: the kind of file, for error texts.

    Raises:
        UnsupportedMediaType: the body is not a form.
        Unprocessable: the form has no file.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UnsupportedMediaType("The body is no multipart/form-data.", advice=f"Send the {what} as the part `file`.")
    async with request.form(max_files=1, max_fields=10) as form, uploaded(form, what) as file:
        yield file


@asynccontextmanager
async def uploaded(form: FormData, what: str) -> AsyncIterator[Uploaded]:
    """The file of a form, as a file with a path.

    Raises:
        Unprocessable: the form has no file.
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


async def begun(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first chunk, and all chunks. An error of the first one can still be answered by a problem document."""
    first = await anext(chunks, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for chunk in chunks:
            yield chunk

    return first, whole()
