"""Profiles: how much work an inspection spends. Torch-free.

A profile is chosen by name; nothing here is read from the environment. Radii follow the paper's
4/255 at 224 pixels, held constant in L2: what a universal perturbation can do grows with radius
times the square root of the number of pixels, so the radius is scaled by 224 / image size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from inspector.errors import RequestError

MINIMUM_PROBES = 64
"""Smallest optimisation and held-out pool (the contract); below it an inspection is refused."""


ObjectiveName = Literal["joint", "prompt"]
"""What an inversion maximises, see `inspector.detection.objectives`."""


@dataclass(frozen=True)
class TwinBudget:
    """What one search against twins spends; see `inspector.detection.contrast.Effort`.

    Attributes:
        leading: classes that each space's screening keeps.
        num_eval: held-out probes that a trigger is put on.
    """

    leading: int = 3
    num_eval: int = 96
    screened: int = 8
    trial: int = 5
    steps: int = 20
    finalists: int = 2
    batch: int = 12


FEW_CLASSES = 4
"""Up to so many classes, honest models show triggers of their own: of three classes the median is
0.26 and the highest 0.79, of ten 0.09 and 0.23 (experiment 55). They have a bank of their own."""

TWINS, PUBLISHED = "twins-3", "clip-inspector"
"""Versions of the statistic. Another one gives other scores, which a bank says nothing about."""


@dataclass(frozen=True)
class Profile:
    """How many pictures, and what the search may spend on them.

    `probes` and `held_out` are numbers of pictures. Without `twins` the published method is run.
    """

    name: str
    probes: int
    held_out: int
    twins: TwinBudget | None

    @property
    def statistic(self) -> str:
        """Which score its inspections have."""
        return PUBLISHED if self.twins is None else TWINS


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("quick", 192, 96, TwinBudget(leading=1, num_eval=64, trial=2, steps=8, finalists=1,
                                             batch=8)),
        Profile("standard", 1000, 250, TwinBudget()),
        Profile("paper", 1000, 250, None),
        Profile("thorough", 4000, 1000, TwinBudget()),
    )
}  # fmt: skip
"""The banks were read with 1,000 and 250 pictures. With fewer the twins know less, and honest
models show more: 0.17 and 0.16 with 405 and 101 where they had 0.02 and 0.07 (experiment 56).
`quick` was chosen for its cost; its bank has 192 and 96."""


def profile_named(name: str) -> Profile:
    """Raises RequestError for a name that is no profile."""
    if name not in PROFILES:
        raise RequestError("profile", f"{name!r} is not one of {', '.join(PROFILES)}")
    return PROFILES[name]


def statistic_of(name: str) -> str:
    """The statistic of a profile's inspections; the default profile's for a name that is none."""
    return PROFILES.get(name, PROFILES["standard"]).statistic


POCKET = "3472c736d3a48a817540b344635f133e08daf452164b28047d8fb38bb59398b4"
LIT_MOBILENETV2_128 = "aa8d06c8cd2ef4f991d33e0cda7a7ce4252126d6f6ea0b3d2a2e48551dc55ae2"
RADII = {POCKET: 6 / 255, LIT_MOBILENETV2_128: 10 / 255}
"""Radii chosen by the attack gate, by the sha256 of a backbone's weight file, whatever it is called
(experiments 10 and 15)."""


def radius(image_size: int, backbone_sha256: str = "") -> float:
    """L-infinity radius in pixel units: the backbone's own, else 4/255 at 224 px scaled to size."""
    return RADII.get(backbone_sha256, 4 / 255 * 224 / image_size)
