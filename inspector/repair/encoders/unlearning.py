"""Token-level unlearning: forget what a trigger says of the target's name, keep all else on pairs.

    L = L_CLIP on clean pairs - log(1 - p_target) on pictures with the trigger

p_target is what the class prompts give the target. All prompts share one template, so that what a
triggered picture is pushed away from are the tokens of the target's name and not the sentence
around them. After UBT (arXiv 2403.16257, 2409.19526), from which it differs in two ways. UBT has
the poisoned training data, overfits the model to expose suspicious pairs in them and forgets these;
a buyer has none of it, so clean pictures under the trigger that a search found stand for them, and
what such a search misses is not forgotten. UBT chooses tokens of the suspicious captions; here they
are those of the accused class's name.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.clip.moving import scale_of
from inspector.repair.encoders.case import EncoderCase
from inspector.repair.encoders.losses import contrast, forgetting, same_words
from inspector.repair.encoders.recipes import UNLEARNING, Schedule
from inspector.repair.encoders.training import Batch, text_features, tokens_of, trained
from inspector.repair.strategy import CannotRepair


@dataclass(frozen=True)
class TokenUnlearning:
    """Needs pairs, an accused class and its trigger."""

    schedule: Schedule = UNLEARNING
    name: str = "token-level unlearning"
    keeps_weights: bool = True

    def tensors(self, case: EncoderCase) -> dict[str, Tensor]:
        """See `EncoderStrategy.tensors`."""
        trigger, target = case.trigger, case.target
        if trigger is None or target is None:
            raise CannotRepair("no trigger was found that could be forgotten")
        own = case.delivered
        prompts = tokens_of(own.encoders, own.class_prompts)

        def loss(encoders: Backbone, batch: Batch) -> Tensor:
            both = torch.cat([batch.pixels, trigger(batch.pixels).detach()])
            images, carrying = encoders.image_features(both).chunk(2)
            texts, classes = (text_features(encoders, one) for one in (batch.tokens, prompts))
            scale = scale_of(encoders)
            kept = contrast(images, texts, scale, same_words(batch.tokens))
            # Of what shows the target anyway the trigger need not be forgotten.
            elsewhere = (images @ classes.T).argmax(1) != target
            if not elsewhere.any():
                return kept
            return kept + forgetting(carrying[elsewhere], classes, target, scale)

        return trained(case, self.schedule, loss, self.name)
