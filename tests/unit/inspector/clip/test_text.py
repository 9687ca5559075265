"""The text tower entered behind its embedding, and towers that cannot be."""

from __future__ import annotations

from types import SimpleNamespace

import open_clip
import pytest
import torch
from open_clip.model import CustomTextCLIP

from inspector.clip.backbone import Backbone
from inspector.clip.text import TextTower

VISION = {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2}


def test_the_open_clip_model_says_the_same(vit: Backbone) -> None:
    tokens = vit.tokenizer(["a photo of a cat.", "x"])
    with torch.no_grad():
        ours = vit.text.encode(vit.text.embed(tokens), tokens.argmax(1))
        assert torch.equal(ours, vit.text.encode(vit.text.embed(tokens[:, :9]), tokens.argmax(1)))
        assert (ours - vit.model.encode_text(tokens, normalize=True)).abs().max() <= 1e-6


@pytest.mark.parametrize("proj_bias", [False, True])
def test_a_model_with_a_text_tower_of_its_own(proj_bias: bool) -> None:
    torch.manual_seed(0)
    model = CustomTextCLIP(32, VISION, TEXT | {"proj_bias": proj_bias}).eval()
    tower = TextTower(model)
    tokens = open_clip.SimpleTokenizer()(["a cat", "two dogs"])
    assert (tower.width, tower.out_features, tower.context_length) == (64, 32, 77)
    with torch.no_grad():
        ours = tower.encode(tower.embed(tokens), tokens.argmax(1))
        assert (ours - model.encode_text(tokens, normalize=True)).abs().max() <= 1e-6


@pytest.mark.parametrize(
    "options", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}]
)
def test_towers_that_read_something_else(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="text tower"):
        TextTower(CustomTextCLIP(32, VISION, TEXT | options))
    with pytest.raises(ValueError, match="not a causal transformer"):
        TextTower(SimpleNamespace())
