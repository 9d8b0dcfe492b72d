"""Staged files between their reader and their load."""

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
"""Where staged objects are until their load was committed."""

_CSV = "text/csv"
REJECTIONS = "rejections.csv"


class StagedObjects(Protocol):
    """Where staged files are put, and found again by their load: the store, or a folder."""

    def put_all(self, folder: str, paths: Sequence[Path], *, content_type: str) -> list[ObjectRef]:
        """Take files; blocks."""

    def download(self, ref: ObjectRef, path: Path, *, progress: Progress = ...) -> None:
        """Bring an object into a file; blocks."""

    async def fetch(self, ref: ObjectRef) -> bytes:
        """A small object's bytes as a whole."""

    def stream(self, ref: ObjectRef) -> AsyncIterator[bytes]:
        """The object's bytes as they come."""


@dataclass(frozen=True)
class StagedFolder:
    """Staged files where they were made, for a step that stages and loads: none of them has to travel."""

    folder: Path

    def put_all(self, folder: str, paths: Sequence[Path], *, content_type: str) -> list[ObjectRef]:
        """Describe files of this folder; they stay, under their names."""
        described = [described_file(folder, path, content_type) for path in paths]
        return [ref.model_copy(update={"key": path.name}) for ref, path in zip(described, paths, strict=True)]

    def download(self, ref: ObjectRef, path: Path, *, progress: Progress = lambda _: None) -> None:
        """Copy a file."""
        shutil.copyfile(self.folder / ref.key, path)
        progress(ref.size)

    async def fetch(self, ref: ObjectRef) -> bytes:
        """A small file's bytes as a whole."""
        return await asyncio.to_thread((self.folder / ref.key).read_bytes)

    async def stream(self, ref: ObjectRef) -> AsyncIterator[bytes]:
        """The file's bytes as they are read."""
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
    """Put the files that a `Staging` left in a folder where their load finds them, and ask for it.

    Args:
        objects: where that is.
        folder: with `{dataset}.csv` for each dataset, and `rejections.csv` where rows were refused.
        rows: by dataset: how many rows its file has.
        identity: of the load; its objects lie below it, so that no other load can remove them.
        landed: what the rows were read from.
        run_id: the run that asks.
        report: what the reader says of the object as a whole.
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
