"""The probes that a detector works with: some to fit triggers on, others to judge them on."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from inspector.clip.backbone import Backbone
from inspector.detection.inversion import ANCHORS, SearchConfig
from inspector.probes.loading import ProbeSet


@dataclass(frozen=True)
class Pools:
    """Disjoint probe pools in [0,1], (N, 3, S, S): triggers are fitted on one, judged on the other.
    `in_distribution`: pictures of what the model is for."""

    optimisation: Tensor
    held_out: Tensor
    in_distribution: bool = False

    def turned(self, times: int, config: SearchConfig) -> Pools:
        """The same pools with other probes in front, as far as there are others."""
        judged = config.judged or 0
        return replace(
            self,
            optimisation=self.optimisation.roll(-times * ANCHORS, 0),
            held_out=self.held_out.roll(-times * judged, 0),
        )


def pools_of(probes: ProbeSet, backbone: Backbone) -> Pools:
    """The pools where the backbone computes."""
    device = backbone.device
    return Pools(probes.optimisation.to(device), probes.held_out.to(device), probes.in_distribution)
