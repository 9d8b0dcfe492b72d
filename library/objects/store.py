"""The object store: an S3 server, through minio-py. Objects are immutable and named by their content."""

import asyncio
import gzip
import hashlib
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, cast
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import MinioException, S3Error

from library.contracts.errors import ObjectDamaged, ObjectMissing, StoreUnavailable
from library.contracts.objects import ObjectRef

CHUNK = 1024 * 1024
"""Bytes of one read. It is large, so the hand-over between threads costs little."""

_GZIP = ".gz"
"""The ending of the keys of landed objects that are stored with gzip."""
_GZIP_LEVEL = 6
_MISSING = ("NoSuchKey", "NoSuchObject")
_TIMEOUT = urllib3.Timeout(connect=5, read=30)

type Progress = Callable[[int], object]
"""Called with the number of bytes since the last call."""


class ObjectStore:
    """One private bucket.

    The methods without `async` block, as minio-py does: call them in a thread. `stream` is for the event loop.
    """

    def __init__(
        self, url: str, *, access_key: str, secret_key: str, bucket: str, region: str, threads: int = 16
    ) -> None:
        address = urlsplit(url)
        self._bucket = bucket
        self._client = Minio(
            address.netloc,
            access_key=access_key,
            secret_key=secret_key,
            region=region,
            secure=address.scheme == "https",
            http_client=urllib3.PoolManager(
                timeout=_TIMEOUT,
                maxsize=threads,
                retries=urllib3.Retry(total=2, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504)),
            ),
        )
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="object-store")

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def make_bucket(self) -> None:
        """Create the bucket if it is missing. A new bucket is private."""
        with _named_errors(self._bucket):
            if self._client.bucket_exists(self._bucket):
                return
            try:
                self._client.make_bucket(self._bucket)
            except S3Error as error:
                if error.code not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                    raise

    def bucket_exists(self) -> bool:
        """Whether the bucket exists and these keys may read it."""
        with _named_errors(self._bucket):
            found: bool = self._client.bucket_exists(self._bucket)
        return found

    def land(
        self,
        source: str,
        path: Path,
        *,
        content_type: str,
        compress: bool = False,
        progress: Progress = lambda _: None,
    ) -> ObjectRef:
        """Store a received file under its sha256. The same bytes sent twice are one object with one landing time.

        Args:
            source: the source's name; it is part of the key.
            path: the file.
            content_type: the media type.
            compress: store it with gzip. Size, sha256 and later reads are those of the uncompressed bytes.
            progress: called with the number of bytes that were sent.
        """
        ref = described_file(f"landed/{source}", path, content_type)
        if compress:
            with tempfile.NamedTemporaryFile(prefix="wardflow-gzip-") as packed:
                _gzip(path, packed, ref)
                gzipped = ref.model_copy(update={"key": f"{ref.key}{_GZIP}", "compression": "gzip"})
                return self._land(gzipped, Path(packed.name), packed.tell(), progress)
        return self._land(ref, path, ref.size, progress)

    def _land(self, ref: ObjectRef, path: Path, stored: int, progress: Progress) -> ObjectRef:
        with _named_errors(ref.key):
            found = self._stat(ref.key)
            if found is None or found.size != stored:
                self._send(path, ref, stored, progress)
                found = self._client.stat_object(self._bucket, ref.key)
        if found.size != stored:
            raise ObjectDamaged(f"Object {ref.key} has {found.size} bytes in the store, and {stored} were sent.")
        return ref.model_copy(update={"landed_at": found.last_modified})

    def put(self, folder: str, path: Path, *, content_type: str) -> ObjectRef:
        """Store a file in a folder, named by its content. A retry writes the same object again."""
        ref = described_file(folder, path, content_type)
        with _named_errors(ref.key):
            self._send(path, ref, ref.size)
        return ref

    def put_all(self, folder: str, paths: Sequence[Path], *, content_type: str) -> list[ObjectRef]:
        """Store several files in a folder, in parallel."""
        return list(self._threads.map(lambda path: self.put(folder, path, content_type=content_type), paths))

    def download(self, ref: ObjectRef, path: Path, *, progress: Progress = lambda _: None) -> None:
        """Copy an object into a file, and check its size and sha256.

        Raises:
            ObjectMissing: it is not in the store.
            ObjectDamaged: the bytes are not those that the reference states.
        """
        with path.open("wb") as file:
            for chunk in self._chunks(ref):
                file.write(chunk)
                progress(len(chunk))

    async def landed(self, key: str, *, size: int, sha256: str) -> ObjectRef:
        """The reference of an object that was landed before.

        Args:
            key: the object's name in the bucket.
            size: bytes, uncompressed, as the ledger has them.
            sha256: of the uncompressed bytes, as the ledger has it.

        Raises:
            ObjectMissing: there is no such object.
        """
        return await asyncio.wrap_future(self._threads.submit(self._described, key, size, sha256))

    def _described(self, key: str, size: int, sha256: str) -> ObjectRef:
        with _named_errors(key):
            found = self._client.stat_object(self._bucket, key)
        return ObjectRef(
            key=key,
            size=size,
            sha256=sha256,
            content_type=found.content_type,
            landed_at=found.last_modified,
            compression=compression_of(key),
        )

    async def fetch(self, ref: ObjectRef) -> bytes:
        """Read all bytes of a small object; checked as by `download`."""
        return await asyncio.wrap_future(self._threads.submit(lambda: b"".join(self._chunks(ref))))

    async def stream(self, ref: ObjectRef) -> AsyncIterator[bytes]:
        """Read the object in chunks, one chunk ahead; checked as by `download`."""
        chunks = self._chunks(ref)
        following = self._threads.submit(next, chunks, None)
        try:
            while (chunk := await asyncio.shield(asyncio.wrap_future(following))) is not None:
                following = self._threads.submit(next, chunks, None)
                yield chunk
        finally:
            # A generator cannot be closed during a read, so the thread closes it afterwards.
            following.add_done_callback(lambda _: chunks.close())

    def remove(self, keys: Iterable[str]) -> int:
        """Delete objects and return their number. A missing object is no error."""
        objects = [DeleteObject(key) for key in keys]
        with _named_errors(self._bucket):
            for error in self._client.remove_objects(self._bucket, objects):
                if error.code not in _MISSING:
                    raise StoreUnavailable(f"The object store did not delete {error.name}: {error.code}.")
        return len(objects)

    def keys_older_than(self, prefix: str, moment: datetime) -> Iterator[str]:
        """Keys of the objects with a prefix that were stored before a moment."""
        with _named_errors(prefix):
            for found in self._client.list_objects(self._bucket, prefix=prefix, recursive=True):
                if found.object_name and found.last_modified and found.last_modified < moment:
                    yield found.object_name

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders directly below a prefix."""
        with _named_errors(prefix):
            found = list(self._client.list_objects(self._bucket, prefix=prefix))
        return [each.object_name.removeprefix(prefix).rstrip("/") for each in found if each.is_dir and each.object_name]

    def _send(self, path: Path, ref: ObjectRef, stored: int, progress: Progress = lambda _: None) -> None:
        """Upload a file of `stored` bytes. The sha256 of a compressed one was checked when it was made."""
        with path.open("rb") as file:
            sent = _Hashed(file)
            self._client.put_object(
                self._bucket,
                ref.key,
                cast(BinaryIO, sent),
                stored,
                ref.content_type,
                progress=_UploadProgress(progress),
            )
        if ref.compression is None and sent.digest.hexdigest() != ref.sha256:
            self._client.remove_object(self._bucket, ref.key)
            raise ObjectDamaged(
                f"The file {path.name} changed while it was sent.", advice="Send it again once it is complete."
            )

    def _stat(self, key: str) -> Any | None:  # noqa: ANN401 - minio's datatypes
        try:
            return self._client.stat_object(self._bucket, key)
        except S3Error as error:
            if error.code in _MISSING:
                return None
            raise

    def _chunks(self, ref: ObjectRef) -> Generator[bytes]:
        digest = hashlib.sha256()
        size = 0
        with _named_errors(ref.key):
            response = self._client.get_object(self._bucket, ref.key)
            try:
                for chunk in _unpacked(response, ref) if ref.compression else iter(lambda: response.read(CHUNK), b""):
                    digest.update(chunk)
                    size += len(chunk)
                    yield chunk
            finally:
                response.close()
                response.release_conn()
        if size != ref.size or digest.hexdigest() != ref.sha256:
            raise ObjectDamaged(
                f"Object {ref.key} has {size} bytes with sha256 {digest.hexdigest()}; "
                f"{ref.size} bytes with sha256 {ref.sha256} were stored."
            )


class _UploadProgress:
    """The interface through which minio-py reports an upload."""

    def __init__(self, progress: Progress) -> None:
        self.update = progress

    def set_meta(self, object_name: str, total_length: int) -> None:
        """Ignored: the caller knows the name and the size."""


class _Hashed:
    """A file that hashes its bytes while they are read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """Read the next bytes."""
        chunk = self._file.read(size)
        self.digest.update(chunk)
        return chunk


