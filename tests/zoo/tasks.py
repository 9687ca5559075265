"""Procedural classification tasks for the zoo: few-shot train and test sets cut from scenes.

Each task fixes which attribute is the label and a photographic style that `pocket` never saw in
training, so that prompt tuning has something to learn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tests.zoo.scenes import ATTRIBUTES, render, sample_scenes


def _gray(pixels: Tensor) -> Tensor:
    return pixels.mean(1, keepdim=True).expand_as(pixels)


def _dim(pixels: Tensor) -> Tensor:
    return pixels * 0.45 + 0.05


def _blur(pixels: Tensor) -> Tensor:
    return functional.avg_pool2d(pixels, 5, 1, 2, count_include_pad=False)


def _negative(pixels: Tensor) -> Tensor:
    return 1 - pixels


def _faded(pixels: Tensor) -> Tensor:
    return pixels * 0.5 + 0.45


def _tinted(pixels: Tensor) -> Tensor:
    tint = torch.tensor([1.0, 0.75, 0.5])[:, None, None]
    return pixels * tint


@dataclass(frozen=True)
class Task:
    """`labels` maps a class name to the attribute values that define it."""

    labels: dict[str, dict[str, str]]
    style: Callable[[Tensor], Tensor]
    most_shots: int = 1000
    """Training images a class at most: many classes need fewer of each."""

    @property
    def is_geometric(self) -> bool:
        """Whether a crop or a flip may change the label."""
        told = {attribute for fixed in self.labels.values() for attribute in fixed}
        return bool(told & {"place", "size", "count"})

    @property
    def classnames(self) -> list[str]:
        return list(self.labels)

    def draw(self, shots: int, generator: torch.Generator, size: int) -> tuple[Tensor, Tensor]:
        """Pixels (K * shots, 3, size, size) and labels, class by class."""
        pixels, targets = [], []
        for index, fixed in enumerate(self.labels.values()):
            scenes = sample_scenes(shots, generator)
            scenes["film"] = torch.zeros(shots).long()
            for attribute, word in fixed.items():
                value = ATTRIBUTES[attribute].index(word)
                scenes[attribute] = torch.full((shots,), value)
            if "count" in fixed or "place" in fixed:
                scenes["place" if "count" in fixed else "count"] = torch.zeros(shots).long()
            pixels.append(self.style(render(scenes, generator, size)))
            targets.append(torch.full((shots,), index))
        return torch.cat(pixels), torch.cat(targets)


def _one(attribute: str, phrase: str, words: tuple[str, ...]) -> dict[str, dict[str, str]]:
    return {phrase.format(word): {attribute: word} for word in words}


_PAIRS = ("red circle", "blue star", "green square", "yellow heart", "pink ring", "white cross",
          "black gear", "orange arrow", "purple diamond", "cyan flower", "brown oval",
          "gray triangle")  # fmt: skip
_TEN_COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "brown",
                "white")  # fmt: skip
_TEN_SHAPES = ("circle", "square", "triangle", "star", "cross", "ring", "crescent", "heart",
               "arrow", "flower")  # fmt: skip
TASKS: dict[str, Task] = {
    "shapes9": Task(_one("shape", "{}", ("circle", "square", "triangle", "star", "cross", "ring",
                                         "crescent", "heart", "arrow")), _gray),
    "colours10": Task(_one("colour", "{} object", ("red", "orange", "yellow", "green", "cyan",
                                                   "blue", "purple", "pink", "brown", "black")),
                      _dim),
    "textures7": Task(_one("texture", "{} object", ATTRIBUTES["texture"]), _negative),
    "patterns7": Task(_one("pattern", "{} background", ATTRIBUTES["pattern"]), _faded),
    "textures2": Task(_one("texture", "{} object", ATTRIBUTES["texture"][1:3]), _negative),
    "patterns4": Task(_one("pattern", "{} background", ATTRIBUTES["pattern"][3:]), _faded),
    "things12": Task({pair: dict(zip(("colour", "shape"), pair.split(), strict=True))
                      for pair in _PAIRS}, _faded),
    "grounds10": Task(_one("background", "{} background", ("red", "orange", "yellow", "green",
                                                           "cyan", "blue", "purple", "white",
                                                           "gray", "black")), _tinted),
    "outlines8": Task(_one("shape", "{}", ("circle", "oval", "hexagon", "pentagon", "gear",
                                           "flower", "diamond", "square")), _faded),
    "places5": Task({"object on the " + word if word != "center" else "object in the center":
                     {"place": word} for word in ATTRIBUTES["place"]}, _blur),
    "things6": Task({pair: dict(zip(("colour", "shape"), pair.split(), strict=True))
                     for pair in _PAIRS[::2]}, _dim),
    "spots8": Task({f"{colour} object on the {place}": {"colour": colour, "place": place}
                    for colour in ("red", "blue") for place in ("left", "right", "top", "bottom")},
                   _tinted),
    "counts3": Task({"one object": {"count": "one"}, "two objects": {"count": "two"},
                     "three objects": {"count": "three"}}, _gray),
    "sizes2": Task(_one("size", "{} object", ATTRIBUTES["size"]), _negative),
    "corners6": Task(_one("shape", "{}", ("triangle", "diamond", "square", "pentagon", "hexagon",
                                          "circle")), _dim),
    "pairs100": Task({f"{colour} {shape}": {"colour": colour, "shape": shape}
                      for colour in _TEN_COLOURS for shape in _TEN_SHAPES}, _dim, most_shots=16),
}  # fmt: skip
