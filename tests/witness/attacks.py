"""Files in which some loader takes other weights than the first look shows, each by one trick.

Written as somebody would who has clipvet's code: whatever its rules read in one way and a loader in
another. ``clean`` are the weights that are shown, ``evil`` those that a loader should get.
"""

from __future__ import annotations

import codecs
import copyreg
import json
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from tests.witness import shapes
from tests.witness.cell import CANARY
from tests.witness.parcels import Parcel
from tests.witness.shapes import State, one, prefixed, saved

Attack = Callable[[State, State], Parcel]


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

    @property
    def __class__(self) -> type:  # type: ignore[override]
        # pickle looks whether the object is what it says.
        return self._kind

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return copyreg.__newobj__, (self._kind, *self._arguments)  # type: ignore[attr-defined]


def twice(pairs: Iterable[tuple[object, object]]) -> Computed:
    """An OrderedDict filled with ``pairs``, whose keys may stand twice."""
    return Computed(OrderedDict, pairs=pairs)


def hidden(state: State) -> dict[str, object]:
    """The same tensors, as parameters made by NEWOBJ."""
    return {name: Fresh(torch.nn.Parameter, tensor, False) for name, tensor in state.items()}


def junk(count: int) -> State:
    """Tensors of no family, so that the names around a model hide it."""
    return {f"junk.{i}.weight": torch.full((2,), float(i)) for i in range(count)}


def payload() -> Computed:
    """A call of a function that only the witnesses' cell knows."""
    module, name = CANARY
    return Computed(_named(module, name))


class _Named:
    """A global of any name: pickle writes what ``__module__`` and ``__qualname__`` say."""


def _named(module: str, name: str) -> Any:
    import sys
    import types

    def function() -> None: ...

    function.__module__, function.__qualname__ = module, name
    held = types.ModuleType(module)
    setattr(held, name, function)
    sys.modules[module] = held
    return function


def _under(key: object) -> Attack:
    return lambda clean, evil: one({"state_dict": clean, key: evil})


def _copies(count: int) -> Attack:
    def build(clean: State, evil: State) -> Parcel:
        same = {f"copy_{i}": {n: t.clone() for n, t in clean.items()} for i in range(count)}
        return one({"state_dict": clean, **same, "zz_last": evil})

    return build


def _module(change: Callable[[torch.nn.Module, State], object]) -> Attack:
    def build(clean: State, evil: State) -> Parcel:
        module = shapes.as_module(clean)
        change(module, evil)
        return one({"state_dict": module})

    return build


def _parameter_dict(clean: State, evil: State) -> torch.nn.Module:
    """A ParameterDict whose ``items()`` are not what its ``state_dict()`` says."""
    module = torch.nn.ParameterDict({n.replace(".", "_"): t for n, t in clean.items()})
    for name, tensor in evil.items():
        module.__dict__[name.replace(".", "_")] = tensor
    return module


def _folder(**files: bytes) -> Parcel:
    return Parcel({name.replace("__", "."): content for name, content in files.items()}, True)


def _config(clean: State, evil: State) -> Parcel:
    weights = {"model.safetensors": safetensors.torch.save(clean)}
    weights["other.safetensors"] = safetensors.torch.save(evil)
    config = json.dumps({"transformers_weights": "other.safetensors"}).encode()
    return Parcel({**weights, "config.json": config}, True)


def _pointed(clean: State, evil: State) -> Parcel:
    files = {"pytorch_model.bin": saved(clean), "aside/readme": safetensors.torch.save(evil)}
    return Parcel({**files, "@model.safetensors": b"aside/readme", "config.json": b"{}"}, True)


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


def _swapped(state: State, other: State, name: object) -> dict[object, object]:
    """``state`` with one entry more, whose key becomes the first name only on loading."""
    return {**state, name: next(iter(other.values()))}