def _gzip(path: Path, packed: IO[bytes], ref: ObjectRef) -> None:
    """Compress a file without its name and time, so that the same bytes give the same object."""
    digest = hashlib.sha256()
    with path.open("rb") as file, gzip.GzipFile("", "wb", _GZIP_LEVEL, packed, mtime=0) as target:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
    packed.flush()
    if digest.hexdigest() != ref.sha256:
        raise ObjectDamaged(
            f"The file {path.name} changed while it was sent.", advice="Send it again once it is complete."
        )


def _unpacked(response: urllib3.BaseHTTPResponse, ref: ObjectRef) -> Iterator[bytes]:
    """Decompress an object in chunks of at most `CHUNK` bytes, so that memory is bounded."""
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        while packed := response.read(CHUNK):
            while packed:
                if chunk := inflate.decompress(packed, CHUNK):
                    yield chunk
                packed = inflate.unconsumed_tail
        if rest := inflate.flush():
            yield rest
    except zlib.error:
        raise ObjectDamaged(f"Object {ref.key} is not the gzip file that was stored.") from None


def compression_of(key: str) -> Literal["gzip"] | None:
    """How the store keeps the landed object with this key."""
    return "gzip" if key.endswith(_GZIP) else None


def described_file(folder: str, path: Path, content_type: str) -> ObjectRef:
    """Make the reference of a file in a folder, named by the file's content."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    return ObjectRef(key=f"{folder}/{digest}", size=size, sha256=digest, content_type=content_type)


@contextmanager
def _named_errors(name: str) -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        if error.code in _MISSING:
            raise ObjectMissing(f"Object {name} is not in the store.") from error
        raise StoreUnavailable(f"The object store refused {name}: {error.code}.") from error
    except (urllib3.exceptions.HTTPError, MinioException, OSError) as error:
        raise StoreUnavailable(f"The object store did not answer for {name}: {type(error).__name__}.") from error
