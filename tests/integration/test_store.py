"""Objects are immutable, named by their content, checked on both sides, and private."""

import gzip
import hashlib
import io
import secrets
from pathlib import Path

import httpx
import pytest

from config.settings import Settings
from library.contracts.errors import ObjectDamaged, ObjectMissing, StoreUnavailable
from library.contracts.objects import ObjectRef
from library.objects.store import ObjectStore

LARGE = 12 * 1024 * 1024
"""Bytes: more than one part of an upload, and many chunks."""


def file_of(folder: Path, content: bytes) -> Path:
    path = folder / secrets.token_hex(4)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [0, 1, LARGE])
async def test_bytes_come_back_as_they_were_sent(store: ObjectStore, tmp_path: Path, size: int) -> None:
    content = secrets.token_bytes(size)
    told: list[int] = []
    ref = store.land("test", file_of(tmp_path, content), content_type="text/plain", progress=told.append)
    assert (ref.size, ref.sha256) == (size, hashlib.sha256(content).hexdigest())
    assert sum(told) == size
    store.download(ref, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert b"".join([chunk async for chunk in store.stream(ref)]) == content


@pytest.mark.parametrize("size", [0, 1, LARGE])
async def test_a_compressed_object_comes_back_as_it_was_sent(store: ObjectStore, tmp_path: Path, size: int) -> None:
    content = (secrets.token_bytes(64) * (size // 64 + 1))[:size]
    ref = store.land("test", file_of(tmp_path, content), content_type="text/plain", compress=True)
    assert (ref.size, ref.sha256) == (size, hashlib.sha256(content).hexdigest())
    store.download(ref, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert b"".join([chunk async for chunk in store.stream(ref)]) == content
    kept = store._stat(ref.key)
    assert kept is not None
    assert kept.size < size / 10 + 100


def test_the_same_bytes_compressed_twice_are_one_object_beside_the_uncompressed_one(
    store: ObjectStore, tmp_path: Path
) -> None:
    content = secrets.token_bytes(64)
    first, second = (
        store.land("test", file_of(tmp_path, content), content_type="text/plain", compress=True) for _ in range(2)
    )
    plain = store.land("test", file_of(tmp_path, content), content_type="text/plain")
    assert first == second
    assert (first.key, first.compression, plain.compression) == (f"{plain.key}.gz", "gzip", None)


@pytest.mark.parametrize("stored", [b"no gzip at all", gzip.compress(b"x" * 64)[:-12], gzip.compress(b"y" * 64)])
def test_a_compressed_object_that_was_damaged_is_refused(store: ObjectStore, tmp_path: Path, stored: bytes) -> None:
    ref = store.land("test", file_of(tmp_path, b"x" * 64), content_type="text/plain", compress=True)
    store._client.put_object(store._bucket, ref.key, io.BytesIO(stored), len(stored))
    with pytest.raises(ObjectDamaged):
        store.download(ref, tmp_path / "back")


def test_the_same_bytes_landed_twice_are_one_object_with_its_first_landing_time(
    store: ObjectStore, tmp_path: Path
) -> None:
    content = secrets.token_bytes(64)
    first, second = (store.land("test", file_of(tmp_path, content), content_type="text/plain") for _ in range(2))
    assert first == second
    assert first.landed_at is not None


async def test_an_object_with_other_bytes_than_stated_is_refused(store: ObjectStore, tmp_path: Path) -> None:
    ref = store.land("test", file_of(tmp_path, secrets.token_bytes(64)), content_type="text/plain")
    for wrong in ({"size": 63}, {"sha256": "0" * 64}):
        altered = ref.model_copy(update=wrong)
        with pytest.raises(ObjectDamaged):
            store.download(altered, tmp_path / "back")
        with pytest.raises(ObjectDamaged):
            await anext(chunks async for chunks in store.stream(altered) if not chunks)


async def test_a_missing_object_is_named(store: ObjectStore, tmp_path: Path) -> None:
    ref = ObjectRef(key="landed/test/none", size=1, sha256="0" * 64, content_type="text/plain")
    with pytest.raises(ObjectMissing, match="landed/test/none"):
        store.download(ref, tmp_path / "back")
    with pytest.raises(ObjectMissing):
        await anext(store.stream(ref))


def test_a_file_that_changes_while_it_is_sent_is_not_kept(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, b"before" * 100)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    original = store._stat

    def change(key: str) -> object:
        path.write_bytes(b"after!" * 100)
        return original(key)

    monkeypatch.setattr(store, "_stat", change)
    with pytest.raises(ObjectDamaged, match="changed while it was sent"):
        store.land("test", path, content_type="text/plain")
    monkeypatch.undo()
    assert store._stat(f"landed/test/{digest}") is None


async def test_a_stream_that_is_left_early_lets_the_object_go(store: ObjectStore, tmp_path: Path) -> None:
    ref = store.land("test", file_of(tmp_path, secrets.token_bytes(LARGE)), content_type="text/plain")
    stream = store.stream(ref)
    assert len(await anext(stream)) > 0
    await stream.aclose()  # type: ignore[attr-defined]
    assert sum([len(chunk) async for chunk in store.stream(ref)]) == LARGE


def test_without_keys_nothing_can_be_read(store: ObjectStore, servers: Settings, tmp_path: Path) -> None:
    ref = store.land("test", file_of(tmp_path, b"private"), content_type="text/plain")
    for path in (ref.key, "", "?list-type=2"):
        answer = httpx.get(f"{servers.s3.url}/{servers.s3.bucket}/{path}", trust_env=False)
        assert answer.status_code in (401, 403)


def test_a_store_that_is_away_is_an_error_that_a_repeat_may_mend(tmp_path: Path) -> None:
    away = ObjectStore("http://127.0.0.1:9", access_key="a", secret_key="s" * 8, bucket="bucket", region="us-east-1")
    with pytest.raises(StoreUnavailable) as error:
        away.land("test", file_of(tmp_path, b"x"), content_type="text/plain")
    assert error.value.retryable
