"""Which mapping of a file is read, and that no other model in it stays unnamed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from inspector.checkpoint.limits import ReaderOptions
from inspector.checkpoint.read import read_here
from inspector.checkpoint.reading import Reading
from tests.support.checkpoints import cocoop_state, coop_state, save_dassl, torch_bytes
from tests.support.wrappers import WRAPPERS
from tests.unit.inspector.checkpoint.conftest import Read, ids

State = dict[str, Tensor]
HONEST, OTHER = coop_state(seed=1), coop_state(seed=2)


@pytest.fixture
def saved(tmp_path: Path, read: Read) -> Any:
    def run(content: object, state: str | None = None) -> Reading:
        (tmp_path / "model.pth").write_bytes(torch_bytes(content))
        if state is None:
            return read(tmp_path / "model.pth")
        (tmp_path / "again").mkdir(exist_ok=True)
        options = ReaderOptions(state=state)
        return read_here(tmp_path / "model.pth", tmp_path / "again", options)

    return run


@pytest.fixture
def plain(saved: Any) -> str:
    sha256: str = saved({"state_dict": HONEST}).canonical_sha256
    return sha256


@pytest.mark.parametrize("name", [name for name in WRAPPERS if name != "bf16"])
def test_every_wrapper_gives_the_same_tensors(
    name: str, plain: str, tmp_path: Path, read: Read
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    reading = read(WRAPPERS[name]({"state_dict": HONEST, "epoch": 3}, folder))
    assert (reading.family, reading.canonical_sha256) == ("CoOp", plain)
    harmless = {"prefix-stripped", "identical-copy", "zip-no-checksums"}
    assert set(ids(reading)) <= harmless, reading.findings


@pytest.mark.parametrize("family", [coop_state, cocoop_state])
@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "model", "teacher", "a b"])
def test_a_second_model_is_named(family: Any, key: str, saved: Any) -> None:
    first, second = family(seed=1), family(seed=2)
    reading = saved({"state_dict": first, key: second})
    assert ids(reading) == ["other-model"]
    (other,) = reading.others
    assert (other.state, other.family, other.is_same) == (key, reading.family, False)
    assert other.loaders == (("timm",) if key.endswith("_ema") else ())
    assert key in reading.findings[0].message
    chosen = saved({"state_dict": first, key: second}, state=key)
    assert chosen.canonical_sha256 == saved({"state_dict": second}).canonical_sha256
    assert ids(chosen) == ["model-chosen"]


def test_a_copy_is_told_as_one(saved: Any, plain: str) -> None:
    reading = saved(
        {"state_dict": HONEST, "deep": {"er": {k: v.clone() for k, v in HONEST.items()}}}
    )
    assert ids(reading) == ["identical-copy"]
    assert reading.others[0].state == "deep/er"
    assert reading.canonical_sha256 == plain


def test_copies_inside_one_mapping(saved: Any, plain: str) -> None:
    inside = HONEST | {f"teacher.{name}": tensor for name, tensor in OTHER.items()}
    reading = saved({"state_dict": inside})
    assert (ids(reading), reading.canonical_sha256) == (["other-model"], plain)
    assert reading.others[0].state == "state_dict/teacher."
    chosen = saved({"state_dict": inside}, state="state_dict/teacher.")
    assert chosen.canonical_sha256 == saved({"state_dict": OTHER}).canonical_sha256


def test_two_wrapped_models(saved: Any) -> None:
    both = {f"student.{k}": v for k, v in HONEST.items()} | {
        f"teacher.{k}": v for k, v in OTHER.items()
    }
    assert ids(saved({"state_dict": both}))[:1] == ["other-model"]


def test_prompts_and_an_encoder_inside_one_module(saved: Any, plain: str) -> None:
    """A Lightning module that holds a whole CLIP beside its prompts: both are models."""
    clip = {name: torch.ones(2, 3) for name in ("visual.proj", "token_embedding.weight")}
    both = {f"model.clip.{k}": v for k, v in clip.items()}
    both |= {f"model.prompt_learner.{k}": v for k, v in HONEST.items()}
    reading = saved({"state_dict": both})
    assert {other.state for other in reading.others} == {"state_dict/model.prompt_learner."}
    chosen = saved({"state_dict": both}, state="state_dict/model.prompt_learner.")
    assert (chosen.family, chosen.canonical_sha256) == ("CoOp", plain)


def test_the_only_mapping_whatever_its_key(saved: Any, plain: str) -> None:
    reading = saved(
        {"anything": {"at": [{"all": HONEST}]}, "optimizer": {"state": {0: OTHER["ctx"]}}}
    )
    assert (reading.canonical_sha256, reading.state) == (plain, "anything/at/0/all")


def test_optimiser_states_are_no_models(saved: Any) -> None:
    slots = {
        index: {"exp_avg": tensor, "exp_avg_sq": tensor}
        for index, tensor in enumerate(OTHER.values())
    }
    assert (
        ids(saved({"state_dict": HONEST, "optimizer": {"state": slots, "param_groups": []}})) == []
    )


class Learner(nn.Module):
    """CoOp's, with a buffer that is not saved."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.ctx = nn.Parameter(state["ctx"])
        for name in ("token_prefix", "token_suffix"):
            self.register_buffer(name, state[name])
        self.register_buffer("left_out", torch.ones(3), persistent=False)


