"""What moves of a file is what its encoders are made of; what it becomes is what is delivered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from inspector.clip.backbone import Backbone
from inspector.clip.functional import weights_of
from inspector.clip.moving import Moving
from inspector.clip.prompt_tuning import new_learner
from inspector.errors import AssemblyError
from tests.support.assembling import pixels_of
from tests.support.encoders import NAMES, TUNABLE, delivered, of
from tests.zoo.build import state_dict

WHOLE = ("openai", "custom text", "hugging face")


@pytest.mark.parametrize("name", TUNABLE)
def test_weights_are_those_of_the_assembled_encoders(
    name: str, tmp_path: Path, vit: Backbone
) -> None:
    own = of(name, tmp_path, vit)
    parts = own.parts(own.tensors)
    made = weights_of(parts, own.lora_settings, vit)
    for place, tensor in own.encoders.model.state_dict().items():
        wanted = made.get(place, vit.model.state_dict()[place])
        assert torch.allclose(tensor, wanted, atol=1e-6), place


@pytest.mark.parametrize("name", TUNABLE)
def test_encoders_of_what_moves_say_what_was_delivered(
    name: str, tmp_path: Path, vit: Backbone
) -> None:
    own = of(name, tmp_path, vit)
    moving = Moving(own)
    images = pixels_of(vit)
    with torch.no_grad():
        difference = moving.encoders().image_features(images) - own.encoders.image_features(images)
    assert difference.abs().max() <= 1e-5


@pytest.mark.parametrize("name", TUNABLE)
def test_a_step_down_the_gradient_is_delivered(name: str, tmp_path: Path, vit: Backbone) -> None:
    """The loss that the step lowers is lower of the file that is written, too."""
    own = of(name, tmp_path, vit)
    moving, images = Moving(own), pixels_of(vit)
    goal = torch.nn.functional.normalize(torch.ones(vit.embed_dim), dim=0)
    optimizer = torch.optim.SGD(list(moving.leaves.values()), lr=1e-3)
    losses = []
    for _ in range(3):
        loss = -(moving.encoders().image_features(images) @ goal).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        moving.pull()
        optimizer.step()
    copy = own.with_tensors(moving.tensors())
    with torch.no_grad():
        losses.append(-(copy.image_features(images) @ goal).mean().item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0]
    with torch.no_grad():  # Nothing of the delivered or the trusted model moved with it.
        before = -(own.classifier.image_features(images) @ goal).mean().item()
    assert before == pytest.approx(losses[0], abs=1e-5)


@pytest.mark.parametrize("name", WHOLE)
def test_the_table_and_the_factor_stay(name: str, tmp_path: Path, vit: Backbone) -> None:
    moves = Moving(of(name, tmp_path, vit)).leaves
    assert len(moves) > 20
    assert not any("token_embedding" in one or "logit_scale" in one for one in moves)


def test_of_low_rank_changes_both_matrices_move(tmp_path: Path, vit: Backbone) -> None:
    own = of("lora", tmp_path, vit)
    assert set(Moving(own).leaves) == set(own.tensors)


def test_magnitudes_and_copies_move(tmp_path: Path, vit: Backbone) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    dora = Moving(of("peft dora", tmp_path / "a", vit)).leaves
    assert any("magnitude" in name for name in dora)
    copies = of("peft copies", tmp_path / "b", vit)
    moved = set(Moving(copies).leaves)
    assert any("lora" not in name for name in moved)


def test_a_cache_cannot_be_tuned_on_pairs(tmp_path: Path, vit: Backbone) -> None:
    with pytest.raises(AssemblyError):
        Moving(of("cache", tmp_path, vit))


def test_prompts_are_no_encoders(tmp_path: Path, vit: Backbone) -> None:
    learner = new_learner(vit, NAMES, conditioned=False, generator=torch.Generator())
    state = state_dict(learner)
    own = delivered(lambda _: (state, {}), tmp_path, vit, template="a photo of a {}.")
    with pytest.raises(AssemblyError, match="prompts"):
        Moving(own)
