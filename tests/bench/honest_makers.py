"""What training tools write beside the weights, made by the tools themselves.

`python -m tests.bench.honest_makers NAME FOLDER` runs one maker in whatever environment the
interpreter has; :mod:`tests.bench.honest_outputs` calls it. Imports only the standard library before
a maker asks for more, and is itself the vendor's script whose classes the pickles name.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import enum
import functools
import pathlib
import sys
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

CONTEXT = (4, 16)


class Backbone(enum.Enum):
    """A vendor's own enum."""

    VIT = "ViT-B/16"
    RN = "RN50"


@dataclasses.dataclass
class Settings:
    """A vendor's own dataclass."""

    lr: float = 2e-3
    backbone: Backbone = Backbone.VIT
    out: pathlib.PurePath = dataclasses.field(default_factory=lambda: pathlib.PurePosixPath("out"))


Shape = collections.namedtuple("Shape", "height width")


def _state() -> dict[str, Any]:
    torch = import_module("torch")
    return {"ctx": torch.randn(*CONTEXT), "token_prefix": torch.randn(5, 1, 16)}


def _save(content: object, path: Path, **options: Any) -> None:
    import_module("torch").save(content, path, **options)


def lightning(folder: Path) -> None:
    """A LightningModule's ``save_hyperparameters`` through ``Trainer.save_checkpoint``."""
    torch = import_module("torch")
    for package in ("lightning.pytorch", "pytorch_lightning"):
        tool = import_module(package)
        conf = import_module("omegaconf").OmegaConf

        class Tuned(tool.LightningModule):  # type: ignore[name-defined,misc]
            def __init__(self, **kwargs: Any) -> None:
                super().__init__()
                self.save_hyperparameters()
                self.ctx = torch.nn.Parameter(torch.randn(*CONTEXT))

            def training_step(self, batch: Any, _index: int) -> Any:
                return (self.ctx * batch[0].mean()).sum()

            def configure_optimizers(self) -> Any:
                optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3)
                return [optimizer], [torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 10)]

        data = torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(torch.randn(8, 3)), batch_size=4
        )
        trainer = tool.Trainer(
            max_epochs=1, accelerator="cpu", logger=False, default_root_dir=folder,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        model = Tuned(
            optimizer=functools.partial(torch.optim.AdamW, lr=1e-3), backbone=Backbone.VIT,
            cfg=conf.create({"lr": 1, "list": [1, {"a": None}], "path": "${lr}"}),
            mode=import_module("torchvision").transforms.InterpolationMode.BICUBIC,
            out=pathlib.Path("out"),
        )  # fmt: skip
        trainer.fit(model, data)
        trainer.save_checkpoint(folder / f"{package}.ckpt")
        _save(dict(model.hparams), folder / f"{package}-hparams.pt")
        _save(model.hparams, folder / f"{package}-attributes.pt")


def omegaconf(folder: Path) -> None:
    """Plain and structured configurations, with Hydra's ``_partial_``."""
    conf, hydra = import_module("omegaconf").OmegaConf, import_module("hydra.utils")

    @dataclasses.dataclass
    class Inner:
        size: int | None = 3
        names: list[str] = dataclasses.field(default_factory=lambda: ["a"])
        table: dict[str, float] = dataclasses.field(default_factory=lambda: {"x": 1.0})
        kind: Backbone = Backbone.VIT

    Inner.__qualname__ = "Inner"
    globals()["Inner"] = Inner
    plain = conf.create({"a": 1, "b": [1, 2], "c": {"d": None, "e": 1.5, "f": b"x", "g": "???"}})
    conf.set_struct(plain, True)
    node = conf.create({"_target_": "torch.optim.AdamW", "_partial_": True, "lr": 1e-3})
    _save({"state_dict": _state(), "cfg": plain, "optimizer": hydra.instantiate(node)},
          folder / "hydra.pth")  # fmt: skip
    _save({"state_dict": _state(), "cfg": conf.structured(Inner)}, folder / "structured.pth")


def accelerate(folder: Path) -> None:
    """``Accelerator.save_state``, and the accelerator's own state."""
    torch, tool = import_module("torch"), import_module("accelerate")
    accelerator = tool.Accelerator(cpu=True)
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    prepared = accelerator.prepare(model, optimizer, schedule)
    accelerator.save_state(str(folder / "state"), safe_serialization=False)
    _save({"state_dict": _state(), "state": prepared[1].state_dict(),
           "kind": accelerator.state.distributed_type, "accelerator": accelerator.state},
          folder / "state.pth")  # fmt: skip


def _clip() -> Any:
    tool = import_module("transformers")
    text = tool.CLIPTextConfig(vocab_size=64, hidden_size=16, intermediate_size=32,
                               num_hidden_layers=1, num_attention_heads=2)  # fmt: skip
    vision = tool.CLIPVisionConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1,
                                   num_attention_heads=2, image_size=32, patch_size=16)  # fmt: skip
    config = tool.CLIPConfig(
        text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16
    )
    return tool.CLIPModel(config)


