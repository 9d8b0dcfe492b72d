"""Lands NDJSON files. Files with gzip are decompressed first; the content decides, not the file's name."""

import gzip
import tempfile
import zlib
from pathlib import Path

from library.contracts.objects import ObjectRef
from library.objects.store import CHUNK, ObjectStore, Progress
from library.sources.fhir.contracts import NDJSON
from library.sources.fhir.errors import FileDamaged, PageTooLarge
from library.web.kinds import HEAD, sniff

SUFFIXES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
"""Endings of the names of NDJSON files."""


def land_ndjson(
    store: ObjectStore, source: str, path: Path, limit: int, *, progress: Progress = lambda _: None
) -> ObjectRef:
    """Land the decompressed lines of a file, so that the same lines are the same object. Blocks.

    Args:
        store: the object store.
        source: the source's name; it is part of the key.
        path: the file, plain or gzip.
        limit: the most bytes that it may have, decompressed.
        progress: called with the number of bytes that were sent.

    Raises:
        PageTooLarge: the file has more than `limit` bytes. Nothing was stored.
        FileDamaged: the gzip data is damaged or cut off.
    """
    with tempfile.TemporaryDirectory(prefix="wardflow-inflated-") as name:
        plain = inflated(path, Path(name) / "plain", limit)
        if plain.stat().st_size > limit:
            raise PageTooLarge(
                f"The file has more than {limit:,} bytes.",
                advice="Split the file between lines, or raise the limit (fhir.max_file_bytes).",
            )
        return store.land(source, plain, content_type=NDJSON, compress=True, progress=progress)


def inflated(path: Path, target: Path, limit: int) -> Path:
    """The file itself if it is plain; else decompress it into `target`, and stop soon after the limit.

    Raises:
        FileDamaged: the gzip data is damaged or cut off.
    """
    with path.open("rb") as file:
        if sniff(file.read(HEAD)) != "gzip":
            return path
    size = 0
    try:
        with gzip.open(path, "rb") as inflating, target.open("wb") as file:
            while size <= limit and (chunk := inflating.read(CHUNK)):
                size += file.write(chunk)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise FileDamaged("The gzip data of the file is damaged or cut off.") from None
    return target
