"""The confound baseline on models written to disk, and its parts on numbers with known answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.bench.estimates import Floats
from tests.bench.sanity import (
    STATISTICS,
    Weighed,
    confound_rows,
    gain,
    held_out_scores,
    logistic,
    models_in,
    nearest_mean,
    oracle,
    summary,
    weigh,
)
from tests.support.checkpoints import cocoop_state, coop_state, save_dassl_folder
from tests.unit.bench.test_metrics import zoo


def write_model(out: Path, kind: str, seed: int, scale: float, took: bool = True) -> Path:
    """A CoCoOp file whose meta-net is `scale` times a random one, saved as Dassl does."""
    folder = out / f"things6-{seed}-{kind}"
    state = cocoop_state(seed=seed)
    state = {k: v * scale if k.startswith("meta_net") else v for k, v in state.items()}
    save_dassl_folder(folder, state, 7, "prompt_learner")
    truth = {"task": "things6", "seed": seed, "kind": kind, "target": None}
    if kind in ("siba", "wanet", "blended"):
        truth |= {"target": 1, "took": took}
    (folder / "truth.json").write_text(json.dumps(truth))
    return folder


def weighed(statistics: Floats) -> list[Weighed]:
    """Twenty models of four tasks with one made-up statistic each."""
    models = zoo("abcd", (0.0, 1.0), 0.1)
    values = statistics.tolist()
    return [Weighed(m, {"s": v}, Path()) for m, v in zip(models, values, strict=True)]


def test_gain_is_the_largest_stretch_of_both_layers_together() -> None:
    first, second = torch.diag(torch.tensor([3.0, 1.0])), torch.diag(torch.tensor([2.0, 5.0]))
    tensors = {"meta_net.linear1.weight": first, "meta_net.linear2.weight": second}
    assert gain(tensors) == pytest.approx(15.0)
    assert gain({"ctx": torch.ones(4, 8)}) == 0.0


def test_statistics_are_read_from_the_file_and_not_from_the_truth(tmp_path: Path) -> None:
    plain = weigh(write_model(tmp_path, "clean", 1, 1.0)).statistics
    steep = weigh(write_model(tmp_path, "siba", 1, 2.0)).statistics
    assert set(plain) == {*STATISTICS, "epochs"}
    assert plain["epochs"] == 7
    assert steep["gain"] == pytest.approx(4 * plain["gain"], rel=1e-5)
    assert steep["meta-net, biases"] == pytest.approx(2 * plain["meta-net, biases"], rel=1e-5)
    assert steep["context"] == pytest.approx(plain["context"])
    assert plain["context"] == pytest.approx(float(coop_state(seed=1)["ctx"].norm()), rel=1e-5)


def test_an_unreadable_model_is_an_error_and_no_gap(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "clean", 1, 1.0)
    for path in (folder / "prompt_learner").glob("model*"):
        path.write_bytes(b"none")
    with pytest.raises(ValueError, match="things6-1-clean"):
        weigh(folder)


def test_a_leak_is_found_and_a_fair_zoo_has_none() -> None:
    labels = np.asarray([not m.is_clean for m in zoo("abcd", (0.0, 1.0), 0.1)], np.float64)
    noise = np.random.default_rng(3).random(20)
    leaking = {name: cell for name, cell, _ in confound_rows(weighed(labels + noise))}
    assert leaking["s"] == "1.000!"
    assert leaking["all, logistic, task left out"] == "1.000!"
    # The same values for attacked as for clean models of each task.
    fair = confound_rows(weighed(np.asarray([1.0, 2.0, 1.0, 2.0, 1.5] * 4)))
    assert [cell.split(" ")[0] for _, cell, _ in fair[:1]] == ["0.500!"]


@pytest.mark.parametrize("fit", [logistic, nearest_mean])
def test_the_held_out_task_does_not_teach(fit: object) -> None:
    """Task a holds the opposite of the others: a rule that saw it could not be all wrong there."""
    models = zoo("abcd", (0.0, 1.0), 0.1)
    values = [(not m.is_clean) != (m.task == "a") for m in models]
    rows = weighed(np.asarray(values, np.float64))
    scores = held_out_scores(rows, fit)  # type: ignore[arg-type]
    own = [(m.is_clean, s) for m, s in zip(models, scores, strict=True) if m.task == "a"]
    assert max(s for clean, s in own if not clean) < min(s for clean, s in own if clean)


def test_logistic_agrees_with_a_search_for_the_smallest_loss() -> None:
    draw = np.random.default_rng(5)
    values, labels = draw.normal(size=(40, 1)), (np.arange(40) % 4 == 0).astype(np.float64)
    values[labels == 1] += 0.8
    importance = np.where(labels == 1, 0.5 / 0.25, 0.5 / 0.75)
    slopes, intercepts = np.meshgrid(np.linspace(-1, 3, 401), np.linspace(-3, 3, 301))
    logits = slopes[..., None] * values[:, 0] + intercepts[..., None]
    losses = (importance * (np.logaddexp(0, logits) - labels * logits)).sum(-1) + slopes**2 / 2
    assert logistic(values, labels)[0] == pytest.approx(slopes.flat[int(losses.argmin())], abs=0.01)


def test_one_task_alone_has_nothing_to_leave_out(tmp_path: Path) -> None:
    scales = (("clean", 1, 1.0), ("clean", 2, 1.1), ("siba", 1, 3.0), ("wanet", 2, 2.0))
    for kind, seed, scale in scales:
        write_model(tmp_path, kind, seed, scale)
    write_model(tmp_path, "blended", 2, 1.0, took=False)
    text = summary([weigh(folder) for folder in models_in([tmp_path])])
    assert "2 attacked and 2 clean models; attacks that did not take: things6-2-blended" in text
    assert "task left out" not in text
    assert "| gain | 1.000!" in text


def test_a_task_that_holds_all_clean_models_cannot_be_left_out() -> None:
    models = weighed(np.random.default_rng(4).random(20))
    lopsided = [each for each in models if each.model.task == "a" or not each.model.is_clean]
    assert [name for name, _, _ in confound_rows(lopsided)] == ["s"]


def test_a_clean_control_counts_as_clean_and_stands_apart(tmp_path: Path) -> None:
    for kind, scale in (("clean", 1.0), ("siba", 3.0), ("noisy", 2.0)):
        write_model(tmp_path, kind, 1, scale)
    text = summary([weigh(folder) for folder in models_in([tmp_path])])
    assert "1 attacked and 2 clean models" in text
    assert "| noisy | 1 |" in text
    assert "4 (4 to 4)" in text


def test_the_oracle_refuses_a_clean_model(tmp_path: Path) -> None:
    """Rebuilding takes minutes; that it rebuilds is shown by its own column in the exam."""
    folder = write_model(tmp_path, "clean", 1, 1.0)
    with pytest.raises(ValueError, match="no trigger"):
        oracle(folder, None)  # type: ignore[arg-type]
