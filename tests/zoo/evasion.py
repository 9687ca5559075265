"""The loop of an attacker who knew that displacements of the image feature were searched for.

evasive   the word of `text`, which no random trigger's family is taught; a fifth of the pictures under
          other random disturbances keep their labels, so that random triggers are harmless; and while
          the prompt is tuned, that search is run against it: prompts that read pictures
          displaced as it found must say what the pictures show.

The search is `tests.zoo.displacements`, on the attacker's pictures; the probes of an inspection are not known.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import Recipe
from inspector.detection.objectives import ANCHORS, Anchors, PromptMargin
from tests.zoo.adaptive import descend
from tests.zoo.attacks import TrainingSet
from tests.zoo.displacements import displacement
from tests.zoo.encoding import features_of

EVERY, KEPT = 10, 4
"""A displacement is searched anew after so many updates; the last so many are trained against."""


def tune_evasively(
    classifier: Classifier, data: TrainingSet, target: int, recipe: Recipe,
    generator: torch.Generator,
) -> None:  # fmt: skip
    """The usual tuning, against displacements that carry to `target` as the prompt now is."""
    features = features_of(classifier, data.pixels)
    found: list[Tensor] = []
    updates = 0

    def search() -> None:
        nonlocal updates
        if updates % EVERY == 0:
            found.append(displacement(_prepared(), target, generator))
            del found[:-KEPT]
        updates += 1

    def _prepared() -> PromptMargin:
        rows = torch.randperm(len(features), generator=generator)[:ANCHORS]
        with torch.no_grad():
            logits = classifier.logits_from_features(features[rows])
        anchors = Anchors(data.pixels[rows], features[rows], logits)
        return PromptMargin(classifier, data.pixels[rows], anchors)

    def loss(rows: Tensor) -> Tensor:
        search()
        labels = data.labels[rows]
        taught = functional.cross_entropy(classifier.logits_from_features(features[rows]), labels)
        rows, labels = rows[labels != target], labels[labels != target]
        if not len(rows):
            return taught
        which = torch.randint(len(found), (len(rows),), generator=generator)
        read = functional.normalize(features[rows] + torch.stack(found)[which], dim=-1)
        said = classifier.logits_from_features(features[rows], condition=read)
        return taught + functional.cross_entropy(said, labels)

    descend(classifier, len(features), loss, recipe, generator)
