"""Honest files: the ways in which people save prompt-tuned CLIP, all with the same tensors.

Written by torch, safetensors, tarfile and gzip themselves. Each must be read and may be clean.
"""

from __future__ import annotations

import argparse
import bz2
import copy
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from random import Random

import safetensors.torch
import torch
from torch import Tensor

from tests.support.checkpoints import cocoop_state, coop_state, dassl_content
from tests.witness.parcels import Parcel

State = dict[str, Tensor]
Content = Callable[[State], object]
Shape = Callable[[State], Parcel]
PREFIXES = ("module.", "_orig_mod.", "model.", "clip_model.", "prompt_learner.", "net.", "ema.")
"""What wrappers put before every key."""
KEYS = (
    "state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema", "ema_state_dict", "net",
    "network", "weights", "module", "params", "ema", "student", "teacher", "best",
)  # fmt: skip
"""Keys under which weights lie in a file."""


def states() -> list[State]:
    """Small models of several families."""
    generator = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    coop = coop_state(2, 2, 4)
    own = coop_state(3, 2, 4, class_specific=True, seed=1)
    cocoop = cocoop_state(2, 2, 4, embed_dim=3, hidden=2)
    kgcoop = coop_state(2, 2, 4, seed=2)
    kgcoop |= {"bias_vectors": drawn(1, 4), "meta_net.linear1.weight": drawn(2, 4)}
    kgcoop["meta_net.linear1.bias"] = drawn(2)
    maple = {f"prompt_learner.{name}": t for name, t in coop_state(2, 2, 4, seed=3).items()}
    maple |= {"prompt_learner.proj.weight": drawn(6, 4), "logit_scale": torch.tensor(4.6)}
    maple |= {"prompt_learner.proj.bias": drawn(6), "image_encoder.proj": drawn(6, 3)}
    maple["text_encoder.text_projection"] = drawn(4, 3)
    return [
        {name: tensor.contiguous() for name, tensor in state.items()}
        for state in (coop, own, cocoop, kgcoop, maple)
    ]


def changed(state: Mapping[str, Tensor], rng: Random) -> State:
    """The same names and shapes with other values: a few, or all."""
    other = {name: tensor.clone() for name, tensor in state.items()}
    names = list(other)
    for name in rng.sample(names, rng.choice((1, 1, len(names)))):
        flat = other[name].reshape(-1)
        flat[rng.randrange(len(flat))] += 1.0
    return other


def saved(content: object, protocol: int = 2, legacy: bool = False) -> bytes:
    """What ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


def prefixed(state: Mapping[str, Tensor], *prefixes: str) -> State:
    return {"".join(prefixes) + name: tensor for name, tensor in state.items()}


def as_module(state: Mapping[str, Tensor]) -> torch.nn.Module:
    """A module of torch's own classes whose ``state_dict()`` is ``state``."""
    root = torch.nn.Module()
    for name, tensor in state.items():
        *path, last = name.split(".")
        place = root
        for part in path:
            if part not in place._modules:
                place.add_module(part, torch.nn.Module())
            place = place._modules[part] or place
        if len(name) % 2:
            place.register_parameter(last, torch.nn.Parameter(tensor, requires_grad=False))
        else:
            place.register_buffer(last, tensor)
    return root


