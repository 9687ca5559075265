"""Every store keeps the same promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.stub import Stubber

from app.errors import StoreUnavailable
from app.settings import Settings
from app.storage import FolderStore, S3Store, Store, StoreMissing, open_store
from tests.service.conftest import s3_settings

KEY = "tenants/default/uploads/upl_1"


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    return open_store(s3_settings(tmp_path))


def file_of(folder: Path, data: bytes) -> Path:
    path = folder / "source"
    path.write_bytes(data)
    return path


def read(store: Store, key: str) -> bytes:
    stream = store.open(key)
    try:
        return b"".join(iter(lambda: stream.read(7), b""))
    finally:
        stream.close()


def test_what_is_put_can_be_read_measured_and_deleted(store: Store, tmp_path: Path) -> None:
    store.check()
    for data in (b"first", b"second, longer", b""):
        store.put(KEY, file_of(tmp_path, data))
        assert read(store, KEY) == data
        assert store.size(KEY) == len(data)
    store.delete(KEY)
    store.delete(KEY)
    for ask in (store.open, store.size):
        with pytest.raises(StoreMissing):
            ask(KEY)


def test_parts_become_one_object(store: Store, tmp_path: Path) -> None:
    size = store.min_part_bytes
    ref = store.begin_parts(KEY)
    store.put_part(KEY, ref, 1, file_of(tmp_path, b"x" * size))
    second = store.put_part(KEY, ref, 2, file_of(tmp_path, b"tail"))
    first = store.put_part(KEY, ref, 1, file_of(tmp_path, b"y" * size))
    with pytest.raises(StoreMissing):
        store.size(KEY)
    store.join_parts(KEY, ref, [(1, first), (2, second)])
    assert read(store, KEY) == b"y" * size + b"tail"
    store.drop_parts(KEY, ref)
    store.drop_parts(KEY, ref)
    assert store.size(KEY) == size + 4


def test_one_part_is_enough(store: Store, tmp_path: Path) -> None:
    ref = store.begin_parts(KEY)
    name = store.put_part(KEY, ref, 1, file_of(tmp_path, b"all"))
    store.join_parts(KEY, ref, [(1, name)])
    store.drop_parts(KEY, ref)
    assert read(store, KEY) == b"all"


def test_unknown_parts_are_missing_in_a_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    with pytest.raises(StoreMissing):
        store.put_part(KEY, "unknown", 1, file_of(tmp_path, b"x"))
    with pytest.raises(StoreMissing):
        store.join_parts(KEY, "unknown", [(1, "x")])


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("NoSuchUpload", StoreMissing),
        ("InvalidPart", StoreMissing),
        ("SlowDown", StoreUnavailable),
        ("AccessDenied", StoreUnavailable),
    ],
)
def test_s3_s_own_words_are_understood(
    settings_on_s3: Settings, code: str, expected: type[Exception]
) -> None:
    """Scripted answers: the S3 of these tests says 500 where a real one says NoSuchUpload."""
    store = S3Store.from_settings(settings_on_s3)
    with Stubber(store._client) as stub:
        stub.add_client_error("complete_multipart_upload", service_error_code=code)
        with pytest.raises(expected):
            store.join_parts(KEY, "ref", [(1, "etag")])


def test_a_folder_store_stays_in_its_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    for key in ("../x", "a/../../x", "/etc/passwd"):
        with pytest.raises(ValueError, match="not a key"):
            store.open(key)


def test_an_s3_that_is_away_is_unavailable(settings_on_s3: Settings) -> None:
    away = settings_on_s3.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StoreUnavailable):
        S3Store.from_settings(away).check()


def test_an_unknown_scheme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="s3://"):
        open_store(Settings(data_dir=tmp_path, store_url="ftp://x"))
