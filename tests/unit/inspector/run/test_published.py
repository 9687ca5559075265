"""Whose weights these are: by digest, and nothing said of a file that nobody publishes a digest of."""

from __future__ import annotations

from inspector.clip.backbone import load_backbone
from inspector.run.published import PUBLISHED, is_genuine


def test_a_published_file_is_known_and_another_one_is_not_called_false() -> None:
    assert is_genuine(load_backbone("pocket").sha256) is True
    assert is_genuine("0" * 64) is None
    assert all(len(digest) == 64 and int(digest, 16) for digest in PUBLISHED)
