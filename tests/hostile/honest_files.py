"""Files that honest software writes: each must be read, silently unless a row says otherwise.

Written by torch, numpy, tarfile and zipfile themselves. A false alarm here is a failure like a miss.
"""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import fractions
import io
import pathlib
import tarfile
import types
import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from tests.hostile.entry import Entry, honest
from tests.support.checkpoints import (
    cocoop_state,
    coop_state,
    dassl_content,
    save_dassl,
    save_dassl_folder,
)

State = dict[str, torch.Tensor]


def _saved(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def _dassl(state: State | None = None, **extra: object) -> Callable[[], bytes]:
    return lambda: _saved(dassl_content(state or coop_state(), 10, extra=extra))


def _protocol(protocol: int, legacy: bool = False) -> Callable[[], bytes]:
    content = dassl_content(coop_state(), 10)
    options = {"pickle_protocol": protocol, "_use_new_zipfile_serialization": not legacy}
    return lambda: _saved(content, **options)


def _state(change: Callable[[State], object]) -> Callable[[], bytes]:
    def build() -> bytes:
        state = coop_state()
        change(state)
        return _saved({"state_dict": state})

    return build


def _transposed(state: State) -> None:
    state["ctx"] = state["ctx"].t().contiguous().t()


def _expanded(state: State) -> None:
    state["token_prefix"] = state["token_prefix"][:1].expand(5, 1, 16)


def _sliced(state: State) -> None:
    state["ctx"] = torch.randn(8, 32)[::2, ::2]


def _halves(state: State) -> None:
    for name in state:
        state[name] = state[name].to(torch.bfloat16)


def _parallel(state: State) -> None:
    for name in list(state):
        state[f"module.{name}"] = state.pop(name)


def _cuda(data: bytes) -> bytes:
    """The same pickle as a machine with a GPU would have written it."""
    return data.replace(b"X\x03\0\0\0cpu", b"X\x06\0\0\0cuda:0")


def _on_gpu() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_dassl()())) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, _cuda(data) if info.filename.endswith(".pkl") else data)
    return buffer.getvalue()


def _module() -> bytes:
    """``Module.state_dict()``: an OrderedDict with the versions of its modules as an attribute."""
    module = torch.nn.Module()
    for name, tensor in coop_state().items():
        module.register_buffer(name, tensor)
    return _saved({"state_dict": module.state_dict()})


def _folder(kind: str) -> Callable[[Path], Path]:
    def build(place: Path) -> Path:
        root = place / "run"
        save_dassl_folder(root, coop_state(), 50)
        save_dassl(root / "prompt_learner" / "model-best.pth.tar", coop_state(), 30)
        (root / "prompt_learner" / "._model-best.pth.tar").write_bytes(b"\0\5\x16\7")
        (root / "trigger").mkdir()
        (root / "trigger" / "model.pth.tar-10").write_bytes(b"x")
        (root / "log.txt").write_text("epoch 50")
        if kind == "folder":
            return root
        path = place / f"run.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(root.rglob("*")):
                    archive.write(file, file.relative_to(place))
            return path
        formats = {"gnu": tarfile.GNU_FORMAT, "ustar": tarfile.USTAR_FORMAT}
        form = formats.get(kind.partition(".")[0], tarfile.PAX_FORMAT)
        with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w", format=form) as tar:
            tar.add(root, "." if kind.startswith("dot") else "run-é" + "x" * 120)
        return path

    return build


