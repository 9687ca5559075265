"""Legal configurations of the families that save whole models, in small."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from inspector.checkpoint.families.hf_names import is_adaptable, is_embedding
from inspector.checkpoint.families.peft_config import STATEMENT
from inspector.checkpoint.reading import Scalar
from tests.roundtrip.drawn import Drawn, Maker, State, context, json_tensor, strategy
from tests.support.layouts import custom_text, dassl, hugging_face

_VOCABULARY = 50


@dataclass(frozen=True)
class Sizes:
    """Of a model: W and V are widths of text and image tower, D of the joint space."""

    text: int
    visual: int
    embed: int
    text_depth: int
    visual_depth: int
    is_resnet: bool


def _model(maker: Maker, width: int, *, can_be_resnet: bool = False) -> tuple[State, Sizes]:
    """All tensors of a model by OpenAI's names."""
    sizes = Sizes(
        width, maker.number(1, 8), maker.number(1, 12), maker.number(1, 12), maker.number(1, 12),
        can_be_resnet and maker.flag(),
    )  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {
        "positional_embedding": (77, width),
        "text_projection": (width, sizes.embed),
        "token_embedding.weight": (_VOCABULARY, width),
        "logit_scale": (),
        **_norm("ln_final", width),
        **_blocks("", width, sizes.text_depth),
        **(_resnet(sizes) if sizes.is_resnet else _transformer(sizes)),
    }
    state = maker.state(shapes)
    if sizes.is_resnet:
        state["visual.bn1.num_batches_tracked"] = torch.tensor(maker.number(0, 99))
    return state, sizes


