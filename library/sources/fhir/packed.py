"""NDJSON files that come gzip-compressed, whatever their name says."""

import gzip
import zlib
from pathlib import Path

from library.contracts.fhir import FileDamaged, PageTooLarge

_GZIP = b"\x1f\x8b"
_CHUNK = 1024 * 1024


def unpacked(path: Path, folder: Path, limit: int) -> Path:
    """The file as it is where it is plain, else what it inflates to, written below the folder.

    Args:
        path: the file.
        folder: where there is room for `limit` bytes.
        limit: bytes that a file may have.

    Raises:
        PageTooLarge: it has more; no more than that is written.
        FileDamaged: its compression is damaged or cut off.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
    if packed:
        target, size = folder / "unpacked", 0
        try:
            with gzip.open(path, "rb") as source, target.open("wb") as file:
                while size <= limit and (chunk := source.read(_CHUNK)):
                    size += len(chunk)
                    file.write(chunk)
        except (gzip.BadGzipFile, zlib.error, EOFError):
            raise FileDamaged("The file's compression (gzip) is damaged, or cut off.") from None
        path = target
    if size > limit:
        raise PageTooLarge(
            f"The file has more than {limit:,} bytes.",
            advice="Part the file, line by line, or allow more bytes (fhir.max_file_bytes).",
        )
    return path