def _old() -> bytes:
    with zipfile.ZipFile(io.BytesIO(_dassl()())) as new:
        records = {info.filename: new.read(info) for info in new.infolist()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as old:
        for name, data in records.items():
            if name.split("/", 1)[1].startswith(("data", "version")):
                old.writestr(name, data)
    return buffer.getvalue()


def _projection(state: State) -> None:
    state["token_suffix"] = torch.randn(16, 72, 50).permute(2, 1, 0)
    state["token_prefix"] = torch.randn(16, 1, 50).permute(2, 1, 0)


def _numpy_rng() -> dict[str, object]:
    return {"python": (3, (1, 2, 3), None), "numpy": np.random.RandomState(0).get_state()}


_UNUSUAL = ("pickle-uncommon-global",)
_FILES: tuple[tuple[str, str, Callable[[], bytes], tuple[str, ...]], ...] = (
    ("dassl", "Dassl's file with a live schedule and optimiser", _dassl(), ()),
    ("dassl-cocoop", "the same of CoCoOp", _dassl(cocoop_state()), ()),
    ("val-result", "a validation result that is a numpy scalar", _dassl(val_result=np.float64(0.9)),
     ()),
    ("numpy-32", "a numpy scalar of 32 bits", _dassl(best=np.float32(0.9)), ()),
    ("numpy-array", "a numpy array beside the tensors", _dassl(curve=np.arange(10.0)), ()),
    ("random-state", "states of the random number generators",
     _dassl(rng=_numpy_rng(), torch=torch.get_rng_state()), ()),
    ("generators", "numpy's random generators, live",
     _dassl(a=np.random.default_rng(0), b=np.random.RandomState(0)), _UNUSUAL),
    ("namespace", "the arguments as argparse.Namespace", _dassl(args=argparse.Namespace(lr=0.1)),
     _UNUSUAL),
    ("simple-namespace", "the arguments as SimpleNamespace",
     _dassl(args=types.SimpleNamespace(lr=0.1)), _UNUSUAL),
    ("path", "a path among the arguments", _dassl(path=pathlib.PurePosixPath("a/b")), _UNUSUAL),
    ("date", "the date of the run", _dassl(when=datetime.datetime(2024, 1, 1)), _UNUSUAL),
    ("deque", "a queue of recent losses", _dassl(losses=collections.deque([1.0], 5)), _UNUSUAL),
    ("decimal", "exact numbers", _dassl(lr=decimal.Decimal("0.1"), f=fractions.Fraction(1, 3)),
     _UNUSUAL),
    ("uuid", "the id of the run", _dassl(run=uuid.UUID(int=5)), _UNUSUAL),
    ("sets", "sets, slices and complex numbers",
     _dassl(a={1, 2}, b=frozenset("x"), c=slice(1, 2), d=1j, e=range(3), f=bytearray(b"x")), ()),
    ("counter", "a Counter and a defaultdict",
     _dassl(a=collections.Counter("aab"), b=collections.defaultdict(list, x=[1])), ()),
    ("dtype", "torch's own small objects",
     _dassl(a=torch.float16, b=torch.device("cuda:0"), c=torch.Size([2, 3])), ()),
    ("adamw", "another optimiser, live", _dassl(
        optimizer=torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))])), ()),
    ("protocol-3", "protocol 3", _protocol(3), ()),
    ("protocol-4", "protocol 4, with frames", _protocol(4), ()),
    ("protocol-5", "protocol 5", _protocol(5), ()),
    ("legacy", "the format before torch 1.6", _protocol(2, legacy=True), ()),
    ("legacy-1", "the same of protocol 1", _protocol(1, legacy=True), ()),
    ("legacy-4", "the same of protocol 4", _protocol(4, legacy=True), ()),
    ("cuda", "tensors that lay on a GPU", _on_gpu, ()),
    ("transposed", "a transposed tensor", _state(_transposed), ()),
    ("expanded", "an expanded tensor", _state(_expanded), ()),
    ("sliced", "a tensor with steps", _state(_sliced), ()),
    ("bfloat16", "bfloat16", _state(_halves), ("unusual-dtype",)),
    ("parameters", "parameters in place of tensors",
     _state(lambda s: s.update(ctx=torch.nn.Parameter(s["ctx"]))), ()),
    ("module-state", "a state_dict of a module, versions included", _module, ()),
    ("old-torch", "the records of torch 1.6: no byte order, no serialisation id", _old, ()),
    ("many-runs", "a large transposed matrix", _state(_projection), ()),
    ("bare", "the state_dict itself", lambda: _saved(coop_state()), ()),
    ("parallel", "keys of DataParallel", _state(_parallel), ("prefix-stripped",)),
    ("nested", "tensors under 'model' instead of 'state_dict'",
     lambda: _saved({"model": coop_state(), "epoch": 3}), ()),
    ("extra", "an entry that is no tensor",
     lambda: _saved({"state_dict": {**coop_state(), "note": "hello"}}), ("state-dict-extra",)),
    ("long-text", "a log of 100,000 letters beside the tensors", _dassl(log="x" * 100_000), ()),
    ("large-bytes", "bytes that pickle writes between two frames",
     lambda: _saved(dassl_content(coop_state(), 1, extra={"b": b"x" * 100_000, "l": [1] * 999}),
                    pickle_protocol=4), ()),
    ("safetensors", "safetensors with metadata",
     lambda: safetensors.torch.save({k: t.clone() for k, t in coop_state().items()}, {"format": "pt", "note": "[{" * 2000}), ()),
)  # fmt: skip

ENTRIES: tuple[Entry, ...] = (
    *(honest(f"honest-{name}", what, content, *found) for name, what, content, found in _FILES),
    honest("honest-named-bin", "a checkpoint called pytorch_model.bin", _dassl(),
           name="pytorch_model.bin"),
    *(
        Entry(f"honest-{kind}", "benign", f"a vendor's run as {kind}", "false alarm",
              _folder(kind), ("identical-copy",), canonical=True)
        for kind in ("folder", "zip", "tar", "tar.gz", "gnu.tar", "dot.tar")
    ),
)  # fmt: skip
