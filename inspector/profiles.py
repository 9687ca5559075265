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


ObjectiveName = Literal["joint", "prompt", "difference"]
"""What an inversion maximises, see `inspector.detection.objectives`."""


@dataclass(frozen=True)
class Budget:
    """What one sweep spends; see `inspector.detection.inversion.SearchConfig`.

    Attributes:
        objective: what an inversion maximises.
        epochs: passes over the probes.
        batch: pictures a step.
        images: probes of each pass, None: all of the pool.
        num_eval: held-out probes that each trigger is put on, None: all.
        trigger_splits: global random triggers are divided among so many sweeps.
        local_first: whether the first sweep asks local random triggers, too.
        max_inverted_classes: classes that are inverted, None: all.
    """

    objective: ObjectiveName
    epochs: int = 1
    batch: int = 32
    images: int | None = None
    num_eval: int | None = None
    trigger_splits: int = 1
    local_first: bool = False
    max_inverted_classes: int | None = None


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

RANDOM, TWINS = "lead-16", "twins-1"
"""Versions of the statistic. Another one gives other scores, which a bank says nothing about."""


@dataclass(frozen=True)
class Profile:
    """How many pictures, and what the search may spend on them.

    `probes` and `held_out` are image counts; `conditioned` is spent on prompts that read the
    picture, `static` on everything else. With `twins` the search is another one, whatever the
    prompts read.
    """

    name: str
    probes: int
    held_out: int
    conditioned: Budget
    static: Budget
    learning_rate: float = 0.1
    """Adam's rate in pixel units (arXiv 2604.09101)."""
    twins: TwinBudget | None = None

    @property
    def statistic(self) -> str:
        """Which score its inspections have."""
        return RANDOM if self.twins is None else TWINS


MAX_INVERTED = 4
"""Classes that are inverted once random triggers have put them first: experiments 33, 38 and 48."""
MAX_INVERTED_STATIC = 3
"""The same where prompts do not read the picture; experiment 48."""
PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            "quick", 256, 256,
            Budget("prompt", batch=8, images=16, num_eval=32, trigger_splits=2,
                   max_inverted_classes=MAX_INVERTED),
            Budget("difference", num_eval=96, local_first=True,
                   max_inverted_classes=MAX_INVERTED_STATIC),
        ),
        Profile(
            "standard", 256, 250,
            Budget("prompt", batch=8, images=32, num_eval=48, trigger_splits=2,
                   max_inverted_classes=MAX_INVERTED),
            Budget("difference", num_eval=96, local_first=True,
                   max_inverted_classes=MAX_INVERTED_STATIC),
        ),
        Profile("paper", 1000, 250, Budget("joint"), Budget("joint")),
        Profile(
            "thorough", 1000, 250,
            Budget("joint", num_eval=96), Budget("joint", num_eval=96), twins=TwinBudget(),
        ),
    )
}  # fmt: skip
"""Budgets were chosen for their cost; thresholds were set with `standard` (experiments 27 and 45)
and not examined with the others. Two splits: experiment 33."""


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
