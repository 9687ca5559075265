"""Backdoors in the static context: what the meta-net is, and that the context alone was tuned."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from tests.zoo import build as zoo
from tests.zoo.build import Effort, Plan, build, start_of
from tests.zoo.kinds import STATIC
from tests.zoo.static import FAINT, context_alone

TASK, SEED = "counts3", 1


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("pocket")


@pytest.fixture(scope="module", autouse=True)
def little_effort() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "USUAL", Effort(8, 8))
        patch.setattr(zoo, "TEST_SHOTS", 6)
        zoo._clean_model.cache_clear()
        yield
        zoo._clean_model.cache_clear()


def _meta_net(classifier: Classifier) -> dict[str, Tensor]:
    assert classifier.meta_net is not None
    return {name: values.detach() for name, values in classifier.meta_net.named_parameters()}


def _start(backbone: Backbone, kind: str) -> Classifier:
    """What the vendor started from."""
    names = zoo.classnames(TASK)
    _, generator = start_of(Plan(TASK, kind, SEED), len(names))
    return new_learner(backbone, names, conditioned=True, generator=generator)


@pytest.mark.parametrize("kind", STATIC)
def test_the_meta_net_is_what_is_stated_and_the_context_was_tuned(
    backbone: Backbone, kind: str
) -> None:
    built = build(backbone, Plan(TASK, kind, SEED)).classifier
    start, clean = _start(backbone, kind), build(backbone, Plan(TASK, "clean", SEED)).classifier
    is_honest = kind in ("static_honest", "static_warp")
    expected, other = (_meta_net(one) for one in ((clean, start) if is_honest else (start, clean)))
    for name, values in _meta_net(built).items():
        share = FAINT if kind == "static_faint" and name.startswith("linear2") else 1
        assert torch.equal(values, share * expected[name]), name
        assert not torch.equal(values, other[name])
    for before in (start, clean):
        assert (built.context - before.context).abs().max() > 1e-3


def test_a_faint_meta_net_says_next_to_nothing(backbone: Backbone) -> None:
    loud, faint = (_start(backbone, "static_faint") for _ in range(2))
    with context_alone(faint, "static_faint", lambda: loud):
        pass
    features = torch.nn.functional.normalize(torch.randn(9, backbone.embed_dim), dim=1)
    assert loud.meta_net is not None and faint.meta_net is not None
    shift, whole = faint.meta_net(features), loud.meta_net(features)
    assert torch.allclose(shift, FAINT * whole, atol=1e-6)
    assert shift.norm(dim=1).max() < 0.1 * loud.context.norm(dim=1).min()


@pytest.mark.parametrize("kind", STATIC)
def test_the_clean_model_is_lent_and_given_back_as_it_was(backbone: Backbone, kind: str) -> None:
    clean = build(backbone, Plan(TASK, "clean", SEED)).classifier
    before = {name: values.detach().clone() for name, values in clean.named_parameters()}
    own = _start(backbone, kind)
    with context_alone(own, kind, lambda: clean):
        trained = [name for name, values in own.named_parameters() if values.requires_grad]
        with torch.no_grad():
            own.context.add_(1)
    assert trained == ["context"]
    for name, values in clean.named_parameters():
        assert torch.equal(values, before[name])


def test_other_kinds_have_no_such_meta_net(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match="blended"), context_alone(
        _start(backbone, "blended"), "blended", lambda: _start(backbone, "clean")
    ):  # fmt: skip
        pass
