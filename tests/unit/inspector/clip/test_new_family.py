"""A new family is one module and one row: it is read, named, assembled and checked with no other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from inspector.checkpoint import families
from inspector.checkpoint.families.coop import TOKEN_KEYS, context_options, context_parts
from inspector.checkpoint.families.family import Family, Shapes, expect
from inspector.checkpoint.families.parts import Bottleneck, Parts, Tensors
from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.reading import Scalar
from inspector.clip.assembly import assemble
from inspector.clip.backbone import Backbone
from inspector.manifest import Manifest
from tests.support.checkpoints import save_dassl
from tests.support.prompts import Recipe, tune

NAMES = ("traffic light", "tall ship", "owl")
DOWN, UP = "squeeze.down.weight", "squeeze.up.weight"


def _options(shapes: Shapes) -> dict[str, Scalar]:
    expect(shapes, DOWN, (None, None))
    return {**context_options(shapes), "hidden": shapes[DOWN][0]}


def _parts(tensors: Tensors) -> Parts:
    adapter = Bottleneck("squeeze.", tensors[DOWN], tensors[UP], 0.5)
    return replace(context_parts(tensors), image_adapter=adapter)


SQUEEZED = Family(
    name="SqueezedCoOp",
    aliases=(),
    required=frozenset({"ctx", DOWN, UP}),
    optional=TOKEN_KEYS,
    options=_options,
    parts=_parts,
)


def test_one_row_suffices(monkeypatch: pytest.MonkeyPatch, vit: Backbone, tmp_path: Path) -> None:
    vendor = tune(vit.model, Recipe(NAMES, 4))
    generator = torch.Generator().manual_seed(1)
    down = torch.randn(8, vit.embed_dim, generator=generator)
    up = torch.randn(vit.embed_dim, 8, generator=generator)
    file = save_dassl(tmp_path / "model.pth.tar-5", vendor.state | {DOWN: down, UP: up}, 5)
    assert read_here(file, tmp_path, ReaderOptions()).family != SQUEEZED.name

    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, SQUEEZED))
    reading = read_here(file, tmp_path, ReaderOptions())
    assert (reading.family, reading.findings) == ("SqueezedCoOp", ())
    assert (reading.options["n_ctx"], reading.options["hidden"]) == (4, 8)
    assert reading.canonical
    assembly = assemble(
        reading, tmp_path / reading.canonical, Manifest.parse({"classnames": NAMES}), vit
    )
    assert (assembly.family, assembly.findings, assembly.classes.match) == (SQUEEZED.name, (), True)
    size = vit.image_size
    pixels = torch.rand(4, 3, size, size, generator=generator)
    with torch.no_grad():
        raw = vit.raw_image_features(pixels)
        mixed = 0.5 * torch.relu(torch.relu(raw @ down.T) @ up.T) + 0.5 * raw
        image = torch.nn.functional.normalize(mixed, dim=-1)
        expected = vit.logit_scale * image @ assembly.classifier.text_features().T
        assert (assembly.classifier(pixels) - expected).abs().max() <= 1e-4
