"""NDJSON files as they are landed: plain, though many come gzip-compressed, whatever their names say."""

import gzip
import tempfile
import zlib
from pathlib import Path

from library.contracts.objects import ObjectRef
from library.objects.store import CHUNK, ObjectStore, Progress
from library.sources.fhir.contracts import NDJSON, FileDamaged, PageTooLarge
from library.web.kinds import HEAD, sniff

SUFFIXES = (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz")
"""Of the files' names."""


def land_ndjson(
    store: ObjectStore, source: str, path: Path, limit: int, *, progress: Progress = lambda _: None
) -> ObjectRef:
    """Store the lines of a file: what is stored, and loaded once, are the lines. Blocks.

    Args:
        store: where.
        source: whose folder it goes to.
        path: the file, plain or gzip.
        limit: bytes that it may have, inflated.
        progress: told the bytes that were sent.

    Raises:
        PageTooLarge: it has more; nothing was stored, and no more than that was inflated.
        FileDamaged: its compression is damaged or cut off.
    """
    with tempfile.TemporaryDirectory(prefix="wardflow-inflated-") as name:
        plain = _inflated(path, Path(name) / "plain", limit)
        if plain.stat().st_size > limit:
            raise PageTooLarge(
                f"The file has more than {limit:,} bytes.",
                advice="Part the file, line by line, or allow more bytes (fhir.max_file_bytes).",
            )
        return store.land(source, plain, content_type=NDJSON, compress=True, progress=progress)


def _inflated(path: Path, target: Path, limit: int) -> Path:
    """The file itself where it is plain, else the target, with what it inflates to: hardly more than the limit."""
    with path.open("rb") as file:
        if sniff(file.read(HEAD)) != "gzip":
            return path
    size = 0
    try:
        with gzip.open(path, "rb") as inflating, target.open("wb") as file:
            while size <= limit and (chunk := inflating.read(CHUNK)):
                size += file.write(chunk)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        raise FileDamaged("The file's compression (gzip) is damaged, or cut off.") from None
    return target