def _norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _blocks(tower: str, width: int, depth: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for index in range(depth):
        block = f"{tower}transformer.resblocks.{index}"
        shapes |= _norm(f"{block}.ln_1", width) | _norm(f"{block}.ln_2", width)
        for name, out, into in (
            ("attn.in_proj_", 3 * width, width), ("attn.out_proj.", width, width),
            ("mlp.c_fc.", 4 * width, width), ("mlp.c_proj.", width, 4 * width),
        ):  # fmt: skip
            shapes |= {f"{block}.{name}weight": (out, into), f"{block}.{name}bias": (out,)}
    return shapes


def _transformer(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    width = sizes.visual
    return {
        "visual.conv1.weight": (width, 3, 2, 2),
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (5, width),
        "visual.proj": (width, sizes.embed),
        **_norm("visual.ln_pre", width),
        **_norm("visual.ln_post", width),
        **_blocks("visual.", width, sizes.visual_depth),
    }


def _resnet(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    width = sizes.visual
    return {
        "visual.conv1.weight": (width, 3, 3, 3),
        "visual.bn1.running_mean": (width,),
        "visual.bn1.running_var": (width,),
        **_norm("visual.bn1", width),
        "visual.attnpool.positional_embedding": (5, width),
        **{f"visual.attnpool.{name}_proj.weight": (width, width) for name in "qkvc"},
    }


def _learner(maker: Maker) -> tuple[State, dict[str, Scalar], int, int]:
    """Keys of the learner below its name, options, number and width of vectors."""
    state, options = context(maker)
    n_ctx, width = state["ctx"].shape
    return {f"prompt_learner.{name}": t for name, t in state.items()}, options, n_ctx, width


def _maple_parts(maker: Maker) -> tuple[State, dict[str, Scalar], Sizes, State]:
    state, options, n_ctx, width = _learner(maker)
    whole, sizes = _model(maker, width)
    depth = maker.number(1, sizes.text_depth)
    shapes: dict[str, tuple[int, ...]] = {
        "proj.weight": (sizes.visual, width), "proj.bias": (sizes.visual,)
    }  # fmt: skip
    for layer in range(depth - 1):
        shapes[f"compound_prompts_text.{layer}"] = (n_ctx, width)
        shapes[f"compound_prompt_projections.{layer}.weight"] = (sizes.visual, width)
        shapes[f"compound_prompt_projections.{layer}.bias"] = (sizes.visual,)
    state |= maker.state(shapes, "prompt_learner.")
    options |= {"n_ctx_vision": n_ctx, "text_prompt_depth": depth, "image_prompt_depth": depth}
    return dassl(whole) | state, options, sizes, whole


def _maple(maker: Maker) -> Drawn:
    state, options, _, _ = _maple_parts(maker)
    return Drawn("MaPLe", options, state)


def _coprompt(maker: Maker) -> Drawn:
    state, options, sizes, whole = _maple_parts(maker)
    hidden = maker.number(1, 4)
    for side in ("image", "text"):
        before = f"adapter_{side}.fc."
        shapes = {"0.weight": (hidden, sizes.embed), "2.weight": (sizes.embed, hidden)}
        state |= maker.state(shapes, before)
    if maker.flag():
        state |= {f"model_distill.{name}": tensor for name, tensor in whole.items()}
    return Drawn("CoPrompt", options, state)


def _visual_prompts(maker: Maker, sizes: Sizes, *, least: int) -> tuple[State, dict[str, Scalar]]:
    depth = maker.number(least, sizes.visual_depth)
    if not depth:
        return {}, {"image_prompt_depth": 0}
    shape = (maker.number(1, 8), sizes.visual)
    names = ["image_encoder.VPT"]
    names += [f"image_encoder.transformer.resblocks.{i}.VPT_shallow" for i in range(1, depth)]
    options: dict[str, Scalar] = {"image_prompt_depth": depth, "n_ctx_vision": shape[0]}
    return maker.state(dict.fromkeys(names, shape)), options


def _independent(maker: Maker) -> tuple[State, dict[str, Scalar], State]:
    state, options, n_ctx, width = _learner(maker)
    whole, sizes = _model(maker, width)
    prompts, said = _visual_prompts(maker, sizes, least=0)
    depth = maker.number(1, sizes.text_depth)
    block = "text_encoder.transformer.resblocks.{}.VPT_shallow"
    texts = {block.format(i): (n_ctx, width) for i in range(1, depth)}
    options |= {**said, "text_prompt_depth": depth}
    return dassl(whole) | state | prompts | maker.state(texts), options, whole


def _ivlp(maker: Maker) -> Drawn:
    state, options, _ = _independent(maker)
    return Drawn("IVLP", options, state)


def _promptsrc(maker: Maker) -> Drawn:
    state, options, whole = _independent(maker)
    frozen = {
        name.replace("visual.", "prompt_learner.ZS_image_encoder.", 1): tensor
        for name, tensor in whole.items()
        if name.startswith("visual.")
    }
    return Drawn("PromptSRC", options, state | frozen)


def _vpt(maker: Maker) -> Drawn:
    whole, sizes = _model(maker, maker.number(1, 16))
    prompts, options = _visual_prompts(maker, sizes, least=1)
    return Drawn("VPT", {**options, "text_prompt_depth": 1}, dassl(whole) | prompts)


def _lasp(maker: Maker) -> Drawn:
    state, options, n_ctx, width = _learner(maker)
    whole, sizes = _model(maker, width, can_be_resnet=True)
    has_shift = maker.flag()
    shapes: dict[str, tuple[int, ...]] = {"w": (1, sizes.embed)} if has_shift else {}
    if maker.flag():
        every = maker.number(1, 12)
        shapes["class_text_features"] = (maker.number(1, 4), every, sizes.embed)
        shapes["token_prefix_all"] = (every, 1, width)
        shapes["token_suffix_all"] = (every, 76 - n_ctx, width)
    state |= maker.state(shapes, "prompt_learner.")
    whole_state = dassl(whole, "text_encoder.module.")
    return Drawn("LASP", {**options, "text_shift": has_shift}, whole_state | state)


def _clip(maker: Maker) -> Drawn:
    width = maker.number(1, 16)
    state, _ = _model(maker, width, can_be_resnet=True)
    if maker.flag():
        # The mask is what it is in any model: minus infinity above the diagonal.
        state["attn_mask"] = torch.full((77, 77), float("-inf")).triu_(1)
    if maker.flag():
        state = custom_text(state)
    if maker.flag():
        sizes = {"input_resolution": 4, "context_length": 77, "vocab_size": _VOCABULARY}
        state |= {name: torch.tensor(size) for name, size in sizes.items()}
    options: dict[str, Scalar] = {"vocabulary": _VOCABULARY, "width": width}
    return Drawn("CLIP", options, state)


def _clip_model(maker: Maker) -> Drawn:
    width = maker.number(1, 16)
    state, _ = _model(maker, width)
    renamed = hugging_face(state)
    if maker.flag():
        renamed["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        renamed["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
    return Drawn("CLIPModel", {"vocabulary": _VOCABULARY, "width": width}, renamed)


def _peft_lora(maker: Maker) -> Drawn:
    """Low-rank matrices of any of `CLIPModel`'s modules, of one rank or several."""
    state, _ = _model(maker, maker.number(1, 16))
    weights = {
        name.removesuffix(".weight"): tuple(tensor.shape)
        for name, tensor in hugging_face(state).items()
        if is_adaptable(name.removesuffix(".weight"))
    }
    chosen = maker.some(sorted(weights))
    is_mixed, ranks, tensors = maker.flag(), set(), State()
    prefix = "base_model.model." if maker.flag() else ""
    rank = maker.number(1, 4)
    for module in chosen:
        rank = maker.number(1, 4) if is_mixed else rank
        ranks.add(rank)
        tensors |= maker.state(_matrices(module, weights[module], rank), prefix)
    tensors[STATEMENT] = json_tensor(json.dumps({"peft_type": "LORA", "r": rank}).encode())
    options: dict[str, Scalar] = {
        "rank": rank if len(ranks) == 1 else None, "adapted": len(chosen), "replaced": 0
    }  # fmt: skip
    return Drawn("PEFT-LoRA", options, tensors, "adapter")


def _matrices(module: str, weight: tuple[int, ...], rank: int) -> dict[str, tuple[int, ...]]:
    out, into, *kernel = weight
    if is_embedding(module):
        return {
            f"{module}.lora_embedding_A": (rank, out),
            f"{module}.lora_embedding_B": (into, rank),
        }
    ones = [1] * len(kernel)
    return {
        f"{module}.lora_A.weight": (rank, into, *kernel),
        f"{module}.lora_B.weight": (out, rank, *ones),
    }


STRATEGIES: dict[str, st.SearchStrategy[Drawn]] = {
    "MaPLe": strategy(_maple),
    "CoPrompt": strategy(_coprompt),
    "IVLP": strategy(_ivlp),
    "PromptSRC": strategy(_promptsrc),
    "VPT": strategy(_vpt),
    "LASP": strategy(_lasp),
    "CLIP": strategy(_clip),
    "CLIPModel": strategy(_clip_model),
    "PEFT-LoRA": strategy(_peft_lora),
}
