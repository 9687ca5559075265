"""All the files that a drawn checkpoint may come in, and what the reader says of each.

Inside: what Dassl saves with its live scheduler, plain and bare dictionaries, the format of torch
before 1.6, safetensors. Around it: nothing, a folder, a zip, a tar, a tar.gz.
"""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from hypothesis import strategies as st
from safetensors.torch import save_file

from inspector.checkpoint.families.peft_config import STATEMENT as CONFIG
from inspector.checkpoint.families.zero_shot import STATEMENT
from tests.roundtrip.drawn import Drawn, State
from tests.support.checkpoints import save_dassl

Inner = Literal["dassl", "plain", "bare", "safetensors", "lora", "parts", "adapter", "json"]
Outer = Literal["directory", "zip", "tar", "tar.gz"]

_INNERS: dict[str, tuple[Inner, ...]] = {
    "adapter": ("adapter",),
    "state": ("dassl", "plain", "bare", "safetensors"),
    "lora": ("lora", "bare", "safetensors"),
    "parts": ("parts", "bare", "safetensors"),
    "json": ("json",),
}
_SHOTS = "4shots"
_FOLDER = "seed1/learner"


@dataclass(frozen=True)
class Container:
    """One way to deliver a checkpoint.

    `is_legacy`: the format of torch before 1.6. `is_parallel`: keys as DataParallel leaves them.
    `has_neighbours`: other files lie around it in its folder.
    """

    inner: Inner
    outer: Outer | None
    is_legacy: bool = False
    is_parallel: bool = False
    is_best: bool = False
    has_neighbours: bool = False

    @property
    def format(self) -> str:
        if self.inner in ("safetensors", "json"):
            return self.inner
        if self.inner == "adapter" and not self.is_legacy:
            return "safetensors"
        return "torch-legacy" if self.is_legacy else "torch-zip"

    @property
    def findings(self) -> list[str]:
        copied = self.inner == "dassl" and self.is_best and self.has_neighbours
        return [
            *(["prefix-stripped"] if self.is_parallel else []),
            *(["identical-copy"] if copied and self.outer else []),
        ]

    def write(self, drawn: Drawn, root: Path) -> tuple[Path, tuple[str, ...]]:
        """Deliver below the fresh folder `root`: the artifact, and the files that do not count."""
        content = root / "content"
        folder = content / _FOLDER
        folder.mkdir(parents=True)
        written = self._write_inner(drawn, folder)
        if self.outer is None:
            return folder / written, ()
        ignored = self._write_neighbours(folder, written) if self.has_neighbours else ()
        return _wrapped(content, self.outer), ignored

    def _write_inner(self, drawn: Drawn, folder: Path) -> str:
        tensors = drawn.tensors
        if self.inner == "json":
            (folder / STATEMENT).write_bytes(bytes(tensors[STATEMENT].tolist()))
            return STATEMENT
        if self.inner == "safetensors":
            own = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
            save_file(own, folder / "model.safetensors", metadata={"format": "pt"})
            return "model.safetensors"
        if self.inner == "adapter":
            own = {name: tensor.clone() for name, tensor in tensors.items() if name != CONFIG}
            (folder / CONFIG).write_bytes(bytes(tensors[CONFIG].tolist()))
            if self.is_legacy:
                self._save(own, folder / "adapter_model.bin")
            else:
                save_file(own, folder / "adapter_model.safetensors", metadata={"format": "pt"})
            return ""
        if self.inner == "parts":
            for name, tensor in tensors.items():
                self._save(torch.nn.Parameter(tensor), folder / f"{name}_{_SHOTS}.pt")
            return ""
        if self.inner == "lora":
            content = {"weights": _nested(tensors), "metadata": dict(drawn.settings)}
            self._save(content, folder / "lora_weights.pt")
            return "lora_weights.pt"
        named = OrderedDict((self._prefix + name, tensor) for name, tensor in tensors.items())
        if self.inner == "dassl":
            name = "model-best.pth.tar" if self.is_best else "model.pth.tar-7"
            save_dassl(folder / name, named, 7, val_result=1.5, legacy=self.is_legacy)
            return name
        if self.inner == "plain":
            self._save({"epoch": 3, "name": "run", "state_dict": named}, folder / "epoch_3.pt")
            return "epoch_3.pt"
        self._save(named, folder / "pytorch_model.bin")
        return "pytorch_model.bin"

    @property
    def _prefix(self) -> str:
        return "module." if self.is_parallel else ""

    def _save(self, content: object, path: Path) -> None:
        torch.save(content, path, _use_new_zipfile_serialization=not self.is_legacy)

    def _write_neighbours(self, folder: Path, written: str) -> tuple[str, ...]:
        """Notes, a trigger and, where Dassl's rule of choice decides, another epoch.

        Beside the best one that is the last, which holds the same here.
        """
        names = ["log.txt", "checkpoint", "trigger/model.pth.tar-9"]
        names += ["model.pth.tar-2"] if self.inner == "dassl" else []
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            torch.save({"state_dict": {"x": torch.zeros(1)}}, folder / name)
        if self.inner == "dassl" and self.is_best:
            shutil.copy(folder / written, folder / names[-1])
        return tuple(sorted(f"{_FOLDER}/{name}" for name in names))


def _nested(tensors: State) -> dict[str, dict[str, State]]:
    """CLIP-LoRA's layers of projections of matrices, from their joined names."""
    nested: dict[str, dict[str, State]] = {}
    for name, tensor in tensors.items():
        layer, projection, matrix = name.split(".")
        nested.setdefault(layer, {}).setdefault(projection, {})[matrix] = tensor
    return nested


def _wrapped(content: Path, outer: Outer) -> Path:
    if outer == "directory":
        return content
    path = content.parent / f"delivery.{outer}"
    files = sorted(file for file in content.rglob("*") if file.is_file())
    if outer == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(content).as_posix())
        return path
    with tarfile.open(path, "w:gz" if outer == "tar.gz" else "w") as tar:
        for file in files:
            tar.add(file, file.relative_to(content).as_posix())
    return path


@st.composite
def containers(draw: st.DrawFn, kind: str) -> Container:
    """Containers in which a checkpoint of that kind may be delivered."""
    inner = draw(st.sampled_from(_INNERS[kind]))
    outers: list[Outer] = ["directory", "zip", "tar", "tar.gz"]
    is_torch = inner in ("dassl", "plain", "bare", "lora", "parts", "adapter")
    is_prefixed = inner in ("dassl", "plain", "bare") and kind == "state"
    return Container(
        inner=inner,
        outer=draw(st.sampled_from(outers if inner in ("parts", "adapter") else [None, *outers])),
        is_legacy=is_torch and draw(st.booleans()),
        is_parallel=is_prefixed and draw(st.booleans()),
        is_best=inner == "dassl" and draw(st.booleans()),
        has_neighbours=draw(st.booleans()),
    )


def clear(root: Path) -> None:
    """Make `root` a fresh folder."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