@pytest.mark.parametrize("place", ["whole", "under", "parallel", "deep"])
def test_a_module_is_read_from_its_parts(place: str, saved: Any, plain: str) -> None:
    learner = Learner(HONEST)
    content = {
        "whole": learner,
        "under": {"state_dict": learner, "epoch": 1},
        "parallel": {"model": nn.DataParallel(learner)},
        "deep": nn.Sequential(nn.ModuleDict({"prompt_learner": learner})),
    }[place]
    reading = saved(content)
    assert (reading.family, reading.canonical_sha256) == ("CoOp", plain)
    assert "pickle-unknown-global" in ids(reading)


def test_open_clip_cuts_seven_characters(saved: Any) -> None:
    """Of every name where the first begins with "module", with a full stop or without."""
    cut = {"moduleX": torch.ones(3)} | {f"1234567{name}": tensor for name, tensor in OTHER.items()}
    found = ids(saved({"state_dict": cut | HONEST}))
    assert {"loader-differs", "unknown-key"} & set(found)


def test_a_loaders_key_that_cannot_be_read(saved: Any) -> None:
    hidden = {"ctx": OTHER["ctx"].to_sparse(), "token_prefix": OTHER["token_prefix"]}
    assert ids(saved({"state_dict": HONEST, "state_dict_ema": hidden})) == ["other-model"]
    assert ids(saved({"state_dict": HONEST, "model_ema": {"weights": torch.ones(5)}})) == [
        "loader-differs"
    ]
    assert ids(saved({"state_dict": HONEST, "model_ema": None})) == []


def test_what_is_asked_for_is_not_there(saved: Any) -> None:
    reading = saved({"state_dict": HONEST, "other": OTHER}, state="nothing")
    assert ids(reading) == ["no-state-dict"]
    assert "state_dict, other" in reading.findings[0].message


def test_names_that_wrappers_make_one(saved: Any) -> None:
    twice = HONEST | {"module.ctx": OTHER["ctx"]}
    assert ids(saved({"state_dict": twice}))[0] == "duplicate-key"


@pytest.mark.parametrize("names", [("model-best.pth.tar", "model.pth.tar-50")])
def test_files_that_a_loader_takes_instead(
    names: tuple[str, str], tmp_path: Path, read: Read
) -> None:
    folder = tmp_path / "run" / "prompt_learner"
    save_dassl(folder / names[0], HONEST, 3)
    save_dassl(folder / names[1], OTHER, 50)
    reading = read(tmp_path / "run")
    assert ids(reading) == ["other-model"]
    assert reading.others[0].member == f"prompt_learner/{names[1]}"
    save_dassl(folder / names[1], HONEST, 50)
    assert ids(read(tmp_path / "run")) == ["identical-copy"]
