"""Weights of backbones whose digests their makers publish.

OpenAI's stand in the addresses of the files in `clip/clip.py` of its repository; pocket comes with
clipvet. Other files may be genuine, too: nobody tells us which digest they should have.
"""

from __future__ import annotations

from typing import Literal

from inspector.profiles import POCKET

PUBLISHED = {
    "afeb0e10f9e5a86da6080e35cf09123aca3b358a0c3e3b6c78a7b63bc04b6762": "RN50/openai",
    "8fa8567bab74a42d41c5915025a8e4538c3bdbe8804a470a72f30b0d94fab599": "RN101/openai",
    "7e526bd135e493cef0776de27d5f42653e6b4c8bf9e0f653bb11773263205fdd": "RN50x4/openai",
    "52378b407f34354e150460fe41077663dd5b39c54cd0bfd2b27167a4a06ec9aa": "RN50x16/openai",
    "be1cfb55d75a9666199fb2206c106743da0f6468c9d327f3e0d0a543a9919d9c": "RN50x64/openai",
    "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af": "ViT-B-32/openai",
    "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f": "ViT-B-16/openai",
    "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836": "ViT-L-14/openai",
    "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02": "ViT-L-14-336/openai",
    POCKET: "pocket",
}
"""By sha256 of the weight file, what its maker calls it."""


def is_genuine(sha256: str) -> Literal[True] | None:
    """True for a published file; None for any other, of which it is not known."""
    return True if sha256 in PUBLISHED else None
