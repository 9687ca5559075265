"""Every store keeps the same promises."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber

from app.db.base import utcnow
from app.errors import StoreUnavailable
from app.settings import Settings
from app.storage import (
    FolderStore,
    PartsChanged,
    S3Store,
    Store,
    StoreMissing,
    open_store,
    s3,
)
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


def test_a_part_that_is_gone_before_it_is_kept_says_nothing_of_the_others(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "store")
    ref = store.begin_parts("tenants/default/uploads/u")
    with pytest.raises(StoreUnavailable):
        store.put_part("tenants/default/uploads/u", ref, 1, tmp_path / "gone")


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


def put_part(store: Store, ref: str, number: int, source: Path) -> str:
    return store.put_part(KEY, ref, number, source)


def test_parts_become_one_object(store: Store, tmp_path: Path) -> None:
    size = store.min_part_bytes
    ref = store.begin_parts(KEY)
    put_part(store, ref, 1, file_of(tmp_path, b"x" * size))
    second = put_part(store, ref, 2, file_of(tmp_path, b"tail"))
    first = put_part(store, ref, 1, file_of(tmp_path, b"y" * size))
    with pytest.raises(StoreMissing):
        store.size(KEY)
    key = store.join_parts(KEY, ref, [(1, first), (2, second)])
    assert key.startswith(KEY)
    assert read(store, key) == b"y" * size + b"tail"
    assert store.join_parts(KEY, ref, [(1, first), (2, second)]) == key
    store.drop_parts(KEY, ref)
    store.drop_parts(KEY, ref)
    assert store.join_parts(KEY, ref, [(1, first), (2, second)]) == key
    assert read(store, key) == b"y" * size + b"tail"


def test_one_part_is_enough(store: Store, tmp_path: Path) -> None:
    ref = store.begin_parts(KEY)
    name = put_part(store, ref, 1, file_of(tmp_path, b"all"))
    key = store.join_parts(KEY, ref, [(1, name)])
    store.drop_parts(KEY, ref)
    assert read(store, key) == b"all"


def test_a_part_that_was_replaced_is_not_joined(store: Store, tmp_path: Path) -> None:
    """Under the name of the old bytes the new ones are never taken, nor the other way round."""
    size = store.min_part_bytes
    ref = store.begin_parts(KEY)
    old = put_part(store, ref, 1, file_of(tmp_path, b"x" * size))
    tail = put_part(store, ref, 2, file_of(tmp_path, b"tail"))
    new = put_part(store, ref, 1, file_of(tmp_path, b"y" * size))
    store.forget_part(KEY, ref, 1, old)
    with pytest.raises(PartsChanged) as caught:
        store.join_parts(KEY, ref, [(1, old), (2, tail)])
    assert caught.value.numbers == [1]
    key = store.join_parts(KEY, ref, [(1, new), (2, tail)])
    assert read(store, key) == b"y" * size + b"tail"
    assert not list(store.unfinished()) or isinstance(store, FolderStore)


def test_what_was_joined_never_changes(store: Store, tmp_path: Path) -> None:
    ref = store.begin_parts(KEY)
    first = put_part(store, ref, 1, file_of(tmp_path, b"first"))
    key = store.join_parts(KEY, ref, [(1, first)])
    try:
        other = put_part(store, ref, 1, file_of(tmp_path, b"other"))
        assert store.join_parts(KEY, ref, [(1, other)]) != key
    except StoreMissing:
        assert isinstance(store, S3Store)
    assert read(store, key) == b"first"


def test_unknown_parts_are_missing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_JOINING_ELSEWHERE_S", (0.0,))
    with pytest.raises(StoreMissing):
        put_part(store, "unknown", 1, file_of(tmp_path, b"x"))
    with pytest.raises(StoreMissing):
        store.join_parts(KEY, "unknown", [(1, "x")])
    store.drop_parts(KEY, "unknown")


def test_objects_and_unfinished_parts_are_listed(store: Store, tmp_path: Path) -> None:
    begun = utcnow() - timedelta(seconds=2)
    for number in range(3):
        store.put(f"tenants/t/uploads/upl_{number}/x", file_of(tmp_path, b"x" * number))
    ref = store.begin_parts(KEY)
    put_part(store, ref, 1, file_of(tmp_path, b"part"))
    listed = {found.key: found for found in store.objects()}
    assert {key: found.size for key, found in listed.items()} == {
        f"tenants/t/uploads/upl_{number}/x": number for number in range(3)
    }
    (parts,) = store.unfinished()
    assert (parts.key, parts.ref, parts.size in (4, None)) == (KEY, ref, True)
    soon = utcnow() + timedelta(seconds=2)
    assert all(begun < found.modified < soon for found in listed.values())
    # The S3 of these tests says 2010 of every upload in parts.
    assert parts.begun < soon
    assert parts.begun > begun or isinstance(store, S3Store)
    store.drop_parts(KEY, ref)
    assert list(store.unfinished()) == []


def test_long_listings_come_whole(
    settings_on_s3: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than S3 gives at a time."""
    monkeypatch.setattr(s3, "_PAGE", 2)
    store = S3Store.from_settings(settings_on_s3)
    keys = {f"tenants/t/uploads/upl_{number}/x" for number in range(7)}
    for key in keys:
        store.put(key, file_of(tmp_path, b"x"))
        store.begin_parts(key)
    assert {found.key for found in store.objects()} == keys
    assert {found.key for found in store.unfinished()} == keys


