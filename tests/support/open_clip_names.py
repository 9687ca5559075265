"""What open_clip can download, as `inspector/names/open_clip.json` keeps it.

`python -m tests.support.open_clip_names` writes that file again after an update of open_clip.
"""

from __future__ import annotations

import json
from pathlib import Path

from open_clip.pretrained import get_pretrained_cfg, list_pretrained

PATH = Path(__file__).parents[2] / "inspector" / "names" / "open_clip.json"


def names() -> dict[str, dict[str, str]]:
    """By architecture and tag, the repository of the weights on the hub, or ""."""
    found: dict[str, dict[str, str]] = {}
    for name, tag in list_pretrained():
        file = get_pretrained_cfg(name, tag).get("hf_hub", "")
        found.setdefault(name, {})[tag] = "/".join(file.split("/")[:2])
    return found


if __name__ == "__main__":
    rows = (f" {json.dumps(name)}: {json.dumps(tags)}" for name, tags in names().items())
    PATH.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
