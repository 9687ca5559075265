"""A file that fits its backbone, with one tensor spoilt: a classifier, or a reason, never a crash."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from inspector.checkpoint import Reading
from inspector.checkpoint.families import recognise
from inspector.checkpoint.families.peft_config import STATEMENT
from inspector.checkpoint.reading import ArtifactInfo, Scalar
from inspector.clip.assembly import assemble
from inspector.clip.backbone import Backbone, load_backbone
from inspector.errors import ArtifactError, AssemblyError
from inspector.manifest import Manifest
from tests.support import peft
from tests.support.assembling import pixels_of
from tests.support.backbones import write_backbone
from tests.support.layouts import State, custom_text, dassl, hugging_face, openai
from tests.support.prompts import Recipe, tune
from tests.support.vendors import random
from tests.unit.inspector.clip import test_lasp, test_plot, test_tcp_coprompt

NAMES = ["traffic light", "tall ship", "owl"]
SETTINGS: dict[str, Scalar] = {"alpha": 1, "encoder": "both", "position": "all"}


def coop(backbone: Backbone, *, class_specific: bool = False, conditioned: bool = False) -> State:
    recipe = Recipe(tuple(NAMES), class_specific=class_specific, conditioned=conditioned)
    return tune(backbone.model, recipe).state


def kgcoop(backbone: Backbone) -> State:
    more = {
        "bias_vectors": (1, 8),
        "meta_net.linear1.weight": (8, 8),
        "meta_net.linear1.bias": (8,),
    }
    return coop(backbone) | {name: random(*shape, seed=1) for name, shape in more.items()}


def ivlp(backbone: Backbone) -> State:
    visual = len(backbone.model.visual.class_embedding)
    own = {f"prompt_learner.{name}": tensor for name, tensor in coop(backbone).items()}
    block = "{}_encoder.transformer.resblocks.1.VPT_shallow"
    prompts = {
        "image_encoder.VPT": random(2, visual, seed=1),
        block.format("image"): random(2, visual, seed=2),
        block.format("text"): random(4, backbone.text.width, seed=3),
    }
    return dassl(openai(backbone.model)) | own | prompts


def vpt(backbone: Backbone) -> State:
    whole = ivlp(backbone)
    return {
        n: t
        for n, t in whole.items()
        if not n.startswith("prompt_") and n[:5] + n[-7:] != "text_shallow"
    }


def promptsrc(backbone: Backbone) -> State:
    conv = backbone.model.visual.conv1.weight.detach().clone()
    return ivlp(backbone) | {"prompt_learner.ZS_image_encoder.conv1.weight": conv}


def maple(backbone: Backbone) -> State:
    whole = test_tcp_coprompt.coprompt_state(backbone, 2)
    return {n: t for n, t in whole.items() if not n.startswith(("adapter", "model_distill"))}


def adapter(backbone: Backbone) -> State:
    size = backbone.embed_dim
    return {"fc.0.weight": random(8, size, seed=1), "fc.2.weight": random(size, 8, seed=2)}


def lora(backbone: Backbone) -> State:
    return {
        f"layer_{layer}.{name}.w_lora_{matrix}": random(*shape, seed=layer)
        for layer in range(4)
        for name in ("q_proj", "proj")
        for matrix, shape in (("A", (2, 64)), ("B", (64, 2)))
    }


def cache(backbone: Backbone) -> State:
    keys = random(6, backbone.embed_dim, seed=1)
    values = torch.eye(3).repeat(2, 1).half()
    return {"keys": keys.T.contiguous(), "values": values, "best_F": keys + 0.1}


def peft_lora(backbone: Backbone) -> State:
    patches = "base_model.model.vision_model.embeddings.patch_embedding.lora_{}.weight"
    config = peft.settings(target_modules=["q_proj", "fc1", "patch_embedding"])
    return {
        **peft.pair(peft.Q, 64, 64),
        **peft.pair(peft.FC1, 256, 64),
        patches.format("A"): random(2, 3, 8, 8, seed=1),
        patches.format("B"): random(64, 2, 1, 1, seed=2),
        "base_model.model.visual_projection.weight": random(48, 64, seed=3),
        "base_model.model.logit_scale": torch.tensor(4.0),
        STATEMENT: peft.statement(config),
    }


SOUND: dict[str, tuple[str, Callable[[Backbone], State]]] = {
    "CoOp": ("vit", coop),
    "CoOp of each class": ("vit", lambda b: coop(b, class_specific=True)),
    "CoCoOp": ("vit", lambda b: coop(b, conditioned=True)),
    "KgCoOp": ("vit", kgcoop),
    "TCP": ("vit", lambda b: test_tcp_coprompt.tcp_state(b, 4)),
    "PLOT": ("rn", test_plot.state_of),
    "MaPLe": ("vit", maple),
    "CoPrompt": ("vit", lambda b: test_tcp_coprompt.coprompt_state(b, 2)),
    "IVLP": ("vit", ivlp),
    "PromptSRC": ("vit", promptsrc),
    "VPT": ("vit", vpt),
    "LASP": ("vit", lambda b: test_lasp.state_of(b, b.model, has_shift=True)),
    "CLIP-Adapter": ("vit", adapter),
    "CLIP-LoRA": ("vit", lora),
    "PEFT-LoRA": ("vit", peft_lora),
    "Tip-Adapter": ("vit", cache),
    "CLIP": ("vit", lambda b: openai(b.model)),
    "CLIP of a ResNet": ("rn", lambda b: openai(b.model)),
    "CLIP, text apart": ("vit", lambda b: custom_text(openai(b.model))),
    "CLIPModel": ("vit", lambda b: hugging_face(openai(b.model))),
}
SPOILS: dict[str, Callable[[Tensor], Tensor | None]] = {
    "gone": lambda t: None,
    "shorter": lambda t: t[:-1] if t.ndim and len(t) > 1 else t,
    "narrower": lambda t: t[..., :-1] if t.ndim and t.shape[-1] > 1 else t,
    "longer": lambda t: torch.cat([t, t]) if t.ndim else t[None],
    "wider": lambda t: torch.cat([t, t], -1) if t.ndim else t[None],
    "deeper": lambda t: t[None],
    "flat": lambda t: t.flatten(),
    "transposed": lambda t: t.T.contiguous() if t.ndim == 2 else t,
    "not finite": lambda t: t * float("nan") if t.is_floating_point() else t,
    "zero": torch.zeros_like,
    "huge": lambda t: t * 1e4 if t.is_floating_point() else t,
    "half": lambda t: t.half() if t.is_floating_point() else t,
}
MANIFESTS: tuple[dict[str, object], ...] = (
    {"classnames": NAMES},
    {"classnames": NAMES, "alpha": 2.0, "beta": 1.5, "tcp": {"insert_before_text_block": 1}},
    {"classnames": NAMES[:2], "template": "{}"},
    {"classnames": [*NAMES, "a" * 290], "template": "X X X X {}, a type of pet."},
    {"class_token_position": "middle", "alpha": 1.0, "beta": 1.0},
    {"classnames": NAMES, "method": "PLOT", "templates": ["art of the {}.", "{}"]},
)


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    folder = tmp_path_factory.mktemp("backbones")
    return {
        "vit": load_backbone(str(write_backbone(folder / "vit"))),
        "rn": load_backbone(str(write_backbone(folder / "rn", "rn", 3, image_size=64))),
    }


@pytest.mark.parametrize("case", SOUND)
@settings(
    deadline=None,
    derandomize=True,
    max_examples=int(os.environ.get("ROUNDTRIP_EXAMPLES", "5")),
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_classifier_or_a_reason(
    case: str, backbones: dict[str, Backbone], tmp_path: Path, data: st.DataObject
) -> None:
    kind, make = SOUND[case]
    backbone = backbones[kind]
    state = make(backbone)
    name = data.draw(st.sampled_from(sorted(state)))
    spoilt = SPOILS[data.draw(st.sampled_from(sorted(SPOILS)))](state.pop(name))
    state |= {} if spoilt is None else {name: spoilt}
    manifest = Manifest.parse(dict(data.draw(st.sampled_from(MANIFESTS))))
    elsewhere = data.draw(st.sampled_from([backbone, backbone, *backbones.values()]))
    canonical = tmp_path / "canonical.safetensors"
    save_file({n: t.detach().clone().contiguous() for n, t in state.items()}, canonical)
    try:
        found = recognise({n: tuple(t.shape) for n, t in state.items()})
        reading = Reading(
            ArtifactInfo("spoilt", None, 0, "torch-zip"),
            family=found.family, family_aliases=found.aliases, options=found.options,
            metadata=SETTINGS,
        )  # fmt: skip
        assembly = assemble(reading, canonical, manifest, elsewhere)
    except (ArtifactError, AssemblyError) as error:
        assert error.finding_id
        assert error.detail
        return
    with torch.no_grad():
        logits = assembly.classifier(pixels_of(elsewhere, 2))
    assert logits.shape == (2, assembly.classes.count)
    assert assembly.classes.count == len(assembly.classes.names)


@pytest.mark.parametrize("case", SOUND)
def test_what_is_not_spoilt_is_a_classifier(
    case: str, backbones: dict[str, Backbone], tmp_path: Path
) -> None:
    kind, make = SOUND[case]
    state = make(backbones[kind])
    canonical = tmp_path / "canonical.safetensors"
    save_file({n: t.detach().clone().contiguous() for n, t in state.items()}, canonical)
    found = recognise({n: tuple(t.shape) for n, t in state.items()})
    assert case.startswith(found.family)
    reading = Reading(
        ArtifactInfo("sound", None, 0, "torch-zip"),
        family=found.family, family_aliases=found.aliases, options=found.options,
        metadata=SETTINGS,
    )  # fmt: skip
    manifest = Manifest.parse(dict(MANIFESTS[1]))
    with torch.no_grad():
        logits = assemble(reading, canonical, manifest, backbones[kind]).classifier(
            pixels_of(backbones[kind], 2)
        )
    assert logits.shape == (2, 3)
    assert bool(logits.isfinite().all())