@pytest.mark.parametrize("code", ["SlowDown", "AccessDenied", "InternalError", "NoSuchBucket"])
def test_s3_s_own_words_are_understood(settings_on_s3: Settings, code: str) -> None:
    """Scripted answers, which the S3 of these tests does not give."""
    store = S3Store.from_settings(settings_on_s3)
    with Stubber(store._client) as stub:
        stub.add_client_error("get_object", service_error_code=code)
        with pytest.raises(StoreUnavailable):
            store.open(KEY)


def test_a_folder_that_is_gone_is_no_missing_object(tmp_path: Path) -> None:
    """A volume that is not mounted: nothing is known about what lies there."""
    store = FolderStore(tmp_path / "store")
    store.put("tenants/t/x", file_of(tmp_path, b"kept"))
    ref = store.begin_parts(KEY)
    part = file_of(tmp_path, b"part")
    (tmp_path / "store").rename(tmp_path / "elsewhere")
    calls: list[Callable[[], object]] = [
        store.check,
        lambda: store.open("tenants/t/x"),
        lambda: store.size("tenants/t/x"),
        lambda: store.put("tenants/t/x", part),
        lambda: store.begin_parts(KEY),
        lambda: store.put_part(KEY, ref, 1, part),
        lambda: store.join_parts(KEY, ref, [(1, "x")]),
        lambda: store.delete("tenants/t/x"),
        lambda: list(store.objects()),
        lambda: list(store.unfinished()),
    ]
    for mounted in (False, True):
        if mounted:
            (tmp_path / "store").mkdir()
        for call in calls:
            with pytest.raises(StoreUnavailable):
                call()
        assert part.read_bytes() == b"part"
    (tmp_path / "store").rmdir()
    (tmp_path / "elsewhere").rename(tmp_path / "store")
    assert read(store, "tenants/t/x") == b"kept"


def test_an_object_that_breaks_off_is_a_fault_of_the_store(settings_on_s3: Settings) -> None:
    """A server that promises more than it sends, and one that falls silent."""
    ended = threading.Event()

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"x" * 1000)
            self.wfile.flush()
            if "silent" in self.path:
                ended.wait(10)

        def log_message(self, *_args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        config = Config(read_timeout=0.5, retries={"max_attempts": 1})
        client = boto3.client(
            "s3", endpoint_url=url, region_name="x", config=config,
            aws_access_key_id="x", aws_secret_access_key="x",
        )  # fmt: skip
        store = S3Store(client, "bucket")
        for key in ("short", "silent"):
            with pytest.raises(StoreUnavailable), store.open(key) as stream:
                while stream.read(700):
                    pass
        ended.set()
        server.shutdown()


def test_a_file_that_cannot_be_sent_is_a_fault_of_the_store(
    settings_on_s3: Settings, tmp_path: Path
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x")
    large.write_bytes(bytes(9 << 20))
    nowhere = S3Store(S3Store.from_settings(settings_on_s3)._client, "no-such-bucket")
    away = S3Store.from_settings(
        settings_on_s3.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"})
    )
    for store, source in ((nowhere, small), (nowhere, large), (away, small)):
        with pytest.raises(StoreUnavailable):
            store.put(KEY, source)
    with pytest.raises(FileNotFoundError):
        nowhere.put(KEY, tmp_path / "never written")
    with pytest.raises(StoreUnavailable):
        nowhere.check()


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
