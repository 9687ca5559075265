"""The probes that a detector works with: some to fit triggers on, others to judge them on."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.probes.loading import ProbeSet


@dataclass(frozen=True)
class Pools:
    """Disjoint pools of probes in [0,1].

    Attributes:
        optimisation: (N, 3, S, S), on which triggers are fitted.
        held_out: (M, 3, S, S), on which they are judged.
        in_distribution: whether they show what the model is for.
    """

    optimisation: Tensor
    held_out: Tensor
    in_distribution: bool = False

    def turned(self, sweep: int, num_eval: int) -> Tensor:
        """Held-out probes (num_eval, 3, S, S) of a sweep; other ones each time, while they last."""
        return self.held_out.roll(-sweep * num_eval, 0)[:num_eval]


def pools_of(probes: ProbeSet, backbone: Backbone) -> Pools:
    """The pools where the backbone computes."""
    device = backbone.device
    return Pools(probes.optimisation.to(device), probes.held_out.to(device), probes.in_distribution)
