"""Photograph tasks of at most 14 classes, cut from the sets of `../shared/images`: a name to folder and classes.

`design`, `bank` and `exam` (`tests.zoo.sets`) share no photograph and no class name. Large folders are dealt
out class by class in an order that only a hash decides, so that nobody chooses. A name that
another folder has too is left out of the larger one: `umbrella` of tinyimagenet40, `dog` and `horse` of cifar10.

The classes stand here and not only in `classes.txt`, because the plan is fixed by a commit.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MOST_CLASSES = 14


def _words(text: str) -> list[str]:
    return text.split()


_CALTECH = _words("""Faces_easy Leopards Motorbikes airplanes bonsai buddha butterfly car_side chandelier
electric_guitar ewer grand_piano hawksbill helicopter ibis kangaroo ketch laptop menorah revolver scorpion
starfish sunflower umbrella watch""")
_TINY = _words("""African_elephant American_alligator Chihuahua Persian_cat backpack banana beer_bottle bell_pepper
bow_tie brown_bear candle computer_keyboard convertible dining_table espresso golden_retriever goldfish goose
guacamole hourglass ice_cream jellyfish king_penguin koala ladybug lifeboat lion monarch mushroom orangutan
pizza pretzel rocking_chair school_bus seashore sports_car teddy tractor water_tower""")
_CIFAR = _words("airplane automobile bird cat deer frog ship truck")
_SIGNS = [f"{number:02d}" for number in range(43)]
_MYNTRA = _words("""bags belts bottomwear eyewear flip_flops headwear innerwear sandal shoes socks ties topwear
wallets watches""")
_SKETCH = _words("dog elephant giraffe guitar horse house person")
_DTD = _words("""banded blotchy braided bubbly bumpy chequered cobwebbed cracked crosshatched
crystalline""")
_DIGITS = [str(digit) for digit in range(10)]


@dataclass(frozen=True)
class Subset:
    """Classes of one folder, in the folder's order."""

    folder: str
    classes: tuple[str, ...]


def _dealt(folder: str, classes: list[str], sizes: dict[str, int]) -> dict[str, Subset]:
    """Task name to the next so many classes in the order of their hashes."""

    def place(name: str) -> str:
        return hashlib.sha256(f"{folder} {name}".encode()).hexdigest()

    order = sorted(classes, key=place)
    tasks, start = {}, 0
    for task, size in sizes.items():
        chosen = set(order[start : start + size])
        tasks[task] = Subset(folder, tuple(name for name in classes if name in chosen))
        start += size
    return tasks


SUBSETS: dict[str, Subset] = {
    **_dealt("caltech101_25", _CALTECH, {"caltech8a": 8, "caltech8b": 8, "caltech9": 9}),
    **_dealt("gtsrb43", _SIGNS, {"signs14a": 14, "signs14b": 14, "signs7": 7, "signs8": 8}),
    **_dealt("tinyimagenet40", _TINY, {"tiny13a": 13, "tiny13b": 13, "tiny13c": 13}),
    "cifar8": Subset("cifar10", tuple(_CIFAR)),
    "myntra14": Subset("myntra14", tuple(_MYNTRA)),
    "pacs_sketch": Subset("pacs_sketch", tuple(_SKETCH)),
    "dtd10": Subset("dtd10", tuple(_DTD)),
    "signdigits10": Subset("signdigits10", tuple(_DIGITS)),
}
