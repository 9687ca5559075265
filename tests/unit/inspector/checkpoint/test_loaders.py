"""The rules of other people's loaders, held against these loaders themselves."""

from __future__ import annotations

import json
import random
from pathlib import Path

import open_clip.factory
import pytest
import timm.models
import torch
from timm.models._hub import load_state_dict_from_path

from inspector.checkpoint import loaders
from inspector.checkpoint.choice import choose
from inspector.errors import UnsupportedFormat

_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model", "net", "epoch")
_NAMES = (
    "ctx",
    "module.ctx",
    "_orig_mod.ctx",
    "module._orig_mod.ctx",
    "_orig_mod.module.x",
    "modulex.y",
)


def _draws(count: int) -> list[dict[str, object]]:
    chance = random.Random(5)
    drawn: list[dict[str, object]] = []
    for _ in range(count):
        top: dict[str, object] = {}
        for key in chance.sample(_KEYS, chance.randint(1, 4)):
            names = chance.sample(_NAMES, chance.randint(1, 3))
            state = {name: torch.full((2,), chance.random()) for name in names}
            top[key] = chance.choice([state, state, None]) if key != "epoch" else 3
        drawn.append(top)
    return drawn


@pytest.mark.parametrize("rule", loaders.KEY_RULES[:2], ids=lambda rule: rule.loader)
def test_keys_and_names_are_the_loaders_own(rule: loaders.KeyRule, tmp_path: Path) -> None:
    load = {"timm": timm.models.load_state_dict, "open_clip": open_clip.factory.load_state_dict}[
        rule.loader
    ]
    path, compared = tmp_path / "model.pth", 0
    for top in _draws(120):
        torch.save(top, path)
        try:
            theirs = load(str(path))
        except AttributeError:
            continue  # It found no mapping.
        key = rule.key(top)
        found = top if key is None else top[key]
        assert isinstance(found, dict)
        ours = dict(zip(rule.rename(list(found)), found.values(), strict=True))
        assert list(ours) == list(theirs)
        assert all(
            ours[n] is theirs[n] or torch.equal(ours[n], theirs[n])
            for n in ours
            if isinstance(ours[n], torch.Tensor)
        )
        compared += 1
    assert compared > 60


_FILES = (
    "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth",
    "open_clip_model.safetensors", "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pth",
)  # fmt: skip


def _first_of(loader: str, names: list[str]) -> str:
    return next(pick for pick in loaders.picks(names) if loader in pick.loader).files[0]


def test_files_are_the_loaders_own(tmp_path: Path) -> None:
    chance = random.Random(6)
    for number in range(60):
        folder = tmp_path / str(number)
        folder.mkdir()
        names = chance.sample(_FILES, chance.randint(1, 5))
        for name in names:
            state = {"own": torch.tensor([float(_FILES.index(name))])}
            if name.endswith(".safetensors"):
                import safetensors.torch

                safetensors.torch.save_file(state, folder / name)
            else:
                torch.save(state, folder / name)
        taken = loaders.picks(names)
        found = Path(str(open_clip.factory._find_checkpoint_in_dir(folder))).name
        assert any(pick.files[0] == found for pick in taken)
        theirs = _FILES[int(load_state_dict_from_path(folder)["own"].item())]
        assert any(pick.files[0] == theirs for pick in taken)
        choice = choose(names)
        every = {choice.member, *(rival.member for rival in choice.rivals)}
        assert {found, theirs} <= every


def test_shards_follow_their_index() -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    choice = choose(["config.json", *shards, "model.safetensors.index.json"])
    assert choice.parts == ("model.safetensors.index.json", *shards)
    assert choose([*shards, "model.safetensors.index.json"], shards[1]).parts == choice.parts


def test_an_adapter_goes_with_its_settings() -> None:
    names = ["README.md", "adapter_config.json", "adapter_model.safetensors"]
    assert choose(names).parts == ("adapter_model.safetensors", "adapter_config.json")


@pytest.mark.parametrize(
    ("names", "member"),
    [
        (["a/model.pth.tar-9", "a/model.pth.tar-50"], "a/model.pth.tar-50"),
        (["checkpoint-9/model.safetensors", "checkpoint-50/model.safetensors"], "checkpoint-50/model.safetensors"),
        (["model.safetensors", "checkpoint-50/model.safetensors"], "model.safetensors"),
        (["clip/pytorch_model.bin", "prompt_learner/model.pth.tar-3"], "prompt_learner/model.pth.tar-3"),
        (["logs/checkpoints/epoch_1.pt", "logs/checkpoints/epoch_10.pt"], "logs/checkpoints/epoch_10.pt"),
        (["model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "training_args.bin"], "model.safetensors"),
        (["out/pytorch_model.bin", "out/random_states_0.pkl", "out/scaler.pt"], "out/pytorch_model.bin"),
        (["last.ckpt", "epoch=3-step=7.ckpt"], "last.ckpt"),
        (["payload"], "payload"),
    ],
)  # fmt: skip
def test_layouts_of_training_tools(names: list[str], member: str) -> None:
    assert choose(names).member == member
    assert choose(names, member).member == member


def test_a_member_by_the_end_of_its_path() -> None:
    names = ["a/x.pt", "a/y.pt", "b/y.pt"]
    assert choose(names, "x.pt").member == "a/x.pt"
    assert choose(names, "b/y.pt").member == "b/y.pt"
    for wrong in ("y.pt", "z.pt", "pt"):
        with pytest.raises(UnsupportedFormat):
            choose(names, wrong)


def test_distributed_checkpoints_are_named_with_the_way_out() -> None:
    with pytest.raises(UnsupportedFormat) as caught:
        choose([".metadata", "__0_0.distcp", "__1_0.distcp"])
    assert "dcp_to_torch" in json.dumps(caught.value.remedy)
