"""Staged files: written by a reader, read by a load."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from library.contracts.loads import LoadIdentity, LoadRequest, StagedObject
from library.contracts.objects import ObjectRef
from library.objects.store import CHUNK, Progress, described_file

STAGED = "staged/"
"""The folder of staged objects. They are removed when their load is committed."""

_CSV = "text/csv"
REJECTIONS = "rejections.csv"


class StagedObjects(Protocol):
    """A place for staged files: the object store, or a local folder."""

    def put_all(self, folder: str, paths: Sequence[Path], *, content_type: str) -> list[ObjectRef]:
        """Store files; blocks."""

    def download(self, ref: ObjectRef, path: Path, *, progress: Progress = ...) -> None:
        """Copy an object into a file; blocks."""

    async def fetch(self, ref: ObjectRef) -> bytes:
        """Read all bytes of a small object."""

    def stream(self, ref: ObjectRef) -> AsyncIterator[bytes]:
        """Read the object's bytes in chunks."""


@dataclass(frozen=True)
class StagedFolder:
    """Staged files in a local folder, for a step that stages and loads. They are never uploaded."""

    folder: Path

    def put_all(self, folder: str, paths: Sequence[Path], *, content_type: str) -> list[ObjectRef]:
        """Describe files of this folder. The files keep their place and name."""
        described = [described_file(folder, path, content_type) for path in paths]
        return [ref.model_copy(update={"key": path.name}) for ref, path in zip(described, paths, strict=True)]

    def download(self, ref: ObjectRef, path: Path, *, progress: Progress = lambda _: None) -> None:
        """Copy a file."""
        shutil.copyfile(self.folder / ref.key, path)
        progress(ref.size)

    async def fetch(self, ref: ObjectRef) -> bytes:
        """Read all bytes of a small file."""
        return await asyncio.to_thread((self.folder / ref.key).read_bytes)

    async def stream(self, ref: ObjectRef) -> AsyncIterator[bytes]:
        """Read the file's bytes in chunks."""
        with (self.folder / ref.key).open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk


def upload(
    objects: StagedObjects,
    folder: Path,
    rows: Mapping[str, int],
    *,
    identity: LoadIdentity,
    landed: ObjectRef,
    run_id: str,
    report: dict[str, JsonValue],
) -> LoadRequest:
    """Store the files that a `Staging` wrote, and return the request for their load.

    Args:
        objects: where the files are stored.
        folder: with `{dataset}.csv` for each dataset, and `rejections.csv` if rows were refused.
        rows: the number of rows of each dataset's file.
        identity: the load's identity. Its id is in the objects' keys, so no other load can remove them.
        landed: the object that the rows were read from.
        run_id: the run that the load belongs to.
        report: what the reader states about the whole object.
    """
    place = f"{STAGED}{identity.load_id}"
    names = list(rows)
    files = [folder / f"{name}.csv" for name in names]
    if (folder / REJECTIONS).exists():
        files.append(folder / REJECTIONS)
    refs = objects.put_all(place, files, content_type=_CSV)
    return LoadRequest(
        identity=identity,
        landed=landed,
        staged=tuple(
            StagedObject(dataset=name, object=ref, rows=rows[name]) for name, ref in zip(names, refs, strict=False)
        ),
        rejections=refs[-1] if len(refs) > len(names) else None,
        run_id=run_id,
        report=report,
    )
