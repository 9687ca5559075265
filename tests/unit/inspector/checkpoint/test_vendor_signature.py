"""A vendor's model.sig: what it covers is told, what it does not is told, nothing is believed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from inspector.checkpoint.limits import Limits
from inspector.checkpoint.reading import Reading
from inspector.findings import Finding
from tests.unit.inspector.checkpoint.conftest import Read

MODEL = "model.safetensors"
REAL = Path(__file__).with_name("model.sig.json")
"""What model_signing 1.1.1 wrote (``sign key``) over the three files of :func:`delivery`."""
Json = dict[str, Any]


def tensors() -> bytes:
    """A prompt of CoOp, all zeros, in the same bytes everywhere."""
    shapes = {"ctx": [4, 16], "token_prefix": [5, 1, 16], "token_suffix": [5, 72, 16]}
    header: Json = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * shape[0] * shape[1] * (shape[2] if len(shape) > 2 else 1)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def delivery() -> dict[str, bytes]:
    return {MODEL: tensors(), "README.md": b"# A prompt\n", "docs/names.txt": b"cat\ndog\n"}


def signature(files: dict[str, bytes], edit: Callable[[Json], object] = lambda _: None) -> bytes:
    """A bundle over ``files`` as docs/model_signing_format.md has it; ``edit`` changes the statement."""
    listed = [
        {"name": name, "algorithm": "sha256", "digest": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(files.items())
    ]
    root = hashlib.sha256(b"".join(bytes.fromhex(one["digest"]) for one in listed)).hexdigest()
    statement: Json = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "prompt", "digest": {"sha256": root}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False,
                              "ignore_paths": ["model.sig", ".git"]},
            "resources": listed,
        },
    }  # fmt: skip
    edit(statement)
    return bundled(json.dumps(statement).encode())


def bundled(payload: bytes) -> bytes:
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "AAAA"}],
    }
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": "x"}, "tlogEntries": []},
            "dsseEnvelope": envelope,
        }
    ).encode()


def in_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "d" / name).write_bytes(data)
    return root / "d"


def in_zip(root: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(root / "d.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return root / "d.zip"


def in_tar(root: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(root / "d.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return root / "d.tar.gz"


def told(reading: Reading) -> Finding:
    """The one finding about a signature; what else the reading found is no matter of its."""
    (found,) = (one for one in reading.findings if one.id.startswith("vendor-signature"))
    assert found.remedy
    assert reading.canonical is not None, [str(one) for one in reading.findings]
    return found


@pytest.mark.parametrize("pack", [in_folder, in_zip, in_tar])
def test_a_delivery_as_it_was_signed(
    read: Read, tmp_path: Path, pack: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    files = delivery()
    found = told(read(pack(tmp_path, files | {"model.sig": signature(files)})))
    assert found.id == "vendor-signature"
    assert "by a key" in found.message and "lists 3 files: 3 as it says" in found.message
    assert "not verified" in found.message


@pytest.mark.parametrize("folder", ["", "vendor/v1/"])
def test_what_the_real_tool_wrote_is_understood(read: Read, tmp_path: Path, folder: str) -> None:
    files = {f"{folder}{name}": data for name, data in delivery().items()}
    found = told(read(in_folder(tmp_path, files | {f"{folder}model.sig": REAL.read_bytes()})))
    assert (found.id, "3 as it says" in found.message) == ("vendor-signature", True)
    (tmp_path / "d" / folder / "README.md").write_bytes(b"# Another\n")
    assert told(read(tmp_path / "d")).id == "vendor-signature-differs"


def test_no_signature_no_word(read: Read, tmp_path: Path) -> None:
    reading = read(in_folder(tmp_path, delivery()))
    assert not [one for one in reading.findings if one.id.startswith("vendor")]


def test_an_exchanged_model_is_named(read: Read, tmp_path: Path) -> None:
    files = delivery()
    signed = signature(files)
    files[MODEL] = files[MODEL][:-1] + b"\x01"
    found = told(read(in_zip(tmp_path, files | {"model.sig": signed})))
    assert found.id == "vendor-signature-differs"
    assert f"1 with other bytes ({MODEL})" in found.message
    assert (found.severity.label, found.weakness.cwe) == ("medium", "CWE-354")


def test_a_model_that_was_added_afterwards_is_named(read: Read, tmp_path: Path) -> None:
    files = delivery()
    others = {name: data for name, data in files.items() if name != MODEL}
    found = told(read(in_folder(tmp_path, files | {"model.sig": signature(others)})))
    assert found.id == "vendor-signature-differs"
    assert f"the model itself is not covered: {MODEL}" in found.message


def test_a_missing_file_and_one_more_are_named(read: Read, tmp_path: Path) -> None:
    files = delivery()
    signed = signature(files)
    del files["README.md"]
    found = told(read(in_folder(tmp_path, files | {"model.sig": signed, "new.txt": b"1"})))
    assert found.id == "vendor-signature-differs"
    assert "1 missing (README.md)" in found.message
    assert "1 here that it does not list (new.txt)" in found.message


def test_what_it_leaves_out_on_purpose_is_no_news(read: Read, tmp_path: Path) -> None:
    files = delivery()
    signed = signature(files)
    more = {"model.sig": signed, ".git/config": b"[core]"}
    found = told(read(in_folder(tmp_path, files | more)))
    assert (found.id, "does not list" in found.message) == ("vendor-signature", False)


def test_a_signature_of_something_beside_the_model_accuses_nobody(
    read: Read, tmp_path: Path
) -> None:
    beside = {"config.txt": b"x"}
    files = delivery() | {"base/config.txt": b"x", "base/model.sig": signature(beside)}
    found = told(read(in_folder(tmp_path, files)))
    assert (found.id, "the model itself is not covered" in found.message) == (
        "vendor-signature",
        True,
    )


def test_the_older_format_and_unknown_digests(read: Read, tmp_path: Path) -> None:
    files = delivery()

    def older(statement: Json) -> None:
        statement["predicateType"] = "https://model_signing/Digests/v0.1"
        statement["subject"] = [
            {"name": one["name"], "digest": {"sha256": one["digest"]}}
            for one in statement.pop("predicate")["resources"]
        ]

    def blake3(statement: Json) -> None:
        statement["predicate"]["resources"][0]["algorithm"] = "blake3"

    def shards(statement: Json) -> None:
        statement["predicate"]["serialization"]["method"] = "shards"

    for edit, words in ((older, "3 as it says"), (blake3, "1 not compared"), (shards, "shards")):
        found = told(read(in_folder(tmp_path, files | {"model.sig": signature(files, edit)})))
        assert (found.id, words in found.message) == ("vendor-signature", True), found.message


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x00\x01", b"[]", b"{}", b"[" * 200_000, b'{"mediaType": 1}',
        b'{"a": 1, "a": 2}', bundled(b"no json"), bundled(b"[]"), bundled(b"{}"),
        signature({}, lambda s: s.update(_type="x")),
        signature({}, lambda s: s.update(predicateType="https://slsa.dev/provenance/v1")),
        signature({}, lambda s: s["subject"][0]["digest"].update(sha256="0" * 64)),
        signature({"a": b""}, lambda s: s["predicate"]["resources"][0].update(digest="zz")),
        signature({"a": b""}, lambda s: s["predicate"]["resources"].append(1)),
        b" " * (5 << 20),
    ],
)  # fmt: skip
def test_nonsense_is_a_remark_and_stops_nothing(read: Read, tmp_path: Path, content: bytes) -> None:
    found = told(read(in_folder(tmp_path, delivery() | {"model.sig": content})))
    assert (found.id, found.severity.label) == ("vendor-signature-malformed", "low")


def test_a_broken_file_beside_the_model_stops_nothing(read: Read, tmp_path: Path) -> None:
    files = delivery()
    path = in_zip(tmp_path, files | {"model.sig": signature(files)})
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("README.md").header_offset + 30 + len("README.md")
    raw[place] ^= 0xFF
    path.write_bytes(raw)
    found = told(read(path))
    assert "1 not compared (README.md)" in found.message


def test_what_is_hashed_has_a_limit(read: Read, tmp_path: Path) -> None:
    files = delivery() | {"large.txt": bytes(300_000)}
    folder = in_folder(tmp_path, files | {"model.sig": signature(files)})
    found = told(read(folder, Limits(artifact_bytes=200_000)))
    assert "not compared (" in found.message and "large.txt" in found.message


def test_names_in_it_reach_no_screen_and_no_other_folder(read: Read, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"s")
    odd = {"../secret": b"s", "\x1b[2J\u202e": b"x"}
    found = told(read(in_folder(tmp_path, delivery() | {"model.sig": signature(odd)})))
    assert found.message.isascii() and found.message.isprintable()
    assert "2 missing" in found.message


def test_many_ignored_paths_cost_little(read: Read, tmp_path: Path) -> None:
    def swell(statement: Json) -> None:
        statement["predicate"]["serialization"]["ignore_paths"] = [f"p{i}" for i in range(60_000)]

    files = delivery()
    more = {f"many/{i}.txt": b"" for i in range(500)} | {"model.sig": signature(files, swell)}
    assert "500 here" in told(read(in_folder(tmp_path, files | more))).message
