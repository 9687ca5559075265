"""The folder of signing keys: who may read it, first runs that race, rotation, broken folders."""

from __future__ import annotations

import os
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.attestation.keyring import Keyring, KeyringError
from app.attestation.published import KeyList
from app.settings import Settings
from tests.support.attested import FINISHED

LATER = FINISHED + timedelta(days=1)


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(tmp_path / "keys")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pem_of(ring: Keyring) -> Path:
    (found,) = ring.folder.glob("*.pem")
    return found


def test_the_first_use_makes_one_key_that_nobody_else_can_read(ring: Keyring) -> None:
    before = os.umask(0)
    try:
        key = ring.active(FINISHED)
    finally:
        os.umask(before)
    assert ring.active(LATER).keyid == key.keyid
    assert mode_of(ring.folder) == 0o700
    assert {mode_of(path) for path in ring.folder.iterdir()} == {0o600}
    assert pem_of(ring).name == f"{key.keyid}.pem"
    assert b"PRIVATE KEY" in pem_of(ring).read_bytes()
    assert b"PRIVATE" not in (ring.folder / "keys.json").read_bytes()


def test_of_many_first_runs_one_makes_the_key(ring: Keyring) -> None:
    start, seen = threading.Barrier(8), []

    def run() -> None:
        start.wait()
        seen.append(ring.active(FINISHED).keyid)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    assert {path.name for path in ring.folder.iterdir()} == {"keys.json", f"{seen[0]}.pem"}


def test_a_rotation_leaves_one_private_key(ring: Keyring) -> None:
    first = ring.active(FINISHED)
    second = ring.rotate(LATER, LATER + timedelta(days=30))
    assert ring.active(LATER).keyid == second.keyid != first.keyid
    assert pem_of(ring).name == f"{second.keyid}.pem"
    old, new = ring.published(LATER).keys
    assert (old.not_after, new.not_before) == (LATER, LATER)
    with pytest.raises(KeyringError, match="keys rotate"):
        ring.active(LATER + timedelta(days=31))


def test_a_rotation_between_two_reads_is_no_fault(
    ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring.active(FINISHED)
    stale = ring.published(FINISHED)
    new = ring.rotate(LATER)
    answers = [stale, ring.published(LATER)]
    monkeypatch.setattr(Keyring, "published", lambda *_: answers.pop(0))
    assert ring.active(FINISHED).keyid == new.keyid


def test_a_clock_that_lags_signs_all_the_same(ring: Keyring) -> None:
    ring.rotate(LATER)
    assert ring.active(FINISHED).not_before == LATER


def test_a_revoked_key_signs_no_more_and_says_why(ring: Keyring) -> None:
    keyid = ring.active(FINISHED).keyid
    revoked = ring.revoke(keyid[:10], "stolen", LATER)
    assert (revoked.revoked_at, revoked.revocation_reason) == (LATER, "stolen")
    assert list(ring.folder.glob("*.pem")) == []
    with pytest.raises(KeyringError, match="keys rotate"):
        ring.active(LATER)
    again = ring.revoke(keyid, "stolen, we are sure", LATER + timedelta(days=1))
    assert again.revoked_at == LATER


@pytest.mark.parametrize("keyid", ["", "zz"])
def test_what_names_no_key_is_revoked_by_nobody(ring: Keyring, keyid: str) -> None:
    ring.active(FINISHED)
    with pytest.raises(KeyringError, match="keys list"):
        ring.revoke(keyid, "typing error", LATER)
    assert ring.published(LATER).keys[0].revoked_at is None


@pytest.mark.parametrize("mode", [0o604, 0o606, 0o620, 0o644])
def test_a_key_that_others_can_read_is_not_used(ring: Keyring, mode: int) -> None:
    ring.active(FINISHED)
    pem_of(ring).chmod(mode)
    with pytest.raises(KeyringError, match="chmod 600"):
        ring.active(FINISHED)


def test_a_secret_that_is_mounted_for_a_group_is_used(ring: Keyring) -> None:
    keyid = ring.active(FINISHED).keyid
    pem_of(ring).chmod(0o440)
    assert ring.active(FINISHED).keyid == keyid


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_broken_key_file_is_told(ring: Keyring, content: bytes) -> None:
    ring.active(FINISHED)
    pem_of(ring).write_bytes(content)
    with pytest.raises(KeyringError, match="holds no key"):
        ring.active(FINISHED)


def test_a_missing_and_an_exchanged_key_file_are_told(ring: Keyring, tmp_path: Path) -> None:
    ring.active(FINISHED)
    other = Keyring(tmp_path / "other")
    other.active(FINISHED)
    pem = pem_of(ring)
    pem_of(other).rename(pem)
    with pytest.raises(KeyringError, match="another key"):
        ring.active(FINISHED)
    pem.unlink()
    with pytest.raises(KeyringError, match="missing"):
        ring.active(FINISHED)


def test_a_broken_list_is_told_and_never_overwritten(ring: Keyring) -> None:
    ring.active(FINISHED)
    path = ring.folder / "keys.json"
    path.write_text("{}")
    for work in (lambda: ring.active(LATER), lambda: ring.rotate(LATER)):
        with pytest.raises(KeyringError, match="keys.json"):
            work()
    assert path.read_text() == "{}"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyringError, match="cannot be"):
        Keyring(tmp_path / "file" / "keys").active(FINISHED)


def test_what_a_crash_left_is_no_key(ring: Keyring) -> None:
    ring.folder.mkdir()
    (ring.folder / ".keys.json.0123").write_text("half")
    assert ring.active(FINISHED).keyid == ring.published(FINISHED).keys[0].keyid
    assert KeyList.parse((ring.folder / "keys.json").read_bytes()).keys


def test_keys_lie_apart_from_the_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert Settings(data_dir=data).signing_dir == tmp_path / "data-keys"
    assert Settings(data_dir=data, signing_keys=tmp_path / "x").signing_dir == tmp_path / "x"
    (tmp_path / "link").symlink_to(data)
    for inside in (data, data / "keys", data / ".." / "data" / "k", tmp_path / "link" / "keys"):
        with pytest.raises(ValidationError, match="apart"):
            Settings(data_dir=data, signing_keys=inside)