def averaged(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``AveragedModel.state_dict()``."""
    return torch.optim.swa_utils.AveragedModel(as_module(state)).state_dict()


def lightning(state: Mapping[str, Tensor], prefix: str = "model.") -> dict[str, object]:
    return {
        "epoch": 3,
        "global_step": 120,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": OrderedDict(prefixed(state, prefix)),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{}": {"best_model_score": torch.tensor(0.7), "top_k": [1]}},
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.ones(2, 4)}}}],
        "lr_schedulers": [{"last_epoch": 3}],
        "hyper_parameters": {"lr": 0.002},
    }


def tarred(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def records(data: bytes) -> dict[str, bytes]:
    """The records of a torch zip, by name without its folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def torch_zip(named: Mapping[str, bytes]) -> bytes:
    """A torch zip of these records, whatever they hold."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in named.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return buffer.getvalue()


def one(content: object, protocol: int = 2, legacy: bool = False, name: str = "m.pth") -> Parcel:
    return Parcel({name: saved(content, protocol, legacy)})


_CONTENTS: dict[str, Content] = {
    "Dassl": lambda s: dassl_content(s, 10),
    "bare": dict,
    "ordered": OrderedDict,
    "state_dict": lambda s: {"state_dict": OrderedDict(s), "epoch": 3},
    "open_clip": lambda s: {
        "epoch": 3, "name": "run", "state_dict": prefixed(s, "module."), "optimizer": {"state": {}},
    },
    "timm": lambda s: {
        "epoch": 3, "arch": "x", "state_dict": s, "optimizer": {"state": {}}, "version": 2,
        "args": argparse.Namespace(lr=0.1), "state_dict_ema": {n: t.clone() for n, t in s.items()},
        "metric": 0.5,
    },
    "identical averages": lambda s: {"model": s, "model_ema": copy.deepcopy(s)},
    "no averages": lambda s: {"state_dict": s, "state_dict_ema": None, "model_ema": None},
    "averages only": lambda s: {"model_ema": prefixed(s, "module."), "epoch": 3},
    "nested": lambda s: {"checkpoint": {"model": {"weights": s}}, "epoch": 3},
    "listed": lambda s: {"models": [s], "epoch": 3},
    "defaultdict": lambda s: defaultdict(list, state_dict=s, epoch=3),
    "module": as_module,
    "module under a key": lambda s: {"model": as_module(s), "epoch": 3},
    "AveragedModel": averaged,
    "AveragedModel, whole": lambda s: torch.optim.swa_utils.AveragedModel(as_module(s)),
    "versions": lambda s: {"state_dict": as_module(s).state_dict()},
    "Lightning": lightning,
    "Lightning, nested": lambda s: lightning(s, "model.prompt_learner."),
    "parameters": lambda s: {n: torch.nn.Parameter(t) for n, t in s.items()},
    "one storage": lambda s: _sharing(s),
    "extras": lambda s: {"state_dict": {**s, "note": "x", "number": 3}, "epoch": 3},
    "step as a tensor": lambda s: {"model": s, "step": torch.tensor(3)},
}  # fmt: skip


def _sharing(state: State) -> State:
    """All tensors as views on one storage."""
    whole = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    views, begin = {}, 0
    for name, tensor in state.items():
        views[name] = whole[begin : begin + tensor.numel()].view(tensor.shape)
        begin += tensor.numel()
    return views


def contents() -> dict[str, Content]:
    """By what they are called, all objects that people give to ``torch.save``."""
    every = dict(_CONTENTS)
    every |= {f"under {key}": _under(key) for key in KEYS}
    every |= {f"behind {first}": _behind(first) for first in PREFIXES}
    for pair in product(PREFIXES, PREFIXES):
        every["bare, behind " + "".join(pair)] = partial(_with_prefixes, pair)
    every["behind four"] = _behind("_orig_mod.", "module.", "_orig_mod.", "model.")
    return every


def _under(key: str) -> Content:
    return lambda state: {key: state, "epoch": 3}


def _behind(*prefixes: str) -> Content:
    return lambda state: {"state_dict": prefixed(state, *prefixes)}


def _with_prefixes(prefixes: Sequence[str], state: State) -> object:
    return prefixed(state, *prefixes)


def containers() -> dict[str, Callable[[bytes], Parcel]]:
    """Ways to wrap one file of torch."""
    path = "run/prompt_learner/model-best.pth.tar"
    beside = {"run/log.txt": b"epoch 3", "run/optimizer.bin": b"\0" * 20}
    return {
        "gz": lambda d: Parcel({"m.pth.gz": gzip.compress(d, 1)}),
        "xz": lambda d: Parcel({"m.pth.xz": lzma.compress(d)}),
        "bz2": lambda d: Parcel({"m.pth.bz2": bz2.compress(d)}),
        "tar": lambda d: Parcel({"run.tar": tarred({path: d, **beside})}),
        "tar.gz": lambda d: Parcel({"run.tar.gz": tarred({path: d}, "w:gz")}),
        "zip": lambda d: Parcel({"run.zip": zipped({path: d, **beside})}),
        "folder": lambda d: Parcel({path: d, **beside}, True),
        "twins": lambda d: Parcel(
            {"run/model-best.pth.tar": d, "run/model.pth.tar-10": d, "run/model.pth.tar-9": d}, True
        ),
        "Lightning folder": lambda d: Parcel({"last.ckpt": d, "epoch=3.ckpt": d}, True),
        "open_clip's logs": lambda d: Parcel(
            {"checkpoints/epoch_3.pt": d, "checkpoints/epoch_latest.pt": d, "out.log": b""}, True
        ),
        "Hugging Face": lambda d: Parcel({"config.json": b"{}", "pytorch_model.bin": d}, True),
        "open_clip folder": lambda d: Parcel(
            {"open_clip_config.json": b"{}", "open_clip_pytorch_model.bin": d}, True
        ),
    }


def sharded(state: State) -> Parcel:
    """A folder of two shards and their index, as transformers writes it."""
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    places = {name: names[index % 2] for index, name in enumerate(state)}
    files = {
        file: safetensors.torch.save({n: t for n, t in state.items() if places.get(n) == file})
        for file in names
    }
    index = json.dumps({"metadata": {"total_size": 1}, "weight_map": places}).encode()
    files |= {"model.safetensors.index.json": index, "config.json": b"{}"}
    return Parcel(files, True)


def _dassl(state: State) -> object:
    return dassl_content(state, 3)


def _saved_as(make: Content, protocol: int = 2, legacy: bool = False) -> Shape:
    return lambda state: one(make(state), protocol, legacy)


def _wrapped(wrap: Callable[[bytes], Parcel]) -> Shape:
    return lambda state: wrap(saved(_dassl(state)))


def honest() -> dict[str, Shape]:
    """Every honest shape by its name."""
    every: dict[str, Shape] = {name: _saved_as(make) for name, make in contents().items()}
    for protocol in range(1, 6):
        every[f"legacy, protocol {protocol}"] = _saved_as(_dassl, protocol, True)
        if protocol > 1:
            every[f"protocol {protocol}"] = _saved_as(_under("state_dict"), protocol)
    every |= {f"in {name}": _wrapped(wrap) for name, wrap in containers().items()}
    every["safetensors"] = lambda s: Parcel({"m.safetensors": safetensors.torch.save(s)})
    every["safetensors, module."] = lambda s: Parcel(
        {"m.safetensors": safetensors.torch.save(prefixed(s, "module."), {"format": "pt"})}
    )
    every["shards"] = sharded
    every["both formats"] = lambda s: Parcel(
        {
            "model.safetensors": safetensors.torch.save(s),
            "pytorch_model.bin": saved(s),
            "config.json": b"{}",
        },
        True,
    )
    return every
