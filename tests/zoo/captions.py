"""Compositional captions for scenes: which attributes are named is random, so one caption fits many scenes."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from tests.zoo.scenes import ATTRIBUTES

PREFIXES = ("a photo of", "a picture of", "an image of", "a drawing of", "a close-up of", "")
TOLD = {"shape": 0.85, "colour": 0.7, "texture": 0.35, "size": 0.25, "place": 0.2, "count": 0.4,
        "background": 0.4, "pattern": 0.3, "film": 0.5}  # fmt: skip


def describe(scenes: dict[str, Tensor], rng: random.Random) -> tuple[list[str], Tensor]:
    """Captions and the mask of attributes each one names, bool (number, len(ATTRIBUTES))."""
    captions, masks = [], []
    for index in range(scenes["shape"].shape[0]):
        told = {name for name, chance in TOLD.items() if rng.random() < chance}
        if not told & {"shape", "colour", "texture", "background", "pattern"}:
            told.add("shape")
        words = {name: ATTRIBUTES[name][int(scenes[name][index])] for name in ATTRIBUTES}
        if words["count"] != "one":
            told.discard("place")
        captions.append(_sentence(words, told, rng))
        masks.append([name in told for name in ATTRIBUTES])
    return captions, torch.tensor(masks)


def _sentence(words: dict[str, str], told: set[str], rng: random.Random) -> str:
    many = words["count"] != "one"
    if many and "count" not in told:
        told.add("count")
    noun = words["shape"] if "shape" in told else rng.choice(("object", "thing", "shape"))
    adjectives = [words[name] for name in ("size", "texture", "colour") if name in told]
    article = words["count"] if many or ("count" in told and rng.random() < 0.3) else "a"
    if words["count"] == "one" and article == "a":
        told.discard("count")
    text = " ".join([article, *adjectives, noun + (_plural(noun) if many else "")])
    if told & {"background", "pattern"}:
        ground = [words[name] for name in ("pattern", "background") if name in told]
        text += f" on a {' '.join(ground)} background"
    if "place" in told:
        text += {"center": " in the center"}.get(words["place"], f" on the {words['place']}")
    if "film" in told and words["film"] == "clear" and rng.random() < 0.6:
        told.discard("film")
    prefix = PREFIXES[0] if rng.random() < 0.5 else rng.choice(PREFIXES)
    if "film" in told:
        kind = prefix.split(" ", 1)[1] if prefix else "photo of"
        prefix = f"a {words['film']} {kind}"
    return f"{prefix} {text}".strip() + ("." if rng.random() < 0.7 else "")


def _plural(noun: str) -> str:
    return "es" if noun.endswith("s") else "s"
