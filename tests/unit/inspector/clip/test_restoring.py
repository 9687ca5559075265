"""Restored, every family is zero-shot on the trusted backbone, in its own layout and container."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.rewrite import RewritePaths, rewrite_here
from inspector.clip.backbone import Backbone
from inspector.clip.restoring import restored
from inspector.clip.zero_shot import ZeroShot
from tests.support.assembling import assembled, pixels_of
from tests.support.encoders import NAMES, RESTORABLE, WORDS, of
from tests.support.layouts import State, custom_text, hugging_face, openai, tuned

LAYOUTS: dict[str, Callable[[State], State]] = {
    "openai": dict,
    "custom text": custom_text,
    "hugging face": hugging_face,
}


@pytest.mark.parametrize("name", RESTORABLE)
def test_nothing_of_the_tuning_is_left(name: str, tmp_path: Path, vit: Backbone) -> None:
    own, images = of(name, tmp_path, vit), pixels_of(vit)
    wanted = copy.copy(own.tensors)
    changed = restored(own)
    after = own.with_tensors(changed)
    zero_shot = ZeroShot(vit, vit.zero_shot(NAMES), after.work, False)
    with torch.no_grad():
        trusted = zero_shot.logits(images, images) / vit.logit_scale
        said = after(images) / after.backbone.logit_scale
        before = own.classifier(images) / own.classifier.backbone.logit_scale
    assert (said - trusted).abs().max() <= 1e-4
    assert (before - trusted).abs().max() >= 1e-3
    assert all(torch.equal(own.tensors[key], value) for key, value in wanted.items())
    assert {key: tuple(value.shape) for key, value in changed.items()} == {
        key: tuple(own.tensors[key].shape) for key in changed
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_vendors_container_takes_it(layout: str, tmp_path: Path, vit: Backbone) -> None:
    """As open_clip's training and Hugging Face save it: the rewritten file is the reference's."""
    state = LAYOUTS[layout](tuned(openai(vit.model), by=0.3))
    path = tmp_path / "epoch_3.pt"
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, path)
    own = of(layout, tmp_path, vit)
    fresh = tmp_path / "repaired.safetensors"
    save_file(own.rounded(restored(own)), fresh)
    out = tmp_path / "out.pt"
    rewrite_here(RewritePaths(path, fresh, out, tmp_path), ReaderOptions())
    content = torch.load(out, weights_only=True)
    wanted = LAYOUTS[layout](openai(vit.model))
    assert (content["epoch"], content["name"]) == (3, "run")
    assert content["state_dict"].keys() == wanted.keys()
    assert all(torch.equal(content["state_dict"][key], wanted[key].float()) for key in wanted)
    again = assembled(out, tmp_path / "again", vit, **WORDS).classifier
    images = pixels_of(vit)
    with torch.no_grad():
        trusted = vit.logit_scale * vit.image_features(images) @ vit.zero_shot(NAMES).T
        assert (again(images) - trusted).abs().max() <= 1e-4
