"""Which kind of probes decides, and which is swept again; sweeps are real, scores are given."""

from __future__ import annotations

import pytest
import torch

from inspector import examination
from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.config import PROFILES
from inspector.examination import Examination
from inspector.inversion.outcome import Outcome
from inspector.inversion.search import SearchConfig
from inspector.inversion.sweep import Pools
from inspector.panel import Panel, in_doubt
from inspector.probing import load_probes, probing
from inspector.progress import Meter
from inspector.scoring.decide import CONDITIONED, Judgement
from inspector.tuning.learner import new_learner

NAMES = ["red circle", "blue star", "green square", "black cross"]
CONFIG = SearchConfig(epsilon=0.05, batch=4, objective="prompt", images=4, judged=4)
METER = Meter(lambda _: None, None)
STRANGE, OWN = False, True
Scores = dict[bool, list[float]]


@pytest.fixture
def classifier(vit: Backbone) -> Classifier:
    generator = torch.Generator().manual_seed(3)
    return new_learner(vit, NAMES, conditioned=True, generator=generator).requires_grad_(False)


@pytest.fixture
def panel(classifier: Classifier) -> Panel:
    """Pictures of the task, then strange ones."""
    size = classifier.backbone.image_size
    pixels = torch.rand(48, 3, size, size, generator=torch.Generator().manual_seed(1))
    own = Pools(pixels[:8], pixels[8:24], in_distribution=OWN)
    strange = Pools(pixels[24:32], pixels[32:])
    return Panel([Examination(classifier, pools, CONFIG, 5) for pools in (own, strange)])


def scored(monkeypatch: pytest.MonkeyPatch, scores: Scores, *mute: bool) -> None:
    """Let an examination have these scores, sweep after sweep; class 2 is accused from the threshold on,
    but for examinations that are `mute`."""

    def judge(outcomes: list[Outcome], sweeps: int, **told: bool) -> Judgement:
        score = scores[told["in_distribution"]][sweeps - 1]
        accuses = score >= CONDITIONED.accuse and told["in_distribution"] not in mute
        suspects = [2] if accuses else []
        return Judgement(score, CONDITIONED, [0.0, 0.0, score, 0.0], suspects, None)

    monkeypatch.setattr(examination, "judge", judge)


@pytest.mark.parametrize(
    ("scores", "sweeps", "decides"),
    [
        ({STRANGE: [0.1], OWN: [0.2]}, (1, 1), OWN),
        ({STRANGE: [0.3], OWN: [0.2]}, (1, 1), STRANGE),
        ({STRANGE: [9.0, 9.0], OWN: [0.2]}, (2, 1), STRANGE),
        ({STRANGE: [0.1], OWN: [9.0, 9.0]}, (1, 2), OWN),
        ({STRANGE: [1.0, 1.1, 1.2], OWN: [1.1, 0.5]}, (3, 2), STRANGE),
        ({STRANGE: [2.5, 1.0, 0.7], OWN: [2.4, 2.4, 2.4]}, (2, 3), OWN),
        ({STRANGE: [1.9, 1.9, 1.9], OWN: [9.0, 9.0]}, (1, 2), OWN),
    ],
)
def test_the_worst_decides_and_every_doubt_is_followed_until_one_accuses(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, scores: Scores, sweeps: tuple[int, int],
    decides: bool,
) -> None:  # fmt: skip
    """`sweeps`: of strange probes, of pictures of the task."""
    scored(monkeypatch, scores)
    standings = panel.run([0, 1, 2, 3], METER)
    assert [len(one.sweeps) for one in panel.examinations] == [*reversed(sweeps)]
    first = standings[0]
    assert first.examination.pools.in_distribution is decides
    assert first.judgement.score == scores[decides][len(first.examination.sweeps) - 1]
    assert in_doubt(standings) is None


def test_an_accusation_decides_before_a_higher_score_without_one(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A class without a trigger cannot be accused, whatever its score."""
    scored(monkeypatch, {STRANGE: [5.0, 5.0], OWN: [4.5, 4.5]}, STRANGE)
    first, second = panel.run([0, 1, 2, 3], METER)
    assert first.examination.pools.in_distribution
    assert second.judgement.score > first.judgement.score


def test_built_in_probes_stand_beside_pictures_of_what_the_model_is_for_only(
    classifier: Classifier, pictures: str
) -> None:
    backbone, profile = classifier.backbone, PROFILES["standard"]
    for in_distribution in (False, True):
        probes = load_probes(
            pictures, backbone.image_size, profile, in_distribution=in_distribution
        )
        assert [one.in_distribution for one in probes] == [True, False][not in_distribution :]
        assert [one.source for one in probes] == ["folder", "builtin"][: len(probes)]
        probings = [probing(one, backbone, profile, 4, conditioned=True) for one in probes]
        assert [one.config.covers for one in probings] == [one.in_distribution for one in probes]
        made = Panel.of(classifier, probings, seed=7)
        pools = [one.pools for one in made.examinations]
        assert [one.in_distribution for one in pools] == [one.in_distribution for one in probes]
