"""A file of every method that learns prompts alone, for one backbone: random prompts of natural size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from inspector.clip.backbone import Backbone
from tests.support.prompts import Recipe, tune

State = dict[str, Tensor]
_LEARNER = "prompt_learner."
VECTORS = 3
"""Behind the patches of a picture."""
TEXT_BLOCK = 1
"""Before which TCP's vectors stand here; the tower of `pocket` has no eighth."""


def encoders(backbone: Backbone, text: str = "text_encoder.") -> State:
    """The backbone's weights under the names of whole-model files."""
    state = {}
    for name, tensor in backbone.model.state_dict().items():
        if name.startswith("visual."):
            state[name.replace("visual.", "image_encoder.", 1)] = tensor.clone()
        elif name.startswith(("transformer.", "positional", "ln_final.", "text_projection")):
            state[f"{text}{name}"] = tensor.clone()
    return state | {"logit_scale": backbone.model.logit_scale.detach().clone()}


class _Files:
    """What each method saves; `draw` gives the same numbers in the same order."""

    def __init__(self, backbone: Backbone, names: Sequence[str]) -> None:
        self._backbone, self._names = backbone, tuple(names)
        self._generator = torch.Generator().manual_seed(11)
        self._width, self._embed = backbone.text.width, backbone.embed_dim

    def draw(self, *shape: int, size: float = 0.05) -> Tensor:
        return torch.randn(*shape, generator=self._generator) * size

    @property
    def _visual(self) -> int:
        return len(self._backbone.model.visual.class_embedding)

    def coop(self, *, conditioned: bool = False, class_specific: bool = False) -> State:
        recipe = Recipe(self._names, 4, conditioned=conditioned, class_specific=class_specific)
        return tune(self._backbone.model, recipe).state

    def cocoop(self) -> State:
        return self.coop(conditioned=True)

    def specific(self) -> State:
        return self.coop(class_specific=True)

    def kgcoop(self) -> State:
        size = self._embed
        return self.coop() | {
            "bias_vectors": self.draw(1, size), "meta_net.linear1.weight": self.draw(size, size),
            "meta_net.linear1.bias": self.draw(size),
        }  # fmt: skip

    def tcp(self) -> State:
        return self.cocoop() | {
            "meta_net.linear2.weight": self.draw(4 * self._width, self._embed // 16),
            "meta_net.linear2.bias": self.draw(4 * self._width),
        }

    def plot(self) -> State:
        state = self.coop()
        tokens = {name: state[name].repeat(3, 1, 1) for name in ("token_prefix", "token_suffix")}
        return tokens | {"ctx": self.draw(3, 4, self._width)}

    def _whole(self, learner: State, text: str = "text_encoder.") -> State:
        own = {f"{_LEARNER}{name}": tensor for name, tensor in learner.items()}
        return encoders(self._backbone, text) | own

    def _inside(self) -> State:
        block = "_encoder.transformer.resblocks.1.VPT_shallow"
        return {
            "image_encoder.VPT": self.draw(VECTORS, self._visual),
            f"image{block}": self.draw(VECTORS, self._visual),
        }

    def vpt(self) -> State:
        return encoders(self._backbone) | self._inside()

    def ivlp(self) -> State:
        text = "text_encoder.transformer.resblocks.1.VPT_shallow"
        return self._whole(self.coop()) | self._inside() | {text: self.draw(4, self._width)}

    def promptsrc(self) -> State:
        frozen = {
            name.replace("image_encoder.", f"{_LEARNER}ZS_image_encoder.", 1): tensor.clone()
            for name, tensor in encoders(self._backbone).items()
            if name.startswith("image_encoder.")
        }
        return self.ivlp() | frozen

    def maple(self) -> State:
        visual, width = self._visual, self._width
        learner = self.coop() | {"compound_prompts_text.0": self.draw(4, width)}
        for name in ("proj", "compound_prompt_projections.0"):
            learner[f"{name}.weight"] = self.draw(visual, width)
            learner[f"{name}.bias"] = self.draw(visual)
        return self._whole(learner)

    def coprompt(self) -> State:
        hidden = 8
        return self.maple() | {
            f"adapter_{side}.fc.{layer}.weight": self.draw(*shape)
            for side in ("image", "text")
            for layer, shape in ((0, (hidden, self._embed)), (2, (self._embed, hidden)))
        }

    def lasp(self) -> State:
        learner = self.coop() | {"w": self.draw(1, self._embed)}
        return self._whole(learner, "text_encoder.module.")


MAKERS: dict[str, Callable[[_Files], State]] = {
    "CoOp": _Files.coop, "CoOp with a context a class": _Files.specific, "CoCoOp": _Files.cocoop,
    "KgCoOp": _Files.kgcoop, "TCP": _Files.tcp, "LASP": _Files.lasp, "VPT": _Files.vpt,
    "IVLP": _Files.ivlp, "PromptSRC": _Files.promptsrc, "MaPLe": _Files.maple,
    "CoPrompt": _Files.coprompt, "PLOT": _Files.plot,
}  # fmt: skip
"""By method; the last one needs a ResNet."""


def file_of(method: str, backbone: Backbone, names: Sequence[str]) -> State:
    """The tensors that a vendor of that method would save."""
    return MAKERS[method](_Files(backbone, names))
