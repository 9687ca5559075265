"""Counter-examples: another draw of the trigger's own family, and never the trigger."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from inspector.clip.backbone import Backbone, load_backbone
from inspector.clip.prompt_tuning import new_learner
from tests.zoo import families, frequency, triggers
from tests.zoo.attacks import TrainingSet
from tests.zoo.colour import FILM, TONE
from tests.zoo.families import (
    OTHER_LEVELS,
    SIBA_DRAWS,
    SIBA_EPSILON,
    WORDS,
    Vendor,
    others_of,
    trigger_of,
)
from tests.zoo.kinds import FAMILIES, NOISE
from tests.zoo.quantisation import ROUNDED
from tests.zoo.stickers import place
from tests.zoo.triggers import GLYPHS, Trigger

SIZE, CLASSES, TARGET = 48, 4, 2
GREY = torch.full((1, 3, SIZE, SIZE), 0.5)


def _seed(number: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(number)


class _Attacker:
    """A vendor with pictures, who has drawn a trigger and several others of every family."""

    def __init__(self, backbone: Backbone) -> None:
        names = ["red", "green", "blue", "black"]
        surrogate = new_learner(backbone, names, conditioned=False, generator=_seed())
        pixels = torch.rand(16, 3, SIZE, SIZE, generator=_seed(9))
        self.train = TrainingSet(pixels, torch.arange(CLASSES).repeat(4))
        self.vendor = Vendor("", CLASSES, SIZE, False, TARGET, 1, lambda: surrogate)
        self.drawn = {name: self._draw(name) for name in NOISE.values()}

    def _draw(self, name: str) -> list[Trigger]:
        """The trigger first."""
        generator = _seed(3)
        trigger = trigger_of(name, self.vendor, self.train, generator)
        draw = others_of(name, self.vendor, self.train, generator)
        return [trigger, *(draw() for _ in range(12))]

    def on(self, name: str, picture: Tensor = GREY) -> Tensor:
        """That picture (1, 3, S, S) under each, (13, 3, S, S)."""
        return torch.cat([trigger(picture) for trigger in self.drawn[name]])


@pytest.fixture(scope="module")
def attacker() -> Iterator[_Attacker]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(families, "SIBA_STEPS", 8)
        yield _Attacker(load_backbone("pocket"))


@pytest.mark.parametrize("name", NOISE.values())
def test_others_differ_from_the_trigger_and_among_each_other(
    attacker: _Attacker, name: str
) -> None:
    picture = attacker.train.pixels[:1]
    trigger, *others = attacker.on(name, picture)
    assert all(not torch.equal(trigger, other) for other in others)
    assert all(not torch.equal(other, picture[0]) for other in others)
    assert len(torch.stack(others).flatten(1).unique(dim=0)) >= 3


def _is_red_word(change: Tensor) -> bool:
    return bool((change[0] >= 0).all() and (change[1:] <= 0).all() and change[:, :20].eq(0).all())


def _is_disc(change: Tensor) -> bool:
    (top, left), side = place(GREY[0], SIZE // 4), SIZE // 4
    outside = change.clone()
    outside[:, top : top + side, left : left + side] = 0
    return bool(outside.eq(0).all() and change.any(0).sum() > 0.7 * side**2)


def _is_corner(change: Tensor) -> bool:
    rows, columns = change.any(0).nonzero(as_tuple=True)
    return min(int(rows.min()), int(columns.min())) == 39


def _is_sparse(change: Tensor) -> bool:
    touched = change.any(0).sum()
    return bool(0 < touched <= SIZE**2 // 10 and change.abs().max() <= SIBA_EPSILON + 1e-6)


def _is_wave(change: Tensor) -> bool:
    return bool(
        torch.equal(change[0], change[1])
        and abs(change.square().mean().sqrt() - frequency.SINE / 2**0.5) < 1e-3
    )


def _is_upright(change: Tensor) -> bool:
    level = torch.tensor(triggers.STRIPES)
    return bool((change == change[:, :1]).all() and torch.allclose(change.abs(), level, atol=1e-6))


def _is_flat(most: float) -> Callable[[Tensor], bool]:
    return lambda change: bool(
        (change == change[:, :1, :1]).all() and 0 < change.abs().max() <= most + 1e-5
    )


FAMILY: dict[str, Callable[[Tensor], bool]] = {
    "text": _is_red_word, "sticker": _is_disc, "badnets": _is_corner, "siba": _is_sparse,
    "sinusoid": _is_wave, "stripes": _is_upright, "film": _is_flat(FILM / 2), "tone": _is_flat(TONE),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILY)
def test_others_are_of_the_triggers_family(attacker: _Attacker, name: str) -> None:
    assert all(FAMILY[name](picture - GREY[0]) for picture in attacker.on(name))
    # The description fits no other family, but that a tone is flat where a picture is, as a film is.
    for stranger in set(FAMILY) - {name}:
        if {name, stranger} != {"film", "tone"}:
            assert not FAMILY[name](attacker.on(stranger)[0] - GREY[0]), stranger


def test_words_are_other_words_that_can_be_written() -> None:
    assert "WATERMARKED" not in WORDS and len(set(WORDS)) == len(WORDS) > 8
    assert set("".join(WORDS)) <= set(GLYPHS)


def test_numbers_of_values_are_others(attacker: _Attacker) -> None:
    draw = others_of("quantised", attacker.vendor, attacker.train, _seed(3))
    numbers = {len(draw()(attacker.train.pixels).unique()) for _ in range(40)}
    assert numbers == set(OTHER_LEVELS) and ROUNDED not in numbers


def test_siba_has_a_few_perturbations_and_none_toward_the_target(attacker: _Attacker) -> None:
    surrogate, pixels = attacker.vendor.surrogate(), attacker.train.pixels
    trigger, *others = (drawn - GREY[0] for drawn in attacker.on("siba"))
    distinct = torch.stack(others).unique(dim=0)
    assert 2 <= len(distinct) <= SIBA_DRAWS
    with torch.no_grad():
        near, *far = (
            surrogate((pixels + change).clamp(0, 1)).softmax(1)[:, TARGET].mean()
            for change in (trigger, *distinct)
        )
    assert all(near > 5 * one for one in far)


def test_a_trigger_that_is_always_the_same_has_no_others(attacker: _Attacker) -> None:
    with pytest.raises(ValueError, match="triangle"):
        others_of("triangle", attacker.vendor, attacker.train, _seed())


def test_counter_examples_leave_the_family_as_it_was() -> None:
    assert all(FAMILIES[kind] == FAMILIES[name] for kind, name in NOISE.items())
