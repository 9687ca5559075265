"""Where an operator's backbones lie is told to nobody, whatever becomes of an inspection with them.

The real inspection child runs; only its time is short.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inspector.clip.backbone import Backbone, load_backbone
from tests.support.backbone_files import WRITERS
from tests.support.backbones import write_backbone
from tests.support.ledger import Ledger, settings_in
from tests.support.prompts import Recipe, tune
from tests.support.servers import wait_for
from worker.runner import Runner

NAMES = ("cat", "golden retriever", "stop sign")
TELLING = "acme-merger-2027"


def write_registered(folder: Path) -> dict[str, str]:
    """Backbones by id, all below a folder with a telling name; all but the first two are broken."""
    good = write_backbone(folder / "good")
    registered = {"good": str(good), "pinned": f"{good}@sha256:{'0' * 64}"}
    registered |= {"missing": str(folder / "missing"), "empty": str(folder / "empty")}
    (folder / "empty").mkdir()
    for name in ("torn", "config", "no-weights", "other-model"):
        registered[name] = str(shutil.copytree(good, folder / name))
    (folder / "torn" / "open_clip_model.safetensors").write_bytes(b"torn")
    (folder / "config" / "open_clip_config.json").write_text("{")
    (folder / "no-weights" / "open_clip_model.safetensors").unlink()
    other = folder / "other-model" / "open_clip_config.json"
    described = json.loads(other.read_text())
    described["model_cfg"]["embed_dim"] = 7
    other.write_text(json.dumps(described))
    model = load_backbone(str(good)).model
    for kind in ("state-dict", "hugging-face-shards", "torchscript-fp16"):
        (folder / kind).mkdir()
        path = WRITERS[kind](model, folder / kind)
        registered[kind] = str(path)
        if path.is_dir():
            (shard,) = path.glob("*-00002-*")
            shard.write_bytes(shard.read_bytes()[:-4000])
        else:
            # torch calls the records of a file after the file, wherever it is moved to.
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
    return registered


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_registered(tmp_path_factory.mktemp("srv") / TELLING)


@pytest.fixture(scope="module")
def vendor(registered: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    backbone: Backbone = load_backbone(registered["good"])
    made = tune(backbone.model, Recipe(NAMES)).save(tmp_path_factory.mktemp("vendor"))
    return next(iter([made] if made.is_file() else made.rglob("*.tar-*"))).read_bytes()


@pytest.fixture(scope="module")
def service(
    registered: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ledger, Runner]]:
    data = tmp_path_factory.mktemp("data") / TELLING
    settings = settings_in(data, backbones=registered, device="cpu", max_attempts=1)
    ledger = Ledger(settings)
    runner = Runner(settings, ledger.context.database, ledger.context.store, "test/1")
    yield ledger, runner
    runner.close()
    ledger.close()


def answers(ledger: Ledger, inspection: str) -> dict[str, str]:
    """Everything that a caller can read of an inspection, by where it is read."""
    here = f"/v1/inspections/{inspection}"
    places = (
        here,
        f"{here}/events",
        f"{here}/report.json",
        f"{here}/report.html",
        f"{here}/verdict",
    )
    return {place: ledger.api.get(place).text for place in places}


def inspected(
    service: tuple[Ledger, Runner], vendor: bytes, **wish: Any
) -> tuple[dict[str, Any], dict[str, str]]:
    ledger, runner = service
    upload = ledger.upload(vendor)
    row = ledger.inspection(
        upload["id"], classes=list(NAMES), profile="quick", budget_s=0.5, **wish
    )
    assert runner.run()
    return ledger.get(row["id"]), answers(ledger, row["id"])


BROKEN = (
    "pinned", "missing", "empty", "torn", "config", "no-weights", "other-model", "state-dict",
    "hugging-face-shards", "torchscript-fp16",
)  # fmt: skip


@pytest.mark.parametrize("name", ["good", *BROKEN])
def test_reports_and_events_say_the_id_and_no_path(
    name: str, service: tuple[Ledger, Runner], vendor: bytes
) -> None:
    seen, said = inspected(service, vendor, backbone=name)
    assert (seen["status"], seen["backbone"]) == ("succeeded", name)
    report = json.loads(next(text for place, text in said.items() if place.endswith("json")))
    assert report["backbone"]["id"] == name
    identifiers = [finding["id"] for finding in report["findings"]]
    assert ("backbone-unusable" in identifiers) == (name != "good")
    assert (report["backbone"]["sha256"] is not None) == (name == "good")
    for place, text in said.items():
        assert TELLING not in text and "/tmp" not in text, (place, text)


def test_the_log_tells_an_operator_what_reports_keep_to_themselves(
    service: tuple[Ledger, Runner], vendor: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "clipvet.inspection")
    _, said = inspected(service, vendor, backbone="config")
    assert "open_clip_config.json cannot be read; the service" in str(said)
    wait_for("the child's log", lambda: "JSONDecodeError" in caplog.text)


def test_a_callers_pin_holds_beside_the_operators(
    service: tuple[Ledger, Runner], vendor: bytes
) -> None:
    seen, said = inspected(service, vendor, backbone=f"good@sha256:{'1' * 64}")
    assert "backbone-unusable" in seen["summary"]["finding_counts"] or "demanded was 11" in str(
        said
    )
    assert TELLING not in str(said)


def test_probes_that_are_no_zip(service: tuple[Ledger, Runner], vendor: bytes) -> None:
    ledger, _ = service
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for content in (b"no zip at all", empty.getvalue()):
        probes = ledger.upload(content, filename="pictures.zip")
        upload = ledger.upload(vendor)
        wish = {"backbone": "good", "classes": list(NAMES), "probes": probes["id"]}
        row = ledger.inspection(upload["id"], profile="quick", **wish)
        assert service[1].run()
        said = answers(ledger, row["id"])
        assert "request-invalid" in str(said)
        assert TELLING not in str(said) and "/tmp" not in str(said)


def zip_of_pictures(*folders: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as box:
        for number, folder in enumerate(folders):
            picture = io.BytesIO()
            Image.new("RGB", (16, 16), (number, 0, 0)).save(picture, "png")
            box.writestr(f"{folder}/1.png", picture.getvalue())
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (zip_of_pictures("cat", "stop sign"), None),
        (b"no zip at all", "'labelled' is neither a folder nor a readable zip"),
        (zip_of_pictures("cat", "dog"), "'dog' is none of the model's classes"),
        (zip_of_pictures(), "there is no usable picture in a folder of a class"),
    ],
    ids=["sound", "no zip", "no class", "empty"],
)
def test_labelled_pictures_are_opened_by_the_inspection(
    service: tuple[Ledger, Runner], vendor: bytes, content: bytes, said: str | None
) -> None:
    labelled = service[0].upload(content, filename="mine.zip")["id"]
    wish = {"backbone": "good", "repair": True, "labelled": labelled}
    seen, answers = inspected(service, vendor, **wish)
    assert seen["status"] == "succeeded"
    report = json.loads(next(text for place, text in answers.items() if place.endswith("json")))
    found = [one["message"] for one in report["findings"] if one["id"] == "request-invalid"]
    assert len(found) == (said is not None)
    assert said is None or (said in found[0] and "labelled" in found[0])
    assert (report["probes"] is None) == (said is not None)
    assert TELLING not in str(answers) and "/tmp" not in str(answers)


def box_of_pairs(kind: str) -> bytes:
    """Three pairs, and what is wrong with them."""
    files: dict[str, bytes] = {}
    for number in range(3):
        picture = io.BytesIO()
        Image.new("RGB", (16, 16), (number, 0, 0)).save(picture, "png")
        files[f"{number}.png"] = picture.getvalue()
        if kind != "alone":
            files[f"{number}.txt"] = f"thing {number}".encode()
    if kind == "broken":
        files["0.png"], files["1.txt"] = b"no picture", b"\xff"
    if kind == "escaping":
        files["../3.txt"] = b"out of the archive"
    return packed_as_zip(files) if kind == "zip" else packed_as_tar(files, kind == "link")


def packed_as_zip(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as box:
        for name, data in files.items():
            box.writestr(name, data)
    return packed.getvalue()


def packed_as_tar(files: dict[str, bytes], with_link: bool) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as box:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            box.addfile(member, io.BytesIO(data))
        if with_link:
            link = tarfile.TarInfo("3.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            box.addfile(link)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (box_of_pairs("tar"), None),
        (box_of_pairs("zip"), None),
        (box_of_pairs("broken"), None),
        (b"neither of both", "pairs: it is neither a folder, a zip nor a tar"),
        (box_of_pairs("alone"), "pairs: there are 3 pictures and 0 captions, and no pair of them"),
        (box_of_pairs("escaping"), "pairs: a member is called '../3.txt'"),
        (box_of_pairs("link"), "pairs: '3.txt' is a link or a device: put the file itself in"),
    ],
    ids=["tar", "zip", "broken", "neither", "alone", "escaping", "link"],
)
def test_pairs_are_opened_by_the_inspection(
    service: tuple[Ledger, Runner], vendor: bytes, content: bytes, said: str | None
) -> None:
    pairs = service[0].upload(content, filename="shard-000.tar")["id"]
    seen, answers = inspected(service, vendor, backbone="good", repair=True, pairs=pairs)
    assert seen["status"] == "succeeded"
    report = json.loads(next(text for place, text in answers.items() if place.endswith("json")))
    found = [one["message"] for one in report["findings"] if one["id"] == "request-invalid"]
    assert [said in one for one in found] == ([] if said is None else [True]), found
    is_counted = "1 cannot be read or came before, 1 have no caption" in str(report["limits"])
    assert is_counted == (content == box_of_pairs("broken"))
    assert TELLING not in str(answers) and "/tmp" not in str(answers)


def test_a_child_that_breaks_says_so_without_its_files(
    tmp_path: Path, vendor: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Our own fault, so an error and no report; the operator finds the cause in the worker's log."""
    gone = tmp_path / TELLING / "calibrations"
    settings = settings_in(tmp_path / "data", device="cpu", max_attempts=1)
    ledger = Ledger(settings)
    runner = Runner(settings, ledger.context.database, ledger.context.store, "test/1")
    caplog.set_level(logging.INFO)
    try:
        broken = [
            ("-c", f"raise OSError(2, 'gone', {str(gone)!r})"),
            ("-c", f"print({str(gone)!r})"),
        ]
        for arguments in broken:
            runner._pool._command = (*runner._pool._command[:1], *arguments)
            runner._pool.drop()
            row = ledger.inspection(ledger.upload(vendor)["id"], classes=list(NAMES))
            assert runner.run()
            seen = ledger.get(row["id"])
            assert (seen["status"], TELLING in str(answers(ledger, row["id"]))) == ("failed", False)
        assert TELLING in caplog.text
    finally:
        runner.close()
        ledger.close()
