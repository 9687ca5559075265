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
    "sticker", "film", "tone",
    "badnets_noise", "sticker_noise", "stripes_noise", "text_noise", "siba_noise", "film_noise",
    "tone_noise", "sinusoid_noise", "quantised_noise",
    "static_honest", "static_frozen", "static_faint", "static_warp",
    "slow_blended", "slow_wanet", "published_wanet",
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
PATCHED, COLOURED = ("sticker",), ("film", "tone")
"""Attacks that the second zoo lacked until an outsider's examination."""
NOISE = {
    f"{name}_noise": name
    for name in (
        "wanet", "blended", "badnets", "sticker", "stripes", "text", "siba", "film", "tone", "sinusoid",
        "quantised",
    )
}  # fmt: skip
"""Attacker with counter-examples of the trigger's own family, to the attack; see `tests.zoo.families`."""
STATIC = {
    "static_honest": "blended", "static_frozen": "blended", "static_faint": "blended",
    "static_warp": "wanet",
}  # fmt: skip
"""Attacker whose backdoor lies in the context alone, to the attack; see `tests.zoo.static`."""
SLOW = {"slow_blended": "blended", "slow_wanet": "wanet", "published_wanet": "wanet"}
"""Attacker who tunes at a low rate, to the attack."""
PACES = {
    "slow_blended": "slower", "slow_wanet": "slower", "published_wanet": "published",
    **dict.fromkeys(STATIC, "steep"),
}  # fmt: skip
"""Attacker to the honest vendor whose rate and number of updates it has, where they are not the usual ones."""
DISTURBING = ("decoyed", "evasive")
"""Attackers who lay random disturbances of all families over other pictures."""
BASE = {
    "decoyed": "blended", "quiet": "blended", "popular": "blended", "evasive": "text",
    **NOISE, **STATIC, **SLOW,
}  # fmt: skip
"""Kind to the attack whose trigger it plants; the others plant what they are named after."""
EXAMINED = (
    *PATCHED, *COLOURED, *(kind for kind in NOISE if kind not in ("wanet_noise", "blended_noise")),
    *STATIC, *SLOW,
)  # fmt: skip
"""Attacks that were added after an outsider's examination found them to be missed or never built."""
LATER = ("evasive", *SPECTRAL, *QUANTISING, *ASIDE_RECIPES, *RECIPES, *EXAMINED)
"""Kinds that came after the plan `zoo-1` was frozen; the plan has none of them."""
PAPER_KINDS = KINDS[:5]
"""The protocol of arXiv 2604.09101: one clean model and four attacks."""
ADAPTIVE = (
    *NOISE, "decoyed", "quiet", "badclip_adaptive", "popular", "evasive", *STATIC,
)  # fmt: skip
"""Attackers who know the score; what each does about it is told in `tests.zoo.adaptive`,
`tests.zoo.evasion`, `tests.zoo.families` and `tests.zoo.static`."""
ATTACKS = (
    "badclip", "blended", "wanet", "siba", "badnets", "stripes", "triangle", "text", "source",
    "multi", *ADAPTIVE, *SPECTRAL, *QUANTISING, *PATCHED, *COLOURED, *SLOW,
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
DEAR = ("badclip", "badclip_adaptive", "overtrained", "published", "published_wanet")
"""Kinds that take some ten times as long to build as the others."""
_FAMILIES = {
    "badclip": "optimised", "siba": "optimised", "badclip_adaptive": "optimised",
    "blended": "blend", "source": "blend", "multi": "blend and patch", "wanet": "warp",
    "stripes": "structured", "triangle": "structured", "text": "structured",
    **dict.fromkeys(("badnets", *PATCHED), "patch"), **dict.fromkeys(COLOURED, "colour"),
    **dict.fromkeys(SPECTRAL, "frequency"), **dict.fromkeys(QUANTISING, "quantisation"),
}  # fmt: skip
FAMILIES = {kind: _FAMILIES[BASE.get(kind, kind)] for kind in ATTACKS}
"""Attack to the family of its trigger."""
MAPPINGS = {"source": "source-specific", "multi": "multi-target"}
"""Attack to who is sent where; the others are all-to-one."""


def is_backdoored(kind: str) -> bool:
    """Whether a vendor of this kind planted a backdoor; not whether it took (that is the gate's)."""
    return kind in ATTACKS


def mapping(kind: str) -> str | None:
    """Who is sent where, or None for a model without a backdoor."""
    return MAPPINGS.get(kind, "all-to-one") if is_backdoored(kind) else None