def transformers(folder: Path) -> None:
    """The folder of a ``Trainer`` checkpoint with ``training_args.bin``, and a whole model."""
    torch, tool = import_module("torch"), import_module("transformers")
    model = _clip()
    arguments = tool.TrainingArguments(
        output_dir=str(folder), max_steps=1, report_to=[], use_cpu=True, save_strategy="no"
    )
    trainer = tool.Trainer(model=model, args=arguments)
    trainer.create_optimizer_and_scheduler(1)
    _save(arguments, folder / "training_args.bin")
    _save(trainer.optimizer.state_dict(), folder / "optimizer.pt")
    _save(trainer.lr_scheduler.state_dict(), folder / "scheduler.pt")
    trainer._save_rng_state(str(folder))
    model.save_pretrained(folder)
    _save(model.state_dict(), folder / "pytorch_model.bin")
    _save(model, folder / "whole.pth")
    _save({"state_dict": _state(), "args": arguments, "config": model.config,
           "interval": tool.IntervalStrategy.STEPS, "scheduler": tool.SchedulerType.COSINE,
           "dtype": torch.bfloat16}, folder / "args.pth")  # fmt: skip


def peft(folder: Path) -> None:
    """``save_pretrained`` of a LoRA on CLIP, its configuration and the whole model."""
    tool = import_module("peft")
    config = tool.LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
    model = tool.get_peft_model(_clip(), config)
    model.save_pretrained(folder / "safe")
    model.save_pretrained(folder / "bin", safe_serialization=False)
    _save({"state_dict": _state(), "peft_config": config, "type": tool.TaskType.FEATURE_EXTRACTION},
          folder / "config.pth")  # fmt: skip
    _save(model, folder / "whole.pth")


def timm(folder: Path) -> None:
    """``CheckpointSaver`` with arguments and an average of the weights, and a whole model."""
    torch, tool = import_module("torch"), import_module("timm")
    utils = import_module("timm.utils")
    model = tool.create_model("vit_tiny_patch16_224", num_classes=3, depth=1, embed_dim=48)
    optimizer = import_module("timm.optim").create_optimizer_v2(model, "lamb", lr=0.1)
    average = utils.ModelEmaV3(model)
    arguments = argparse.Namespace(
        model="vit", lr=0.1, mean=(0.5,), out=pathlib.Path("out"), backbone=Backbone.RN
    )
    saver = utils.CheckpointSaver(
        model, optimizer, args=arguments, model_ema=average, amp_scaler=utils.NativeScaler("cpu"),
        checkpoint_dir=str(folder), recovery_dir=str(folder),
    )  # fmt: skip
    saver.save_checkpoint(0, metric=0.5)
    schedule, _ = import_module("timm.scheduler").create_scheduler_v2(optimizer, "cosine", 3)
    _save({"state_dict": _state(), "schedule": schedule, "optimizer": optimizer},
          folder / "live.pth")  # fmt: skip
    _save(model, folder / "whole.pth")
    _save(torch.nn.DataParallel(model), folder / "parallel.pth")