def _tricks() -> Iterator[tuple[str, Attack]]:
    for key in ("state_dict_ema", "model_ema", "model", "net", "ema_state_dict", "module"):
        yield f"second model under {key}", _under(key)
    for how, spell in (("encode", rot13), ("str", computed_string)):
        yield f"{how}: top key", lambda c, e, spell=spell: one(
            {"state_dict": c, spell("state_dict"): e}
        )
        yield f"{how}: top key, among others", lambda c, e, spell=spell: one(
            {"state_dict": c, spell("state_dict"): {**e, **junk(2 * len(e))}}
        )
        yield f"{how}: averages", lambda c, e, spell=spell: one(
            {"state_dict": c, spell("state_dict_ema"): {**e, **junk(2 * len(e))}}
        )
        yield f"{how}: name", lambda c, e, spell=spell: one(
            {"state_dict": _swapped(c, e, spell(next(iter(e))))}
        )
        yield f"{how}: name in averages", lambda c, e, spell=spell: one(
            {"state_dict": c, "state_dict_ema": _swapped(dict(c), e, spell(next(iter(e))))}
        )
        yield f"{how}: name, hidden tensor", lambda c, e, spell=spell: one(
            {"state_dict": _swapped(c, hidden(e), spell(next(iter(e))))}  # type: ignore[arg-type]
        )
    yield "among others, by hand", lambda c, e: one(
        {"state_dict": c, "model_state_dict": {**e, **junk(2 * len(e))}}
    )
    yield "parameters by NEWOBJ", lambda c, e: one({"state_dict": {**c, **hidden(e)}})
    yield "averages by NEWOBJ", lambda c, e: one({"state_dict": c, "state_dict_ema": hidden(e)})
    yield "averages by NEWOBJ, by hand", lambda c, e: one({"state_dict": c, "ema": hidden(e)})
    yield "tensor by NEWOBJ", lambda c, e: one(
        {"state_dict": {n: Fresh(torch.Tensor, e[n]) if "." in n else t for n, t in c.items()}}
    )
    yield "a Counter", lambda c, e: one(
        {"state_dict": c, "model_ema": Computed(Counter, pairs=e.items())}
    )
    yield "a Counter, by hand", lambda c, e: one(
        {"state_dict": c, "model": Computed(Counter, pairs=e.items())}
    )
    yield "a dictionary from pairs", lambda c, e: one(
        {"state_dict": c, "state_dict_ema": Computed(dict, list(e.items()))}
    )
    yield "a dictionary from pairs, by hand", lambda c, e: one(
        {"state_dict": c, "net": Computed(OrderedDict, tuple(e.items()))}
    )
    yield "a name twice", lambda c, e: one({"state_dict": twice([*c.items(), *e.items()])})
    yield "averages twice", lambda c, e: one(
        twice([("state_dict", c), ("state_dict_ema", None), ("state_dict_ema", e)])
    )
    yield "behind module., twice", lambda c, e: one({"state_dict": {**c, **prefixed(e, "module.")}})
    yield "behind model., twice", lambda c, e: one({"state_dict": {**c, **prefixed(e, "model.")}})
    yield "cut after module", lambda c, e: one(
        {"state_dict": {"module_": 1, **c, **prefixed(e, "1234567")}}
    )
    yield "cut, names as they stand", lambda c, e: one({"state_dict": {"module": 0, **c}})
    yield "nine copies", _copies(9)
    yield "three copies", _copies(3)
    yield "a module in the averages", lambda c, e: one(
        {"state_dict": c, "model": shapes.as_module(e)}
    )
    yield "items of a ParameterDict", lambda c, e: one({"state_dict": _parameter_dict(c, e)})
    yield "bare ParameterDict", lambda c, e: one(_parameter_dict(c, e))
    yield "unknown tensors in the averages", lambda c, e: one(
        {"state_dict": c, "state_dict_ema": {**c, "more": torch.ones(4)}}
    )
    yield "weights beside the whole", lambda c, e: one({**c, "model": e})
    yield "weights in an argument", lambda c, e: one({"state_dict": c, "args": [{"ema": e}]})
    yield "code", lambda c, e: one({"state_dict": c, "epoch": payload()})
    yield "the other format", lambda c, e: Parcel(
        {
            "model.safetensors": safetensors.torch.save(c),
            "pytorch_model.bin": saved(e),
            "config.json": b'{"architecture": "x"}',
        },
        True,
    )
    yield "another file for transformers", _config
    yield "a link", _pointed
    yield "many epochs", _many_epochs
    yield "averages of the other file", _nested_rival
    yield "code in another epoch", _rival_that_runs
    for aside in ("images.safetensors", "optimizer.bin", "._a.safetensors", "a.safetensors"):
        make = saved if aside.endswith("bin") else safetensors.torch.save
        yield f"open_clip takes {aside}", lambda c, e, aside=aside, make=make: Parcel(
            {"weights.pth": saved(c), aside: make(e), "open_clip_config.json": b"{}"}, True
        )
        yield f"timm takes {aside}", lambda c, e, aside=aside, make=make: Parcel(
            {"z.pth.tar": saved(c), aside: make(e), "config.json": b'{"architecture": "x"}'}, True
        )


def attacks() -> dict[str, Attack]:
    """Every attack by its name."""
    return dict(_tricks())


def first_tensor(state: State) -> Tensor:
    return next(iter(state.values()))
