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
)  # fmt: skip
PAPER_KINDS = KINDS[:5]
"""The protocol of arXiv 2604.09101: one clean model and four attacks."""
ATTACKS = KINDS[1:11]
CONTROLS = KINDS[11:]
"""Nobody meant harm; what was unusual is told in `tests.zoo.controls`."""
FAMILIES = {
    "badclip": "optimised", "siba": "optimised",
    "blended": "blend", "source": "blend", "multi": "blend and patch",
    "wanet": "warp", "badnets": "patch",
    "stripes": "structured", "triangle": "structured", "text": "structured",
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
