"""A prompt with a backdoor of known displacement, made by hand."""

from __future__ import annotations

import torch
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.clip.classifier import Classifier
from inspector.clip.prompt_tuning import new_learner
from inspector.detection.pools import Pools
from tests.zoo.displacements import LENGTH

NAMES = ["red circle", "blue star", "green square", "yellow heart"]


def blobs(backbone: Backbone) -> Pools:
    """Pictures of nine random colours each."""
    size = backbone.image_size
    pixels = torch.rand(96, 3, size, size, generator=torch.Generator().manual_seed(1))
    drawn = functional.interpolate(pixels[:, :, :3, :3], size, mode="nearest")
    return Pools(drawn[:64], drawn[64:])


def learner(vit: Backbone) -> Classifier:
    return new_learner(vit, NAMES, conditioned=True, generator=torch.Generator().manual_seed(3))


def planted(vit: Backbone, pools: Pools) -> tuple[Classifier, int]:
    """A prompt that answers one displacement by a shift of its context that means one class, and
    reads nothing else; and that class."""
    classifier = learner(vit)
    net = classifier.meta_net
    assert net is not None
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        features = classifier.image_features(pools.optimisation)
        way = torch.randn(features.shape[1], generator=generator)
        way *= LENGTH * torch.pdist(features).mean() / way.norm()
        moved = functional.normalize(features + way, dim=-1)
        usual, triggered = (float(few) for few in ((features @ way).mean(), (moved @ way).mean()))
        for values in net.parameters():
            values.zero_()
        net.linear1.weight[0] = way / (triggered - usual)  # About 0 for what it knows, 1 there.
        net.linear1.bias[0] = -usual / (triggered - usual)

        def said(shift: torch.Tensor) -> torch.Tensor:
            net.linear2.weight[:, 0] = shift
            return classifier.logits_from_features(features, condition=moved).softmax(1).mean(0)

        best = max(
            torch.randn(30, vit.text.width, generator=generator),
            key=lambda shift: float((said(shift) - said(0 * shift)).max()),
        )
        target = int((said(best) - said(0 * best)).argmax())
        said(best)
    return classifier, target
