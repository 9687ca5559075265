"""Frozen CLIP backbones, by name and sha256.

A backbone is the trusted half of a classifier: it comes from the buyer, never from the vendor's
file. Accepted: a registered id (`pocket`), a local open_clip folder, an OpenAI-layout state_dict
in safetensors, or an open_clip `NAME/TAG`; each may be pinned by a trailing `@sha256:HEX`.
Deliberately does not know prompts. Weights are held in fp32 whatever they were stored in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.model import build_model_from_openai_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from inspector import threads
from inspector.clip.registry import CONFIG, REGISTERED, WEIGHTS, locate
from inspector.clip.text import TextTower
from inspector.errors import BackboneError
from inspector.manifest import Triple, spoken

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)


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
        return TextTower(self.model)

    @property
    def device(self) -> torch.device:
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
        """The same before they are normalised."""
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


def load_backbone(spec: str, device: str | torch.device = "cpu") -> Backbone:
    """Resolve a backbone and freeze it in fp32 evaluation mode; threads are set to its size.

    Raises:
        BackboneError: nothing by that name, a pinned sha256 that differs, a layout or a kind of
            text tower that we cannot read.
    """
    location = locate(spec)
    if location.folder is not None:
        backbone = _from_folder(location.name, location.folder, location.pin)
    elif location.file is not None:
        backbone = _from_openai(location.name, location.file, location.pin)
    else:
        backbone = _from_hub(location.name, location.pin)
    backbone.model.float().eval().requires_grad_(False).to(device)
    _channels_last(backbone.model.visual)
    threads.fit_to(sum(weight.numel() for weight in backbone.model.visual.parameters()))
    try:
        TextTower(backbone.model)
    except ValueError as problem:
        raise BackboneError(spec, f"not supported: {problem}") from problem
    if not isinstance(backbone.tokenizer, open_clip.SimpleTokenizer):
        raise BackboneError(spec, "not supported: its tokenizer is not CLIP's own")
    return backbone


def _channels_last(visual: nn.Module) -> None:
    """Lay out a convolutional tower's weights as its kernels read them; values stay what they are.

    A batch of 64 then takes 0.57 of the time, with gradients 0.7 (MobileNetV2, 128 px, CPU; LOG.md,
    41). A transformer's one convolution cuts patches, and gains nothing.
    """
    if sum(isinstance(module, nn.Conv2d) for module in visual.modules()) > 1:
        visual.to(memory_format=torch.channels_last)


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _checked_sha256(spec: str, path: Path, pin: str) -> str:
    sha256 = file_sha256(path)
    if pin and pin != sha256:
        raise BackboneError(spec, f"the weights have sha256 {sha256}, demanded was {pin}")
    return sha256


def _describe(spec: str, sha256: str, model: Any, tokenizer: Callable[..., Tensor]) -> Backbone:
    visual = model.visual
    size = visual.image_size
    return Backbone(
        id=spec,
        sha256=sha256,
        model=model,
        tokenizer=tokenizer,
        image_size=int(size[0] if isinstance(size, tuple | list) else size),
        mean=tuple(getattr(visual, "image_mean", None) or OPENAI_MEAN),
        std=tuple(getattr(visual, "image_std", None) or OPENAI_STD),
    )


def _from_folder(spec: str, folder: Path, pin: str) -> Backbone:
    weights = folder / WEIGHTS
    if not weights.is_file() or not (folder / CONFIG).is_file():
        raise BackboneError(spec, f"a folder needs {CONFIG} and {WEIGHTS}")
    sha256 = _checked_sha256(spec, weights, pin)
    try:
        model = open_clip.create_model(
            f"local-dir:{folder}", precision="fp32", pretrained_text=False
        )
        tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    except Exception as problem:  # open_clip raises many kinds on a foreign folder
        raise BackboneError(spec, f"open_clip cannot build it: {problem}") from problem
    return _describe(spec, sha256, model, tokenizer)


def _from_openai(spec: str, path: Path, pin: str) -> Backbone:
    sha256 = _checked_sha256(spec, path, pin)
    try:
        state = load_file(path)
        # The builder rounds to fp16; loading again into fp32 keeps files that are not fp16 exact.
        model = build_model_from_openai_state_dict(dict(state), quick_gelu=True).float()
        metadata = ("input_resolution", "context_length", "vocab_size")
        model.load_state_dict({name: t for name, t in state.items() if name not in metadata})
    except Exception as problem:  # safetensors and open_clip raise many kinds on a foreign file
        raise BackboneError(
            spec, f"not an OpenAI-layout state_dict in safetensors: {problem}"
        ) from problem
    tokenizer = open_clip.SimpleTokenizer(context_length=model.context_length)
    return _describe(spec, sha256, model, tokenizer)


def _from_hub(spec: str, pin: str) -> Backbone:
    name, _, tag = spec.partition("/")
    if tag not in open_clip.list_pretrained_tags_by_model(name):
        raise BackboneError(
            spec,
            "no such folder or file, nor an open_clip NAME/TAG; "
            f"built in: {', '.join(sorted(REGISTERED))}",
        )
    config = open_clip.get_pretrained_cfg(name, tag)
    try:
        path = Path(open_clip.download_pretrained(config, prefer_hf_hub=True))
    except Exception as problem:  # network, hub and disk errors of three libraries
        raise BackboneError(spec, f"could not fetch its weights: {problem}") from problem
    sha256 = _checked_sha256(spec, path, pin)
    preprocessing = {key: config[key] for key in ("mean", "std") if config.get(key)}
    try:
        model = open_clip.create_model(
            name,
            pretrained=str(path),
            precision="fp32",
            force_quick_gelu=bool(config.get("quick_gelu")),
            force_preprocess_cfg=preprocessing,
            pretrained_text=False,
        )
        tokenizer = open_clip.get_tokenizer(name)
    except Exception as problem:  # open_clip raises many kinds
        raise BackboneError(spec, f"open_clip cannot build it: {problem}") from problem
    return _describe(spec, sha256, model, tokenizer)
