"""Templates that published code puts around class names when a file does not keep its own.

By data set: KaiyangZhou/CoOp `trainers/zsclip.py`, which the codes of adapters, LoRA and TCP share;
one ensemble, CLIP's seven best for ImageNet (openai/CLIP, notebook on prompt engineering).
"""

from __future__ import annotations

SINGLE = (
    "a photo of a {}.",
    "a photo of a {}, a type of pet.",
    "a photo of a {}, a type of flower.",
    "a photo of a {}, a type of aircraft.",
    "{} texture.",
    "a centered satellite photo of {}.",
    "a photo of {}, a type of food.",
    "a photo of a person doing {}.",
    "a photo of a {}",
    "a photo of the {}.",
    "a photo of {}.",
    "{}.",
    "{}",
)
SEVEN = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
