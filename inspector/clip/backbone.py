"""Frozen CLIP backbones, by name and sha256.

A backbone is the trusted half of a classifier: it comes from the buyer, never from the vendor's
file. Accepted: a registered id (`pocket`), a folder of open_clip's or Hugging Face's, a file in
OpenAI's layout (safetensors, a state_dict, OpenAI's own TorchScript), and what people call the
models on the hub; each may be pinned by a trailing `@sha256:HEX`. Where they lie is the registry's
business, how their weights become a model `building`'s. Deliberately does not know prompts. Weights
are held in fp32 whatever they were stored in.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.pretrained import download_pretrained_from_hf
from torch import Tensor, nn
from torch.nn import functional

from inspector import threads
from inspector.clip.building import Built, build
from inspector.clip.registry import CONFIG, HUGGING_FACE_CONFIG, Location, locate
from inspector.clip.text import TextTower
from inspector.clip.weightfiles import in_safetensors, sha256_of_weights
from inspector.errors import BackboneError, TransientError
from inspector.manifest import Triple, spoken


@dataclass(frozen=True)
class Backbone:
    """A frozen dual encoder in fp32.

    `mean` and `std` normalise pixels in [0,1]; `sha256` is that of the weight file; `tokenizer`
    maps prompts to ids (N, context length), zero behind the end of text.
    """

    id: str
    sha256: str
    model: Any
    tokenizer: Callable[..., Tensor]
    image_size: int
    mean: Triple
    std: Triple

    @property
    def reference(self) -> Backbone:
        """The trusted encoders behind this one, which has nothing of a vendor in it."""
        return self

    @property
    def text(self) -> TextTower:
        """The text encoder, for token embeddings."""
        return TextTower(self.model)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.logit_scale.device  # type: ignore[no-any-return]

    @property
    def logit_scale(self) -> float:
        """The factor of cosines, exp of the stored logarithm."""
        return float(self.model.logit_scale.detach().exp())

    @property
    def embed_dim(self) -> int:
        """Size of the joint space."""
        return self.text.out_features

    def image_features(self, pixels: Tensor) -> Tensor:
        """L2-normalised features (B, D) of pixels in [0,1], (B, 3, image_size, image_size)."""
        return functional.normalize(self.raw_image_features(pixels), dim=-1)

    def raw_image_features(self, pixels: Tensor) -> Tensor:
        """The same (B, D) of pixels in [0,1] before they are normalised."""
        mean = torch.tensor(self.mean, device=pixels.device)[:, None, None]
        std = torch.tensor(self.std, device=pixels.device)[:, None, None]
        return self.model.encode_image((pixels - mean) / std)  # type: ignore[no-any-return]

    def tokenise(self, prompts: list[str], length: int) -> Tensor:
        """Token ids (N, length), on the CPU; longer prompts are cut and end in end of text."""
        return self.tokenizer(prompts, length)

    def count_tokens(self, words: str) -> int:
        """Tokens of some words, without start and end of text."""
        return int(self.tokenise([words], 4096).argmax(1)) - 1

    def zero_shot(self, classnames: list[str], template: str = "a photo of a {}.") -> Tensor:
        """Zero-shot text features (K, D) for one template."""
        prompts = [template.replace("{}", spoken(name)) for name in classnames]
        tokens = self.tokenizer(prompts).to(self.device)
        with torch.no_grad():
            return self.text.encode(self.text.embed(tokens), tokens.argmax(1))


def load_backbone(
    spec: str, device: str | torch.device = "cpu", *, at: str | None = None
) -> Backbone:
    """Resolve a backbone and freeze it in fp32 evaluation mode; threads are set to its size.

    Args:
        at: what ``spec`` stands for on this machine, where a caller of a service asks by that
            name. Then neither the backbone nor an error says where anything lies.

    Raises:
        BackboneError: nothing by that name, a pinned sha256 that differs, a layout or a kind of
            text tower that we cannot read.
        TransientError: its file could not be read for lack of memory, disk or time.
    """
    location = locate(spec, at)
    if location.layout == "hub":
        location = _fetched(location)
    sha256 = sha256_of_weights(location)
    with in_safetensors(location) as files:
        built = _built(location, files)
        model = built.model.float().eval().requires_grad_(False).to(device)
    _channels_last(model.visual)
    threads.fit_to(sum(weight.numel() for weight in model.visual.parameters()))
    try:
        TextTower(model)
    except ValueError as problem:
        raise BackboneError(location.name, f"not supported: {problem}") from problem
    if not isinstance(built.tokenizer, open_clip.SimpleTokenizer):
        raise BackboneError(location.name, "not supported: its tokenizer is not CLIP's own")
    size = model.visual.image_size
    return Backbone(
        id=location.name,
        sha256=sha256,
        model=model,
        tokenizer=built.tokenizer,
        image_size=int(size[0] if isinstance(size, tuple | list) else size),
        mean=built.mean,
        std=built.std,
    )


def _built(location: Location, files: tuple[Path, ...]) -> Built:
    try:
        return build(location, files)
    except (BackboneError, TransientError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as problem:  # open_clip, safetensors and torch raise many kinds
        raise location.unusable("no model can be built of it", problem) from problem


def _channels_last(visual: nn.Module) -> None:
    """Lay out a convolutional tower's weights as its kernels read them; values stay what they are.

    A batch of 64 then takes 0.57 of the time, with gradients 0.7 (MobileNetV2, 128 px, CPU;
    experiment 41). A transformer's one convolution cuts patches, and gains nothing.
    """
    if sum(isinstance(module, nn.Conv2d) for module in visual.modules()) > 1:
        visual.to(memory_format=torch.channels_last)


def _fetched(location: Location) -> Location:
    """The same with the files that open_clip downloads, or has downloaded before."""
    repository = location.hub.removeprefix("hf-hub:")
    try:
        if repository != location.hub:
            return _from_repository(location, repository)
        name, _, tag = location.hub.partition("/")
        described = open_clip.get_pretrained_cfg(name, tag)
        weights = Path(open_clip.download_pretrained(described, prefer_hf_hub=True))
    except Exception as problem:  # network, hub and disk errors of three libraries
        raise location.unusable("its weights could not be fetched", problem) from problem
    return replace(location, weights=(weights,))


def _from_repository(location: Location, repository: str) -> Location:
    """open_clip's files in a repository, else a CLIPModel's."""

    def first(*names: str | None) -> Path:
        for name in names[:-1]:
            with suppress(FileNotFoundError):
                return Path(download_pretrained_from_hf(repository, name))
        return Path(download_pretrained_from_hf(repository, names[-1]))

    config = first(CONFIG, HUGGING_FACE_CONFIG)
    if config.name == CONFIG:
        return replace(location, layout="open_clip", config=config, weights=(first(None),))
    weights = first("model.safetensors", "pytorch_model.bin")
    return replace(location, layout="hugging-face", config=config, weights=(weights,))
