"""Legal configurations of the families that save a prompt learner, an adapter or a cache alone."""

from __future__ import annotations

import json

import torch
from hypothesis import strategies as st

from inspector.checkpoint.families.clip_lora import PROJECTIONS
from inspector.checkpoint.families.zero_shot import STATEMENT
from inspector.checkpoint.reading import Scalar
from tests.roundtrip.drawn import (
    CONTEXT_LENGTH,
    Drawn,
    Maker,
    State,
    context,
    json_tensor,
    strategy,
    tokens,
)


def _coop(maker: Maker) -> Drawn:
    state, options = context(maker, can_be_specific=True)
    return Drawn("CoOp", options, state)


def _layers(maker: Maker, embed: int, hidden: int, out: int) -> State:
    return maker.state(
        {
            "meta_net.linear1.weight": (hidden, embed),
            "meta_net.linear1.bias": (hidden,),
            "meta_net.linear2.weight": (out, hidden),
            "meta_net.linear2.bias": (out,),
        }
    )


def _cocoop(maker: Maker) -> Drawn:
    state, options = context(maker)
    embed, hidden = maker.number(1, 32), maker.number(1, 4)
    width = state["ctx"].shape[1]
    state |= _layers(maker, embed, hidden, width)
    return Drawn("CoCoOp", {**options, "hidden": hidden, "embed_dim": embed}, state)


def _tcp(maker: Maker) -> Drawn:
    state, options = context(maker)
    embed, hidden, made = maker.number(1, 32), maker.number(1, 8), maker.number(2, 6)
    state |= _layers(maker, embed, hidden, made * state["ctx"].shape[1])
    more: dict[str, Scalar] = {"class_vectors": made, "hidden": hidden, "embed_dim": embed}
    return Drawn("TCP", options | more, state)


def _kgcoop(maker: Maker) -> Drawn:
    state, options = context(maker, can_be_specific=True)
    size = maker.number(1, 32)
    state |= maker.state(
        {
            "bias_vectors": (1, size),
            "meta_net.linear1.weight": (size, size),
            "meta_net.linear1.bias": (size,),
        }
    )
    return Drawn("KgCoOp", options, state)


def _plot(maker: Maker) -> Drawn:
    sets, n_ctx, width = maker.number(1, 6), maker.number(1, 16), maker.number(1, 16)
    # With one class a file is letter for letter a class-specific CoOp of as many classes as sets.
    classes = maker.number(2, 12)
    state = {"ctx": maker.new("ctx", sets, n_ctx, width)}
    state |= tokens(maker, sets * classes, n_ctx, width)
    return Drawn(
        "PLOT",
        {
            "n_ctx": n_ctx,
            "class_specific": False,
            "num_classes": classes,
            "prompts_per_class": sets,
            "width": width,
            "context_length": CONTEXT_LENGTH,
        },
        state,
    )


def _clip_adapter(maker: Maker) -> Drawn:
    hidden, embed = maker.number(1, 16), maker.number(1, 32)
    shapes = {"fc.0.weight": (hidden, embed), "fc.2.weight": (embed, hidden)}
    return Drawn("CLIP-Adapter", {"hidden": hidden, "embed_dim": embed}, maker.state(shapes))


@st.composite
def _clip_lora(draw: st.DrawFn) -> Drawn:
    maker = Maker(draw)
    rank, text, vision = maker.number(1, 8), maker.number(0, 12), maker.number(0, 12)
    text = text if text + vision else 1
    widths = [maker.number(1, 16)] * text + [maker.number(1, 16)] * vision
    chosen = draw(st.sets(st.sampled_from(PROJECTIONS), min_size=1))
    projections = [name for name in PROJECTIONS if name in chosen]
    state: State = {}
    for layer, width in enumerate(widths):
        for name in projections:
            key = f"layer_{layer}.{name}"
            state |= maker.state(
                {f"{key}.w_lora_A": (rank, width), f"{key}.w_lora_B": (width, rank)}
            )
    encoder = "both" if text and vision else "text" if text else "vision"
    settings: dict[str, Scalar] = {
        "r": rank,
        "alpha": draw(st.sampled_from([1, 2, 16, 0.5])),
        "encoder": encoder,
        "position": draw(st.sampled_from(["all", "bottom", "mid", "up", "half-up", "top3"])),
    }
    options: dict[str, Scalar] = {
        "rank": rank, "layers": len(widths), "projections": " ".join(projections)
    }  # fmt: skip
    return Drawn("CLIP-LoRA", options, state, "lora", settings)


@st.composite
def _tip_adapter(draw: st.DrawFn) -> Drawn:
    maker = Maker(draw)
    classes, shots, embed = maker.number(1, 12), maker.number(1, 4), maker.number(1, 32)
    images = classes * shots
    labels = torch.arange(classes).repeat(shots)
    state = {"values": torch.nn.functional.one_hot(labels, classes).half()}
    names = draw(st.sampled_from([("keys",), ("keys", "best_F"), ("best_F",)]))
    if "keys" in names:
        state["keys"] = maker.new("keys", images, embed).permute(1, 0)
    if "best_F" in names:
        state["best_F"] = maker.new("best_F", images, embed)
    options: dict[str, Scalar] = {
        "cached_images": images,
        "num_classes": classes,
        "embed_dim": embed,
        "fine_tuned": "best_F" in names,
    }
    return Drawn("Tip-Adapter", options, state, "parts")


@st.composite
def _zero_shot(draw: st.DrawFn) -> Drawn:
    word = st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)
    templates = draw(st.lists(word.map(lambda text: text + " {}."), min_size=1, max_size=4))
    content: dict[str, object] = {"classnames": draw(st.lists(word, min_size=1, max_size=12))}
    if draw(st.booleans()):
        content |= {"templates": templates}
    else:
        content |= {"method": "ZeroshotCLIP", "template": templates[0]}
    raw = json.dumps(content, ensure_ascii=draw(st.booleans())).encode()
    return Drawn("ZeroshotCLIP", {}, {STATEMENT: json_tensor(raw)}, "json")


STRATEGIES: dict[str, st.SearchStrategy[Drawn]] = {
    "CoOp": strategy(_coop),
    "CoCoOp": strategy(_cocoop),
    "TCP": strategy(_tcp),
    "KgCoOp": strategy(_kgcoop),
    "PLOT": strategy(_plot),
    "CLIP-Adapter": strategy(_clip_adapter),
    "CLIP-LoRA": _clip_lora(),
    "Tip-Adapter": _tip_adapter(),
    "ZeroshotCLIP": _zero_shot(),
}