def open_clip(folder: Path) -> None:
    """A training checkpoint as ``open_clip_train`` writes it, and a whole model."""
    torch, tool = import_module("torch"), import_module("open_clip")
    model = tool.model.CLIP(
        embed_dim=16, vision_cfg={"layers": 1, "width": 64, "patch_size": 16, "image_size": 32},
        text_cfg={"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters())
    scaler = torch.amp.GradScaler("cpu")
    parser = import_module("open_clip_train.params").parse_args
    content = {
        "epoch": 1, "name": "run", "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(), "scaler": scaler.state_dict(),
    }  # fmt: skip
    _save(content, folder / "epoch_1.pt")
    _save({**content, "args": parser(["--model", "ViT-B-16"])}, folder / "args.pt")
    _save(model, folder / "whole.pt")


def torch_objects(folder: Path) -> None:
    """Everything live: optimisers, schedules, scalers, averages, transforms, whole modules."""
    torch = import_module("torch")
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.GELU(),
                                torch.nn.TransformerEncoderLayer(4, 2, activation="gelu"))  # fmt: skip
    kinds = ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Adadelta", "NAdam", "RAdam", "Rprop"]
    live = [getattr(torch.optim, kind)(model.parameters(), lr=0.1) for kind in kinds]
    plans = torch.optim.lr_scheduler
    schedules = [
        plans.StepLR(live[0], 3), plans.CosineAnnealingLR(live[0], 3), plans.ExponentialLR(live[0], 0.9),
        plans.OneCycleLR(live[0], 0.1, 10), plans.ReduceLROnPlateau(live[0]), plans.LinearLR(live[0]),
        plans.CosineAnnealingWarmRestarts(live[0], 3), plans.MultiStepLR(live[0], [1]),
        plans.SequentialLR(live[0], [plans.ConstantLR(live[0]), plans.StepLR(live[0], 1)], [1]),
    ]  # fmt: skip
    transforms = import_module("torchvision.transforms")
    pipeline = transforms.Compose([
        transforms.Resize(224, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,)), transforms.RandAugment(),
    ])  # fmt: skip
    numpy = import_module("numpy")
    content = {
        "state_dict": _state(), "optimizers": live, "schedules": schedules, "version": torch.__version__,
        "scaler": torch.amp.GradScaler("cpu"), "preprocess": pipeline, "average": _average(model),
        "args": argparse.Namespace(a=1), "simple": types.SimpleNamespace(b=2), "shape": Shape(1, 2),
        "settings": Settings(), "user": collections.UserDict({0: "cat"}), "path": pathlib.Path("x"),
        "numpy": [numpy.float32(1), numpy.bool_(True), numpy.array(["a"]), numpy.str_("x"),
                  numpy.array(["x", None], dtype=object), numpy.datetime64("2025-01-01"), numpy.float32,
                  numpy.dtype("float32"), numpy.random.default_rng(0), numpy.arange(3).view(numpy.matrix)],
    }  # fmt: skip
    for protocol in (2, 3, 4, 5):
        for is_zip in (True, False):
            _save(content, folder / f"all-{protocol}-{'zip' if is_zip else 'legacy'}.pth",
                  pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)  # fmt: skip
    _save(model, folder / "module.pth")
    _save(_average(model), folder / "average.pth")
    _save({"state_dict": _state(), "model": import_module("torchvision").models.resnet18(num_classes=2)},
          folder / "resnet.pth")  # fmt: skip


def _average(model: Any) -> Any:
    return import_module("torch").optim.swa_utils.AveragedModel(model)


def configurations(folder: Path) -> None:
    """Configuration classes of other packages."""
    attributes = import_module("easydict").EasyDict(a={"b": [1]})
    node = import_module("yacs.config").CfgNode({"a": {"b": 1}})
    nested = import_module("addict").Dict(a={"b": 1})
    tree = import_module("ml_collections").ConfigDict({"a": {"b": (1, 2)}})
    for name, value in {"easydict": attributes, "yacs": node, "addict": nested, "ml": tree}.items():
        _save({"state_dict": _state(), "cfg": value}, folder / f"{name}.pth")


MAKERS: dict[str, Callable[[Path], None]] = {
    "lightning": lightning,
    "omegaconf": omegaconf,
    "accelerate": accelerate,
    "transformers": transformers,
    "peft": peft,
    "timm": timm,
    "open_clip": open_clip,
    "torch": torch_objects,
    "configurations": configurations,
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]))
