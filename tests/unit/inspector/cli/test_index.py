"""Making a token index: reproducible, of the weights that were asked for, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from inspector.clip.backbone import Backbone
from inspector.clip.naming import token_embedding
from inspector.clip.vocabulary import SHIPPED, load_index
from tests.unit.inspector.cli.conftest import Clipvet

PROBE = """
import sys
from inspector.cli.entry import main
try:
    main(sys.argv[1:])
finally:
    assert not {"torch", "open_clip", "torchvision"} & sys.modules.keys()
"""


def test_the_shipped_index_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    out = tmp_path / "again.safetensors"
    arguments = ["index", "--backbone", "pocket", "--out", str(out)]
    subprocess.run([sys.executable, "-c", PROBE, *arguments], check=True)
    assert out.read_bytes() == (SHIPPED / "pocket.safetensors").read_bytes()


def test_the_index_names_its_weights(
    vit: Backbone, vit_folder: Path, tmp_path: Path, clipvet: Clipvet
) -> None:
    out = tmp_path / "index"
    pinned = f"{vit_folder}@sha256:{vit.sha256}"
    assert clipvet("index", "--backbone", pinned, "--out", out).code == 0
    made = load_index(out)
    assert (made.name, made.sha256, made.width) == (str(vit_folder), vit.sha256, 64)
    out.unlink()
    for spec, why in (
        (f"{vit_folder}@sha256:{'0' * 64}", "sha256"),
        ("RN50/openai", "not on this"),
    ):
        ended = clipvet("index", "--backbone", spec, "--out", out)
        assert (ended.code, why in ended.err, out.exists()) == (4, True, False)


@pytest.mark.parametrize(
    "key",
    [
        "token_embedding.weight",
        "text.token_embedding.weight",
        "text_model.embeddings.token_embedding.weight",
    ],
)
def test_every_layout_of_a_backbone_gives_the_same_hashes(
    key: str, tmp_path: Path, clipvet: Clipvet
) -> None:
    weights, out = tmp_path / "weights.safetensors", tmp_path / "index"
    save_file({key: token_embedding("pocket").astype("float32")}, weights)
    assert clipvet("index", "--backbone", weights, "--out", out).code == 0
    assert (load_index(out).hashes == load_index(SHIPPED / "pocket.safetensors").hashes).all()
