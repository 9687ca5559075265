"""Files in which some loader takes other weights than the first look shows, each by one trick.

Written as somebody would who has clipvet's code: whatever its rules read in one way and a loader in
another. ``clean`` are the weights that are shown, ``evil`` those that a loader should get.
"""

from __future__ import annotations

import argparse
import codecs
import copyreg
import json
import sys
import types
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, cast

import safetensors.torch
import torch
from torch import Tensor

from tests.fuzz import programs
from tests.witness import shapes
from tests.witness.cell import CANARY
from tests.witness.parcels import Parcel
from tests.witness.shapes import State, one, prefixed, saved

Attack = Callable[[State, State], Parcel]
_NEWOBJ: Any = vars(copyreg)["__newobj__"]


class Computed:
    """What ``function(*arguments)`` gives, when the file is loaded."""

    def __init__(self, function: Any, *arguments: object, pairs: Iterable[Any] = ()) -> None:
        self._made = (function, arguments)
        self._pairs = list(pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        return (*self._made, None, None, iter(self._pairs)) if self._pairs else self._made


def rot13(word: str) -> Computed:
    """A string that no pickle spells; torch's restricted unpickler allows the call, too."""
    return Computed(codecs.encode, codecs.encode(word, "rot13"), "rot13")


def computed_string(word: str) -> Computed:
    return Computed(str, word)


class Fresh:
    """``kind.__new__(kind, *arguments)``, as the opcode NEWOBJ makes it."""

    def __init__(self, kind: type, *arguments: object) -> None:
        self._kind, self._arguments = kind, arguments

    # pickle looks whether the object is what it says.
    __class__ = property(lambda self: self._kind)

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return _NEWOBJ, (self._kind, *self._arguments)


def twice(pairs: Iterable[tuple[object, object]]) -> Computed:
    """An OrderedDict filled with ``pairs``, whose keys may stand twice."""
    return Computed(OrderedDict, pairs=pairs)


def hidden(state: State) -> dict[str, object]:
    """The same tensors, as parameters made by NEWOBJ."""
    return {name: Fresh(torch.nn.Parameter, tensor, False) for name, tensor in state.items()}


def junk(count: int) -> State:
    """Tensors of no family, so that the names around a model hide it."""
    return {f"junk.{i}.weight": torch.full((2,), float(i)) for i in range(count)}


def _by_old_name(tensor: Tensor) -> Computed:
    """torch finds the function of a module that is gone."""
    copied = (tensor, torch.float32, "cpu", False)
    rebuild = torch._utils._rebuild_device_tensor_from_cpu_tensor
    function = _named("torch.tensor", "_rebuild_from_type")
    return Computed(function, rebuild, torch.Tensor, copied, {})


def payload() -> Computed:
    """A call of a function that only the witnesses' cell knows."""
    module, name = CANARY
    return Computed(_named(module, name))


@cache
def _named(module: str, name: str) -> Any:
    """A function of that name, which pickle finds where it looks for it."""

    def function() -> None: ...

    function.__module__, function.__qualname__ = module, name
    held = types.ModuleType(module)
    setattr(held, name, function)
    sys.modules[module] = held
    return function


def _copies(clean: State, evil: State, count: int) -> dict[str, object]:
    same = {f"copy_{i}": {n: t.clone() for n, t in clean.items()} for i in range(count)}
    return {"state_dict": clean, **same, "zz_last": evil}


def _parameter_dict(clean: State, evil: State) -> torch.nn.Module:
    """A ParameterDict whose ``items()`` are not what its ``state_dict()`` says."""
    module = torch.nn.ParameterDict({n.replace(".", "_"): t for n, t in clean.items()})
    for name, tensor in evil.items():
        module.__dict__[name.replace(".", "_")] = tensor
    return module


def _both_formats(clean: State, evil: State) -> Parcel:
    files = {"model.safetensors": safetensors.torch.save(clean), "pytorch_model.bin": saved(evil)}
    return Parcel({**files, "config.json": b'{"architecture": "x"}'}, True)


def _config(clean: State, evil: State) -> Parcel:
    weights = {"model.safetensors": safetensors.torch.save(clean)}
    weights["other.safetensors"] = safetensors.torch.save(evil)
    config = json.dumps({"transformers_weights": "other.safetensors"}).encode()
    return Parcel({**weights, "config.json": config}, True)


def _pointed(clean: State, evil: State) -> Parcel:
    files = {"pytorch_model.bin": saved(clean), "aside/readme": safetensors.torch.save(evil)}
    return Parcel({**files, "@model.safetensors": b"aside/readme", "config.json": b"{}"}, True)


def _one_epoch_twice(clean: State, evil: State) -> Parcel:
    epochs = {f"model.pth.tar-{'0' * zeros}10": clean for zeros in range(1, 7)}
    files = {name: saved({"state_dict": state}) for name, state in epochs.items()}
    return Parcel({**files, "model.pth.tar-10": saved({"state_dict": evil})}, True)


def _many_epochs(clean: State, evil: State) -> Parcel:
    files = {f"epoch={i}.ckpt": saved({"state_dict": clean}) for i in range(10)}
    last = {"last.ckpt": saved({"state_dict": clean}), "z.ckpt": saved({"state_dict": evil})}
    config = {"open_clip_config.json": b"{}", "model.pth": saved(evil)}
    return Parcel({**files, **last, **config}, True)


def _nested_rival(clean: State, evil: State) -> Parcel:
    """The second file's default is the same; what timm takes in it is no family's by its names."""
    second = {"state_dict": clean, "state_dict_ema": {**evil, **junk(2 * len(evil))}}
    first = safetensors.torch.save(clean)
    config = {"config.json": b'{"architecture": "x"}'}
    return Parcel({"model.safetensors": first, "pytorch_model.bin": saved(second), **config}, True)


def _rival_that_runs(clean: State, _evil: State) -> Parcel:
    second = saved({"state_dict": clean, "epoch": payload()})
    files = {"last.ckpt": saved({"state_dict": clean}), "epoch=1.ckpt": second}
    return Parcel(files, True)


def _renamed(state: State, other: Mapping[str, object], spell: Spell) -> dict[object, object]:
    """``state`` with one entry more, whose key becomes the first name of ``other`` only on loading."""
    name, value = next(iter(other.items()))
    renamed: dict[Any, Any] = dict(state)
    renamed[spell(name)] = value
    return renamed


def _padded(state: State) -> State:
    """A model among twice as many tensors of no family."""
    return {**state, **junk(2 * len(state))}


Spell = Callable[[str], Computed]
Content = Callable[[State, State], object]
_SPELLED: dict[str, Callable[[State, State, Spell], object]] = {
    "top key": lambda c, e, s: {"state_dict": c, s("state_dict"): e},
    "top key, among others": lambda c, e, s: {"state_dict": c, s("state_dict"): _padded(e)},
    "averages": lambda c, e, s: {"state_dict": c, s("state_dict_ema"): _padded(e)},
    "name": lambda c, e, s: {"state_dict": _renamed(c, e, s)},
    "name in averages": lambda c, e, s: {"state_dict": c, "state_dict_ema": _renamed(c, e, s)},
    "name, hidden tensor": lambda c, e, s: {"state_dict": _renamed(c, hidden(e), s)},
}
"""Keys that a call makes when the file is loaded."""


def _reaching(attribute: str, clean: State, evil: State) -> dict[str, object]:
    """Elsewhere in the file, an attribute that writes into the storage of a shown tensor is set."""
    name = next(iter(clean))
    written = {attribute: evil[name]}
    same = (clean[name], torch.float32, "cpu", False)
    rebuild = torch._utils._rebuild_device_tensor_from_cpu_tensor
    other = Computed(torch._tensor._rebuild_from_type_v2, rebuild, torch.Tensor, same, written)
    return {"state_dict": clean, "epoch": [other]}


def _with_real(clean: State, evil: State) -> dict[str, object]:
    name = next(iter(clean))
    rebuild = torch._utils._rebuild_parameter_with_state
    other = Computed(rebuild, clean[name], False, OrderedDict(), {"real": evil[name]})
    return {"state_dict": clean, "epoch": [other]}


class _Aside:
    """``thing`` with ``pairs`` set as items once it is whole."""

    def __init__(self, kind: type, arguments: tuple[object, ...], pairs: object) -> None:
        self.made = (kind, arguments, pairs)

    def __reduce__(self) -> tuple[Any, ...]:
        kind, arguments, pairs = self.made
        return _NEWOBJ, (kind, *arguments), None, None, iter(cast("Any", pairs))

    __class__ = property(lambda self: self.made[0])


def _filled_alias(clean: State, evil: State) -> dict[str, object]:
    name = next(iter(clean))
    return {
        "state_dict": clean,
        "epoch": [_Aside(torch.Tensor, (clean[name],), [((), evil[name])])],
    }


def _counter_child(module: torch.nn.Module) -> None:
    child = module.get_submodule("image_encoder")
    pairs = [*child._parameters.items(), *child._buffers.items()]
    child.__dict__.update(_buffers={}, _parameters=Computed(Counter, pairs=pairs))


class _OrderedState(torch.nn.Module):
    """Its state is an OrderedDict, which ``__setstate__`` takes as well."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _NEWOBJ, (torch.nn.Module,), OrderedDict(self.__dict__)

    __class__ = property(lambda self: torch.nn.Module)


def _ordered_child(module: torch.nn.Module) -> None:
    child = _OrderedState()
    child.__dict__.update(module.get_submodule("image_encoder").__dict__)
    module._modules["image_encoder"] = child


def _hidden_child(change: Callable[[torch.nn.Module], None]) -> Content:
    """A whole model with a module below it whose tensors are not where they should be."""

    def build(clean: State, evil: State) -> object:
        module = shapes.as_module({**clean, "image_encoder.more": torch.ones(3)})
        change(module)
        return {"state_dict": module}

    return build


_CONTENTS: dict[str, Content] = {
    "data of a tensor is set": lambda c, e: _reaching("data", c, e),
    "real of a tensor is set": lambda c, e: _reaching("real", c, e),
    "real of a parameter is set": _with_real,
    "an alias is filled": _filled_alias,
    "a child's parameters in a Counter": _hidden_child(_counter_child),
    "a child's state in order": _hidden_child(_ordered_child),
    "among others, by hand": lambda c, e: {"state_dict": c, "model_state_dict": _padded(e)},
    "parameters by NEWOBJ": lambda c, e: {"state_dict": {**c, **hidden(e)}},
    "averages by NEWOBJ": lambda c, e: {"state_dict": c, "state_dict_ema": hidden(e)},
    "averages by NEWOBJ, by hand": lambda c, e: {"state_dict": c, "ema": hidden(e)},
    "a tensor by its function's old name": lambda c, e: {
        "state_dict": {n: _by_old_name(e[n]) if "." in n else t for n, t in c.items()}
    },
    "tensor by NEWOBJ": lambda c, e: {
        "state_dict": {n: Fresh(torch.Tensor, e[n]) if "." in n else t for n, t in c.items()}
    },
    "a Counter": lambda c, e: {"state_dict": c, "model_ema": Computed(Counter, pairs=e.items())},
    "a Counter, by hand": lambda c, e: {
        "state_dict": c, "model": Computed(Counter, pairs=e.items()),
    },
    "a dictionary from pairs": lambda c, e: {
        "state_dict": c, "state_dict_ema": Computed(dict, list(e.items())),
    },
    "a dictionary from pairs, by hand": lambda c, e: {
        "state_dict": c, "net": Computed(OrderedDict, tuple(e.items())),
    },
    "a name twice": lambda c, e: {"state_dict": twice([*c.items(), *e.items()])},
    "averages twice": lambda c, e: twice(
        [("state_dict", c), ("state_dict_ema", None), ("state_dict_ema", e)]
    ),
    "behind module., twice": lambda c, e: {"state_dict": {**c, **prefixed(e, "module.")}},
    "behind model., twice": lambda c, e: {"state_dict": {**c, **prefixed(e, "model.")}},
    "cut after module": lambda c, e: {
        "state_dict": {"module_": 1, **c, **prefixed(e, "1234567")},
    },
    "cut, names as they stand": lambda c, e: {"state_dict": {"module": 0, **c}},
    "nine copies": lambda c, e: _copies(c, e, 9),
    "three copies": lambda c, e: _copies(c, e, 3),
    "a module in the averages": lambda c, e: {"state_dict": c, "model": shapes.as_module(e)},
    "items of a ParameterDict": lambda c, e: {"state_dict": _parameter_dict(c, e)},
    "bare ParameterDict": _parameter_dict,
    "unknown tensors in the averages": lambda c, e: {
        "state_dict": c, "state_dict_ema": {**c, "more": torch.ones(4)},
    },
    "weights beside the whole": lambda c, e: {**c, "model": e},
    "weights in an argument": lambda c, e: {"state_dict": c, "args": [{"ema": e}]},
    "weights in an object": lambda c, e: {"state_dict": c, "args": argparse.Namespace(model=e)},
    "code": lambda c, e: {"state_dict": c, "epoch": payload()},
}  # fmt: skip


def _late_state(clean: State, evil: State) -> Parcel:
    """A module takes its state, and then the pickle writes other parameters into the dictionary."""
    module = torch.nn.Module()
    for name, tensor in evil.items():
        module.register_buffer(name.replace(".", "_"), tensor)
    shown = {name.replace(".", "_"): tensor for name, tensor in clean.items()}
    records = shapes.records(saved({"aside": shown, "state_dict": module}))
    pieces = programs.split(records["data.pkl"])
    kept = pieces[pieces.index(programs.text("aside")) + 3]
    made = pieces.index(b"\x81")
    later = [b"h" + pieces[made + 3][1:], programs.text("_buffers"), b"h" + kept[1:], b"s0"]
    last = max(place for place, piece in enumerate(pieces) if piece == b"b") + 1
    pieces[last:last] = later
    records["data.pkl"] = b"".join(pieces)
    return Parcel({"m.pth": shapes.torch_zip(records)})


_SECOND = ("state_dict_ema", "model_ema", "model", "net", "ema_state_dict", "module")
_FOLDERS: dict[str, Attack] = {
    "the other format": _both_formats,
    "another file for transformers": _config,
    "a state that is filled later": _late_state,
    "a link": _pointed,
    "many epochs": _many_epochs,
    "one epoch twice": _one_epoch_twice,
    "averages of the other file": _nested_rival,
    "code in another epoch": _rival_that_runs,
}


def _saved_as(make: Content) -> Attack:
    return lambda clean, evil: one(make(clean, evil))


def _spelled(make: Callable[[State, State, Spell], object], spell: Spell) -> Attack:
    return lambda clean, evil: one(make(clean, evil, spell))


def _second(key: str) -> Attack:
    return lambda clean, evil: one({"state_dict": clean, key: evil})


def _by_suffix(loader: str, aside: str) -> Attack:
    """A folder in which ``loader`` takes the file ``aside``, which is no model by its name."""
    write = saved if aside.endswith("bin") else safetensors.torch.save
    config = {"open_clip": "open_clip_config.json", "timm": "config.json"}[loader]
    shown = {"open_clip": "weights.pth", "timm": "z.pth.tar"}[loader]
    stated = {config: b'{"architecture": "x"}'}
    return lambda clean, evil: Parcel({shown: saved(clean), aside: write(evil), **stated}, True)


def attacks() -> dict[str, Attack]:
    """Every attack by its name."""
    every = {f"second model under {key}": _second(key) for key in _SECOND}
    for how, spell in (("encode", rot13), ("str", computed_string)):
        every |= {f"{how}: {what}": _spelled(make, spell) for what, make in _SPELLED.items()}
    every |= {what: _saved_as(make) for what, make in _CONTENTS.items()}
    every |= _FOLDERS
    for aside in ("images.safetensors", "optimizer.bin", "._a.safetensors", "a.safetensors"):
        for loader in ("open_clip", "timm"):
            every[f"{loader} takes {aside}"] = _by_suffix(loader, aside)
    return every
