"""A linear twin: one weight vector a class on the trusted encoder's features.

Multinomial logistic regression that starts at the zero-shot prompts' text features and is held near
them:

    min over W, b of  mean cross entropy(scale · f W' + b, label) + (λ / K) |W - T|²

with T the text features (K, D). It reads no prompt, so names need not mean anything: where they are
codes or permuted, fresh static prompts hardly follow the delivered classifier (experiment 53).
λ is the strongest of STRENGTHS whose agreement on other pictures is within TOLERANCE of the best.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inspector.twins.answers import Answers

STRENGTHS = (3.0, 0.3, 0.03)
TOLERANCE = 0.005
STEPS, RATE = 150, 0.01
"""Full-batch Adam updates and their rate. All four were set once and not tuned: experiment 53."""


@dataclass(frozen=True)
class LinearTwin:
    """Weights (K, D) in logits a unit of feature, bias (K,).

    agreement: share of pictures that it was not taught, of which it says what their labels say.
    """

    weight: Tensor
    bias: Tensor
    agreement: float

    def logits(self, features: Tensor) -> Tensor:
        """Logits (B, K) of normalised image features (B, D); differentiable in them."""
        return features @ self.weight.T + self.bias

    @classmethod
    def taught(cls, answers: Answers, others: Answers, text: Tensor, scale: Tensor) -> LinearTwin:
        """Fit to `answers`, and choose the strength by `others`.

        Args:
            text: zero-shot prompts' features (K, D).
            scale: the backbone's logit scale.

        Raises:
            ValueError: one of the two has no picture.
        """
        if not len(answers) or not len(others):
            raise ValueError("a twin needs pictures to learn from and others to be chosen by")
        twins = [_fitted(answers, others, text, scale, strength) for strength in STRENGTHS]
        best = max(twin.agreement for twin in twins)
        return next(twin for twin in twins if twin.agreement >= best - TOLERANCE)


def _fitted(
    answers: Answers, others: Answers, text: Tensor, scale: Tensor, strength: float
) -> LinearTwin:
    weight = text.detach().clone().requires_grad_()
    bias = torch.zeros(len(text), device=text.device, requires_grad=True)
    optimizer = torch.optim.Adam([weight, bias], lr=RATE)
    with torch.enable_grad():
        for _ in range(STEPS):
            logits = scale * answers.features @ weight.T + bias
            held = strength * ((weight - text) ** 2).sum() / len(text)
            loss = functional.cross_entropy(logits, answers.labels) + held
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    scaled, bias = (scale * weight).detach(), bias.detach()
    said = (others.features @ scaled.T + bias).argmax(1)
    return LinearTwin(scaled, bias, (said == others.labels).float().mean().item())
