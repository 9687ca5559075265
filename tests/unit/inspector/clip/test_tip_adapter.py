"""Tip-Adapter's cache beside fixed prompts, without training and with tuned keys."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inspector.clip.backbone import Backbone
from inspector.errors import AssemblyError, BackboneMismatch, ClassListMismatch
from tests.support.assembling import assembled, assert_columns, ids, pixels_of
from tests.support.vendors import (
    cache_logits,
    encode_image,
    ensemble,
    normalised_pixels,
    random,
)

NAMES = ["traffic_light", "tall ship", "owl", "crow"]
SHOTS = 3
WORDS = ("a photo of a {}.", "itap of a {}.", "art of the {}.")
FACTORS = {"alpha": 4.5, "beta": 1.29}
Files = dict[str, Tensor]


def files_of(backbone: Backbone, *, is_tuned: bool) -> Files:
    """The files of one folder: keys as a transposed view, labels in half precision."""
    keys = functional.normalize(random(SHOTS * len(NAMES), backbone.embed_dim, seed=1), dim=-1)
    labels = torch.arange(len(NAMES)).repeat(SHOTS)
    files = {
        f"keys_{SHOTS}shots": keys.permute(1, 0),
        f"values_{SHOTS}shots": functional.one_hot(labels).half(),
    }
    if is_tuned:
        moved = keys + random(*keys.shape, seed=2, scale=0.2)
        files[f"best_F_{SHOTS}shots"] = torch.nn.Parameter(moved)
    return files


def saved(folder: Path, files: Files) -> Path:
    (folder / "caches").mkdir(parents=True, exist_ok=True)
    for name, tensor in files.items():
        torch.save(tensor, folder / "caches" / f"{name}.pt")
    return folder


def expected(
    backbone: Backbone, files: Files, images: Tensor, templates: tuple[str, ...]
) -> Tensor:
    with torch.no_grad():
        inputs = normalised_pixels(images, backbone.mean, backbone.std)
        features = functional.normalize(encode_image(backbone.model, inputs), dim=-1)
        text = ensemble(backbone.model, NAMES, templates)
        keys = files.get(f"best_F_{SHOTS}shots", files[f"keys_{SHOTS}shots"])
        added = cache_logits(features, keys, files[f"values_{SHOTS}shots"], **FACTORS)
        return 100.0 * features @ text.T + added


@pytest.mark.parametrize("is_tuned", [False, True])
@pytest.mark.parametrize("templates", [WORDS[:1], WORDS], ids=["one template", "three templates"])
def test_logits(tmp_path: Path, vit: Backbone, is_tuned: bool, templates: tuple[str, ...]) -> None:
    files = files_of(vit, is_tuned=is_tuned)
    folder = saved(tmp_path / "tip", files)
    words: dict[str, object] = (
        {"templates": list(templates)} if len(templates) > 1 else {"template": templates[0]}
    )
    assembly = assembled(
        folder, tmp_path / "out", vit, classnames=NAMES, method="Tip-Adapter", **FACTORS, **words
    )
    assert (assembly.family, assembly.findings) == ("Tip-Adapter", ())
    images = pixels_of(vit)
    with torch.no_grad():
        difference = assembly.classifier(images) - expected(vit, files, images, templates)
    assert difference.abs().max() <= 1e-4
    assert_columns(assembly.classifier, images)


def test_cache_keys_and_templates_matter(vit: Backbone) -> None:
    images = pixels_of(vit)
    plain, tuned = (files_of(vit, is_tuned=is_tuned) for is_tuned in (False, True))
    logits = expected(vit, plain, images, WORDS)
    assert (logits - expected(vit, tuned, images, WORDS)).abs().max() > 1e-2
    assert (logits - expected(vit, plain, images, WORDS[:1])).abs().max() > 1e-2


def test_factors_of_the_config_s_sections(tmp_path: Path, vit: Backbone) -> None:
    files = files_of(vit, is_tuned=True)
    folder = saved(tmp_path / "tip", files)
    config = {"tip_adapter": {"alpha": 1.0, "beta": 9.0}, "tip_adapter_F": FACTORS}
    stated = {"classnames": NAMES, "config": config, "template": WORDS[0]}
    images = pixels_of(vit)
    with torch.no_grad():
        logits = assembled(folder, tmp_path / "out", vit, **stated).classifier(images)
    assert (logits - expected(vit, files, images, WORDS[:1])).abs().max() <= 1e-4


@pytest.mark.parametrize("missing", ["alpha", "beta"])
def test_alpha_and_beta_must_be_stated(tmp_path: Path, vit: Backbone, missing: str) -> None:
    folder = saved(tmp_path / "tip", files_of(vit, is_tuned=False))
    stated = {name: value for name, value in FACTORS.items() if name != missing}
    with pytest.raises(AssemblyError, match="alpha and beta of the cache; the manifest must"):
        assembled(folder, tmp_path / "out", vit, classnames=NAMES, **stated)


def test_what_does_not_fit(tmp_path: Path, vit: Backbone) -> None:
    files = files_of(vit, is_tuned=False)
    keys, values = files[f"keys_{SHOTS}shots"], files[f"values_{SHOTS}shots"]

    def build(changed: Files, **manifest: object) -> list[str]:
        folder = saved(tmp_path / "tip", files | changed)
        stated = {"classnames": NAMES, **FACTORS} | manifest
        return ids(assembled(folder, tmp_path / "out", vit, **stated))

    with pytest.raises(ClassListMismatch):
        build({}, classnames=NAMES[:3])
    with pytest.raises(BackboneMismatch, match="features of size 47"):
        build({f"keys_{SHOTS}shots": keys[:47]})
    with pytest.raises(AssemblyError, match="the cache holds NaN or infinity"):
        build({f"keys_{SHOTS}shots": keys / 0})
    with pytest.raises(AssemblyError) as caught:
        build({}, classnames=None)
    assert caught.value.finding_id == "class-list-missing"
    odd = values.clone()
    odd[2] = 0.25
    assert build({f"values_{SHOTS}shots": odd}) == ["cache-labels-altered"]
