"""Own pictures for the golden inspections: coloured figures on coloured ground, drawn in whole numbers.

Pillow draws them without a float, so that every machine has the same bytes.
"""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 48
"""What `pocket` takes, so that nothing is scaled."""
NUMBER = 128
"""The fewest that are accepted: 64 to search on and 64 to judge with."""


def draw(folder: Path) -> Path:
    """One PNG a picture."""
    folder.mkdir(parents=True)
    numbers = random.Random(27)
    for index in range(NUMBER):
        ground, ink = (tuple(numbers.randrange(256) for _ in range(3)) for _ in range(2))
        image = Image.new("RGB", (SIZE, SIZE), ground)
        left, top, side = numbers.randrange(20), numbers.randrange(20), numbers.randrange(12, 28)
        box = (left, top, left + side, top + side)
        pen = ImageDraw.Draw(image)
        if index % 3 == 0:
            pen.ellipse(box, fill=ink)
        elif index % 3 == 1:
            pen.rectangle(box, fill=ink)
        else:
            pen.ellipse(box, outline=ink, width=5)
        image.save(folder / f"{index:03d}.png")
    return folder
