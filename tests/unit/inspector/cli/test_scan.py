"""The static look: without torch, without running anything, one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from inspector.clip.backbone import Backbone
from inspector.clip.naming import token_embedding
from tests.support.checkpoints import call_opcodes, plant_pickle, save_dassl
from tests.support.prompts import Recipe, tune
from tests.unit.inspector.cli.conftest import NAMES, Clipvet

PROBE = """
import sys
from inspector.cli.entry import main
try:
    main(sys.argv[1:])
finally:
    assert not {"torch", "open_clip", "torchvision"} & sys.modules.keys()
    print("no torch", file=sys.stderr)
"""


@pytest.mark.parametrize("command", [["-c", PROBE], ["-m", "inspector"]])
def test_a_scan_never_imports_torch(command: list[str], artifact: Path, vit_folder: Path) -> None:
    arguments = ["scan", str(artifact), "--backbone", str(vit_folder), "--json"]
    ended = subprocess.run(
        [sys.executable, *command, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["classes"]["names"] == list(NAMES)
    assert ("no torch" in ended.stderr) == (command[0] == "-c")


def test_one_object(artifact: Path, clipvet: Clipvet) -> None:
    ended = clipvet("scan", artifact, "--json")
    report = json.loads(ended.out)
    assert ended.code == 0
    assert report["artifact"]["family"] == report["family"] == "CoOp"
    assert report["classes"] == {
        "count": 3,
        "source": None,
        "match": None,
        "names": None,
        "vocabulary": None,
    }
    assert report["findings"] == []
    assert {tensor["name"] for tensor in report["tensors"]} == {
        "ctx",
        "token_prefix",
        "token_suffix",
    }


def test_a_table_for_people(artifact: Path, vit_folder: Path, clipvet: Clipvet) -> None:
    out = clipvet("scan", artifact, "--backbone", vit_folder).out
    for text in ("torch-zip", "CoOp / ProGrad", "tensor ctx", "F32 4x64", "golden retriever"):
        assert text in out
    assert f"{vit_folder}, by its backbone" in out
    assert "none that is known here" in clipvet("scan", artifact).out


def test_an_index_takes_the_place_of_its_backbone(
    artifact: Path, vit_folder: Path, tmp_path: Path, clipvet: Clipvet
) -> None:
    out = tmp_path / "tiny.safetensors"
    made = clipvet("index", "--backbone", vit_folder, "--name", "Tiny/mine", "--out", out)
    assert (made.code, "49408 tokens of Tiny/mine" in made.err) == (0, True)
    classes = json.loads(clipvet("scan", artifact, "--index", out, "--json").out)["classes"]
    assert classes == {
        "count": 3,
        "source": "decoded",
        "match": None,
        "names": list(NAMES),
        "vocabulary": {"name": "Tiny/mine", "by": "index"},
    }
    assert "Tiny/mine, by its index" in clipvet("scan", artifact, "--index", out).out


def test_a_backbone_that_comes_with_clipvet_need_not_be_named(
    tmp_path: Path, clipvet: Clipvet
) -> None:
    embedding = torch.from_numpy(token_embedding("pocket")).float()
    names = [*NAMES, *(f"{name} {digit}" for name in NAMES for digit in range(10, 30))]
    ids = open_clip.get_tokenizer("ViT-B-32")([f"X X {name}." for name in names])
    rows = embedding[ids]
    state = {"ctx": torch.zeros(2, 128), "token_prefix": rows[:, :1], "token_suffix": rows[:, 3:]}
    path = save_dassl(tmp_path / "model.pth.tar-5", state, 5)
    report = json.loads(clipvet("scan", path, "--json").out)
    assert [name.replace(" ", "") for name in report["classes"]["names"]] == [
        name.replace(" ", "") for name in names
    ]
    assert report["classes"]["vocabulary"] == {"name": "pocket", "by": "index"}
    state["token_suffix"] = state["token_suffix"].clone()
    state["token_suffix"][1, 0, 5] += 1
    report = json.loads(clipvet("scan", save_dassl(path, state, 5), "--json").out)
    assert report["classes"]["names"] is None
    assert [finding["id"] for finding in report["findings"]] == ["token-suffix-altered"]


def test_zero_shot_prompts_state_their_classes(tmp_path: Path, clipvet: Clipvet) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps({"templates": ["a photo of a {}."], "classnames": list(NAMES)}))
    report = json.loads(clipvet("scan", path, "--json").out)
    assert report["family"] == "ZeroshotCLIP"
    assert report["classes"] == {
        "count": 3,
        "source": "stated",
        "match": None,
        "names": list(NAMES),
        "vocabulary": None,
    }
    assert "golden retriever" in clipvet("scan", path).out
    path.write_text(json.dumps({"templates": ["a photo of a {}."], "classnames": [7]}))
    report = json.loads(clipvet("scan", path, "--json").out)
    assert [finding["id"] for finding in report["findings"]] == ["statement-malformed"]
    assert report["classes"]["names"] is None


@pytest.mark.parametrize("shape", [(0, 74, 128), (3, 0, 128), (3, 74, 0), (74, 128), ()])
def test_rows_of_a_forged_shape_name_nothing(
    shape: tuple[int, ...], tmp_path: Path, clipvet: Clipvet
) -> None:
    state = {"ctx": torch.zeros(2, 128), "token_suffix": torch.zeros(shape)}
    path = save_dassl(tmp_path / "model.pth.tar-5", state, 5)
    for more in ((), ("--backbone", "pocket")):
        ended = clipvet("scan", path, "--json", *more)
        assert ended.code in (0, 3)
        assert json.loads(ended.out)["classes"]["names"] is None


def test_what_is_no_index_is_a_usage_error(artifact: Path, clipvet: Clipvet) -> None:
    ended = clipvet("scan", artifact, "--index", artifact)
    assert ended.code == 4
    assert "no token index" in ended.err


def test_a_file_that_would_run_code(artifact: Path, tmp_path: Path, clipvet: Clipvet) -> None:
    marker = tmp_path / "ran"
    opcodes = call_opcodes("os", "system", f"touch {marker}")
    ended = clipvet("scan", plant_pickle(artifact, tmp_path / "evil.pth", opcodes), "--json")
    (finding,) = json.loads(ended.out)["findings"]
    assert ended.code == 1
    assert (finding["id"], finding["severity"]) == ("pickle-code-execution", "critical")
    assert (finding["cwe"], finding["atlas"]) == ("CWE-502", "AML.T0011.000")
    assert "os.system" in finding["message"]
    shown = clipvet("scan", tmp_path / "evil.pth").out
    assert "critical: pickle-code-execution" in shown
    assert "(CWE-502, AML.T0011.000)" in shown
    assert not marker.exists()


def test_no_checkpoint_is_inconclusive(tmp_path: Path, clipvet: Clipvet) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(b"\xff\xd8\xff")
    ended = clipvet("scan", path)
    assert ended.code == 3
    assert "medium: not-a-checkpoint" in ended.out


def test_names_and_messages_cannot_control_the_terminal(tmp_path: Path, clipvet: Clipvet) -> None:
    state = {"ctx\x1b[2J[red]": torch.zeros(2)}
    ended = clipvet("scan", save_dassl(tmp_path / "model.pth", state))
    assert ended.code == 3
    assert "\x1b" not in ended.out
    assert "[red]" in ended.out


def test_an_altered_suffix(
    vit: Backbone, vit_folder: Path, tmp_path: Path, clipvet: Clipvet
) -> None:
    vendor = tune(vit.model, Recipe(NAMES))
    vendor.state["token_suffix"][0, 0, 0] += 1
    ended = clipvet("scan", vendor.save(tmp_path), "--backbone", vit_folder, "--json")
    assert [finding["id"] for finding in json.loads(ended.out)["findings"]] == [
        "token-suffix-altered"
    ]


def test_names_that_cannot_be_decoded(
    vit: Backbone, vit_folder: Path, tmp_path: Path, clipvet: Clipvet
) -> None:
    state = tune(vit.model, Recipe(NAMES)).state
    bare = save_dassl(tmp_path / "bare.pth", {"ctx": state["ctx"]})
    narrow = save_dassl(tmp_path / "narrow.pth", {name: t[..., :32] for name, t in state.items()})
    brain = save_dassl(tmp_path / "brain.pth", {name: t.bfloat16() for name, t in state.items()})
    for path, *identifiers in (
        (bare, "class-list-missing"),
        (narrow, "backbone-mismatch"),
        (brain, "unusual-dtype", "class-list-missing"),
    ):
        ended = clipvet("scan", path, "--backbone", vit_folder, "--json")
        assert ended.code == 0
        assert [finding["id"] for finding in json.loads(ended.out)["findings"]] == identifiers


def test_backbones_that_have_no_vocabulary(
    artifact: Path, vit: Backbone, tmp_path: Path, clipvet: Clipvet
) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"weight": vit.text.token_embedding}, other)
    for spec, message in (("ViT-B-16/openai", "not on this machine"), (other, "hold none of")):
        ended = clipvet("scan", artifact, "--backbone", spec)
        assert ended.code == 4
        assert message in ended.err
