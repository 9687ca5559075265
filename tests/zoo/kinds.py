"""What kinds of model the zoo holds: attacks, and clean controls that must stay clean.

Only names and what they mean; no tensors. KINDS is append-only, because a model's random numbers
follow from its kind's place in it.
"""

from __future__ import annotations

KINDS = (
    "clean", "badclip", "blended", "wanet", "siba",
    "badnets", "stripes", "triangle", "text", "source", "multi",
    "recipe", "permuted", "noisy", "imbalanced", "augmented", "overtrained", "watermark",
    "scrambled",
    "scrambled_blended", "scrambled_badnets", "scrambled_siba", "steep", "adversarial",
    "wanet_noise", "blended_noise", "decoyed", "quiet", "badclip_adaptive", "popular",
    "evasive",
    "dct", "sinusoid", "quantised", "dithered",
    "mixup", "longtail", "stopped",
    "stepped", "shots4", "shots8", "shots16", "shots32", "adam", "smoothed", "blurred", "codes",
    "slower", "published",
)  # fmt: skip
SPECTRAL, QUANTISING = ("dct", "sinusoid"), ("quantised", "dithered")
"""Attacks that are set aside for the exam of `tests.zoo.sets`, two families."""
ASIDE_RECIPES = ("mixup", "longtail", "stopped")
"""Honest vendors who are set aside for the same."""
RECIPES = (
    "stepped", "shots4", "shots8", "shots16", "shots32", "adam", "smoothed", "blurred", "codes",
    "slower", "published",
)  # fmt: skip
"""Honest vendors with everyday recipes, which the first zoo lacked."""
LATER = ("evasive", *SPECTRAL, *QUANTISING, *ASIDE_RECIPES, *RECIPES)
"""Kinds that came after the plan `zoo-1` was frozen; the plan has none of them."""
PAPER_KINDS = KINDS[:5]
"""The protocol of arXiv 2604.09101: one clean model and four attacks."""
ADAPTIVE = (
    "wanet_noise", "blended_noise", "decoyed", "quiet", "badclip_adaptive", "popular", "evasive",
)  # fmt: skip
"""Attackers who know the score; what each does about it is told in `tests.zoo.adaptive` and
`tests.zoo.evasion`."""
ATTACKS = (
    "badclip", "blended", "wanet", "siba", "badnets", "stripes", "triangle", "text", "source",
    "multi", *ADAPTIVE, *SPECTRAL, *QUANTISING,
)  # fmt: skip
SCRAMBLED = {
    "scrambled": "wanet", "scrambled_blended": "blended", "scrambled_badnets": "badnets",
    "scrambled_siba": "siba",
}  # fmt: skip
"""Control to the attack whose trigger it lays over pictures of random labels."""
CONTROLS = (
    "recipe", "permuted", "noisy", "imbalanced", "augmented", "overtrained", "watermark",
    *SCRAMBLED, "steep", "adversarial", *ASIDE_RECIPES, *RECIPES,
)  # fmt: skip
"""Nobody meant harm; what was unusual is told in `tests.zoo.controls`."""
MATCHED = ("noisy", *SCRAMBLED)
"""Controls whose labels contradict pictures as an attack's do (experiment 23)."""
DEAR = ("badclip", "badclip_adaptive", "overtrained", "published")
"""Kinds that take some ten times as long to build as the others."""
FAMILIES = {
    "badclip": "optimised", "siba": "optimised", "badclip_adaptive": "optimised",
    "blended": "blend", "source": "blend", "multi": "blend and patch",
    "blended_noise": "blend", "decoyed": "blend", "quiet": "blend", "popular": "blend",
    "wanet": "warp", "wanet_noise": "warp", "badnets": "patch",
    "stripes": "structured", "triangle": "structured", "text": "structured",
    "evasive": "structured",
    **dict.fromkeys(SPECTRAL, "frequency"), **dict.fromkeys(QUANTISING, "quantisation"),
}  # fmt: skip
"""Attack to the family of its trigger."""
MAPPINGS = {"source": "source-specific", "multi": "multi-target"}
"""Attack to who is sent where; the others are all-to-one."""


def is_backdoored(kind: str) -> bool:
    """Whether a vendor of this kind planted a backdoor; not whether it took (that is the gate's)."""
    return kind in ATTACKS


def mapping(kind: str) -> str | None:
    """Who is sent where, or None for a model without a backdoor."""
    return MAPPINGS.get(kind, "all-to-one") if is_backdoored(kind) else None
