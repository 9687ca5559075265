"""Values of libraries that this environment lacks, byte for byte as their picklers write them.

Each stands beside the weights of a CoOp file. The shapes were taken from files that the libraries
wrote (:mod:`tests.bench.honest_outputs` makes them anew); no library is imported. A vendor's own
class is unknown, and nobody is accused of it.
"""

from __future__ import annotations

from functools import partial

from tests.hostile import assemble as a
from tests.hostile.boxes import torch_zip
from tests.hostile.entry import Entry, honest

_UNUSUAL, _UNKNOWN = "pickle-uncommon-global", "pickle-unknown-global"


def _empty(module: str, name: str, state: bytes = b"}") -> bytes:
    """An object that is made empty and given a state."""
    return a.named(module, name) + b")\x81" + state + b"b"


def _member(module: str, name: str, value: bytes) -> bytes:
    """An enum member as all Pythons but 3.11.0 to 3.11.3 write it."""
    return a.call(module, name, value)


def _looked_up(module: str, name: str, member: str) -> bytes:
    """The same by Python 3.11.2, twice, the second time from the memo."""
    function = a.named("builtins", "getattr") + b"q\xf0"
    owner = a.named(module, name) + b"q\xf1"
    first = function + owner + a.text(member) + b"\x86R"
    return b"(" + first + b"h\xf0h\xf1" + a.text(member) + b"\x86Rt"


def _partial(module: str, name: str, kind: str = "functools.partial") -> bytes:
    function = a.named(module, name) + b"q\xf2"
    made = a.named(*kind.rsplit(".", 1)) + function + b"\x85R"
    return made + b"(h\xf2)}" + a.text("lr") + b"G?PbM\xd2\xf1\xa9\xfcsNtb"


_PATH = b"(" + a.text("out") + a.text("x") + b"tR"
_OPTIONS = "trainers.options"
_ROWS: tuple[tuple[str, str, bytes, tuple[str, ...]], ...] = (
    ("torch-version", "the version of torch",
     a.named("torch.torch_version", "TorchVersion") + a.text("2.15.0+cpu") + b"\x85\x81",
     (_UNUSUAL,)),
    ("path-313", "a path of Python 3.13", a.named("pathlib._local", "PosixPath") + _PATH,
     (_UNUSUAL,)),
    ("path-windows-313", "a Windows path of Python 3.13",
     a.named("pathlib._local", "PureWindowsPath") + _PATH, (_UNUSUAL,)),
    *(
        (f"attributes-{index}", f"Lightning's AttributeDict in {module}",
         a.named(module, "AttributeDict") + b")\x81" + a.text("lr") + b"K\x01s", (_UNUSUAL,))
        for index, module in enumerate((
            "lightning.fabric.utilities.data", "lightning.pytorch.utilities.parsing",
            "pytorch_lightning.utilities.parsing", "lightning_fabric.utilities.data",
        ))
    ),
    ("omegaconf", "a configuration of OmegaConf", _empty(
        "omegaconf.dictconfig", "DictConfig",
        a.mapping(
            (a.text("_metadata"), _empty("omegaconf.base", "ContainerMetadata", a.mapping(
                (a.text("ref_type"), a.named("typing", "Any")),
                (a.text("object_type"), a.named("builtins", "dict")),
                (a.text("optional"), b"\x88"),
            ))),
            (a.text("_content"), a.mapping((a.text("lr"), _empty(
                "omegaconf.nodes", "AnyNode", a.mapping((a.text("_val"), b"K\x01")))))),
        )), (_UNUSUAL,)),
    ("omegaconf-list", "a list of OmegaConf", _empty("omegaconf.listconfig", "ListConfig"),
     (_UNUSUAL,)),
    ("partial", "a partial of an optimiser, as Hydra keeps it",
     _partial("torch.optim.adamw", "AdamW"), (_UNUSUAL,)),
    ("partial-hydra", "the same of Hydra 1.3.8", _partial(
        "torch.optim.adamw", "AdamW", "hydra._internal.target_policy._DeferredTarget"),
     (_UNUSUAL,)),
    ("partial-vendor", "a partial of a vendor's function", _partial(_OPTIONS, "warm_up"),
     (_UNKNOWN, _UNUSUAL)),
    ("member", "a member of a vendor's enum",
     _member(_OPTIONS, "Backbone", a.text("ViT-B/16")), (_UNKNOWN,)),
    ("member-main", "an enum of the training script itself",
     _member("__main__", "Backbone", b"K\x01"), (_UNKNOWN,)),
    ("member-tuple", "an enum whose values are tuples and types of torch",
     _member(_OPTIONS, "Size", a.numbers((224, 224)))
     + b"0" + _member(_OPTIONS, "Precision", a.named("torch", "float16")), (_UNKNOWN,)),
    ("member-311", "a member of a vendor's enum, of Python 3.11.2",
     _looked_up(_OPTIONS, "Backbone", "VIT"), (_UNKNOWN, _UNUSUAL)),
    ("member-vision", "torchvision's interpolation",
     _member("torchvision.transforms.functional", "InterpolationMode", a.text("bicubic")),
     (_UNUSUAL,)),
    ("member-vision-311", "the same of Python 3.11.2",
     _looked_up("torchvision.transforms.functional", "InterpolationMode", "BICUBIC"), (_UNUSUAL,)),
    ("member-published", "a member of a published package's enum that we do not know",
     _member("monai.utils.enums", "CommonKeys", a.text("image")), (_UNKNOWN,)),
    ("trainer", "transformers' TrainingArguments", _empty(
        "transformers.training_args", "TrainingArguments", a.mapping(
            (a.text("eval_strategy"),
             _member("transformers.trainer_utils", "IntervalStrategy", a.text("no"))),
            (a.text("kind"),
             _member("accelerate.utils.dataclasses", "DistributedType", a.text("NO"))),
            (a.text("optim"), _member("transformers.training_args", "OptimizerNames",
                                      a.text("adamw_torch"))),
        )), (_UNUSUAL,)),
    ("lora", "the configuration of a LoRA", _empty("peft.tuners.lora.config", "LoraConfig", a.mapping(
        (a.text("peft_type"), _member("peft.utils.peft_types", "PeftType", a.text("LORA"))),
    )), (_UNUSUAL,)),
    ("scaler", "a live GradScaler", _empty("torch.amp.grad_scaler", "GradScaler", a.mapping(
        (a.text("_per_optimizer_states"), a.call(
            "collections", "defaultdict",
            a.named("torch.amp.grad_scaler", "_refresh_per_optimizer_state"))),
    )), (_UNUSUAL,)),
    ("schedule-1", "OneCycleLR of torch 1.x, whose state keeps a method",
     a.call("builtins", "getattr", a.named("torch.optim.lr_scheduler", "OneCycleLR"),
            a.text("_annealing_cos")), (_UNUSUAL,)),
    ("named-tuple", "a vendor's named tuple",
     a.named(_OPTIONS, "Cfg") + b"K\x01K\x02\x86\x81", (_UNKNOWN,)),
    ("none-type", "the type of None", a.call("builtins", "type", b"N"), (_UNUSUAL,)),
    ("ordered", "a vendor's OrderedDict with attributes",
     a.named(_OPTIONS, "Table") + b")R" + a.text("x") + b"K\x01s}" + a.text("y") + b"K\x02sb",
     (_UNKNOWN,)),
)  # fmt: skip

ENTRIES: tuple[Entry, ...] = tuple(
    honest(f"value-{name}", what, partial(torch_zip, a.coop(payload)), *found)
    for name, what, payload, found in _ROWS
)
