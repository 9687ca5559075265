"""Writers of checkpoints: the very container that Dassl saves, and ways to spoil it.

A Dassl file is a torch pickle of ``state_dict``, ``epoch``, ``optimizer``, ``scheduler`` and
``val_result``, where ``scheduler`` holds live objects: the warm-up wrapper keeps its successor, a
``CosineAnnealingLR``, which keeps the ``SGD`` optimiser, which keeps the parameters. The layout is
that of ``dassl/engine/trainer.py`` and ``dassl/utils/torchtools.py``.
"""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

TOKEN_KEYS = ("token_prefix", "token_suffix")


def coop_state(
    num_classes: int = 5,
    n_ctx: int = 4,
    width: int = 16,
    *,
    class_specific: bool = False,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Random tensors as CoOp saves them; ``token_*`` are views on one storage."""
    generator = torch.Generator().manual_seed(seed)
    shape = (num_classes, n_ctx, width) if class_specific else (n_ctx, width)
    embedding = torch.randn(num_classes, 77, width, generator=generator).to(dtype)
    return {
        "ctx": torch.randn(shape, generator=generator).to(dtype) * 0.02,
        "token_prefix": embedding[:, :1, :],
        "token_suffix": embedding[:, 1 + n_ctx :, :],
    }


def cocoop_state(
    num_classes: int = 5,
    n_ctx: int = 4,
    width: int = 16,
    *,
    embed_dim: int = 32,
    hidden: int = 2,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Random tensors as CoCoOp saves them."""
    generator = torch.Generator().manual_seed(seed + 1)
    state = coop_state(num_classes, n_ctx, width, seed=seed)
    state["meta_net.linear1.weight"] = torch.randn(hidden, embed_dim, generator=generator)
    state["meta_net.linear1.bias"] = torch.randn(hidden, generator=generator)
    state["meta_net.linear2.weight"] = torch.randn(width, hidden, generator=generator)
    state["meta_net.linear2.bias"] = torch.randn(width, generator=generator)
    return state


def dassl_content(
    state_dict: Mapping[str, Tensor],
    epoch: int,
    *,
    val_result: float | None = None,
    extra: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """The object that Dassl pickles, with a live schedule and optimiser over the parameters."""
    parameters = [
        torch.nn.Parameter(tensor.detach())
        for name, tensor in state_dict.items()
        if name not in TOKEN_KEYS and tensor.is_floating_point()
    ]
    optimizer = torch.optim.SGD(parameters, lr=0.002, momentum=0.9, weight_decay=5e-4)
    successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(epoch, 1))
    for parameter in parameters:
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter.data)
    scheduler = {
        "cons_lr": 1e-5,
        "successor": successor,
        "warmup_epoch": 1,
        "base_lrs": [0.002],
        "last_epoch": epoch,
        "_step_count": epoch + 1,
        "_last_lr": [0.0],
    }
    return {
        "state_dict": OrderedDict((name, t.detach()) for name, t in state_dict.items()),
        "epoch": epoch,
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler,
        "val_result": val_result,
        **(extra or {}),
    }


def save_dassl(
    path: Path,
    state_dict: Mapping[str, Tensor],
    epoch: int = 10,
    *,
    val_result: float | None = None,
    extra: Mapping[str, object] | None = None,
    legacy: bool = False,
) -> Path:
    """Write ``state_dict`` to the file ``path`` as Dassl does, and give ``path`` back.

    Args:
        extra: further top-level entries, such as BadCLIP's ``target_name``.
        legacy: the format of torch before 1.6 instead of the zip.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dassl_content(state_dict, epoch, val_result=val_result, extra=extra)
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


def save_dassl_folder(
    root: Path, state_dict: Mapping[str, Tensor], epoch: int = 10, name: str = "prompt_learner"
) -> Path:
    """Write ``root/<name>/model.pth.tar-<epoch>`` and Dassl's text file beside it."""
    path = save_dassl(root / name / f"model.pth.tar-{epoch}", state_dict, epoch)
    (path.parent / "checkpoint").write_text(f"{path.name}\n")
    return path


def records_of(path: Path) -> dict[str, bytes]:
    """The records of a torch zip, by name without the root folder."""
    with zipfile.ZipFile(path) as archive:
        return {info.filename.split("/", 1)[1]: archive.read(info) for info in archive.infolist()}


def write_torch_zip(path: Path, records: Mapping[str, bytes], root: str = "archive") -> Path:
    """A torch zip with these records, whatever they hold."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(f"{root}/{name}", content)
    return path


def plant_pickle(source: Path, out: Path, opcodes: bytes) -> Path:
    """The torch zip ``source`` with ``opcodes`` put right before the end of its pickle."""
    records = records_of(source)
    program = records["data.pkl"]
    assert program.endswith(b".")
    records["data.pkl"] = program[:-1] + opcodes + b"."
    return write_torch_zip(out, records)


def call_opcodes(module: str, name: str, argument: str) -> bytes:
    """Opcodes that call ``module.name(argument)`` and drop the result."""
    text = argument.encode()
    return f"c{module}\n{name}\n(X".encode() + len(text).to_bytes(4, "little") + text + b"tR0"


def torch_bytes(content: object, protocol: int = 2) -> bytes:
    """What ``torch.save`` writes."""
    buffer = io.BytesIO()
    torch.save(content, buffer, pickle_protocol=protocol)
    return buffer.getvalue()
